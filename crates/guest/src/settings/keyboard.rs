//! The keyboard of a guest: at its console, and in X.

use super::{MAX, first_assignment};
use crate::files::{lines, text};
use disksmith_vfs::Tree;
use serde::Serialize;

/// Which keys it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Keyboard {
    /// The console's map: `de-latin1`.
    pub console: Option<String>,
    /// The layout of X, and of Debian's console: `de`.
    pub layout: Option<String>,
}

/// (file, name) for the console: systemd; Red Hat up to 6; SUSE up to 12; Gentoo; Alpine; Void.
const CONSOLE: &[(&str, &str)] = &[
    ("/etc/vconsole.conf", "KEYMAP"),
    ("/etc/sysconfig/keyboard", "KEYTABLE"),
    ("/etc/sysconfig/keyboard", "YAST_KEYBOARD"),
    ("/etc/conf.d/keymaps", "keymap"),
    ("/etc/conf.d/loadkmap", "KEYMAP"),
    ("/etc/rc.conf", "KEYMAP"),
];

/// (file, name) for the layout: Debian; and what systemd adds for X.
const LAYOUT: &[(&str, &str)] = &[
    ("/etc/default/keyboard", "XKBLAYOUT"),
    ("/etc/vconsole.conf", "XKBLAYOUT"),
];

/// Where systemd writes it for X.
const X11: &str = "/etc/X11/xorg.conf.d/00-keyboard.conf";

pub(super) fn of_guest(tree: &Tree) -> Keyboard {
    Keyboard {
        console: first_assignment(tree, CONSOLE),
        layout: first_assignment(tree, LAYOUT).or_else(|| x11_layout(&tree.read_limited(X11, MAX).ok()?)),
    }
}

/// `Option "XkbLayout" "de"`.
fn x11_layout(contents: &[u8]) -> Option<String> {
    lines(contents).find_map(|line| {
        let line = text(line);
        let mut words = line.split('"');
        (words.next()?.trim() == "Option" && words.next()? == "XkbLayout").then_some(())?;
        words.nth(1).map(str::to_owned)
    })
}
