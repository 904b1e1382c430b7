//! What starts a guest's services.

use disksmith_vfs::Tree;
use serde::Serialize;

/// The init system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC.
    OpenRc,
    /// System V init with `rcN.d` directories in `/etc/rc.d`.
    SysvRedHat,
    /// System V init with `/etc/rcN.d` directories.
    SysvDebian,
    /// BusyBox init that runs `/etc/init.d/rcS` or scripts in `/etc/init.d` (Cirros, Buildroot).
    BusyBox,
    /// None that is known.
    Unknown,
}

impl Init {
    /// Looks which one the guest has.
    pub fn detect(tree: &Tree) -> Self {
        let systemd = [
            "/usr/lib/systemd/systemd",
            "/lib/systemd/systemd",
            "/usr/bin/systemd",
        ];
        if systemd.iter().any(|path| tree.is_file(path)) {
            // Debian can have it beside another init.
            let init = ["/sbin/init", "/usr/sbin/init"]
                .iter()
                .find_map(|path| tree.read_link(path).ok());
            if init.is_none_or(|to| to.windows(7).any(|w| w == b"systemd")) {
                return Self::Systemd;
            }
        }
        if tree.is_dir("/etc/runlevels")
            && [
                "/sbin/openrc",
                "/sbin/openrc-run",
                "/usr/sbin/openrc",
                "/usr/bin/openrc",
            ]
            .iter()
            .any(|p| tree.is_file(p))
        {
            Self::OpenRc
        } else if tree.is_dir("/etc/rc.d/rc3.d") && tree.is_dir("/etc/rc.d/init.d") {
            Self::SysvRedHat
        } else if tree.is_dir("/etc/rc3.d") && tree.is_dir("/etc/init.d") {
            Self::SysvDebian
        } else if tree.is_file("/etc/init.d/rcS") {
            Self::BusyBox
        } else {
            Self::Unknown
        }
    }
}
