//! Where a guest keeps its settings, one file a concern: each is a table of the places that distributions have for it.

mod keyboard;
mod locale;
mod network;
mod selinux_mode;
mod sudoers;
mod time_zone;

pub use keyboard::Keyboard;
pub use network::{NetworkFile, NetworkSystem};
pub(crate) use selinux_mode::of_guest as selinux_of;
pub use selinux_mode::{SelinuxConfig, SelinuxMode};

use crate::inspect::Guest;
use disksmith_vfs::Tree;
use serde::Serialize;

/// Largest file of settings that is read.
const MAX: u64 = 1 << 20;

/// What a guest's own files say of it. What is not set, or not known, is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// The host name.
    pub hostname: Option<String>,
    /// The time zone: `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// The language: `en_US.UTF-8`.
    pub locale: Option<String>,
    /// The keyboard.
    pub keyboard: Keyboard,
    /// The files that configure its network, in the order of the systems that read them.
    pub network: Vec<NetworkFile>,
    /// The group whose members may become root.
    pub sudo_group: Option<String>,
    /// The hash that passwords get which are set for it: `yescrypt`, `sha512`.
    pub password_hash: &'static str,
    /// SELinux, where it is configured.
    pub selinux: Option<SelinuxConfig>,
}

impl Guest {
    /// Reads the settings.
    pub fn settings(&self) -> Settings {
        let tree = self.tree();
        Settings {
            hostname: self.hostname(),
            time_zone: time_zone::of_guest(tree),
            locale: locale::of_guest(tree),
            keyboard: keyboard::of_guest(tree),
            network: network::of_guest(tree),
            sudo_group: sudoers::of_guest(tree, self.distribution()),
            password_hash: self.distribution().password_scheme().name(),
            selinux: selinux_mode::of_guest(tree),
        }
    }
}

/// The first file of a table that sets a name: (file, name).
fn first_assignment(tree: &Tree, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(path, name)| {
        let contents = tree.read_limited(path, MAX).ok()?;
        assignment(&contents, name)
    })
}

/// The last value that a shell would give a name, `export` or not.
fn assignment(contents: &[u8], name: &str) -> Option<String> {
    let value = crate::files::lines(contents)
        .filter_map(|line| {
            let line = line.trim_ascii();
            let line = line.strip_prefix(b"export ").unwrap_or(line).trim_ascii_start();
            line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
        .last()?;
    let parsed = crate::files::parse_os_release(&[b"X=", value].concat());
    parsed.get("X").filter(|value| !value.is_empty()).cloned()
}
