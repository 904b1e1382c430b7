//! Extended attributes: their blocks have checksums, and so have values in inodes of their own, which the entries repeat.
//!
//! A crc32c is linear: one that starts from another seed differs by the checksum, without any start, of as many zeroes as there were
//! bytes. So no value has to be read, and one that is damaged stays so.

use super::Resealer;
use crate::checksum::crc32c;
use crate::error::Result;
use crate::inode::{Inode, InodeFlags};
use crate::inode_table::Node;
use crate::record::{le32, put32};
use crate::resize::{attribute_entries, attribute_list_start};
use crate::xattr::{BLOCK_HEADER, XATTR_MAGIC};

/// The largest value that is believed, in bytes.
const MAX_VALUE: u64 = 1 << 20;
/// Byte offset of `h_hash` in the header of a block, and of `h_checksum`.
const BLOCK_HASH: usize = 12;
const BLOCK_CHECKSUM: usize = 16;

impl Resealer {
    /// By how much the checksum of a value of so many bytes differs.
    fn value_change(&self, len: u64) -> Option<u32> {
        if len > MAX_VALUE {
            return None;
        }
        const ZEROES: [u8; 4096] = [0; 4096];
        let mut sum = self.value_seeds;
        let mut left = len as usize;
        while left > 0 {
            let part = left.min(ZEROES.len());
            sum = crc32c(sum, ZEROES.get(..part).unwrap_or(&[]));
            left -= part;
        }
        Some(sum)
    }

    /// Seals the attributes of an inode as stored.
    pub(super) fn seal_attributes(&mut self, node: &mut Node, raw: &mut [u8]) -> Result<()> {
        if self.value_seeds != 0 {
            if node.has(InodeFlags::EA_INODE) {
                let size = node.rec.size();
                let Some(change) = self.value_change(size) else {
                    return Err(node.corrupt("i_size", size, "larger than the value of an attribute can be"));
                };
                node.rec.access_time ^= change;
                let mut rec = Inode::from_raw(raw);
                rec.access_time = node.rec.access_time;
                rec.store_into(raw);
            }
            if let Some(start) = attribute_list_start(raw) {
                self.change_hashes(node, raw, start)?;
            }
        }
        let block = node.rec.xattr_block();
        if block == 0 || !self.attribute_blocks.insert(block) {
            return Ok(());
        }
        let mut bytes = self.read_block(block)?;
        if le32(&bytes, 0) != XATTR_MAGIC {
            return Err(node.corrupt("i_file_acl", block, "no block of extended attributes"));
        }
        let stored = le32(&bytes, BLOCK_CHECKSUM);
        if self
            .old
            .xattr_block(block, &bytes)
            .is_some_and(|sum| sum != stored)
        {
            return Err(node.corrupt(
                "h_checksum",
                stored,
                "the checksum of its attributes does not match",
            ));
        }
        if self.value_seeds != 0 && self.change_hashes(node, &mut bytes, BLOCK_HEADER)? {
            let hash = whole_hash(&bytes);
            put32(&mut bytes, BLOCK_HASH, hash);
        }
        if let Some(sum) = self.new.xattr_block(block, &bytes) {
            put32(&mut bytes, BLOCK_CHECKSUM, sum);
        }
        self.write_block(block, &bytes)
    }

    /// Corrects the hashes of entries whose values are elsewhere; tells whether there are any.
    fn change_hashes(&self, node: &Node, area: &mut [u8], start: usize) -> Result<bool> {
        let Some(list) = attribute_entries(area, start) else {
            return Err(node.corrupt("e_name_len", 0u32, "the list of attributes has no end"));
        };
        let mut changed = false;
        for at in list {
            if le32(area, at + 4) == 0 {
                continue;
            }
            let size = le32(area, at + 8);
            let Some(change) = self.value_change(size.into()) else {
                return Err(node.corrupt("e_value_size", size, "larger than a value can be"));
            };
            let hash = le32(area, at + 12) ^ change;
            put32(area, at + 12, hash);
            changed = true;
        }
        Ok(changed)
    }
}

/// The hash of all entries of a block; 0, where one has none.
fn whole_hash(block: &[u8]) -> u32 {
    let mut whole = 0u32;
    for at in attribute_entries(block, BLOCK_HEADER).unwrap_or_default() {
        match le32(block, at + 12) {
            0 => return 0,
            hash => whole = whole.rotate_left(16) ^ hash,
        }
    }
    whole
}
