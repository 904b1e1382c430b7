//! The records of an extent tree: header, index, extent.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.5.1 (extent tree).

use crate::record::{le16, le32, put16, put32};

/// `eh_magic`.
pub(crate) const EXTENT_MAGIC: u16 = 0xf30a;
/// Size in bytes of each of the three records.
pub(crate) const EXTENT_RECORD_SIZE: usize = 12;
/// Largest length of an initialised extent in blocks.
pub(crate) const MAX_EXTENT_LEN: u32 = 32768;
/// Largest length of an unwritten extent in blocks.
pub(crate) const MAX_UNWRITTEN_LEN: u32 = 32767;
/// Largest depth of a tree.
pub(crate) const MAX_EXTENT_DEPTH: u16 = 5;

/// The head of every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentHeader {
    /// [`EXTENT_MAGIC`].
    pub magic: u16,
    /// Records in use.
    pub entries: u16,
    /// Records that fit.
    pub max: u16,
    /// 0 for leaves.
    pub depth: u16,
    /// Generation (unused).
    pub generation: u32,
}

impl ExtentHeader {
    /// A header of an empty node.
    pub fn new(max: u16, depth: u16) -> Self {
        Self {
            magic: EXTENT_MAGIC,
            entries: 0,
            max,
            depth,
            generation: 0,
        }
    }

    /// Decodes the first 12 bytes of a node.
    pub fn parse(node: &[u8]) -> Self {
        Self {
            magic: le16(node, 0),
            entries: le16(node, 2),
            max: le16(node, 4),
            depth: le16(node, 6),
            generation: le32(node, 8),
        }
    }

    /// Encodes into the first 12 bytes of a node.
    pub fn encode_into(&self, node: &mut [u8]) {
        put16(node, 0, self.magic);
        put16(node, 2, self.entries);
        put16(node, 4, self.max);
        put16(node, 6, self.depth);
        put32(node, 8, self.generation);
    }
}

/// A record of an inner node: where the subtree starts and which block holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentIndex {
    /// First block of the file that the subtree covers.
    pub logical: u32,
    /// Block number of the node (48 bits).
    pub child: u64,
}

impl ExtentIndex {
    /// Decodes 12 bytes.
    pub fn parse(record: &[u8]) -> Self {
        Self {
            logical: le32(record, 0),
            child: u64::from(le16(record, 8)) << 32 | u64::from(le32(record, 4)),
        }
    }

    /// Encodes into 12 bytes.
    pub fn encode_into(&self, record: &mut [u8]) {
        put32(record, 0, self.logical);
        put32(record, 4, self.child as u32);
        put16(record, 8, (self.child >> 32) as u16);
        put16(record, 10, 0);
    }
}

/// A record of a leaf: a run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentLeaf {
    /// First block of the file.
    pub logical: u32,
    /// Number of blocks: 1 to [`MAX_EXTENT_LEN`].
    pub len: u32,
    /// First block of the filesystem (48 bits).
    pub physical: u64,
    /// Allocated but not written: reads as zeroes.
    pub unwritten: bool,
}

impl ExtentLeaf {
    /// Decodes 12 bytes. A length above 32768 means an unwritten extent of that much less.
    pub fn parse(record: &[u8]) -> Self {
        let stored = u32::from(le16(record, 4));
        let unwritten = stored > MAX_EXTENT_LEN;
        Self {
            logical: le32(record, 0),
            len: if unwritten {
                stored - MAX_EXTENT_LEN
            } else {
                stored
            },
            physical: u64::from(le16(record, 6)) << 32 | u64::from(le32(record, 8)),
            unwritten,
        }
    }

    /// Encodes into 12 bytes.
    pub fn encode_into(&self, record: &mut [u8]) {
        let stored = if self.unwritten {
            self.len.min(MAX_UNWRITTEN_LEN) + MAX_EXTENT_LEN
        } else {
            self.len.min(MAX_EXTENT_LEN)
        };
        put32(record, 0, self.logical);
        put16(record, 4, stored as u16);
        put16(record, 6, (self.physical >> 32) as u16);
        put32(record, 8, self.physical as u32);
    }

    /// First block of the file behind the extent; can be 2^32.
    pub fn end(&self) -> u64 {
        u64::from(self.logical) + u64::from(self.len)
    }
}
