//! Nodes of a directory's hash tree.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.6.2 (hash tree directories): `dx_root`,
//! `dx_node`, `dx_entry`, `dx_tail`. To who does not know hash trees, a node looks like a block with one unused entry.

use crate::checksum::InodeSeed;
use crate::record::{le16, le32, put16, put32};

/// Byte offset of `dx_root_info` in the root.
pub(crate) const ROOT_INFO: usize = 24;
/// Byte offset of count and limit in the root, and in other nodes.
const ROOT_COUNT: usize = 32;
const NODE_COUNT: usize = 8;

/// A decoded node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexNode {
    /// Byte offset of count and limit.
    pub(crate) count_offset: usize,
    /// Entries that fit.
    pub(crate) limit: usize,
    /// Lowest hash below each entry (bit 0: the block before ends with the same hash), and the block of the directory. The first
    /// one's hash is 0.
    pub(crate) entries: Vec<(u32, u32)>,
}

/// Where count and limit are in a block that is a node; `None` where it is none.
pub(crate) fn count_offset(block: &[u8]) -> Option<usize> {
    let size = block.len();
    let whole = if size >= 65536 {
        [0u16, 65535]
    } else {
        [size as u16; 2]
    };
    if le32(block, 0) == 0 && whole.contains(&le16(block, 4)) && block.get(6) == Some(&0) {
        return Some(NODE_COUNT);
    }
    let rest = (size - 12) as u16;
    let is_root = le16(block, 4) == 12
        && le16(block, 16) == rest
        && le32(block, ROOT_INFO) == 0
        && block.get(ROOT_INFO + 5) == Some(&8);
    is_root.then_some(ROOT_COUNT)
}

/// Entries that fit behind `count_offset`.
pub(crate) fn limit_of(block_size: usize, count_offset: usize, has_tail: bool) -> usize {
    (block_size - count_offset) / 8 - usize::from(has_tail)
}

fn checksum_of(block: &[u8], seed: InodeSeed) -> Option<(usize, u32)> {
    let at = count_offset(block)?;
    let limit = usize::from(le16(block, at));
    let count = usize::from(le16(block, at + 2));
    let tail = at + limit * 8;
    if count > limit || tail + 8 > block.len() {
        return None;
    }
    let crc = seed.directory_index(block, at, count, block.get(tail..tail + 8)?);
    Some((tail, crc))
}

/// Whether a block is a node with the right checksum.
pub(crate) fn verify(block: &[u8], seed: InodeSeed) -> bool {
    checksum_of(block, seed).is_some_and(|(tail, crc)| le32(block, tail + 4) == crc)
}

/// Puts the checksum into a node.
pub(crate) fn seal(block: &mut [u8], seed: InodeSeed) {
    if let Some((tail, crc)) = checksum_of(block, seed) {
        put32(block, tail + 4, crc);
    }
}

impl IndexNode {
    /// Decodes a node. `is_root` says which form it has.
    pub(crate) fn parse(block: &[u8], is_root: bool, has_tail: bool) -> Result<Self, (&'static str, u64)> {
        let count_offset = if is_root { ROOT_COUNT } else { NODE_COUNT };
        let limit = usize::from(le16(block, count_offset));
        let count = usize::from(le16(block, count_offset + 2));
        if limit != limit_of(block.len(), count_offset, has_tail) {
            return Err(("limit", limit as u64));
        }
        if count == 0 || count > limit {
            return Err(("count", count as u64));
        }
        let entries = (0..count)
            .map(|i| {
                let at = count_offset + i * 8;
                let hash = if i == 0 { 0 } else { le32(block, at) };
                (hash, le32(block, at + 4) & 0x0fff_ffff)
            })
            .collect();
        Ok(Self {
            count_offset,
            limit,
            entries,
        })
    }

    /// Encodes the entries over a block, which has the head of a node already.
    pub(crate) fn encode_into(&self, block: &mut [u8], seed: Option<InodeSeed>) {
        for (i, (hash, child)) in self.entries.iter().enumerate() {
            let at = self.count_offset + i * 8;
            if i > 0 {
                put32(block, at, *hash);
            }
            put32(block, at + 4, *child);
        }
        put16(block, self.count_offset, self.limit as u16);
        put16(block, self.count_offset + 2, self.entries.len() as u16);
        if let Some(seed) = seed {
            seal(block, seed);
        }
    }

    /// A block for a node that is not the root.
    pub(crate) fn new_block(block_size: usize, has_tail: bool, entries: Vec<(u32, u32)>) -> (Self, Vec<u8>) {
        let mut block = vec![0u8; block_size];
        super::entry::set_len(&mut block, 0, block_size, block_size);
        let node = Self {
            count_offset: NODE_COUNT,
            limit: limit_of(block_size, NODE_COUNT, has_tail),
            entries,
        };
        (node, block)
    }

    /// The last entry whose hash is not above `hash`.
    pub(crate) fn position(&self, hash: u32) -> usize {
        self.entries
            .partition_point(|(h, _)| *h <= hash)
            .saturating_sub(1)
    }
}
