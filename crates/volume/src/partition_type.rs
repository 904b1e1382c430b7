//! What a partition is said to be for.

use std::fmt;
use uuid::{Uuid, uuid};

/// The type of a partition as its table gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionType {
    /// There is no table: the slice is the whole disk.
    WholeDisk,
    /// The GUID of a GPT entry.
    Gpt(Uuid),
    /// The byte of an MBR record.
    Mbr(u8),
}

/// GUIDs of GPT partition types that disksmith knows by name.
pub mod gpt_type {
    use super::{Uuid, uuid};

    /// EFI system partition.
    pub const EFI_SYSTEM: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    /// BIOS boot partition (GRUB's core image).
    pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
    /// PowerPC PReP boot (the boot loader on IBM Power).
    pub const PREP_BOOT: Uuid = uuid!("9e1a2d38-c612-4316-aa26-8b49521e5a8b");
    /// Linux filesystem data.
    pub const LINUX_DATA: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
    /// Linux root, x86-64.
    pub const LINUX_ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
    /// Linux root, 64-bit ARM.
    pub const LINUX_ROOT_ARM64: Uuid = uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae");
    /// Linux extended boot (`/boot`).
    pub const LINUX_BOOT: Uuid = uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172");
    /// Linux `/home`.
    pub const LINUX_HOME: Uuid = uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
    /// Linux swap.
    pub const LINUX_SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
    /// Linux LVM.
    pub const LINUX_LVM: Uuid = uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928");
    /// Linux RAID.
    pub const LINUX_RAID: Uuid = uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e");
    /// Microsoft basic data.
    pub const MICROSOFT_BASIC_DATA: Uuid = uuid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
    /// Microsoft reserved.
    pub const MICROSOFT_RESERVED: Uuid = uuid!("e3c9e316-0b5c-4db8-817d-f92df00215ae");
    /// Windows recovery environment.
    pub const WINDOWS_RECOVERY: Uuid = uuid!("de94bba4-06d1-4d40-a16a-bfd50179d6ac");
}

impl PartitionType {
    /// A name for people, where the type is known.
    pub fn description(&self) -> Option<&'static str> {
        match self {
            Self::WholeDisk => Some("whole disk"),
            Self::Gpt(guid) => gpt_description(*guid),
            Self::Mbr(byte) => mbr_description(*byte),
        }
    }

    /// Whether it only holds logical partitions.
    pub fn is_extended(&self) -> bool {
        matches!(self, Self::Mbr(0x05 | 0x0f | 0x85))
    }

    /// Whether it says that this is an EFI system partition.
    pub fn is_efi_system(&self) -> bool {
        matches!(self, Self::Mbr(0xef)) || *self == Self::Gpt(gpt_type::EFI_SYSTEM)
    }
}

impl fmt::Display for PartitionType {
    /// As `blkid` prints PART_ENTRY_TYPE.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WholeDisk => f.write_str("whole disk"),
            Self::Gpt(guid) => write!(f, "{guid}"),
            Self::Mbr(byte) => write!(f, "{byte:#x}"),
        }
    }
}

fn gpt_description(guid: Uuid) -> Option<&'static str> {
    Some(match guid {
        gpt_type::EFI_SYSTEM => "EFI System",
        gpt_type::BIOS_BOOT => "BIOS boot",
        gpt_type::LINUX_DATA => "Linux filesystem",
        gpt_type::LINUX_ROOT_X86_64 => "Linux root (x86-64)",
        gpt_type::LINUX_ROOT_ARM64 => "Linux root (ARM-64)",
        gpt_type::LINUX_BOOT => "Linux extended boot",
        gpt_type::LINUX_HOME => "Linux home",
        gpt_type::LINUX_SWAP => "Linux swap",
        gpt_type::LINUX_LVM => "Linux LVM",
        gpt_type::LINUX_RAID => "Linux RAID",
        gpt_type::MICROSOFT_BASIC_DATA => "Microsoft basic data",
        gpt_type::MICROSOFT_RESERVED => "Microsoft reserved",
        gpt_type::WINDOWS_RECOVERY => "Windows recovery environment",
        _ => return None,
    })
}

fn mbr_description(byte: u8) -> Option<&'static str> {
    Some(match byte {
        0x01 => "FAT12",
        0x04 | 0x06 | 0x0e => "FAT16",
        0x05 | 0x0f | 0x85 => "Extended",
        0x07 => "HPFS/NTFS/exFAT",
        0x0b | 0x0c => "FAT32",
        0x27 => "Hidden NTFS WinRE",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xee => "GPT",
        0xef => "EFI (FAT-12/16/32)",
        0xfd => "Linux raid autodetect",
        _ => return None,
    })
}
