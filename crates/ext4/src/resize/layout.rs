//! Where the fixed structures of a filesystem lie, in blocks and in clusters.

use crate::error::Result;
use crate::features::Incompat;
use crate::geometry::Geometry;
use crate::group_descriptor::GroupDescriptor;
use crate::superblock::Superblock;
use std::ops::Range;

/// A filesystem's numbers, before or after. Clusters are counted from the first block of group 0.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) sb: Superblock,
    pub(crate) g: Geometry,
}

/// A copy of (a part of) the descriptor table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptorCopy {
    /// Its first block.
    pub(crate) block: u64,
    /// The block of the table that it starts with.
    pub(crate) first: u32,
    /// How many blocks.
    pub(crate) len: u32,
}

impl Layout {
    /// From a superblock that was checked; `size` is that of the storage in bytes.
    pub(crate) fn new(sb: Superblock, size: u64) -> Result<Self> {
        let g = Geometry::new(&sb, size)?;
        Ok(Self { sb, g })
    }

    pub(super) fn has_flex(&self) -> bool {
        self.g.has_incompat(Incompat::FLEX_BG) && self.g.groups_per_flex > 1
    }

    /// Superblock, descriptors and reserved descriptor blocks of a group.
    pub(super) fn base(&self, group: u32) -> Range<u64> {
        let start = self.g.group_start(group);
        let end = start + u64::from(self.g.base_blocks(&self.sb, group));
        start..end.min(self.g.blocks_count)
    }

    /// Block bitmap, inode bitmap and inode table of a group.
    pub(super) fn tables(&self, group: &GroupDescriptor) -> [Range<u64>; 3] {
        let table = group.inode_table();
        [
            group.block_bitmap()..group.block_bitmap() + 1,
            group.inode_bitmap()..group.inode_bitmap() + 1,
            table..table + u64::from(self.g.table_blocks),
        ]
    }

    pub(super) fn cluster_of(&self, block: u64) -> u64 {
        block.saturating_sub(self.g.first_data_block) >> self.g.cluster_shift
    }

    /// The clusters that blocks lie in.
    pub(super) fn clusters_of(&self, blocks: &Range<u64>) -> Range<u64> {
        if blocks.start >= blocks.end {
            return 0..0;
        }
        self.cluster_of(blocks.start)..self.cluster_of(blocks.end - 1) + 1
    }

    pub(super) fn block_of(&self, cluster: u64) -> u64 {
        self.g.first_data_block + (cluster << self.g.cluster_shift)
    }

    /// How many clusters there are; the last one may be cut short.
    pub(super) fn clusters(&self) -> u64 {
        (self.g.blocks_count - self.g.first_data_block).div_ceil(u64::from(self.g.cluster_blocks()))
    }

    pub(super) fn group_clusters(&self, group: u32) -> Range<u64> {
        let start = u64::from(group) * u64::from(self.g.clusters_per_group);
        start..start + u64::from(self.g.group_clusters(group))
    }

    /// The group that a cluster is in, and its number there.
    pub(super) fn group_of(&self, cluster: u64) -> (u32, u32) {
        let per_group = u64::from(self.g.clusters_per_group);
        ((cluster / per_group) as u32, (cluster % per_group) as u32)
    }

    /// Blocks of the descriptor table that are laid out in one run behind each superblock.
    pub(super) fn plain_descriptor_blocks(&self) -> u32 {
        self.g.descriptor_blocks().min(self.g.first_meta_bg)
    }

    /// The descriptor blocks that a group holds.
    pub(crate) fn descriptors_in(&self, group: u32) -> Option<DescriptorCopy> {
        let per_block = self.g.descriptors_per_block();
        let has_super = self.sb.group_has_superblock(group);
        let meta = group / per_block;
        if meta < self.g.first_meta_bg {
            return has_super.then(|| DescriptorCopy {
                block: self.superblock_of(group) + 1,
                first: 0,
                len: self.plain_descriptor_blocks(),
            });
        }
        let within = group % per_block;
        (within < 2 || within == per_block - 1).then(|| DescriptorCopy {
            block: if group == 0 {
                self.g.superblock_block() + 1
            } else {
                self.g.group_start(group) + u64::from(has_super)
            },
            first: meta,
            len: 1,
        })
    }

    /// The block that the superblock (or its copy) of a group lies in.
    pub(crate) fn superblock_of(&self, group: u32) -> u64 {
        if group == 0 {
            self.g.superblock_block()
        } else {
            self.g.group_start(group)
        }
    }
}
