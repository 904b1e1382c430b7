//! The host name that a guest gives itself, wherever it keeps it.

use crate::files::{lines, text};
use disksmith_vfs::Tree;

/// Files that hold nothing but the name, perhaps below comments.
const PLAIN: &[&str] = &["/etc/HOSTNAME", "/etc/hostname", "/etc/myname", "/etc/nodename"];

/// Files with an assignment: the file, and what stands before the value.
const ASSIGNMENTS: &[(&str, &str)] = &[
    ("/etc/sysconfig/network", "HOSTNAME="),
    ("/etc/conf.d/hostname", "hostname="),
    ("/etc/conf.d/hostname", "HOSTNAME="),
    ("/etc/rc.conf", "hostname="),
    ("/etc/rc.conf", "HOSTNAME="),
    ("/etc/config/system", "option hostname "),
];

/// Largest file that is read.
const MAX: u64 = 1 << 20;

/// The name; `None` where the guest has none.
pub(crate) fn of_guest(tree: &Tree) -> Option<String> {
    let plain = PLAIN
        .iter()
        .find_map(|path| first_name(&tree.read_limited(path, MAX).ok()?));
    plain.or_else(|| {
        ASSIGNMENTS
            .iter()
            .find_map(|(path, name)| assigned(&tree.read_limited(path, MAX).ok()?, name))
    })
}

fn first_name(contents: &[u8]) -> Option<String> {
    lines(contents)
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(text)
}

/// The last assignment counts, as for a shell.
fn assigned(contents: &[u8], name: &str) -> Option<String> {
    let value = lines(contents)
        .filter_map(|line| line.trim_ascii().strip_prefix(name.as_bytes()))
        .last()?;
    let value = text(value).trim().trim_matches(['"', '\'']).to_owned();
    (!value.is_empty()).then_some(value)
}
