//! What quota files are made of: header, blocks of a tree, and entries (`quota_v2`, revision 1).
//!
//! Linux kernel, "Quota subsystem" and the format of `quota-tools`, "vfsv1": all of it is in blocks of 1 KiB, whatever the block
//! size of the filesystem is, and little-endian.

use crate::record::record;

/// Size of a block of a quota file.
pub(crate) const BLOCK: usize = 1024;
/// Number of the root of the tree.
pub(crate) const ROOT: u32 = 1;
/// Levels of the tree: each takes eight bits of an id.
pub(crate) const LEVELS: u32 = 4;
/// Size of the head of a block of entries.
pub(crate) const HEAD: usize = 16;
/// Size of an entry.
pub(crate) const ENTRY: usize = 72;
/// Entries in a block.
pub(crate) const ENTRIES: usize = (BLOCK - HEAD) / ENTRY;
/// Magic numbers of quotas of users, groups, projects.
pub(crate) const MAGIC: [u32; 3] = [0xd9c0_1f11, 0xd9c0_1927, 0xd9c0_3f14];
/// The version with 64-bit counts.
pub(crate) const VERSION: u32 = 1;

record! {
    /// The head of the file.
    pub(crate) struct QuotaHeader {
        /// One of [`MAGIC`].
        magic: u32 = 0x00,
        /// [`VERSION`].
        version: u32 = 0x04,
        /// Seconds that the soft limit of space may be exceeded.
        block_grace: u32 = 0x08,
        /// Seconds that the soft limit of inodes may be exceeded.
        inode_grace: u32 = 0x0c,
        /// Flags.
        flags: u32 = 0x10,
        /// Blocks of the file.
        blocks: u32 = 0x14,
        /// First block that is free; 0 for none.
        free_block: u32 = 0x18,
        /// First block of entries with room; 0 for none.
        free_entry: u32 = 0x1c,
    }
}

record! {
    /// The head of a block of entries.
    pub(crate) struct EntriesHead {
        /// Next block with room (or next free block).
        next: u32 = 0x00,
        /// Block with room before this one.
        previous: u32 = 0x04,
        /// Entries in use.
        used: u16 = 0x08,
    }
}

record! {
    /// What an id uses, and its limits.
    pub(crate) struct QuotaEntry {
        /// The id.
        id: u32 = 0x00,
        /// Most inodes; 0 for no limit.
        inode_hard: u64 = 0x08,
        /// Inodes that may be exceeded for a while.
        inode_soft: u64 = 0x10,
        /// Inodes in use.
        inodes: u64 = 0x18,
        /// Most space, in KiB.
        block_hard: u64 = 0x20,
        /// Space that may be exceeded for a while, in KiB.
        block_soft: u64 = 0x28,
        /// Space in use, in bytes.
        space: u64 = 0x30,
        /// When the grace of space ends.
        block_time: u64 = 0x38,
        /// When the grace of inodes ends. 1 in an entry that is zero otherwise tells it from an unused one.
        inode_time: u64 = 0x40,
    }
}
