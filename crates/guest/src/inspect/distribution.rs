//! Which distribution a guest is.

use crate::crypt::Scheme;
use crate::files::{lines, parse_os_release, text};
use disksmith_vfs::Tree;
use serde::Serialize;

/// Distributions that keep their configuration alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Debian, Ubuntu and what is made of them.
    Debian,
    /// Red Hat Enterprise Linux, Fedora and what is made of them; Amazon Linux.
    RedHat,
    /// openSUSE and SUSE Linux Enterprise.
    Suse,
    /// Alpine.
    Alpine,
    /// Arch.
    Arch,
    /// Gentoo.
    Gentoo,
    /// Void.
    Void,
    /// NixOS: its `/etc` is made anew at each boot.
    NixOs,
    /// Anything else.
    Other,
}

/// Which distribution, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// The identifier as in `os-release`: `debian`, `rocky`, `opensuse-leap`; `unknown`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The version as text; empty where there is none (Arch).
    pub version: String,
    /// The version's first number.
    pub major: Option<u32>,
    /// Its second number.
    pub minor: Option<u32>,
    /// The family.
    pub family: Family,
}

impl Distribution {
    /// Reads what the guest says of itself: os-release, then the files that older releases have.
    pub fn detect(tree: &Tree) -> Self {
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            if let Some(found) = tree.read(path).ok().and_then(|t| from_os_release(tree, &t)) {
                return found;
            }
        }
        if let Some(found) = tree
            .read("/etc/lsb-release")
            .ok()
            .and_then(|t| from_lsb_release(&t))
        {
            return found;
        }
        for path in [
            "/etc/oracle-release",
            "/etc/rocky-release",
            "/etc/almalinux-release",
            "/etc/centos-release",
            "/etc/fedora-release",
            "/etc/redhat-release",
            "/etc/system-release",
        ] {
            if let Some(line) = first_line(tree, path) {
                return from_release_line(&line);
            }
        }
        if let Some(line) = first_line(tree, "/etc/SuSE-release") {
            let id = if line.to_ascii_lowercase().contains("enterprise") {
                "sles"
            } else {
                "opensuse"
            };
            let mut version = version_in(&line);
            if id == "sles" {
                // "PATCHLEVEL = 3" is the minor version there.
                let contents = tree.read("/etc/SuSE-release").unwrap_or_default();
                let patch =
                    lines(&contents).find_map(|l| text(l).strip_prefix("PATCHLEVEL = ").map(str::to_owned));
                if let Some(patch) = patch {
                    version = format!("{version}.{}", patch.trim());
                }
            }
            return Self::new(id, &line, &version, &[]);
        }
        for (path, id, name) in [
            ("/etc/debian_version", "debian", "Debian"),
            ("/etc/alpine-release", "alpine", "Alpine Linux"),
            ("/etc/gentoo-release", "gentoo", "Gentoo"),
            ("/etc/slackware-version", "slackware", "Slackware"),
            ("/etc/arch-release", "arch", "Arch Linux"),
        ] {
            if tree.is_file(path) {
                let line = first_line(tree, path).unwrap_or_default();
                let version = if id == "debian" || id == "alpine" {
                    line.clone()
                } else {
                    version_in(&line)
                };
                return Self::new(id, &format!("{name} {version}"), &version, &[]);
            }
        }
        Self::new("unknown", "an unknown Linux distribution", "", &[])
    }

    fn new(id: &str, name: &str, version: &str, like: &[&str]) -> Self {
        let mut numbers = version.split(['.', '_', '-', ' ']).map(|n| n.parse().ok());
        let major = numbers.next().flatten();
        let minor = major.and_then(|_| numbers.next().flatten());
        let family = std::iter::once(id)
            .chain(like.iter().copied())
            .find_map(family_of)
            .unwrap_or(Family::Other);
        Self {
            id: id.to_owned(),
            name: name.trim().to_owned(),
            version: version.to_owned(),
            major,
            minor,
            family,
        }
    }

    /// The hash that the C library of this release knows and its tools use, for a guest whose files do not say.
    pub(crate) fn password_scheme(&self) -> Scheme {
        let at_least = |version: u32| self.major.is_none_or(|major| major >= version);
        let yescrypt = match (self.family, self.id.as_str()) {
            (Family::Debian, "ubuntu") => at_least(22),
            (Family::Debian, "debian") => at_least(11),
            (Family::Debian, "kali") => true,
            (Family::RedHat, "fedora") => at_least(35),
            (Family::RedHat, "amzn") => self.major.is_some_and(|m| (2023..10_000).contains(&m)),
            (Family::RedHat, _) => at_least(10),
            (Family::Suse, "opensuse-tumbleweed") => true,
            (Family::Suse, _) => at_least(16),
            (Family::Arch, _) => true,
            _ => false,
        };
        if yescrypt {
            Scheme::Yescrypt
        } else {
            Scheme::Sha512
        }
    }

    /// Whether its C library verifies `$y$`: musl does not, nor did glibc's own crypt.
    pub(crate) fn knows_yescrypt(&self) -> bool {
        let at_least = |version: u32| self.major.is_none_or(|major| major >= version);
        match (self.family, self.id.as_str()) {
            (Family::Alpine, _) | (Family::Void, _) => false,
            (Family::Debian, "ubuntu") => at_least(20),
            (Family::Debian, "debian") => at_least(11),
            (Family::RedHat, "fedora") => at_least(30),
            (Family::RedHat, "amzn") => self.major.is_some_and(|m| (2023..10_000).contains(&m)),
            (Family::RedHat, _) => at_least(9),
            (Family::Suse, "opensuse-tumbleweed") => true,
            (Family::Suse, _) => at_least(15),
            _ => true,
        }
    }
}

fn family_of(id: &str) -> Option<Family> {
    Some(match id {
        "debian" | "ubuntu" | "kali" | "linuxmint" | "raspbian" | "devuan" | "pop" | "neon" | "pureos" => {
            Family::Debian
        }
        "rhel" | "fedora" | "centos" | "rocky" | "almalinux" | "ol" | "amzn" | "scientific" | "redhat"
        | "circle" | "openEuler" | "kylin" | "anolis" | "virtuozzo" | "cloudlinux" | "mariner"
        | "azurelinux" => Family::RedHat,
        "suse"
        | "sles"
        | "sled"
        | "opensuse"
        | "opensuse-leap"
        | "opensuse-tumbleweed"
        | "opensuse-microos"
        | "sle-micro"
        | "sl-micro"
        | "opensuse-leap-micro" => Family::Suse,
        "alpine" | "postmarketos" => Family::Alpine,
        "arch" | "archarm" | "manjaro" | "endeavouros" => Family::Arch,
        "gentoo" => Family::Gentoo,
        "void" => Family::Void,
        "nixos" => Family::NixOs,
        _ => return None,
    })
}

fn from_os_release(tree: &Tree, contents: &[u8]) -> Option<Distribution> {
    let values = parse_os_release(contents);
    let get = |name: &str| values.get(name).map(String::as_str).unwrap_or_default();
    let id = get("ID");
    if id.is_empty() {
        return None;
    }
    let mut version = get("VERSION_ID").to_owned();
    // These say only "12" and "9"; the point release stands in another file.
    let fuller = match id {
        "debian" => first_line(tree, "/etc/debian_version"),
        "centos" | "rocky" | "circle" => {
            first_line(tree, "/etc/redhat-release").map(|line| version_in(&line))
        }
        _ => None,
    };
    if let Some(fuller) = fuller
        && fuller
            .strip_prefix(&version)
            .is_some_and(|rest| rest.starts_with('.'))
    {
        version = fuller;
    }
    let name = if get("PRETTY_NAME").is_empty() {
        get("NAME")
    } else {
        get("PRETTY_NAME")
    };
    let like: Vec<&str> = get("ID_LIKE").split_whitespace().collect();
    Some(Distribution::new(id, name, &version, &like))
}

fn from_lsb_release(contents: &[u8]) -> Option<Distribution> {
    let values = parse_os_release(contents);
    let id = values.get("DISTRIB_ID")?.to_ascii_lowercase();
    let version = values.get("DISTRIB_RELEASE").cloned().unwrap_or_default();
    let name = values
        .get("DISTRIB_DESCRIPTION")
        .cloned()
        .unwrap_or_else(|| id.clone());
    family_of(&id)?;
    Some(Distribution::new(&id, &name, &version, &[]))
}

/// `CentOS release 6.10 (Final)`, `Red Hat Enterprise Linux Server release 7.9 (Maipo)`.
fn from_release_line(line: &str) -> Distribution {
    let lower = line.to_ascii_lowercase();
    let id = [
        ("rocky", "rocky"),
        ("almalinux", "almalinux"),
        ("oracle", "ol"),
        ("centos", "centos"),
        ("scientific", "scientific"),
        ("fedora", "fedora"),
        ("amazon", "amzn"),
        ("red hat", "rhel"),
    ]
    .iter()
    .find_map(|(word, id)| lower.contains(word).then_some(*id))
    .unwrap_or("redhat");
    Distribution::new(id, line, &version_in(line), &["rhel"])
}

/// The first thing in a line that looks like a version.
fn version_in(line: &str) -> String {
    line.split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or_default()
        .to_owned()
}

fn first_line(tree: &Tree, path: &str) -> Option<String> {
    let contents = tree.read_limited(path, 1 << 20).ok()?;
    Some(
        text(lines(&contents).next().unwrap_or_default())
            .trim()
            .to_owned(),
    )
}
