//! Filesystems of macOS, and those of Linux that are rare today.

use super::{is_at, label, le16, le32, read, uuid};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::Storage;

const KIB: u64 = 1024;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    hfs_plus(storage)
        .or_else(|| apfs(storage))
        .or_else(|| reiserfs(storage))
        .or_else(|| jfs(storage))
        .or_else(|| nilfs2(storage))
        .or_else(|| cramfs(storage))
        .or_else(|| minix(storage))
}

/// The volume header of HFS+ (Apple's TN1150) at 1024.
fn hfs_plus(storage: &dyn Storage) -> Option<Probed> {
    let is_known = is_at(storage, KIB, b"H+\0\x04") || is_at(storage, KIB, b"HX\0\x05");
    is_known.then(|| Probed::new(Kind::HfsPlus))
}

/// The container superblock of APFS: magic at 32, UUID at 72.
fn apfs(storage: &dyn Storage) -> Option<Probed> {
    is_at(storage, 32, b"NXSB").then_some(())?;
    Some(Probed {
        uuid: uuid(read(storage, 72)?),
        ..Probed::new(Kind::Apfs)
    })
}

/// The superblock of reiserfs at 64 KiB: magic at 52, UUID at 84, name at 100.
fn reiserfs(storage: &dyn Storage) -> Option<Probed> {
    let at = 64 * KIB;
    let is_known = ["ReIsErFs", "ReIsEr2Fs", "ReIsEr3Fs"]
        .iter()
        .any(|magic| is_at(storage, at + 52, magic.as_bytes()));
    is_known.then_some(())?;
    Some(Probed {
        kind: Kind::Reiserfs,
        label: label(&read::<16>(storage, at + 100)?),
        uuid: uuid(read(storage, at + 84)?),
    })
}

/// The superblock of JFS at 32 KiB: UUID at 136, name at 152.
fn jfs(storage: &dyn Storage) -> Option<Probed> {
    let at = 32 * KIB;
    is_at(storage, at, b"JFS1").then_some(())?;
    Some(Probed {
        kind: Kind::Jfs,
        label: label(&read::<16>(storage, at + 152)?),
        uuid: uuid(read(storage, at + 136)?),
    })
}

/// The superblock of NILFS2 at 1024: magic at 6, UUID at 152, name at 168.
fn nilfs2(storage: &dyn Storage) -> Option<Probed> {
    let plausible = le16(storage, KIB + 6)? == 0x3434 && le32(storage, KIB)? == 2;
    plausible.then_some(())?;
    Some(Probed {
        kind: Kind::Nilfs2,
        label: label(&read::<80>(storage, KIB + 168)?),
        uuid: uuid(read(storage, KIB + 152)?),
    })
}

/// The superblock of cramfs: name at 48.
fn cramfs(storage: &dyn Storage) -> Option<Probed> {
    is_at(storage, 0, &0x28cd_3d45u32.to_le_bytes()).then_some(())?;
    is_at(storage, 16, b"Compressed ROMFS").then_some(())?;
    Some(Probed {
        label: label(&read::<16>(storage, 48)?),
        ..Probed::new(Kind::Cramfs)
    })
}

/// The superblock of minix at 1024 (linux/minix_fs.h). Its magic number has 16 bits only, so that the rest must make sense too.
fn minix(storage: &dyn Storage) -> Option<Probed> {
    let at = KIB;
    let magic = le16(storage, at + 16)?;
    let (inodes, map_blocks, first_zone, zones, block) = match magic {
        0x137f | 0x138f | 0x2468 | 0x2478 => {
            let zones = match magic {
                0x137f | 0x138f => u32::from(le16(storage, at + 2)?),
                _ => le32(storage, at + 20)?,
            };
            let maps = (le16(storage, at + 4)?, le16(storage, at + 6)?);
            (
                u32::from(le16(storage, at)?),
                maps,
                le16(storage, at + 8)?,
                zones,
                1024,
            )
        }
        _ if le16(storage, at + 24)? == 0x4d5a => {
            let maps = (le16(storage, at + 6)?, le16(storage, at + 8)?);
            (
                le32(storage, at)?,
                maps,
                le16(storage, at + 10)?,
                le32(storage, at + 20)?,
                le16(storage, at + 28)?,
            )
        }
        _ => return None,
    };
    let bits = |blocks: u16| u64::from(blocks) * u64::from(block) * 8;
    let plausible = inodes > 0
        && block >= 1024
        && u32::from(first_zone) < zones
        && bits(map_blocks.0) > u64::from(inodes)
        && bits(map_blocks.1) >= u64::from(zones) - u64::from(first_zone)
        && u64::from(zones) * u64::from(block) <= storage.size();
    plausible.then(|| Probed::new(Kind::Minix))
}
