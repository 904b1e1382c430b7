//! The block group descriptor.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.2 (block group descriptors). The
//! upper halves exist only where `s_desc_size` is 64 or more (`64bit`).

use crate::checksum::Checksums;
use crate::record::{get_array, put_array, record};

/// `bg_flags`: the inode bitmap and table are not initialised.
pub(crate) const GROUP_INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap is not initialised.
pub(crate) const GROUP_BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: the inode table is zeroed.
pub(crate) const GROUP_INODE_ZEROED: u16 = 4;

/// Byte offset of `bg_checksum`.
const CHECKSUM_OFFSET: usize = 0x1e;

record! {
    /// The descriptor as stored; numbers in two halves have methods that join them.
    pub struct GroupDescriptor {
        /// Block number of the block bitmap, lower half.
        block_bitmap_lo: u32 = 0x00,
        /// Block number of the inode bitmap, lower half.
        inode_bitmap_lo: u32 = 0x04,
        /// First block of the inode table, lower half.
        inode_table_lo: u32 = 0x08,
        /// Free clusters, lower half.
        free_blocks_lo: u16 = 0x0c,
        /// Free inodes, lower half.
        free_inodes_lo: u16 = 0x0e,
        /// Directories, lower half.
        used_dirs_lo: u16 = 0x10,
        /// [`GROUP_INODE_UNINIT`] and others.
        flags: u16 = 0x12,
        /// Snapshot exclusion bitmap (never merged), lower half.
        exclude_bitmap_lo: u32 = 0x14,
        /// Checksum of the block bitmap, lower half.
        block_bitmap_csum_lo: u16 = 0x18,
        /// Checksum of the inode bitmap, lower half.
        inode_bitmap_csum_lo: u16 = 0x1a,
        /// Inodes at the end of the table that were never used, lower half.
        itable_unused_lo: u16 = 0x1c,
        /// Checksum of the descriptor.
        checksum: u16 = 0x1e,
        /// Block number of the block bitmap, upper half.
        block_bitmap_hi: u32 = 0x20,
        /// Block number of the inode bitmap, upper half.
        inode_bitmap_hi: u32 = 0x24,
        /// First block of the inode table, upper half.
        inode_table_hi: u32 = 0x28,
        /// Free clusters, upper half.
        free_blocks_hi: u16 = 0x2c,
        /// Free inodes, upper half.
        free_inodes_hi: u16 = 0x2e,
        /// Directories, upper half.
        used_dirs_hi: u16 = 0x30,
        /// Inodes never used, upper half.
        itable_unused_hi: u16 = 0x32,
        /// Snapshot exclusion bitmap, upper half.
        exclude_bitmap_hi: u32 = 0x34,
        /// Checksum of the block bitmap, upper half.
        block_bitmap_csum_hi: u16 = 0x38,
        /// Checksum of the inode bitmap, upper half.
        inode_bitmap_csum_hi: u16 = 0x3a,
    }
}

macro_rules! halves {
    ($($(#[$meta:meta])* $get:ident $set:ident $ty:ty: $hi:ident $lo:ident $half:ty;)*) => {$(
        $(#[$meta])*
        pub fn $get(&self) -> $ty {
            <$ty>::from(self.$hi) << <$half>::BITS | <$ty>::from(self.$lo)
        }
        #[doc = concat!("Stores what [`", stringify!($get), "`](Self::", stringify!($get), ") gives.")]
        pub fn $set(&mut self, value: $ty) {
            self.$lo = value as $half;
            self.$hi = (value >> <$half>::BITS) as $half;
        }
    )*};
}

impl GroupDescriptor {
    halves! {
        /// Block number of the block bitmap.
        block_bitmap set_block_bitmap u64: block_bitmap_hi block_bitmap_lo u32;
        /// Block number of the inode bitmap.
        inode_bitmap set_inode_bitmap u64: inode_bitmap_hi inode_bitmap_lo u32;
        /// First block of the inode table.
        inode_table set_inode_table u64: inode_table_hi inode_table_lo u32;
        /// Free clusters in the group.
        free_clusters set_free_clusters u32: free_blocks_hi free_blocks_lo u16;
        /// Free inodes in the group.
        free_inodes set_free_inodes u32: free_inodes_hi free_inodes_lo u16;
        /// Directories in the group.
        used_dirs set_used_dirs u32: used_dirs_hi used_dirs_lo u16;
        /// Inodes at the end of the group's table that were never used.
        itable_unused set_itable_unused u32: itable_unused_hi itable_unused_lo u16;
        /// Checksum of the block bitmap; only the lower half is stored in descriptors of 32 bytes.
        block_bitmap_csum set_block_bitmap_csum u32: block_bitmap_csum_hi block_bitmap_csum_lo u16;
        /// Checksum of the inode bitmap; only the lower half is stored in descriptors of 32 bytes.
        inode_bitmap_csum set_inode_bitmap_csum u32: inode_bitmap_csum_hi inode_bitmap_csum_lo u16;
    }

    /// Whether `flag` is set in `bg_flags`.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Checks the checksum of a descriptor as stored.
    pub fn verify(raw: &[u8], group: u32, checksums: &Checksums) -> bool {
        checksums
            .group_descriptor(group, raw)
            .is_none_or(|want| want == u16::from_le_bytes(get_array(raw, CHECKSUM_OFFSET)))
    }

    /// Encodes over `raw` and puts the checksum in.
    pub fn seal_into(&mut self, raw: &mut [u8], group: u32, checksums: &Checksums) {
        self.encode_into(raw);
        if let Some(checksum) = checksums.group_descriptor(group, raw) {
            self.checksum = checksum;
            put_array(raw, CHECKSUM_OFFSET, &checksum.to_le_bytes());
        }
    }
}
