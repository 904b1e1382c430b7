//! How a distribution packs programs, and which program installs them. A function of the distribution and its version only, as
//! libguestfs has it; the names are libguestfs's.

use super::distribution::Distribution;
use disksmith_vfs::Tree;

impl Distribution {
    /// The format of its packages: `deb`, `rpm`, `apk`, `pacman`; `unknown`.
    pub fn package_format(&self) -> &'static str {
        match self.guestfs_name() {
            "debian" | "ubuntu" | "kalilinux" | "linuxmint" | "raspbian" | "devuan" | "pop" | "neon"
            | "pureos" => "deb",
            "altlinux" | "anolis" | "centos" | "circle" | "fedora" | "kylin" | "mageia" | "mandriva"
            | "meego" | "neokylin" | "opencloudos" | "openeuler" | "openmandriva" | "opensuse"
            | "oraclelinux" | "redhat-based" | "rhel" | "rocky" | "scientificlinux" | "sles"
            | "suse-based" | "tencentos" | "almalinux" | "amzn" | "azurelinux" | "mariner" | "cloudlinux"
            | "virtuozzo" => "rpm",
            "archlinux" | "archarm" | "manjaro" | "endeavouros" => "pacman",
            "gentoo" => "ebuild",
            "pardus" => "pisi",
            "alpinelinux" | "postmarketos" => "apk",
            "voidlinux" => "xbps",
            "openwrt" => "ipkg",
            "nixos" => "nix",
            _ => self.format_of_relatives(),
        }
    }

    /// By ID_LIKE, for a distribution that is not known itself.
    fn format_of_relatives(&self) -> &'static str {
        use super::distribution::Family;
        match self.family {
            Family::Debian => "deb",
            Family::RedHat | Family::Suse => "rpm",
            Family::Alpine => "apk",
            Family::Arch => "pacman",
            Family::Gentoo => "ebuild",
            Family::Void => "xbps",
            Family::NixOs => "nix",
            Family::Other => "unknown",
        }
    }

    /// The program that installs packages: `apt`, `dnf`, `zypper`; `unknown`.
    pub fn package_management(&self, tree: &Tree) -> &'static str {
        let major = self.major.unwrap_or(0);
        match self.guestfs_name() {
            "meego" => "yum",
            "fedora" if major >= 22 && tree.is_file("/usr/bin/dnf") => "dnf",
            "fedora" if major >= 1 => "yum",
            "fedora" => "unknown",
            "anolis" | "kylin" | "neokylin" | "opencloudos" | "openeuler" | "tencentos" => "dnf",
            "amzn" if (2022..10_000).contains(&major) => "dnf",
            "amzn" => "yum",
            "azurelinux" | "mariner" => "tdnf",
            "altlinux" => "apt",
            "mageia" | "mandriva" | "openmandriva" => "urpmi",
            "openwrt" => "opkg",
            _ => match self.package_format() {
                "deb" => "apt",
                "pacman" => "pacman",
                "ebuild" => "portage",
                "pisi" => "pisi",
                "apk" => "apk",
                "xbps" => "xbps",
                "nix" => "nix",
                "rpm" if self.family == super::distribution::Family::Suse => "zypper",
                "rpm" if major >= 8 => "dnf",
                "rpm" if major >= 5 => "yum",
                "rpm" if major >= 2 => "up2date",
                _ => "unknown",
            },
        }
    }
}
