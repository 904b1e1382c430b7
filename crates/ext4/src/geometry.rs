//! Where things lie, computed once from a checked superblock.

use crate::checksum::Checksums;
use crate::error::{Error, Result};
use crate::features::{Compat, Features, Incompat, RoCompat};
use crate::superblock::Superblock;

/// The unchanging numbers of a filesystem. Blocks are numbered from the start of the storage.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    pub(crate) block_size: u32,
    pub(crate) block_shift: u32,
    pub(crate) blocks_count: u64,
    pub(crate) first_data_block: u64,
    pub(crate) groups: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) clusters_per_group: u32,
    /// Blocks per cluster, as a power of two.
    pub(crate) cluster_shift: u32,
    pub(crate) inodes_count: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) inode_size: u16,
    pub(crate) first_inode: u32,
    pub(crate) descriptor_size: u16,
    /// Blocks of an inode table.
    pub(crate) table_blocks: u32,
    pub(crate) reserved_gdt_blocks: u32,
    pub(crate) first_meta_bg: u32,
    pub(crate) groups_per_flex: u32,
    pub(crate) want_extra_isize: u16,
    pub(crate) features: Features,
    pub(crate) checksums: Checksums,
}

/// Largest descriptor table that is read, in bytes: enough for 128 TiB with default groups.
const MAX_TABLE_BYTES: u64 = 64 << 20;

impl Geometry {
    /// From a superblock that [`Superblock::from_bytes`] has checked, on a storage of `size` bytes.
    pub(crate) fn new(sb: &Superblock, size: u64) -> Result<Self> {
        let block_size = sb.block_size();
        let features = sb.features();
        let blocks_count = sb.blocks_count();
        if blocks_count > size / u64::from(block_size) {
            return Err(Error::corrupt(
                "superblock",
                1024,
                "s_blocks_count",
                blocks_count,
                format!("the filesystem is larger than its device of {size} bytes"),
            ));
        }
        let groups = sb.group_count();
        let descriptor_size = sb.descriptor_bytes();
        if groups.saturating_mul(u64::from(descriptor_size)) > MAX_TABLE_BYTES {
            return Err(Error::unsupported(format!(
                "a filesystem of {groups} block groups"
            )));
        }
        let inode_size = sb.inode_bytes();
        let table_bytes = u64::from(sb.inodes_per_group) * u64::from(inode_size);
        let has_flex = features.incompat.contains(Incompat::FLEX_BG);
        Ok(Self {
            block_size,
            block_shift: block_size.trailing_zeros(),
            blocks_count,
            first_data_block: u64::from(sb.first_data_block),
            groups: groups as u32,
            blocks_per_group: sb.blocks_per_group,
            clusters_per_group: sb.clusters_in_group(),
            cluster_shift: sb.cluster_shift(),
            inodes_count: sb.inodes_count,
            inodes_per_group: sb.inodes_per_group,
            inode_size,
            first_inode: sb.first_inode_number(),
            descriptor_size,
            table_blocks: table_bytes.div_ceil(u64::from(block_size)) as u32,
            reserved_gdt_blocks: u32::from(sb.reserved_gdt_blocks),
            first_meta_bg: if features.incompat.contains(Incompat::META_BG) {
                sb.first_meta_bg
            } else {
                u32::MAX
            },
            groups_per_flex: if has_flex {
                1u32.checked_shl(u32::from(sb.log_groups_per_flex)).unwrap_or(1)
            } else {
                1
            },
            want_extra_isize: sb.want_extra_isize.max(sb.min_extra_isize),
            features,
            checksums: sb.checksums(),
        })
    }

    pub(crate) fn has_compat(&self, feature: Compat) -> bool {
        self.features.compat.contains(feature)
    }

    pub(crate) fn has_incompat(&self, feature: Incompat) -> bool {
        self.features.incompat.contains(feature)
    }

    pub(crate) fn has_ro_compat(&self, feature: RoCompat) -> bool {
        self.features.ro_compat.contains(feature)
    }

    /// Byte offset of a block.
    pub(crate) fn offset(&self, block: u64) -> u64 {
        block << self.block_shift
    }

    /// Blocks in a cluster.
    pub(crate) fn cluster_blocks(&self) -> u32 {
        1 << self.cluster_shift
    }

    /// First block of a group.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        self.first_data_block + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Blocks of a group: fewer for the last one.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        u64::from(self.blocks_per_group).min(self.blocks_count.saturating_sub(self.group_start(group))) as u32
    }

    /// Clusters of a group: fewer for the last one.
    pub(crate) fn group_clusters(&self, group: u32) -> u32 {
        self.group_blocks(group).div_ceil(self.cluster_blocks())
    }

    /// Group and cluster within it of a block.
    pub(crate) fn locate(&self, block: u64) -> (u32, u32) {
        let relative = block.saturating_sub(self.first_data_block);
        let group = relative / u64::from(self.blocks_per_group);
        let within = relative % u64::from(self.blocks_per_group);
        (group as u32, (within >> self.cluster_shift) as u32)
    }

    /// First block of a cluster of a group.
    pub(crate) fn cluster_start(&self, group: u32, cluster: u32) -> u64 {
        self.group_start(group) + (u64::from(cluster) << self.cluster_shift)
    }

    /// Whether `len` blocks from `start` lie where files may have blocks.
    pub(crate) fn holds(&self, start: u64, len: u64) -> bool {
        start > self.first_data_block && start.checked_add(len).is_some_and(|end| end <= self.blocks_count)
    }

    /// Descriptors in a block.
    pub(crate) fn descriptors_per_block(&self) -> u32 {
        self.block_size / u32::from(self.descriptor_size)
    }

    /// Blocks of the descriptor table.
    pub(crate) fn descriptor_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descriptors_per_block())
    }

    /// Block that holds the superblock.
    pub(crate) fn superblock_block(&self) -> u64 {
        u64::from(self.block_size == 1024)
    }

    /// Block number of block `index` of the descriptor table.
    pub(crate) fn descriptor_block(&self, sb: &Superblock, index: u32) -> u64 {
        if index < self.first_meta_bg {
            return self.superblock_block() + 1 + u64::from(index);
        }
        let group = index.saturating_mul(self.descriptors_per_block());
        let mut before = u64::from(sb.group_has_superblock(group));
        if self.block_size == 1024 && index == 0 && self.first_data_block == 0 {
            before += 1;
        }
        self.group_start(group) + before
    }

    /// Blocks at the start of a group that are taken by the copies of superblock and descriptor table.
    pub(crate) fn base_blocks(&self, sb: &Superblock, group: u32) -> u32 {
        let per_block = self.descriptors_per_block();
        let has_superblock = sb.group_has_superblock(group);
        let old_layout =
            u64::from(group) < u64::from(self.first_meta_bg).saturating_mul(u64::from(per_block));
        let mut count = u32::from(has_superblock);
        if old_layout {
            if has_superblock {
                count += self.descriptor_blocks().min(self.first_meta_bg) + self.reserved_gdt_blocks;
            }
        } else {
            let within = group % per_block;
            count += u32::from(within == 0 || within == 1 || within == per_block - 1);
        }
        if group == 0 && self.block_size == 1024 && self.first_data_block == 0 {
            // With clusters of 1 KiB blocks the superblock stands in block 1.
            count += 1;
        }
        count
    }

    /// Group and index within it of an inode.
    pub(crate) fn locate_inode(&self, ino: u32) -> Result<(u32, u32)> {
        if ino == 0 || ino > self.inodes_count {
            return Err(Error::corrupt(
                "inode",
                0,
                "number",
                u64::from(ino),
                format!("outside of 1 to {}", self.inodes_count),
            ));
        }
        Ok((
            (ino - 1) / self.inodes_per_group,
            (ino - 1) % self.inodes_per_group,
        ))
    }
}
