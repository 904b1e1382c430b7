//! The icon that a distribution puts among its files.

use crate::inspect::Guest;

/// The largest icon that is read, in bytes.
const MAX_ICON: u64 = 1 << 20;

/// An icon that the machine's owner has put there: it goes before the distribution's.
const OWN: &str = "/etc/favicon.png";

/// Reads the icon; `None` where there is none, or no PNG picture.
pub(super) fn find(guest: &Guest) -> Option<Vec<u8>> {
    let major = guest.distribution().major.unwrap_or(0);
    let places: &[&str] = match guest.distribution().guestfs_name() {
        "altlinux" => &["/usr/share/icons/hicolor/48x48/apps/altlinux.png"],
        "debian" => &["/usr/share/pixmaps/debian-logo.png"],
        "fedora" => &["/usr/share/icons/hicolor/96x96/apps/fedora-logo-icon.png"],
        "gentoo" => &["/usr/share/icons/gentoo/48x48/gentoo.png"],
        "mageia" => &["/usr/share/icons/mageia.png"],
        "mandriva" => &[
            "/usr/share/icons/mandriva.png",
            "/usr/share/icons/large/mandriva.png",
        ],
        "opensuse" | "sles" => &[
            "/usr/share/icons/hicolor/48x48/apps/distributor.png",
            "/usr/share/icons/hicolor/24x24/apps/distributor.png",
        ],
        "rhel" | "redhat-based" | "almalinux" if major >= 7 => {
            &["/usr/share/icons/hicolor/96x96/apps/system-logo-icon.png"]
        }
        "rhel" | "redhat-based" => &["/usr/share/pixmaps/redhat/shadowman-transparent.png"],
        "ubuntu" => &[
            "/usr/share/icons/gnome/24x24/places/ubuntu-logo.png",
            "/usr/share/help/C/ubuntu-help/figures/ubuntu-logo.png",
        ],
        "voidlinux" => &["/usr/share/void-artwork/void-logo.png"],
        _ => &[],
    };
    let tree = guest.tree();
    std::iter::once(&OWN).chain(places).find_map(|path| {
        let picture = tree.read_limited(path, MAX_ICON).ok()?;
        picture.starts_with(b"\x89PNG\r\n\x1a\n").then_some(picture)
    })
}
