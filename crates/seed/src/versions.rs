//! How versions of cloud-init differ in what they take, from 18.2 on: `docs/cloud-init-versions.md` is made of this table.

use crate::check::DocumentKind;
use crate::diagnostic::{Findings, Severity};
use crate::mime;
use crate::user_data::UserDataKind;
use crate::yaml::{self, Yaml};
use std::fmt;

/// A version of cloud-init: `22.4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    year: u16,
    number: u16,
}

impl Version {
    /// The version `year.number`.
    pub const fn new(year: u16, number: u16) -> Self {
        Self { year, number }
    }

    /// Reads `22.4`, and `22.4.2-1+deb12u4` as the same.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(['.', '-', '~', '+']);
        let (year, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { year, number })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.year, self.number)
    }
}

/// Something that not every version takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionFact {
    /// Where: `user-data`, `network-config`, `meta-data`, `volume`, and a path of keys with `[]` for items of a list, or words.
    pub place: (&'static str, &'static str),
    /// The first version that takes it.
    pub since: Option<Version>,
    /// The first version that does not take it any more.
    pub until: Option<Version>,
    /// What comes of it in other versions.
    pub otherwise: &'static str,
    /// Where that is written: a line of cloud-init's ChangeLog.
    pub source: &'static str,
}

const fn since(
    place: (&'static str, &'static str),
    version: (u16, u16),
    otherwise: &'static str,
    source: &'static str,
) -> VersionFact {
    VersionFact {
        place,
        since: Some(Version::new(version.0, version.1)),
        until: None,
        otherwise,
        source,
    }
}

const fn until(
    place: (&'static str, &'static str),
    version: (u16, u16),
    otherwise: &'static str,
    source: &'static str,
) -> VersionFact {
    VersionFact {
        place,
        since: None,
        until: Some(Version::new(version.0, version.1)),
        otherwise,
        source,
    }
}

const USER: &str = "user-data";
const NETWORK: &str = "network-config";
const HEADER: &str = "header";
const PART: &str = "part";
const VOLUME: &str = "volume";

/// The table.
const FACTS: &[VersionFact] = &[
    since(
        (HEADER, "## template: jinja"),
        (18, 4),
        "the document is ignored",
        "18.4: user-data: jinja template to render instance-data.json in cloud-config",
    ),
    since(
        (NETWORK, "network"),
        (18, 5),
        "the document is ignored",
        "18.5: NoCloud: Allow top level 'network' key in network-config. (LP: #1798117)",
    ),
    since(
        (USER, "write_files.[].append"),
        (18, 5),
        "the file is replaced",
        "18.5: write_files: add support for appending to files.",
    ),
    since(
        (VOLUME, "CIDATA, CONFIG-2"),
        (19, 1),
        "a seed whose label is in capitals is not found",
        "19.1: Change DataSourceNoCloud to ignore file system label's case.",
    ),
    since(
        (USER, "ssh_publish_hostkeys"),
        (19, 3),
        "the key is ignored",
        "19.3: Add support for publishing host keys to GCE guest attributes",
    ),
    since(
        (USER, "prefer_fqdn_over_hostname"),
        (21, 2),
        "the key is ignored",
        "21.2: add prefer_fqdn_over_hostname config option (#859)",
    ),
    since(
        (USER, "write_files.[].defer"),
        (21, 4),
        "the file is written early, before packages and users are there",
        "21.4: Add module 'write-files-deferred' executed in stage 'final' (#916)",
    ),
    since(
        (USER, "updates"),
        (21, 4),
        "the key is ignored",
        "21.4: Add \"install hotplug\" module (SC-476) (#1069) (LP: #1946003)",
    ),
    since(
        (USER, "keyboard"),
        (22, 1),
        "the key is ignored",
        "22.1: Add new config module to set keyboard layout (#1176)",
    ),
    since(
        (
            PART,
            "x-shellscript-per-boot, x-shellscript-per-instance, x-shellscript-per-once",
        ),
        (22, 1),
        "the part is ignored",
        "22.1: Docs for x-shellscript* userdata (#1260)",
    ),
    since(
        (NETWORK, "network.version 2"),
        (22, 2),
        "the document is ignored: only version 1 may stand below a key \"network\"",
        "22.2: Consistently strip top-level network key (#1417) (LP: #1906187)",
    ),
    until(
        (HEADER, "#upstart-job"),
        (22, 2),
        "the document is ignored",
        "22.2: upstart: drop vestigial support for upstart (#1421)",
    ),
    since(
        (USER, "ansible"),
        (22, 3),
        "the key is ignored",
        "22.3: Add Ansible Config Module (#1579)",
    ),
    since(
        (USER, "wireguard"),
        (22, 3),
        "the key is ignored",
        "22.3: config: Add wireguard config module (#1570)",
    ),
    since(
        (USER, "chpasswd.users"),
        (22, 3),
        "the passwords are not set",
        "22.3: Update chpasswd schema to deprecate password parsing (#1517)",
    ),
    since(
        (USER, "autoinstall"),
        (22, 3),
        "the key is ignored",
        "22.3: cc_ubuntu_autoinstall: support live-installer autoinstall config",
    ),
    since(
        (USER, "users.[].doas"),
        (23, 3),
        "the key is ignored",
        "23.3: cc_users_groups: Add doas/opendoas support (#4363)",
    ),
    since(
        (USER, "create_hostname_file"),
        (23, 4),
        "the key is ignored",
        "23.4: feat: check for create_hostname_file key before writing /etc/hostname",
    ),
    since(
        (USER, "ubuntu_pro"),
        (24, 1),
        "the key is ignored; older versions know ubuntu_advantage",
        "24.1: feat(schema): support ubuntu_pro key and deprecate ubuntu_advantage",
    ),
    until(
        (USER, "migrate"),
        (24, 1),
        "the key is ignored",
        "24.1: chore: Remove cc_migrator module (#4690)",
    ),
    until(
        (USER, "ssh_keys.dsa_private"),
        (24, 1),
        "the key is ignored",
        "24.1: chore!: drop support for dsa ssh hostkeys in docs and schema (#4456)",
    ),
    until(
        (USER, "ssh_keys.dsa_public"),
        (24, 1),
        "the key is ignored",
        "24.1: chore!: drop support for dsa ssh hostkeys in docs and schema (#4456)",
    ),
    since(
        (USER, "yum_repos.*.metalink"),
        (24, 2),
        "the repository is skipped, for it has no baseurl",
        "24.2: Support metalink in yum repository config (#5444)",
    ),
    since(
        (USER, "write_files.[].source"),
        (24, 3),
        "the file is written empty",
        "24.3: feat: Support URI sources in `write_files` module (#5505)",
    ),
    since(
        (USER, "yum_repos.*.mirrorlist"),
        (24, 3),
        "the repository is skipped, for it has no baseurl",
        "24.3: Support setting mirrorlist in yum repository config (#5522)",
    ),
];

/// The table of what versions differ in.
pub fn version_facts() -> &'static [VersionFact] {
    FACTS
}

/// Tells a fact of a place where it matters to a version.
fn tell(fact: &VersionFact, version: Version, at: (usize, usize), findings: &mut Findings) {
    let words = match (fact.since, fact.until) {
        (Some(since), _) if version < since => format!("taken by cloud-init {since} and later"),
        (_, Some(until)) if version >= until => format!("not taken by cloud-init {until} and later"),
        _ => return,
    };
    let message = format!("{}: {words}, not by {version}: {}", fact.place.1, fact.otherwise);
    findings.add(Severity::Warning, "version", at, message, None);
}

/// Warns of what a version does not take.
pub(crate) fn check(text: &str, kind: DocumentKind, version: Version, findings: &mut Findings) {
    let place = match kind {
        DocumentKind::UserData | DocumentKind::VendorData => USER,
        DocumentKind::NetworkConfig => NETWORK,
        _ => return,
    };
    if place == USER {
        let first = text.lines().next().unwrap_or("").trim_end();
        for fact in FACTS
            .iter()
            .filter(|f| f.place.0 == HEADER && first.starts_with(f.place.1))
        {
            tell(fact, version, (1, 1), findings);
        }
        match UserDataKind::of(text.as_bytes()) {
            Some(UserDataKind::CloudConfig) => {}
            Some(UserDataKind::Mime) => return check_parts(text, version, findings),
            _ => return,
        }
    }
    check_keys(text, place, version, findings);
}

/// Looks at the parts of a MIME archive.
fn check_parts(text: &str, version: Version, findings: &mut Findings) {
    for part in mime::parts(text) {
        let saved = findings.line_offset;
        findings.line_offset = saved.saturating_add(part.lines_before);
        let subtype = part.content_type.strip_prefix("text/").unwrap_or("");
        for fact in FACTS.iter().filter(|f| f.place.0 == PART) {
            if fact.place.1.split(", ").any(|word| word == subtype) {
                tell(fact, version, (1, 1), findings);
            }
        }
        if let Ok(body) = std::str::from_utf8(&part.bytes) {
            match subtype {
                "cloud-config" => check_keys(body, USER, version, findings),
                // an archive in an archive is a part of a kind of its own
                "plain" | "x-not-multipart" | "jinja2"
                    if UserDataKind::of(&part.bytes) != Some(UserDataKind::Mime) =>
                {
                    check(body, DocumentKind::UserData, version, findings);
                }
                _ => {}
            }
        }
        findings.line_offset = saved;
    }
}

/// Looks for the keys that the table names.
fn check_keys(text: &str, place: &str, version: Version, findings: &mut Findings) {
    let Ok(Some(root)) = yaml::parse(text, &mut Findings::new("")) else {
        return;
    };
    for fact in FACTS.iter().filter(|f| f.place.0 == place) {
        let found = match fact.place.1 {
            "network.version 2" => {
                let version = root.get("network").and_then(|n| n.get("version"));
                version.filter(|v| v.text() == Some("2")).map(|v| v.at)
            }
            path => find(&root, path),
        };
        if let Some(at) = found {
            tell(fact, version, at, findings);
        }
    }
}

/// Where a path of keys leads to first.
fn find(node: &Yaml, path: &str) -> Option<(usize, usize)> {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    match (step, rest) {
        ("[]", Some(rest)) => node.items().iter().find_map(|item| find(item, rest)),
        ("*", Some(rest)) => node.entries().iter().find_map(|(_, value)| find(value, rest)),
        (name, Some(rest)) => find(node.get(name)?, rest),
        (name, None) => node.entry(name).map(|(key, _)| key.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_warns_of_what_it_does_not_take() {
        let said = |text: &str, kind, version: &str| {
            let mut findings = Findings::new("x");
            check(text, kind, Version::parse(version).unwrap(), &mut findings);
            findings.list.iter().map(|d| d.line).collect::<Vec<_>>()
        };
        let files = "#cloud-config\nwrite_files:\n- path: /a\n  defer: true\n";
        assert_eq!(said(files, DocumentKind::UserData, "20.2"), [4]);
        assert!(said(files, DocumentKind::UserData, "22.4.2-1+deb12u4").is_empty());
        let wrapped = "network:\n  version: 2\n";
        assert_eq!(said(wrapped, DocumentKind::NetworkConfig, "20.2"), [2]);
        assert_eq!(said(wrapped, DocumentKind::NetworkConfig, "18.2").len(), 2);
        let template = "## template: jinja\n#cloud-config\n";
        assert_eq!(said(template, DocumentKind::UserData, "18.3"), [1]);
        assert!(Version::parse("x").is_none());
        let archive = "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/cloud-config\n\n\
                       #cloud-config\nwrite_files:\n- path: /a\n  defer: true\n--b\nContent-Type: text/x-shellscript-per-boot\n\n\
                       #!/bin/sh\n--b\nContent-Type: text/plain\n\n#upstart-job\nstart\n--b--\n";
        assert_eq!(said(archive, DocumentKind::UserData, "20.2"), [10, 14]);
        assert_eq!(said(archive, DocumentKind::UserData, "22.4"), [18]);
    }
}
