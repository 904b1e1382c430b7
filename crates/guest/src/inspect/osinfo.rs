//! The short identifier of a release in the database of libosinfo, by libguestfs's rules.

use super::distribution::Distribution;
use super::role::System;

impl Distribution {
    /// `debian12`, `rhel9.4`, `ubuntu24.04`; `unknown` where the version is not known.
    pub fn osinfo(&self, system: System) -> String {
        let name = self.guestfs_name();
        let major = self.major.unwrap_or(0);
        let minor = self.minor.unwrap_or(0);
        match (system, name) {
            (System::FreeBsd | System::NetBsd | System::OpenBsd, _) => format!("{name}{major}.{minor}"),
            (System::MsDos, _) => "msdos6.22".into(),
            (System::Linux, "centos") if major == 7 => "centos7.0".into(),
            (System::Linux, "centos" | "circle" | "rocky" | "almalinux") if major >= 8 => {
                format!("{name}{major}")
            }
            (System::Linux, "debian") if major >= 4 => format!("debian{major}"),
            (System::Linux, "fedora" | "mageia") => format!("{name}{major}"),
            (System::Linux, "sles") if minor == 0 => format!("sles{major}"),
            (System::Linux, "sles") => format!("sles{major}sp{minor}"),
            (System::Linux, "ubuntu") => format!("ubuntu{major}.{minor:02}"),
            (System::Linux, "archlinux" | "gentoo" | "voidlinux") => name.into(),
            (System::Linux, "altlinux") if major >= 8 => format!("alt{major}.{minor}"),
            (System::Linux, known) if known != "unknown" && (major > 0 || minor > 0) => {
                format!("{name}{major}.{minor}")
            }
            _ => "unknown".into(),
        }
    }
}
