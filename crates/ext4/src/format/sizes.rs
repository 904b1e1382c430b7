//! The numbers of a new filesystem: blocks, groups, inodes, descriptors.

use super::defaults::UsageDefaults;
use super::options::FormatOptions;
use crate::error::{Error, Result};
use crate::features::{Compat, Features, Incompat, RoCompat};

/// The size to which mke2fs rounds a filesystem: a page.
const PAGE: u64 = 4096;
/// The size of an inode with all fields that are known.
const LARGE_INODE: u16 = 160;
/// More groups than this (64 GiB of descriptors) are not laid out.
const MAX_GROUPS: u64 = 1 << 22;
const FIRST_INODE: u32 = 11;
/// The largest cluster that mke2fs makes.
const MAX_CLUSTER: u32 = 1 << 29;

/// The numbers of a new filesystem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    pub(super) features: Features,
    pub(super) block_size: u32,
    pub(super) blocks: u64,
    pub(super) reserved_blocks: u64,
    pub(super) first_data_block: u32,
    /// Blocks in a cluster, the unit of allocation; 1 without `bigalloc`.
    pub(super) cluster: u32,
    pub(super) blocks_per_group: u32,
    pub(super) groups: u32,
    pub(super) inode_size: u16,
    pub(super) inodes_per_group: u32,
    pub(super) inode_blocks_per_group: u32,
    pub(super) descriptor_size: u32,
    pub(super) descriptor_blocks: u32,
    pub(super) reserved_gdt_blocks: u32,
    pub(super) flex_groups: u32,
    /// Whether quotas of users, groups, projects are counted.
    pub(super) quotas: [bool; 3],
    /// How many copies of the superblock there are with `sparse_super2`.
    backups: u8,
    /// Groups with backups, with `sparse_super2`.
    pub(super) backup_groups: [u32; 2],
}

fn invalid(what: &'static str, reason: impl Into<String>) -> Error {
    Error::InvalidOption {
        what,
        reason: reason.into(),
    }
}

impl Sizes {
    /// Finds the numbers for a storage of `size` bytes.
    pub(super) fn new(options: &FormatOptions, size: u64) -> Result<Self> {
        let mut features = options.features.apply(options.kind)?;
        if features.ro_compat.contains(RoCompat::QUOTA) && options.quotas.is_some_and(|[.., project]| project)
        {
            features.ro_compat |= RoCompat::PROJECT;
        }
        if options.size.is_some_and(|wanted| wanted > size) {
            return Err(invalid("size", "larger than the storage"));
        }
        let size = options.size.unwrap_or(size);
        let size = match (options.blocks, options.block_size) {
            (Some(blocks), Some(block_size)) => blocks.saturating_mul(block_size.into()).min(size),
            _ => size,
        };
        let defaults = UsageDefaults::of(options.usage, size);
        let block_size = options.block_size.unwrap_or(defaults.block_size);
        if !block_size.is_power_of_two() || !(1024..=65536).contains(&block_size) {
            return Err(invalid(
                "block size",
                format!("{block_size} is not a power of two from 1024 to 65536"),
            ));
        }
        let mut blocks = size / u64::from(block_size);
        match options.blocks {
            Some(wanted) if wanted > blocks => {
                return Err(invalid(
                    "blocks",
                    format!("{wanted} do not fit into the {blocks} of the storage"),
                ));
            }
            Some(wanted) => blocks = wanted,
            None => blocks -= blocks % (PAGE / u64::from(block_size)).max(1),
        }
        let cluster = cluster(options, features, block_size)?;
        blocks -= blocks % u64::from(cluster);
        let inode_size = options.inode_size.unwrap_or(256);
        if !inode_size.is_power_of_two() || inode_size < 128 || u32::from(inode_size) > block_size {
            return Err(invalid(
                "inode size",
                format!("{inode_size} is not a power of two from 128 to a block"),
            ));
        }
        if inode_size == 128 && features.ro_compat.contains(RoCompat::PROJECT) {
            return Err(invalid(
                "inode size",
                "project needs inodes of more than 128 bytes",
            ));
        }
        if inode_size < LARGE_INODE && features.incompat.contains(Incompat::INLINE_DATA) {
            return Err(invalid(
                "inode size",
                "inline_data needs inodes of more than 128 bytes",
            ));
        }
        if !features.incompat.contains(Incompat::BIT64) && blocks > u64::from(u32::MAX) {
            return Err(invalid("blocks", "more than 2^32 blocks need the feature 64bit"));
        }
        let ratio = options.inode_ratio.unwrap_or(
            defaults
                .inode_ratio
                .max(u64::from(block_size) * u64::from(cluster)),
        );
        if !(1024..=64 << 20).contains(&ratio) && cluster == 1 {
            return Err(invalid(
                "inode ratio",
                format!("{ratio} is not within 1024 to 67108864"),
            ));
        }
        let inodes = options
            .inodes
            .unwrap_or(blocks.saturating_mul(block_size.into()) / ratio);
        if options.inodes.is_some_and(|n| n > u32::MAX.into()) {
            return Err(invalid("inodes", "more than 2^32"));
        }
        let inodes = inodes.min(u32::MAX.into()) as u32;
        if u64::from(inodes) * u64::from(inode_size) >= blocks.saturating_mul(block_size.into()) {
            return Err(invalid("inodes", "their tables are larger than the filesystem"));
        }
        if !(0.0..=50.0).contains(&options.reserved_percent) {
            return Err(invalid("reserved blocks", "not within 0 and 50 percent"));
        }
        let flex_groups = if features.incompat.contains(Incompat::FLEX_BG) {
            let n = options.flex_groups.unwrap_or(16);
            if !n.is_power_of_two() {
                return Err(invalid("flex group size", format!("{n} is not a power of two")));
            }
            n
        } else {
            if options.flex_groups.is_some() {
                return Err(invalid("flex group size", "needs the feature flex_bg"));
            }
            1
        };
        let mut this = Self {
            features,
            block_size,
            blocks,
            reserved_blocks: (options.reserved_percent * blocks as f64 / 100.0) as u64,
            first_data_block: u32::from(block_size == 1024 && cluster == 1),
            cluster,
            blocks_per_group: 0,
            groups: 0,
            inode_size,
            inodes_per_group: 0,
            inode_blocks_per_group: 0,
            descriptor_size: if features.incompat.contains(Incompat::BIT64) {
                64
            } else {
                32
            },
            descriptor_blocks: 0,
            reserved_gdt_blocks: 0,
            flex_groups,
            quotas: match options.quotas {
                _ if !features.ro_compat.contains(RoCompat::QUOTA) => [false; 3],
                Some(kinds) => kinds,
                None => [true, true, features.ro_compat.contains(RoCompat::PROJECT)],
            },
            backups: options.backups,
            backup_groups: [0; 2],
        };
        if blocks > u64::from(u32::MAX) {
            this.features.compat -= Compat::RESIZE_INODE;
        }
        let max = (8 * block_size)
            .min(65528)
            .checked_mul(cluster)
            .ok_or_else(|| invalid("cluster size", "groups of more than 2^32 blocks"))?;
        this.blocks_per_group = match options.blocks_per_group {
            Some(blocks) => (blocks - blocks % cluster).min(max),
            None => max,
        };
        if this.blocks_per_group < 256
            || this.blocks_per_group > max
            || !this.blocks_per_group.is_multiple_of(8)
        {
            return Err(invalid(
                "blocks per group",
                format!(
                    "{} is not a multiple of 8 from 256 to {max}",
                    this.blocks_per_group
                ),
            ));
        }
        this.fit(inodes.max(FIRST_INODE + 1), options.resize_limit)?;
        this.backup_groups(features);
        let [.., project] = this.quotas;
        let needed =
            FIRST_INODE + u32::from(project) + u32::from(features.compat.contains(Compat::ORPHAN_FILE));
        if u64::from(this.inodes_per_group) * u64::from(this.groups) < needed.into() {
            return Err(invalid("inodes", "fewer than the filesystem itself needs"));
        }
        Ok(this)
    }

    /// Finds the number of groups and of inodes in each; gives up a last group that is too small to be of use.
    fn fit(&mut self, inodes: u32, resize_limit: Option<u64>) -> Result<()> {
        let too_small = || invalid("size", "too small for a filesystem");
        let per_block = self.block_size / self.descriptor_size;
        let bits = self.block_size * 8;
        let wanted_blocks = self.blocks;
        let percent = 100.0 * self.reserved_blocks as f64 / self.blocks.max(1) as f64;
        loop {
            let data_blocks = self
                .blocks
                .checked_sub(self.first_data_block.into())
                .filter(|n| *n > 0)
                .ok_or_else(too_small)?;
            let groups = data_blocks.div_ceil(self.blocks_per_group.into());
            if groups > MAX_GROUPS {
                return Err(invalid(
                    "size",
                    format!("{groups} block groups are more than are supported"),
                ));
            }
            self.groups = groups as u32;
            self.descriptor_blocks = self.groups.div_ceil(per_block);
            let mut per_group = inodes.div_ceil(self.groups);
            if per_group > bits {
                if self.blocks_per_group < 264 || self.cluster > 1 {
                    return Err(invalid("inodes", "more than the groups can hold"));
                }
                self.blocks_per_group -= 8;
                self.blocks = wanted_blocks;
                continue;
            }
            let inode_size = u32::from(self.inode_size);
            per_group = per_group.min(65536 - self.block_size / inode_size);
            loop {
                let table = (per_group * inode_size).div_ceil(self.block_size);
                self.inodes_per_group = (table * self.block_size / inode_size).max(8) & !7;
                self.inode_blocks_per_group = (self.inodes_per_group * inode_size).div_ceil(self.block_size);
                if u64::from(self.inodes_per_group) * groups <= u64::from(u32::MAX) {
                    break;
                }
                per_group -= 1;
            }
            self.reserved_gdt_blocks = self.reserved_gdt(resize_limit)?;
            if self.reserved_gdt_blocks + self.descriptor_blocks > self.blocks_per_group * 3 / 4 {
                self.features.incompat |= Incompat::META_BG;
                self.features.compat -= Compat::RESIZE_INODE;
                self.reserved_gdt_blocks = 0;
            }
            let table = self.inode_blocks_per_group;
            let descriptors = if self.features.incompat.contains(Incompat::META_BG) {
                1
            } else {
                self.descriptor_blocks
            };
            if 3 + table + self.reserved_gdt_blocks + descriptors > self.blocks_per_group {
                return Err(invalid("inodes", "more than the groups can hold"));
            }
            self.backup_groups(self.features);
            let mut overhead = 2 + table;
            if self.has_super(self.groups - 1) {
                overhead += 1 + self.descriptor_blocks + self.reserved_gdt_blocks;
            }
            let rest = (data_blocks % u64::from(self.blocks_per_group)) as u32;
            if self.groups == 1 && rest != 0 && rest < overhead {
                return Err(too_small());
            }
            if rest != 0 && rest < overhead + 50 {
                if self.groups == 1 {
                    return Err(too_small());
                }
                self.blocks -= u64::from(rest);
                self.reserved_blocks = (percent * self.blocks as f64 / 100.0) as u64;
                continue;
            }
            return Ok(());
        }
    }

    /// Blocks kept for growing the descriptor table: to 1024 times the size, or to the limit that was given.
    fn reserved_gdt(&self, limit: Option<u64>) -> Result<u32> {
        if !self.features.compat.contains(Compat::RESIZE_INODE) {
            return Ok(0);
        }
        let max = match limit {
            Some(limit) if limit <= self.blocks => {
                return Err(invalid("resize", "the limit is not larger than the filesystem"));
            }
            Some(limit) => limit.min(u32::MAX.into()),
            None if self.blocks < u64::from(u32::MAX) / 1024 => self.blocks * 1024,
            None => u32::MAX.into(),
        };
        let groups = (max - u64::from(self.first_data_block)).div_ceil(self.blocks_per_group.into());
        let blocks = groups.div_ceil((self.block_size / self.descriptor_size).into());
        let rest = blocks.saturating_sub(self.descriptor_blocks.into());
        Ok(rest.min((self.block_size / 4).into()) as u32)
    }

    fn backup_groups(&mut self, features: Features) {
        if features.compat.contains(Compat::SPARSE_SUPER2) {
            let last = self.groups - 1;
            self.backup_groups = match (self.backups, last) {
                (0, _) | (_, 0) => [0, 0],
                (1, _) => [0, 1],
                (_, 1) => [1, 0],
                (_, last) => [1, last],
            };
        }
    }

    /// Whether a group holds a copy of the superblock.
    pub(super) fn has_super(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.features.compat.contains(Compat::SPARSE_SUPER2) {
            return self.backup_groups.contains(&group);
        }
        if group == 1
            || !self
                .features
                .ro_compat
                .contains(crate::features::RoCompat::SPARSE_SUPER)
        {
            return true;
        }
        [3u32, 5, 7].iter().any(|base| {
            let mut power = *base;
            while power < group {
                power = power.saturating_mul(*base);
            }
            power == group
        })
    }

    /// The block with a group's copy of the superblock. The first one stands at byte 1024, whatever the block size is.
    pub(super) fn super_block(&self, group: u32) -> u64 {
        let behind = group == 0 && self.block_size == 1024 && self.first_data_block == 0;
        self.group_start(group) + u64::from(behind)
    }

    /// Clusters in a group.
    pub(super) fn clusters_per_group(&self) -> u32 {
        self.blocks_per_group / self.cluster
    }

    /// How many blocks `blocks` take in whole clusters.
    pub(super) fn whole_clusters(&self, blocks: u64) -> u64 {
        blocks.next_multiple_of(self.cluster.into())
    }

    /// The first block of a group.
    pub(super) fn group_start(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// One past the last block of a group.
    pub(super) fn group_end(&self, group: u32) -> u64 {
        (self.group_start(group) + u64::from(self.blocks_per_group)).min(self.blocks)
    }

    /// The group that a block is in.
    pub(super) fn group_of(&self, block: u64) -> u32 {
        (block.saturating_sub(self.first_data_block.into()) / u64::from(self.blocks_per_group)) as u32
    }

    /// The descriptor blocks that lie in a group: the first, and how many of the table's blocks from which one.
    pub(super) fn descriptors_in(&self, group: u32) -> Option<DescriptorCopy> {
        let has_super = self.has_super(group);
        let start = if has_super {
            self.super_block(group) + 1
        } else {
            self.group_start(group)
        };
        if !self.features.incompat.contains(Incompat::META_BG) {
            return has_super.then_some(DescriptorCopy {
                block: start,
                first: 0,
                len: self.descriptor_blocks,
            });
        }
        let per_block = self.block_size / self.descriptor_size;
        let within = group % per_block;
        (within < 2 || within == per_block - 1).then_some(DescriptorCopy {
            block: start,
            first: group / per_block,
            len: 1,
        })
    }
}

/// Blocks in a cluster.
fn cluster(options: &FormatOptions, features: Features, block_size: u32) -> Result<u32> {
    if !features.ro_compat.contains(RoCompat::BIGALLOC) {
        return match options.cluster_size {
            Some(_) => Err(invalid("cluster size", "clusters need the feature bigalloc")),
            None => Ok(1),
        };
    }
    let size = options.cluster_size.unwrap_or(16 * block_size);
    if !size.is_power_of_two() || size < block_size || size > MAX_CLUSTER {
        return Err(invalid(
            "cluster size",
            format!("{size} is not a power of two from a block to {MAX_CLUSTER}"),
        ));
    }
    Ok(size / block_size)
}

/// A copy of (a part of) the descriptor table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DescriptorCopy {
    /// Where it lies.
    pub(super) block: u64,
    /// The first block of the table that it holds.
    pub(super) first: u32,
    /// How many.
    pub(super) len: u32,
}
