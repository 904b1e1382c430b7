//! The guest's package manager, as shell commands for its first boot.

use crate::inspect::{Distribution, Family};
use disksmith_vfs::Tree;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackageManager {
    Apk,
    Apt,
    Dnf,
    Emerge,
    Opkg,
    Pacman,
    Pisi,
    /// MicroOS: packages go into a new snapshot, which the next boot takes.
    TransactionalUpdate,
    Urpmi,
    Xbps,
    Yum,
    Zypper,
}

/// (program, what it stands for). The first that a guest of no known family has.
const PROGRAMS: &[(&str, PackageManager)] = &[
    ("/usr/bin/apt-get", PackageManager::Apt),
    ("/usr/bin/dnf", PackageManager::Dnf),
    ("/usr/bin/dnf5", PackageManager::Dnf),
    ("/usr/bin/yum", PackageManager::Yum),
    ("/usr/bin/zypper", PackageManager::Zypper),
    ("/sbin/apk", PackageManager::Apk),
    ("/usr/bin/apk", PackageManager::Apk),
    ("/usr/bin/pacman", PackageManager::Pacman),
    ("/usr/bin/xbps-install", PackageManager::Xbps),
    ("/usr/sbin/urpmi", PackageManager::Urpmi),
    ("/usr/bin/pisi", PackageManager::Pisi),
    ("/usr/bin/emerge", PackageManager::Emerge),
    ("/bin/opkg", PackageManager::Opkg),
    ("/usr/bin/opkg", PackageManager::Opkg),
];

impl PackageManager {
    /// The one that a guest has; `None` where it has none that is known.
    pub(crate) fn of(distribution: &Distribution, tree: &Tree) -> Option<Self> {
        let older_than = |major: u32| distribution.major.is_some_and(|m| m < major);
        let has = |path: &str| tree.exists(path);
        Some(match (distribution.family, distribution.id.as_str()) {
            (_, "mageia" | "mandriva" | "openmandriva") if has("/usr/sbin/urpmi") => Self::Urpmi,
            (_, "pardus" | "pisi") if has("/usr/bin/pisi") => Self::Pisi,
            (Family::Debian, _) => Self::Apt,
            (Family::RedHat, "fedora") if older_than(22) => Self::Yum,
            (Family::RedHat, "amzn") if older_than(2022) => Self::Yum,
            (Family::RedHat, id) if !matches!(id, "fedora" | "amzn") && older_than(8) => Self::Yum,
            (Family::RedHat, _) => Self::Dnf,
            (Family::Suse, _) if has("/usr/sbin/transactional-update") => Self::TransactionalUpdate,
            (Family::Suse, _) => Self::Zypper,
            (Family::Alpine, _) => Self::Apk,
            (Family::Arch, _) => Self::Pacman,
            (Family::Void, _) => Self::Xbps,
            (Family::Gentoo, _) => Self::Emerge,
            (Family::NixOs, _) => return None,
            _ => PROGRAMS.iter().find(|(path, _)| has(path))?.1,
        })
    }

    /// Installs packages: words that are quoted already.
    pub(crate) fn install(self, packages: &str) -> String {
        match self {
            Self::Apk => format!("apk update\napk add {packages}"),
            Self::Apt => format!(
                "export DEBIAN_FRONTEND=noninteractive\napt-get -q -y update\napt-get -q -y -o Dpkg::Options::=--force-confnew install {packages}"
            ),
            Self::Dnf => format!("dnf -y install {packages}"),
            Self::Emerge => format!("emerge --sync --quiet\nemerge --quiet --noreplace {packages}"),
            Self::Opkg => format!("opkg update\nopkg install {packages}"),
            Self::Pacman => format!("pacman -Sy --noconfirm --needed {packages}"),
            Self::Pisi => format!("pisi it --yes-all {packages}"),
            Self::TransactionalUpdate => format!(
                "transactional-update --non-interactive --continue pkg install --auto-agree-with-licenses {packages}\nreboot"
            ),
            Self::Urpmi => format!("urpmi.update -a\nurpmi --auto {packages}"),
            Self::Xbps => format!("xbps-install -Sy {packages}"),
            Self::Yum => format!("yum -y install {packages}"),
            Self::Zypper => format!(
                "zypper --non-interactive --no-gpg-checks install --auto-agree-with-licenses {packages}"
            ),
        }
    }

    /// Removes packages: words that are quoted already.
    pub(crate) fn uninstall(self, packages: &str) -> String {
        match self {
            Self::Apk => format!("apk del {packages}"),
            Self::Apt => {
                format!("export DEBIAN_FRONTEND=noninteractive\napt-get -q -y remove {packages}")
            }
            Self::Dnf => format!("dnf -y remove {packages}"),
            Self::Emerge => format!("emerge --quiet --depclean {packages}"),
            Self::Opkg => format!("opkg remove {packages}"),
            Self::Pacman => format!("pacman -R --noconfirm {packages}"),
            Self::Pisi => format!("pisi rm --yes-all {packages}"),
            Self::TransactionalUpdate => {
                format!("transactional-update --non-interactive --continue pkg remove {packages}\nreboot")
            }
            Self::Urpmi => format!("urpme --auto {packages}"),
            Self::Xbps => format!("xbps-remove -Ry {packages}"),
            Self::Yum => format!("yum -y remove {packages}"),
            Self::Zypper => format!("zypper --non-interactive remove {packages}"),
        }
    }

    /// Updates everything that is installed.
    pub(crate) fn update(self) -> &'static str {
        match self {
            Self::Apk => "apk update\napk upgrade",
            Self::Apt => {
                "export DEBIAN_FRONTEND=noninteractive\napt-get -q -y update\napt-get -q -y -o Dpkg::Options::=--force-confnew upgrade"
            }
            Self::Dnf => "dnf -y --best upgrade",
            Self::Emerge => "emerge --sync --quiet\nemerge --quiet --update --deep --newuse @world",
            Self::Opkg => "opkg update\nopkg list-upgradable | cut -d' ' -f1 | xargs -r opkg upgrade",
            Self::Pacman => "pacman -Syu --noconfirm",
            Self::Pisi => "pisi ur\npisi up --yes-all",
            Self::TransactionalUpdate => "transactional-update --non-interactive dup\nreboot",
            Self::Urpmi => "urpmi.update -a\nurpmi --auto --auto-select",
            Self::Xbps => "xbps-install -Suy xbps\nxbps-install -Suy",
            Self::Yum => "yum -y update",
            Self::Zypper => "zypper --non-interactive --no-gpg-checks update --auto-agree-with-licenses",
        }
    }
}
