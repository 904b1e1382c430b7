//! Systems that are told by their partitions where their filesystems cannot be opened.

use super::role::System;
use super::volume::Volume;
use disksmith_volume::{PartitionType, Uuid};

/// Types of GPT partitions, and whose they are (FreeBSD gpart(8), NetBSD gpt(8), OpenBSD fdisk(8), Microsoft "PARTITION_INFORMATION_GPT").
const GPT_TYPES: &[(u128, System)] = &[
    // FreeBSD: boot code, disklabel, UFS, ZFS.
    (0x83bd6b9d_7f41_11dc_be0b_001560b84f0f, System::FreeBsd),
    (0x516e7cb4_6ecf_11d6_8ff8_00022d09712b, System::FreeBsd),
    (0x516e7cb6_6ecf_11d6_8ff8_00022d09712b, System::FreeBsd),
    (0x516e7cba_6ecf_11d6_8ff8_00022d09712b, System::FreeBsd),
    // NetBSD: FFS, LFS, RAID.
    (0x49f48d5a_b10e_11dc_b99b_0019d1879648, System::NetBsd),
    (0x49f48d82_b10e_11dc_b99b_0019d1879648, System::NetBsd),
    (0x49f48daa_b10e_11dc_b99b_0019d1879648, System::NetBsd),
    // OpenBSD: the one partition that its disklabel lies in.
    (0x824cc7a0_36a8_11e3_890a_952519ad3f61, System::OpenBsd),
    // Windows: dynamic disks.
    (0xaf9b60a0_1431_4f62_bc68_3311714a69ad, System::Windows),
];

/// Types of MBR partitions.
const MBR_TYPES: &[(u8, System)] = &[
    (0x81, System::Minix),
    (0xa5, System::FreeBsd),
    (0xa6, System::OpenBsd),
    (0xa9, System::NetBsd),
];

/// Whose volume it is, where that can be told without its files.
pub(super) fn system_of(volume: &Volume) -> Option<System> {
    if matches!(volume.kind(), "ntfs" | "BitLocker") {
        return Some(System::Windows);
    }
    match volume.part_type? {
        PartitionType::Gpt(guid) => GPT_TYPES
            .iter()
            .find_map(|(known, system)| (Uuid::from_u128(*known) == guid).then_some(*system)),
        PartitionType::Mbr(byte) => MBR_TYPES
            .iter()
            .find_map(|(known, system)| (*known == byte).then_some(*system)),
        PartitionType::WholeDisk => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::VolumeContent;

    fn volume(kind: PartitionType) -> Volume {
        Volume {
            disk: 0,
            partition: Some(1),
            part_uuid: None,
            part_label: None,
            part_type: Some(kind),
            logical: None,
            content: VolumeContent::Unknown,
            slice: None,
        }
    }

    #[test]
    fn partitions_tell_the_system() {
        let gpt = |guid: &str| system_of(&volume(PartitionType::Gpt(guid.parse().unwrap())));
        assert_eq!(gpt("516e7cb6-6ecf-11d6-8ff8-00022d09712b"), Some(System::FreeBsd));
        assert_eq!(gpt("49f48d5a-b10e-11dc-b99b-0019d1879648"), Some(System::NetBsd));
        assert_eq!(gpt("824cc7a0-36a8-11e3-890a-952519ad3f61"), Some(System::OpenBsd));
        assert_eq!(gpt("0fc63daf-8483-4772-8e79-3d69d8477de4"), None);
        assert_eq!(
            system_of(&volume(PartitionType::Mbr(0xa6))),
            Some(System::OpenBsd)
        );
        assert_eq!(system_of(&volume(PartitionType::Mbr(0x83))), None);
        assert_eq!(system_of(&volume(PartitionType::WholeDisk)), None);
        let mut windows = volume(PartitionType::Mbr(7));
        windows.content = VolumeContent::Known {
            kind: "ntfs".into(),
            uuid: None,
            label: None,
            reason: String::new(),
            class: disksmith_storage::ErrorKind::Unsupported,
        };
        assert_eq!(system_of(&windows), Some(System::Windows));
    }
}
