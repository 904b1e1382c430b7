//! Bitmaps, group descriptors and superblocks, with all copies.

use super::Resealer;
use crate::error::{Error, Result};
use crate::features::Incompat;
use crate::group_descriptor::{GROUP_BLOCK_UNINIT, GROUP_INODE_UNINIT};
use crate::superblock::{STATE_VALID, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};
use disksmith_storage::read_vec;

impl Resealer {
    /// Checksums of bitmaps stand in the descriptors.
    pub(super) fn seal_bitmaps(&mut self) -> Result<()> {
        for group in 0..self.layout.g.groups {
            let Some(mut desc) = self.groups.get(group as usize).cloned() else {
                break;
            };
            if !desc.has(GROUP_BLOCK_UNINIT) {
                let bits = self.layout.g.clusters_per_group;
                let stored = desc.block_bitmap_csum();
                let sum = self.bitmap_sum("block", group, desc.block_bitmap(), bits, stored)?;
                desc.set_block_bitmap_csum(sum);
            }
            if !desc.has(GROUP_INODE_UNINIT) {
                let bits = self.layout.g.inodes_per_group;
                let stored = desc.inode_bitmap_csum();
                let sum = self.bitmap_sum("inode", group, desc.inode_bitmap(), bits, stored)?;
                desc.set_inode_bitmap_csum(sum);
            }
            if let Some(slot) = self.groups.get_mut(group as usize) {
                *slot = desc;
            }
        }
        Ok(())
    }

    /// The new checksum of a bitmap, whose old one is verified.
    fn bitmap_sum(&self, kind: &str, group: u32, block: u64, bits: u32, stored: u32) -> Result<u32> {
        let bytes = self.read_block(block)?;
        let used = bytes.get(..bits as usize / 8).unwrap_or(&bytes);
        let mask = match self.layout.g.descriptor_size {
            64.. => u32::MAX,
            _ => 0xffff,
        };
        if self
            .old
            .bitmap(used)
            .is_some_and(|sum| (sum ^ stored) & mask != 0)
        {
            return Err(Error::corrupt(
                format!("{kind} bitmap of group {group}"),
                self.layout.g.offset(block),
                "checksum",
                stored,
                "the checksum does not match",
            ));
        }
        Ok(self.new.bitmap(used).unwrap_or(stored))
    }

    /// The block of multi-mount protection; that nobody holds it was seen on opening.
    pub(super) fn seal_mmp(&self) -> Result<()> {
        if !self.layout.g.has_incompat(Incompat::MMP) {
            return Ok(());
        }
        let block = self.layout.sb.mmp_block;
        let mut bytes = self.read_block(block)?;
        if let Some(sum) = self.new.mmp(&bytes) {
            crate::record::put32(&mut bytes, 0x3fc, sum);
        }
        self.write_block(block, &bytes)
    }

    /// Writes all descriptors and superblocks.
    pub(super) fn write_groups(&mut self) -> Result<()> {
        let g = self.layout.g.clone();
        let size = usize::from(g.descriptor_size);
        let block_size = self.block_size();
        let mut table = vec![0; g.descriptor_blocks() as usize * block_size];
        // Bytes of descriptors that are not known stay.
        for index in 0..g.descriptor_blocks() {
            let from = index as usize * block_size;
            let block = g.descriptor_block(&self.layout.sb, index);
            if let Some(place) = table.get_mut(from..from + block_size) {
                self.storage.read_at(g.offset(block), place)?;
            }
        }
        for ((number, desc), raw) in (0..)
            .zip(self.groups.iter_mut())
            .zip(table.chunks_exact_mut(size))
        {
            desc.seal_into(raw, number, &self.new);
        }
        let mut raw = read_vec(&*self.storage, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)?;
        for group in 0..g.groups {
            if let Some(copy) = self.layout.descriptors_in(group) {
                let from = copy.first as usize * block_size;
                let to = (from + copy.len as usize * block_size).min(table.len());
                if let Some(part) = table.get(from..to) {
                    self.storage.write_at(g.offset(copy.block), part)?;
                }
            }
            if group > 0 && self.layout.sb.group_has_superblock(group) {
                let mut copy = self.layout.sb.clone();
                copy.block_group_nr = group as u16;
                // Copies never say that all is well.
                copy.state &= !STATE_VALID;
                let mut bytes = raw.clone();
                copy.seal_into(&mut bytes);
                let block = self.layout.superblock_of(group);
                self.storage.write_at(g.offset(block), &bytes)?;
            }
        }
        self.layout.sb.seal_into(&mut raw);
        self.storage.write_at(SUPERBLOCK_OFFSET, &raw)?;
        Ok(())
    }
}
