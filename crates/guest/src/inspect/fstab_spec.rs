//! What the first field of fstab, a kernel's `root=` or `-m` means: which of the volumes.

use super::device_name::parse_device_name;
use super::volume::{LogicalName, Volume};

/// A name of a device, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spec {
    /// `UUID=…`, or `/dev/disk/by-uuid/…`.
    Uuid(String),
    /// `LABEL=…`.
    Label(String),
    /// `PARTUUID=…`.
    PartUuid(String),
    /// `PARTLABEL=…`.
    PartLabel(String),
    /// A disk by its place in the row of disks, and a partition of it.
    Device(usize, Option<u32>),
    /// `/dev/GROUP/NAME`, or the same as device-mapper spells it.
    Logical(String, String),
    /// `/dev/disk/by-id/dm-uuid-LVM-…`: both identifiers of a logical volume in a row.
    LogicalUuid(String),
    /// A partition of a disk whose hardware name is given: `/dev/disk/by-id/…-part2`.
    Hardware(Option<u32>),
    /// `/dev/root`: whichever the kernel was told.
    KernelRoot,
    /// A name that leads to no volume of a disk: `/dev/mapper/crypt`, `/dev/md0`, `server:/export`.
    Other,
}

impl Spec {
    /// Takes a name apart.
    pub(super) fn parse(text: &str) -> Self {
        if let Some((tag, value)) = text.split_once('=') {
            let value = value.trim_matches(['"', '\'']).to_owned();
            return match tag.to_ascii_uppercase().as_str() {
                "UUID" => Self::Uuid(value),
                "LABEL" => Self::Label(decode(&value)),
                "PARTUUID" => Self::PartUuid(value),
                "PARTLABEL" => Self::PartLabel(decode(&value)),
                _ => Self::Other,
            };
        }
        if let Some(name) = text.strip_prefix("/dev/disk/") {
            return Self::of_disk_link(name);
        }
        if text == "/dev/root" {
            return Self::KernelRoot;
        }
        if let Some((disk, partition)) = parse_device_name(text) {
            return Self::Device(disk, partition);
        }
        if let Some(name) = text.strip_prefix("/dev/mapper/") {
            return match split_mapper_name(name) {
                Some((group, name)) => Self::Logical(group, name),
                None => Self::Other,
            };
        }
        let mut names = text.strip_prefix("/dev/").unwrap_or_default().split('/');
        match (names.next(), names.next(), names.next()) {
            (Some(group), Some(name), None) if !group.is_empty() && !name.is_empty() => {
                Self::Logical(group.to_owned(), name.to_owned())
            }
            _ => Self::Other,
        }
    }

    /// What udev links below `/dev/disk`.
    fn of_disk_link(name: &str) -> Self {
        let Some((kind, name)) = name.split_once('/') else {
            return Self::Other;
        };
        let decoded = decode(name);
        match kind {
            "by-uuid" => Self::Uuid(decoded),
            "by-label" => Self::Label(decoded),
            "by-partuuid" => Self::PartUuid(decoded),
            "by-partlabel" => Self::PartLabel(decoded),
            "by-id" if name.starts_with("dm-uuid-LVM-") => {
                Self::LogicalUuid(name.trim_start_matches("dm-uuid-LVM-").to_owned())
            }
            "by-id" if name.starts_with("dm-name-") => {
                match split_mapper_name(name.trim_start_matches("dm-name-")) {
                    Some((group, name)) => Self::Logical(group, name),
                    None => Self::Other,
                }
            }
            "by-id" if ["dm-", "md-", "lvm-"].iter().any(|kind| name.starts_with(kind)) => Self::Other,
            "by-id" | "by-path" => match name.rsplit_once("-part") {
                Some((_, number)) => match number.parse() {
                    Ok(number) => Self::Hardware(Some(number)),
                    Err(_) => Self::Other,
                },
                None => Self::Hardware(None),
            },
            _ => Self::Other,
        }
    }

    /// Whether it means this volume, whichever others there are.
    pub(super) fn means(&self, volume: &Volume) -> bool {
        let is = |own: Option<String>, wanted: &str| own.is_some_and(|own| own.eq_ignore_ascii_case(wanted));
        match self {
            Self::Uuid(uuid) => is(volume.uuid(), uuid),
            Self::Label(label) => volume.label().is_some_and(|own| own == *label),
            Self::PartUuid(uuid) => is(volume.part_uuid.clone(), uuid),
            Self::PartLabel(label) => volume.part_label.as_ref() == Some(label),
            Self::Device(disk, partition) => {
                volume.logical.is_none() && (volume.disk, volume.partition) == (*disk, *partition)
            }
            Self::Logical(group, name) => {
                matches!(&volume.logical, Some(own) if own.group == *group && own.name == *name)
            }
            Self::LogicalUuid(uuid) => {
                matches!(&volume.logical, Some(LogicalName { uuid: Some(own), .. }) if own == uuid)
            }
            Self::Hardware(_) | Self::KernelRoot | Self::Other => false,
        }
    }

    /// The volume that it means. A disk's hardware name is not known here: with one disk there is no doubt.
    pub(super) fn find<'v>(&self, volumes: &'v [Volume]) -> Option<&'v Volume> {
        if let Self::Hardware(partition) = self {
            let only = volumes.iter().all(|volume| volume.disk == 0);
            return volumes
                .iter()
                .find(|v| only && v.logical.is_none() && v.partition == *partition);
        }
        volumes.iter().find(|volume| self.means(volume))
    }
}

/// device-mapper joins group and volume with a hyphen, and doubles the hyphens in them.
fn split_mapper_name(name: &str) -> Option<(String, String)> {
    let bytes = name.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'-' {
            at += 1;
            continue;
        }
        if bytes.get(at + 1) == Some(&b'-') {
            at += 2;
            continue;
        }
        let (group, name) = (name.get(..at)?, name.get(at + 1..)?);
        let plain = |text: &str| text.replace("--", "-");
        return (!group.is_empty() && !name.is_empty()).then(|| (plain(group), plain(name)));
    }
    None
}

/// udev writes bytes of labels that are not plain as `\x20`.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 2..at + 4)
            .and_then(|h| std::str::from_utf8(h).ok());
        let value = hex.filter(|_| *byte == b'\\' && bytes.get(at + 1) == Some(&b'x'));
        match value.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 4;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_taken_apart() {
        let text = str::to_owned;
        for (name, spec) in [
            ("UUID=\"ab-cd\"", Spec::Uuid(text("ab-cd"))),
            ("uuid=ab", Spec::Uuid(text("ab"))),
            ("LABEL=my\\x20disk", Spec::Label(text("my disk"))),
            ("PARTUUID=1-02", Spec::PartUuid(text("1-02"))),
            ("PARTLABEL=p", Spec::PartLabel(text("p"))),
            ("/dev/disk/by-uuid/x", Spec::Uuid(text("x"))),
            ("/dev/disk/by-partlabel/EFI\\x20x", Spec::PartLabel(text("EFI x"))),
            ("/dev/vda2", Spec::Device(0, Some(2))),
            ("/dev/cciss/c0d1p3", Spec::Device(1, Some(3))),
            ("/dev/cciss/c0d0", Spec::Device(0, None)),
            ("/dev/root", Spec::KernelRoot),
            ("/dev/vg/root", Spec::Logical(text("vg"), text("root"))),
            ("/dev/mapper/vg-root", Spec::Logical(text("vg"), text("root"))),
            (
                "/dev/mapper/my--vg-my--root",
                Spec::Logical(text("my-vg"), text("my-root")),
            ),
            ("/dev/mapper/a----b-c", Spec::Logical(text("a--b"), text("c"))),
            (
                "/dev/disk/by-id/dm-name-vg-root",
                Spec::Logical(text("vg"), text("root")),
            ),
            (
                "/dev/disk/by-id/dm-uuid-LVM-abcdef",
                Spec::LogicalUuid(text("abcdef")),
            ),
            ("/dev/disk/by-id/ata-QEMU-part2", Spec::Hardware(Some(2))),
            ("/dev/disk/by-path/pci-0000:00:1f.2", Spec::Hardware(None)),
            ("/dev/disk/by-id/md-uuid-1:2", Spec::Other),
            ("/dev/disk/by-id/x-part", Spec::Other),
            ("/dev/disk/by-id", Spec::Other),
            ("/dev/mapper/crypt", Spec::Other),
            ("/dev/mapper/-x", Spec::Other),
            ("/dev/mapper/x-", Spec::Other),
            ("/dev/md0", Spec::Other),
            ("server:/export", Spec::Other),
            ("tmpfs", Spec::Other),
            ("/dev//x", Spec::Other),
            ("", Spec::Other),
        ] {
            assert_eq!(Spec::parse(name), spec, "{name}");
        }
    }
}
