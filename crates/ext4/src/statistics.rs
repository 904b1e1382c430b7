//! What `statfs` tells, counted as the kernel counts it.

use crate::core::Core;
use crate::directory::MAX_NAME;
use crate::error::Result;
use crate::features::{Compat, Incompat, RoCompat};
use disksmith_vfs::StatFs;

impl Core {
    /// Clusters that never hold files: copies of superblock and descriptors, bitmaps, inode tables, the journal.
    fn overhead(&self) -> Result<u64> {
        let g = &self.geometry;
        let stored = u64::from(self.superblock.overhead);
        if g.has_ro_compat(RoCompat::BIGALLOC) && stored > 0 && stored <= g.blocks_count {
            return Ok(stored);
        }
        let mut blocks = g.first_data_block;
        for group in 0..g.groups {
            blocks += u64::from(g.base_blocks(&self.superblock, group)) + u64::from(g.table_blocks) + 2;
        }
        if g.has_compat(Compat::HAS_JOURNAL) && self.superblock.journal_inode != 0 {
            let journal = self.load_any(self.superblock.journal_inode)?;
            blocks += journal.rec.size() >> g.block_shift;
        }
        Ok(blocks >> g.cluster_shift)
    }

    pub(crate) fn stat_fs(&self) -> Result<StatFs> {
        let g = &self.geometry;
        let shift = g.cluster_shift;
        let reserved = if g.has_incompat(Incompat::EXTENTS) {
            ((g.blocks_count >> shift) / 50).min(4096) << shift
        } else {
            0
        };
        let free = self.free_clusters << shift;
        let kept = self.superblock.reserved_blocks() + reserved;
        Ok(StatFs {
            block_size: u64::from(g.block_size),
            blocks: g.blocks_count.saturating_sub(self.overhead()? << shift),
            free_blocks: free,
            available_blocks: free.saturating_sub(kept),
            inodes: u64::from(g.inodes_count),
            free_inodes: self.free_inodes,
            max_name_len: MAX_NAME as u32,
        })
    }
}
