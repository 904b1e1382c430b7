//! Kinds of what a slice of storage can hold.

use std::fmt;

/// What a slice of storage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// ext2.
    Ext2,
    /// ext3: ext2 with a journal.
    Ext3,
    /// ext4.
    Ext4,
    /// The journal of an ext filesystem on a device of its own.
    ExtJournal,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    Exfat,
    /// NTFS.
    Ntfs,
    /// ISO 9660.
    Iso9660,
    /// UDF without ISO 9660 beside it.
    Udf,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// F2FS.
    F2fs,
    /// UFS of the BSDs, first or second version.
    Ufs,
    /// A member of a ZFS pool.
    Zfs,
    /// SquashFS.
    Squashfs,
    /// EROFS.
    Erofs,
    /// The filesystem of MINIX.
    Minix,
    /// cramfs.
    Cramfs,
    /// HFS+, of macOS.
    HfsPlus,
    /// A container of APFS, of macOS.
    Apfs,
    /// reiserfs.
    Reiserfs,
    /// JFS.
    Jfs,
    /// NILFS2.
    Nilfs2,
    /// Linux swap space.
    Swap,
    /// A physical volume of LVM2.
    Lvm2Member,
    /// A LUKS container.
    Luks,
    /// A BitLocker container.
    BitLocker,
    /// A member of a Linux software RAID.
    LinuxRaidMember,
}

impl Kind {
    /// The name that `blkid` prints as TYPE.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::ExtJournal => "jbd",
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Ntfs => "ntfs",
            Self::Iso9660 => "iso9660",
            Self::Udf => "udf",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::F2fs => "f2fs",
            Self::Ufs => "ufs",
            Self::Zfs => "zfs_member",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Minix => "minix",
            Self::Cramfs => "cramfs",
            Self::HfsPlus => "hfsplus",
            Self::Apfs => "apfs",
            Self::Reiserfs => "reiserfs",
            Self::Jfs => "jfs",
            Self::Nilfs2 => "nilfs2",
            Self::Swap => "swap",
            Self::Lvm2Member => "LVM2_member",
            Self::Luks => "crypto_LUKS",
            Self::BitLocker => "BitLocker",
            Self::LinuxRaidMember => "linux_raid_member",
        }
    }

    /// Whether disksmith can open it as a filesystem.
    pub fn is_supported(self) -> bool {
        matches!(
            self,
            Self::Ext2 | Self::Ext3 | Self::Ext4 | Self::Vfat | Self::Iso9660
        )
    }

    /// Whether it holds other slices rather than files.
    pub fn is_container(self) -> bool {
        matches!(
            self,
            Self::Lvm2Member | Self::Luks | Self::BitLocker | Self::LinuxRaidMember | Self::Zfs
        )
    }

    /// A name for messages.
    pub fn description(self) -> &'static str {
        match self {
            Self::ExtJournal => "an external ext journal",
            Self::Swap => "swap space",
            Self::Lvm2Member => "an LVM2 physical volume",
            Self::Luks => "a LUKS encrypted volume",
            Self::BitLocker => "a BitLocker encrypted volume",
            Self::LinuxRaidMember => "a member of a Linux RAID",
            Self::Zfs => "a member of a ZFS pool",
            other => other.name(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
