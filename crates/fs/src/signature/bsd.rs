//! Filesystems of the BSDs.

use super::{is_at, label, le32, read};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::{Storage, read_vec};

/// Where a UFS superblock may lie (FreeBSD sys/ufs/ffs/fs.h, SBLOCKSEARCH), and fields in it.
const UFS_PLACES: [u64; 3] = [65_536, 8_192, 262_144];
const UFS_ID: u64 = 144;
const UFS_VOLUME_NAME: u64 = 680;
const UFS_MAGIC: u64 = 1372;
const UFS1: u32 = 0x0001_1954;
const UFS2: u32 = 0x1954_0119;

/// The uberblocks of a pool's first label (ZFS On-Disk Specification, section 1.3.3).
const ZFS_UBERBLOCKS: u64 = 128 << 10;
const ZFS_UBERBLOCK: usize = 1024;
const ZFS_MAGIC: u64 = 0x00ba_b10c;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    ufs(storage).or_else(|| zfs(storage))
}

fn ufs(storage: &dyn Storage) -> Option<Probed> {
    UFS_PLACES.iter().find_map(|place| {
        let magic = le32(storage, place + UFS_MAGIC)?;
        let little = [UFS1, UFS2].contains(&magic);
        let big = [UFS1, UFS2].contains(&magic.swap_bytes());
        if !little && !big {
            return None;
        }
        let id = |offset: u64| {
            let raw = le32(storage, place + UFS_ID + offset)?;
            Some(if little { raw } else { raw.swap_bytes() })
        };
        let (first, second) = (id(0)?, id(4)?);
        let is_second = magic == UFS2 || magic.swap_bytes() == UFS2;
        Some(Probed {
            label: read::<32>(storage, place + UFS_VOLUME_NAME)
                .filter(|_| is_second)
                .and_then(|name| label(&name)),
            uuid: ((first, second) != (0, 0)).then(|| format!("{first:08x}{second:08x}")),
            ..Probed::new(Kind::Ufs)
        })
    })
}

/// A pool keeps four labels; with the uberblocks of the first one it is told well enough.
fn zfs(storage: &dyn Storage) -> Option<Probed> {
    let ring = read_vec(storage, ZFS_UBERBLOCKS, 128 * ZFS_UBERBLOCK).ok()?;
    let found = ring
        .chunks(ZFS_UBERBLOCK)
        .filter_map(|block| block.first_chunk::<8>())
        .filter(|magic| u64::from_le_bytes(**magic) == ZFS_MAGIC || u64::from_be_bytes(**magic) == ZFS_MAGIC)
        .count();
    // One alone may be left over from another life of the disk.
    (found >= 4 && !is_at(storage, 0, b"\xeb\x52\x90NTFS")).then(|| Probed::new(Kind::Zfs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe;
    use disksmith_storage::{Memory, StorageRef};
    use std::sync::Arc;

    #[test]
    fn they_are_told_by_their_superblocks() {
        let mut disk = vec![0u8; 1 << 20];
        disk[65_536 + 1372..][..4].copy_from_slice(&UFS2.to_le_bytes());
        disk[65_536 + 144..][..8].copy_from_slice(&[0x78, 0x56, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x90]);
        disk[65_536 + 680..][..6].copy_from_slice(b"rootfs");
        let storage: StorageRef = Arc::new(Memory::from_bytes(&disk));
        let found = probe(&storage).unwrap();
        assert_eq!(found.kind, Kind::Ufs);
        assert_eq!(found.uuid.as_deref(), Some("1234567890abcdef"));
        assert_eq!(found.label.as_deref(), Some(&b"rootfs"[..]));

        let mut disk = vec![0u8; 1 << 20];
        for block in 0..4 {
            disk[(128 << 10) + block * 1024..][..8].copy_from_slice(&ZFS_MAGIC.to_le_bytes());
        }
        let storage: StorageRef = Arc::new(Memory::from_bytes(&disk));
        assert_eq!(probe(&storage).unwrap().kind, Kind::Zfs);
    }
}
