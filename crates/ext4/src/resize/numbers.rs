//! The numbers of the filesystem as it will be: blocks, groups, inodes, descriptor blocks, and where backups stand.

use super::layout::Layout;
use super::{BlockNumbers, ResizeOptions};
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::superblock::Superblock;

/// A last group has to have so many blocks besides its own structures, or it is given up.
const LAST_GROUP_USE: u64 = 50;

fn invalid(reason: impl Into<String>) -> Error {
    Error::InvalidOption {
        what: "size",
        reason: reason.into(),
    }
}

/// Finds the numbers for `blocks` blocks on a storage of `size` bytes.
pub(super) fn plan(old: &Layout, blocks: u64, options: &ResizeOptions, size: u64) -> Result<Layout> {
    let mut sb = old.sb.clone();
    change_width(&mut sb, options.block_numbers)?;
    // Whole clusters, where there are clusters.
    let blocks = blocks >> old.g.cluster_shift << old.g.cluster_shift;
    if blocks > size / u64::from(old.g.block_size) {
        return Err(invalid(format!(
            "{blocks} blocks of {} bytes do not fit into {size} bytes",
            old.g.block_size
        )));
    }
    let is_64bit = sb.features().incompat.contains(Incompat::BIT64);
    if !is_64bit && blocks > u64::from(u32::MAX) {
        return Err(invalid(format!(
            "{blocks} blocks need the feature 64bit, which the filesystem lacks"
        )));
    }
    let first = old.g.first_data_block;
    let per_group = u64::from(old.g.blocks_per_group);
    let descriptor_size = u32::from(sb.descriptor_bytes());
    let per_block = old.g.block_size / descriptor_size;
    let mut blocks = blocks;
    let (groups, descriptor_blocks) = loop {
        let used = blocks
            .checked_sub(first)
            .filter(|n| *n > 0)
            .ok_or_else(|| invalid("too small for a filesystem"))?;
        let groups = used.div_ceil(per_group);
        if groups.saturating_mul(u64::from(old.g.inodes_per_group)) > u64::from(u32::MAX) {
            let most = u64::from(u32::MAX) / u64::from(old.g.inodes_per_group);
            if groups > most + 1 {
                return Err(invalid(format!(
                    "{groups} groups of {} inodes are more than 2^32 inodes",
                    old.g.inodes_per_group
                )));
            }
            blocks = most * per_group + first;
            continue;
        }
        let groups = groups as u32;
        let descriptor_blocks = groups.div_ceil(per_block);
        let last = groups - 1;
        let mut overhead = 2 + u64::from(old.g.table_blocks);
        if last_has_superblock(&sb, groups) {
            overhead += 1 + u64::from(descriptor_blocks) + u64::from(sb.reserved_gdt_blocks);
        }
        let rest = used % per_group;
        if rest != 0 && last == 0 && rest < overhead {
            return Err(invalid("too small for the structures of the filesystem"));
        }
        if rest != 0 && last > 0 && rest < overhead + LAST_GROUP_USE {
            blocks -= rest;
            continue;
        }
        break (groups, descriptor_blocks);
    };
    let old_descriptor_blocks = old.g.descriptor_blocks();
    if sb.features().compat.contains(Compat::RESIZE_INODE) && descriptor_blocks != old_descriptor_blocks {
        let left = i64::from(sb.reserved_gdt_blocks) + i64::from(old_descriptor_blocks)
            - i64::from(descriptor_blocks);
        sb.reserved_gdt_blocks = left.clamp(0, i64::from(old.g.block_size / 4)) as u16;
    }
    let mut features = sb.features();
    if features.incompat.contains(Incompat::META_BG) && sb.first_meta_bg > descriptor_blocks {
        features.incompat -= Incompat::META_BG;
        sb.first_meta_bg = 0;
        sb.set_features(features);
    }
    let plain = if features.incompat.contains(Incompat::META_BG) {
        descriptor_blocks.min(sb.first_meta_bg)
    } else {
        descriptor_blocks
    };
    let room = old.g.blocks_per_group.saturating_sub(3 + old.g.table_blocks);
    if plain + u32::from(sb.reserved_gdt_blocks) > room {
        return Err(Error::unsupported(format!(
            "a size of {blocks} blocks of {} bytes for a filesystem without the feature meta_bg (the descriptors of {groups} groups do not fit into one)",
            old.g.block_size
        )));
    }
    if features.compat.contains(Compat::SPARSE_SUPER2) {
        sb.backup_groups = backups(sb.backup_groups, old.g.groups, groups);
    }
    let percent = old.sb.reserved_blocks() as f64 * 100.0 / old.g.blocks_count as f64;
    sb.set_reserved_blocks((percent * blocks as f64 / 100.0) as u64);
    sb.set_blocks_count(blocks);
    sb.inodes_count = groups * old.g.inodes_per_group;
    sb.overhead = 0;
    if let Some(stride) = options.stride {
        sb.raid_stride = stride;
    }
    Layout::new(sb, size)
}

/// Whether the last of `groups` groups will hold a copy of the superblock. With `sparse_super2` that is where there was a
/// backup of that kind.
fn last_has_superblock(sb: &Superblock, groups: u32) -> bool {
    if sb.features().compat.contains(Compat::SPARSE_SUPER2) {
        let [first, second] = sb.backup_groups;
        return if groups == 2 { first != 0 } else { second != 0 };
    }
    sb.group_has_superblock(groups - 1)
}

/// Groups with backups, with `sparse_super2`: the second one moves with the end.
fn backups(old: [u32; 2], old_groups: u32, groups: u32) -> [u32; 2] {
    let [mut first, mut second] = old;
    let (last, old_last) = (groups - 1, old_groups - 1);
    if last > old_last {
        if old_groups == 1 {
            first = 1;
        }
        if (old_groups == 1 && last > 1)
            || (old_groups == 2 && first != 0)
            || second == old_last && second != 0
        {
            second = last;
        }
    } else if last < old_last {
        if first > last {
            first = 0;
        }
        if second > last {
            second = 0;
        }
        if last > 1 && old == [old[0], old_last] {
            second = last;
        }
    }
    [first, second]
}

fn change_width(sb: &mut Superblock, width: BlockNumbers) -> Result<()> {
    let mut features = sb.features();
    match width {
        BlockNumbers::Keep => return Ok(()),
        BlockNumbers::Bits64 => {
            if !features.incompat.contains(Incompat::EXTENTS) {
                return Err(Error::unsupported("64bit without the feature extent"));
            }
            features.incompat |= Incompat::BIT64;
            sb.descriptor_size = sb.descriptor_size.max(64);
        }
        BlockNumbers::Bits32 => {
            if sb.blocks_count() > u64::from(u32::MAX) {
                return Err(Error::unsupported(
                    "32-bit block numbers for more than 2^32 blocks",
                ));
            }
            features.incompat -= Incompat::BIT64;
            sb.descriptor_size = 0;
        }
    }
    sb.set_features(features);
    Ok(())
}
