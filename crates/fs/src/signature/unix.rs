//! Filesystems of Linux.

use super::{is_at, label, le16, le32, read, uuid};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::Storage;

/// Where the superblock of ext2, ext3 and ext4 lies, and fields in it (linux/fs/ext4/ext4.h, struct ext4_super_block).
const EXT: u64 = 1024;
const EXT_COMPAT_HAS_JOURNAL: u32 = 0x4;
const EXT_INCOMPAT_JOURNAL_DEV: u32 = 0x8;
/// What ext3 knows: filetype, recover, meta_bg; sparse_super, large_file, btree_dir.
const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

/// Where the superblock of btrfs lies.
const BTRFS: u64 = 0x1_0000;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    ext(storage)
        .or_else(|| xfs(storage))
        .or_else(|| btrfs(storage))
        .or_else(|| f2fs(storage))
        .or_else(|| erofs(storage))
        .or_else(|| is_at(storage, 0, b"hsqs").then(|| Probed::new(Kind::Squashfs)))
}

fn ext(storage: &dyn Storage) -> Option<Probed> {
    if le16(storage, EXT + 56)? != 0xef53 {
        return None;
    }
    let compat = le32(storage, EXT + 92)?;
    let incompat = le32(storage, EXT + 96)?;
    let ro_compat = le32(storage, EXT + 100)?;
    let kind = if incompat & EXT_INCOMPAT_JOURNAL_DEV != 0 {
        Kind::ExtJournal
    } else if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        Kind::Ext4
    } else if compat & EXT_COMPAT_HAS_JOURNAL != 0 {
        Kind::Ext3
    } else {
        Kind::Ext2
    };
    Some(Probed {
        kind,
        label: label(&read::<16>(storage, EXT + 120)?),
        uuid: uuid(read(storage, EXT + 104)?),
    })
}

/// The superblock of XFS: UUID at 32, name at 108.
fn xfs(storage: &dyn Storage) -> Option<Probed> {
    is_at(storage, 0, b"XFSB").then_some(())?;
    Some(Probed {
        kind: Kind::Xfs,
        label: label(&read::<12>(storage, 108)?),
        uuid: uuid(read(storage, 32)?),
    })
}

/// The superblock of btrfs: filesystem UUID at 0x20, magic at 0x40, label at 0x12b.
fn btrfs(storage: &dyn Storage) -> Option<Probed> {
    is_at(storage, BTRFS + 0x40, b"_BHRfS_M").then_some(())?;
    Some(Probed {
        kind: Kind::Btrfs,
        label: label(&read::<256>(storage, BTRFS + 0x12b)?),
        uuid: uuid(read(storage, BTRFS + 0x20)?),
    })
}

/// The superblock of F2FS at 1024: UUID at 108, name in UTF-16 at 124.
fn f2fs(storage: &dyn Storage) -> Option<Probed> {
    (le32(storage, 1024)? == 0xf2f5_2010).then_some(())?;
    let name = read::<1024>(storage, 1024 + 124)?;
    let units: Vec<u16> = name
        .chunks_exact(2)
        .filter_map(|pair| pair.first_chunk().copied().map(u16::from_le_bytes))
        .take_while(|unit| *unit != 0)
        .collect();
    Some(Probed {
        kind: Kind::F2fs,
        label: label(String::from_utf16_lossy(&units).as_bytes()),
        uuid: uuid(read(storage, 1024 + 108)?),
    })
}

/// The superblock of EROFS at 1024: UUID at 48, name at 64.
fn erofs(storage: &dyn Storage) -> Option<Probed> {
    (le32(storage, 1024)? == 0xe0f5_e1e2).then_some(())?;
    Some(Probed {
        kind: Kind::Erofs,
        label: label(&read::<16>(storage, 1024 + 64)?),
        uuid: uuid(read(storage, 1024 + 48)?),
    })
}
