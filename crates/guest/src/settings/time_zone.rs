//! The time zone of a guest.

use super::{MAX, first_assignment};
use crate::files::{lines, text};
use disksmith_vfs::Tree;

/// Below these directories the name of a zone is the path of its file. Alpine keeps a copy of the one it uses in `/etc`.
const ZONES: &[&str] = &["usr/share/zoneinfo/", "etc/zoneinfo/"];

/// (file, name) where the link does not tell: Red Hat up to 6; SUSE up to 11; Void.
const PLACES: &[(&str, &str)] = &[
    ("/etc/sysconfig/clock", "ZONE"),
    ("/etc/sysconfig/clock", "TIMEZONE"),
    ("/etc/rc.conf", "TIMEZONE"),
];

pub(super) fn of_guest(tree: &Tree) -> Option<String> {
    let link = tree.read_link("/etc/localtime").ok();
    let from_link = link.and_then(|target| {
        let target = text(&target);
        let zone = ZONES
            .iter()
            .find_map(|zones| target.split_once(zones).map(|(_, zone)| zone))?;
        let plain = zone
            .strip_prefix("posix/")
            .or_else(|| zone.strip_prefix("right/"));
        Some(plain.unwrap_or(zone).to_owned())
    });
    from_link
        .or_else(|| {
            let contents = tree.read_limited("/etc/timezone", MAX).ok()?;
            lines(&contents)
                .map(<[u8]>::trim_ascii)
                .find(|line| !line.is_empty() && !line.starts_with(b"#"))
                .map(text)
        })
        .or_else(|| first_assignment(tree, PLACES))
        .or_else(|| {
            // OpenWrt: option zonename 'Europe/Berlin'.
            let contents = tree.read_limited("/etc/config/system", MAX).ok()?;
            let value = lines(&contents)
                .find_map(|line| line.trim_ascii().strip_prefix(b"option zonename ".as_slice()))
                .map(text)?;
            Some(value.trim().trim_matches(['\'', '"']).to_owned())
        })
}
