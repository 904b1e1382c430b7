//! How large a filesystem is to those who use it, told by its superblock alone.

use crate::kind::Kind;
use crate::signature::{le32, read, windows};
use disksmith_storage::Storage;

/// The size in bytes that `statfs` gives as total for a filesystem of a kind that cannot be opened: its blocks, without those that hold its own
/// log and tables where the kernel leaves them out. `None` where that is not known.
pub fn capacity(storage: &dyn Storage, kind: Kind) -> Option<u64> {
    match kind {
        // Blocks at 8, block size at 4, place and length of the log at 48 and 96.
        Kind::Xfs => {
            let block = be32(storage, 4)?;
            let blocks = be64(storage, 8)?;
            let log = match be64(storage, 48)? {
                0 => 0,
                _ => be32(storage, 96)?,
            };
            blocks.checked_sub(log.into())?.checked_mul(block.into())
        }
        // Bytes in all at 0x70 of the superblock.
        Kind::Btrfs => Some(u64::from_le_bytes(read(storage, 0x1_0070)?)),
        // Clusters at 92, the sizes as powers of two at 108.
        Kind::Exfat => {
            let [sector, cluster] = read::<2>(storage, 108)?;
            let bits = u32::from(sector).checked_add(cluster.into())?;
            u64::from(le32(storage, 92)?).checked_mul(1u64.checked_shl(bits)?)
        }
        // Sectors at 40; whole clusters count.
        Kind::Ntfs => {
            let cluster = windows::ntfs_cluster(storage)?;
            let sector = u64::from(u16::from_le_bytes(read(storage, 11)?));
            let bytes = u64::from_le_bytes(read(storage, 40)?).checked_mul(sector)?;
            Some(bytes / cluster * cluster)
        }
        // Block size at 12, bytes used at 40.
        Kind::Squashfs => {
            let block = u64::from(le32(storage, 12)?);
            let used = u64::from_le_bytes(read(storage, 40)?);
            used.checked_next_multiple_of(block)
        }
        _ => None,
    }
}

fn be32(storage: &dyn Storage, offset: u64) -> Option<u32> {
    read(storage, offset).map(u32::from_be_bytes)
}

fn be64(storage: &dyn Storage, offset: u64) -> Option<u64> {
    read(storage, offset).map(u64::from_be_bytes)
}
