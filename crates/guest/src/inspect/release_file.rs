//! The release files of the time before os-release, and of those that have none to this day.

use super::distribution::Distribution;
use crate::files::{lines, parse_os_release, text};
use disksmith_vfs::Tree;

/// Largest file that is read.
const MAX: u64 = 1 << 20;

/// (file, distribution, the name before its version; empty where the file's own first line is the name). In the order in which they are
/// looked for: what is made of something else has the files of both.
const PLAIN: &[(&str, &str, &str)] = &[
    ("/etc/altlinux-release", "altlinux", ""),
    ("/etc/openEuler-release", "openEuler", ""),
    ("/etc/anolis-release", "anolis", ""),
    ("/etc/openwrt_version", "openwrt", "OpenWrt"),
    ("/etc/debian_version", "debian", "Debian"),
    ("/etc/pardus-release", "pardus", ""),
    ("/etc/arch-release", "arch", "Arch Linux"),
    ("/etc/gentoo-release", "gentoo", ""),
    ("/etc/meego-release", "meego", ""),
    ("/etc/slackware-version", "slackware", ""),
    ("/etc/ttylinux-target", "ttylinux", ""),
    ("/etc/alpine-release", "alpine", "Alpine Linux"),
    ("/etc/frugalware-release", "frugalware", ""),
    ("/etc/pld-release", "pld", ""),
    ("/etc/cirros/version", "cirros", "CirrOS"),
    ("/etc/br-version", "buildroot", "Buildroot"),
];

/// Files whose first line names one of several distributions of Red Hat's kind.
const RED_HAT: &[&str] = &[
    "/etc/oracle-release",
    "/etc/rocky-release",
    "/etc/almalinux-release",
    "/etc/circle-release",
    "/etc/centos-release",
    "/etc/fedora-release",
    "/etc/mageia-release",
    "/etc/redhat-release",
    "/etc/system-release",
];

/// What a line of those must hold, and which distribution it then is.
const RED_HAT_WORDS: &[(&str, &str)] = &[
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("oracle", "ol"),
    ("circle", "circle"),
    ("centos", "centos"),
    ("scientific", "scientific"),
    ("fedora", "fedora"),
    ("amazon", "amzn"),
    ("mageia", "mageia"),
    ("mandriva", "mandriva"),
    ("red hat", "rhel"),
];

/// Which distribution the release files say it is.
pub(super) fn detect(tree: &Tree) -> Option<Distribution> {
    for path in RED_HAT {
        if let Some(line) = first_line(tree, path) {
            return Some(of_red_hat_line(&line));
        }
    }
    if let Some(line) = first_line(tree, "/etc/SuSE-release") {
        return Some(suse(tree, &line));
    }
    for (path, id, name) in PLAIN {
        if !tree.is_file(path) {
            continue;
        }
        let line = first_line(tree, path).unwrap_or_default();
        let (name, version) = match *name {
            "" => (line.clone(), version_in(&line)),
            name => (format!("{name} {line}"), line.clone()),
        };
        return Some(Distribution::new(id, &name, &version, &[]).with_product_name(&line));
    }
    None
}

/// `lsb-release`: a name of its own there, or that of what it is made from.
pub(super) fn of_lsb_release(contents: &[u8]) -> Option<Distribution> {
    let values = parse_os_release(contents);
    let id = values.get("DISTRIB_ID")?.to_ascii_lowercase();
    let id = match id.as_str() {
        "mandrivalinux" => "mandriva",
        "openmandrivalinux" => "openmandriva",
        other => other,
    };
    let version = values.get("DISTRIB_RELEASE").cloned().unwrap_or_default();
    let name = values
        .get("DISTRIB_DESCRIPTION")
        .cloned()
        .unwrap_or_else(|| id.to_owned());
    let found = Distribution::new(id, &name, &version, &[]);
    found.is_known().then_some(found)
}

/// SUSE up to 2015: the name, then `VERSION = 11` and `PATCHLEVEL = 3`, which is the minor version of the enterprise editions.
fn suse(tree: &Tree, line: &str) -> Distribution {
    let lower = line.to_ascii_lowercase();
    let enterprise = lower.contains("enterprise") || lower.contains("novell linux desktop");
    let contents = tree.read_limited("/etc/SuSE-release", MAX).unwrap_or_default();
    let value = |name: &str| {
        lines(&contents).find_map(|line| {
            let (key, value) = text(line)
                .split_once('=')
                .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))?;
            (key == name).then_some(value)
        })
    };
    let mut version = value("VERSION").unwrap_or_else(|| version_in(line));
    if enterprise && let Some(patch) = value("PATCHLEVEL") {
        version = format!("{version}.{patch}");
    }
    let id = if enterprise { "sles" } else { "opensuse" };
    Distribution::new(id, line, &version, &[])
}

/// `CentOS release 6.10 (Final)`, `Red Hat Enterprise Linux AS release 4 (Nahant Update 8)`.
fn of_red_hat_line(line: &str) -> Distribution {
    let lower = line.to_ascii_lowercase();
    let id = RED_HAT_WORDS
        .iter()
        .find_map(|(word, id)| lower.contains(word).then_some(*id))
        .unwrap_or("redhat-based");
    let mut version = version_in(line);
    // The old ones count updates behind the name.
    if let Some((_, after)) = lower.split_once("update ")
        && !version.contains('.')
    {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() {
            version = format!("{version}.{digits}");
        }
    }
    Distribution::new(id, line, &version, &["rhel"])
}

/// The first word of a line that begins as a version does.
pub(super) fn version_in(line: &str) -> String {
    line.split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_default()
        .to_owned()
}

/// The first line of a file.
pub(super) fn first_line(tree: &Tree, path: &str) -> Option<String> {
    let contents = tree.read_limited(path, MAX).ok()?;
    let line = lines(&contents).next().unwrap_or_default();
    Some(text(line).trim().to_owned())
}
