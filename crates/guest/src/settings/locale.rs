//! The language of a guest.

use super::first_assignment;
use disksmith_vfs::Tree;

/// (file, name): systemd; Debian; Red Hat up to 6; SUSE up to 12; Gentoo; Alpine and Slackware.
const PLACES: &[(&str, &str)] = &[
    ("/etc/locale.conf", "LANG"),
    ("/etc/default/locale", "LANG"),
    ("/etc/sysconfig/i18n", "LANG"),
    ("/etc/sysconfig/language", "RC_LANG"),
    ("/etc/env.d/02locale", "LANG"),
    ("/etc/profile.d/locale.sh", "LANG"),
    ("/etc/profile.d/20locale.sh", "LANG"),
    ("/etc/profile.d/lang.sh", "LANG"),
    ("/etc/environment", "LANG"),
];

pub(super) fn of_guest(tree: &Tree) -> Option<String> {
    first_assignment(tree, PLACES)
}
