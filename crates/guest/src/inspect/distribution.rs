//! Which distribution a guest is.

use super::release_file::{self, first_line, version_in};
use super::role::System;
use crate::crypt::Scheme;
use crate::files::parse_os_release;
use disksmith_vfs::Tree;
use serde::Serialize;

/// Largest file that is read to tell the release.
const MAX_RELEASE: u64 = 1 << 20;

/// Where os-release is: CoreOS makes the links in `/etc` only at the first boot.
const OS_RELEASE: &[&str] = &[
    "/etc/os-release",
    "/usr/lib/os-release",
    "/lib/os-release",
    "/usr/share/coreos/os-release",
];

/// Where lsb-release is, and what is written like it.
const LSB_RELEASE: &[&str] = &[
    "/etc/lsb-release",
    "/etc/openwrt_release",
    "/usr/share/coreos/lsb-release",
];

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
    /// The name that libguestfs gives it: for Debian and CentOS the line of the file that tells the minor version.
    pub product_name: String,
    /// The edition: `cloud`, `server`, `microos`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Which build it is, where the distribution counts those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
}

impl Distribution {
    /// Reads what the guest says of itself: os-release, then lsb-release, then the files that older releases have.
    pub fn detect(tree: &Tree) -> Self {
        for path in OS_RELEASE {
            let contents = tree.read_limited(path, MAX_RELEASE).ok();
            if let Some(found) = contents.and_then(|t| from_os_release(tree, &t)) {
                return found;
            }
        }
        for path in LSB_RELEASE {
            let contents = tree.read_limited(path, MAX_RELEASE).ok();
            if let Some(found) = contents.and_then(|t| release_file::of_lsb_release(&t)) {
                return found;
            }
        }
        release_file::detect(tree)
            .unwrap_or_else(|| Self::new("unknown", "an unknown Linux distribution", "", &[]))
    }

    /// What a system is that is not Linux.
    pub(super) fn of_system(tree: &Tree, system: System) -> Self {
        let (id, version) = match system {
            System::Linux => return Self::detect(tree),
            System::FreeBsd => (
                "freebsd",
                bsd_version(
                    tree,
                    &["/etc/os-release", "/var/run/os-release"],
                    "/etc/freebsd-version",
                ),
            ),
            System::NetBsd => ("netbsd", bsd_version(tree, &[], "/etc/release")),
            System::OpenBsd => ("openbsd", bsd_version(tree, &[], "/etc/motd")),
            System::Hurd => ("hurd", String::new()),
            System::Minix => ("minix", first_line(tree, "/etc/version").unwrap_or_default()),
            System::Windows => ("windows", String::new()),
            System::FreeDos => ("freedos", String::new()),
            System::MsDos => ("msdos", String::new()),
        };
        let name = format!("{} {version}", system.name());
        Self::new(id, &name, &version, &[])
    }

    pub(super) fn new(id: &str, name: &str, version: &str, like: &[&str]) -> Self {
        let mut numbers = version.split(['.', '_', '-', ' ']).map(leading_number);
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
            product_name: name.trim().to_owned(),
            variant: None,
            build_id: None,
        }
    }

    pub(super) fn with_product_name(mut self, name: &str) -> Self {
        if !name.is_empty() {
            self.product_name = name.to_owned();
        }
        self
    }

    /// Whether its identifier is one that something is known of.
    pub(super) fn is_known(&self) -> bool {
        family_of(&self.id).is_some() || GUESTFS_NAMES.iter().any(|(id, _)| *id == self.id)
    }

    /// The identifier as libguestfs spells it: `archlinux`, `oraclelinux`, `opensuse`. One that libguestfs does not know is given
    /// as os-release has it.
    pub fn guestfs_name(&self) -> &str {
        if self.id == "opensuse" || self.id.starts_with("opensuse-") {
            return "opensuse";
        }
        GUESTFS_NAMES
            .iter()
            .find_map(|(id, name)| (*id == self.id).then_some(*name))
            .unwrap_or(&self.id)
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

/// (identifier in os-release, libguestfs's name)
const GUESTFS_NAMES: &[(&str, &str)] = &[
    ("alpine", "alpinelinux"),
    ("altlinux", "altlinux"),
    ("arch", "archlinux"),
    ("buildroot", "buildroot"),
    ("cirros", "cirros"),
    ("coreos", "coreos"),
    ("flatcar", "flatcar"),
    ("frugalware", "frugalware"),
    ("kali", "kalilinux"),
    ("linuxmint", "linuxmint"),
    ("meego", "meego"),
    ("neokylin", "neokylin"),
    ("ol", "oraclelinux"),
    ("openEuler", "openeuler"),
    ("openwrt", "openwrt"),
    ("pardus", "pardus"),
    ("pld", "pldlinux"),
    ("scientific", "scientificlinux"),
    ("slackware", "slackware"),
    ("sled", "sles"),
    ("ttylinux", "ttylinux"),
    ("void", "voidlinux"),
];

fn family_of(id: &str) -> Option<Family> {
    Some(match id {
        "debian" | "ubuntu" | "kali" | "linuxmint" | "raspbian" | "devuan" | "pop" | "neon" | "pureos"
        | "parrot" | "deepin" | "elementary" | "zorin" | "proxmox" => Family::Debian,
        "rhel" | "fedora" | "centos" | "rocky" | "almalinux" | "ol" | "amzn" | "scientific" | "redhat"
        | "redhat-based" | "circle" | "openEuler" | "openeuler" | "kylin" | "neokylin" | "anolis"
        | "opencloudos" | "tencentos" | "virtuozzo" | "cloudlinux" | "mariner" | "azurelinux" | "mageia"
        | "mandriva" | "openmandriva" | "meego" | "eurolinux" | "springdale" | "navylinux" | "xcp-ng"
        | "xenenterprise" => Family::RedHat,
        "suse"
        | "sles"
        | "sled"
        | "sles_sap"
        | "opensuse"
        | "opensuse-leap"
        | "opensuse-tumbleweed"
        | "opensuse-microos"
        | "sle-micro"
        | "sl-micro"
        | "suse-microos"
        | "opensuse-leap-micro" => Family::Suse,
        "alpine" | "postmarketos" => Family::Alpine,
        "arch" | "archarm" | "manjaro" | "endeavouros" | "artix" | "cachyos" => Family::Arch,
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
    // "V10Update2" is NeoKylin's way to write 10.2.
    if let Some((major, minor)) = version.strip_prefix('V').and_then(|v| v.split_once("Update")) {
        version = format!("{major}.{minor}");
    }
    let name = match get("PRETTY_NAME") {
        "" => get("NAME"),
        pretty => pretty,
    };
    // These say only "12" and "9"; the point release stands in another file.
    let (path, is_bare) = match id {
        "debian" => ("/etc/debian_version", true),
        "centos" => ("/etc/centos-release", false),
        "circle" => ("/etc/circle-release", false),
        "rocky" => ("/etc/rocky-release", false),
        _ => ("", false),
    };
    let mut product_name = None;
    if !path.is_empty() && !version.contains('.') {
        let line = first_line(tree, path).or_else(|| first_line(tree, "/etc/redhat-release"));
        if let Some(line) = line.filter(|line| !line.is_empty()) {
            let fuller = if is_bare { line.clone() } else { version_in(&line) };
            if fuller
                .strip_prefix(&version)
                .is_some_and(|rest| rest.starts_with('.'))
            {
                version = fuller;
            }
            product_name = Some(line);
        }
    }
    let some = |name: &str| Some(get(name).to_owned()).filter(|value| !value.is_empty());
    let like: Vec<&str> = get("ID_LIKE").split_whitespace().collect();
    let mut found = Distribution::new(id, name, &version, &like);
    found.variant = some("VARIANT_ID");
    found.build_id = some("BUILD_ID");
    Some(found.with_product_name(&product_name.unwrap_or_default()))
}

/// The version of a BSD: in os-release where it has one, else the first thing in a file's first line that looks like one.
fn bsd_version(tree: &Tree, os_release: &[&str], file: &str) -> String {
    let told = os_release.iter().find_map(|path| {
        let values = parse_os_release(&tree.read_limited(path, MAX_RELEASE).ok()?);
        values.get("VERSION_ID").cloned()
    });
    told.unwrap_or_else(|| version_in(&first_line(tree, file).unwrap_or_default()))
}

/// The number that a part of a version begins with: `4` of `4rc1`.
fn leading_number(part: &str) -> Option<u32> {
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part.get(..end)?.parse().ok()
}
