//! The inode that holds the reserved descriptor blocks: its map of two levels lists them and their copies in all groups with
//! backups. One block of pointers, at whose entries (by number in the descriptor table, modulo the entries of a block)
//! are the reserved blocks of the first group; each of those lists its copies.

use super::Resizer;
use super::references::RESIZE_INODE;
use crate::error::{Error, Result};
use crate::features::{Compat, RoCompat};
use crate::inode::Inode;
use crate::record::{le32, put32};
use disksmith_storage::read_vec;

/// Byte offset in `i_block` of the block with two levels below it.
const TWO_LEVELS: usize = 13 * 4;

impl Resizer {
    /// Makes the map anew.
    pub(super) fn rebuild_resize_inode(&mut self) -> Result<()> {
        if !self.new.g.has_compat(Compat::RESIZE_INODE) {
            return Ok(());
        }
        let Some(desc) = self.groups.first() else {
            return Ok(());
        };
        let g = &self.new.g;
        let size = usize::from(g.inode_size);
        let offset = g.offset(desc.inode_table()) + u64::from(RESIZE_INODE - 1) * size as u64;
        let mut raw = read_vec(&*self.storage, offset, size)?;
        let mut inode = Inode::from_raw(&raw);
        let stored = u64::from(le32(&inode.block, TWO_LEVELS));
        if stored == 0 || !self.old.g.holds(stored, 1) {
            return Err(Error::corrupt(
                format!("inode {RESIZE_INODE}"),
                offset,
                "i_block",
                stored,
                "the resize inode has no map",
            ));
        }
        let top = self.translate(stored);
        put32(&mut inode.block, TWO_LEVELS, top as u32);
        let block_size = g.block_size as usize;
        let per_block = block_size / 4;
        let with_backup: Vec<u32> = (1..g.groups)
            .filter(|group| self.new.sb.group_has_superblock(*group))
            .collect();
        if with_backup.len() > per_block {
            return Err(Error::unsupported(format!(
                "a resize inode for {} copies of the descriptors",
                with_backup.len()
            )));
        }
        let first = g.superblock_block() + 1;
        let descriptor_blocks = g.descriptor_blocks();
        let mut table = vec![0; block_size];
        for index in 0..g.reserved_gdt_blocks {
            let number = descriptor_blocks + index;
            let block = first + u64::from(number);
            put32(&mut table, number as usize % per_block * 4, block as u32);
            let mut copies = vec![0; block_size];
            for (place, group) in with_backup.iter().enumerate() {
                let copy = block + u64::from(*group) * u64::from(g.blocks_per_group);
                put32(&mut copies, place * 4, copy as u32);
            }
            self.storage.write_at(g.offset(block), &copies)?;
        }
        self.storage.write_at(g.offset(top), &table)?;
        let blocks = 1 + u64::from(g.reserved_gdt_blocks) * (1 + with_backup.len() as u64);
        let huge = g.has_ro_compat(RoCompat::HUGE_FILE);
        let unit = u64::from(g.block_size / 512) << g.cluster_shift;
        if !inode.set_sectors(blocks * unit, huge, g.block_size) {
            return Err(Error::unsupported("a resize inode of that size"));
        }
        inode.store_into(&mut raw);
        g.checksums.seal_inode(RESIZE_INODE, inode.generation, &mut raw);
        self.storage.write_at(offset, &raw)?;
        Ok(())
    }
}
