//! An estimate of the smallest size that holds a filesystem's files: the number that `resize2fs -P` prints.
//!
//! It is made up of whole groups for the inodes, of more groups for the data beside all structures, with a flex group's
//! structures counted as a whole, and of a margin for extent trees that grow when files are moved.

use super::layout::Layout;
use crate::features::Incompat;
use crate::group_descriptor::GroupDescriptor;

/// A last group with fewer blocks to use is not worth its structures.
const LAST_GROUP_USE: u64 = 50;
/// The share of what is given up that is kept as a margin for extent trees.
const MARGIN_SHARE: u64 = 500;

struct Estimate<'a> {
    layout: &'a Layout,
    per_group: u64,
    /// Groups that hold inodes or data.
    groups: u32,
    /// Groups whose structures count: up to the end of the flex group.
    counted: u32,
    /// Blocks for data, without structures.
    room: u64,
    /// Blocks for data before the last group.
    room_before_last: u64,
}

impl Estimate<'_> {
    /// Blocks that a group's structures take.
    fn overhead(&self, group: u32) -> u64 {
        let g = &self.layout.g;
        let mut blocks = 2 + u64::from(g.table_blocks);
        if group == 0 || self.layout.sb.group_has_superblock(group) {
            blocks += 1;
        }
        if let Some(copy) = self.layout.descriptors_in(group) {
            blocks += if group / g.descriptors_per_block() >= g.first_meta_bg {
                u64::from(copy.len)
            } else if g.has_incompat(Incompat::META_BG) {
                u64::from(g.first_meta_bg)
            } else {
                u64::from(g.descriptor_blocks() + g.reserved_gdt_blocks)
            };
        }
        blocks
    }

    /// The end of the flex group that follows `groups` groups.
    fn flex_end(&self, groups: u32) -> u32 {
        let g = &self.layout.g;
        if !g.has_incompat(Incompat::FLEX_BG) {
            return groups;
        }
        let size = g.groups_per_flex;
        groups.saturating_add(size - groups % size).min(g.groups)
    }

    /// Counts the structures of groups up to the end of the flex group.
    fn count(&mut self, from: u32) {
        for group in from..self.counted {
            let overhead = self.overhead(group);
            if group + 1 < self.groups {
                self.room_before_last += self.per_group - overhead.min(self.per_group);
            }
            self.room = self.room.saturating_sub(overhead);
        }
    }

    fn add_groups(&mut self, more: u64) {
        self.room += more * self.per_group;
        let last = self.overhead(self.groups.saturating_sub(1));
        self.room_before_last += self.per_group - last.min(self.per_group);
        let counted = self.counted;
        self.groups = self.groups.saturating_add(more as u32);
        let has_flex = self.layout.g.has_incompat(Incompat::FLEX_BG);
        if !has_flex || self.groups > self.counted {
            self.counted = self.flex_end(self.groups);
        }
        self.count(counted);
    }
}

/// The estimate, in blocks.
pub(super) fn blocks(layout: &Layout, descriptors: &[GroupDescriptor]) -> u64 {
    let g = &layout.g;
    let inodes = u64::from(g.inodes_count)
        - descriptors
            .iter()
            .map(|d| u64::from(d.free_inodes()))
            .sum::<u64>()
            .min(u64::from(g.inodes_count));
    let groups = inodes.div_ceil(u64::from(g.inodes_per_group)).max(1) as u32;
    let mut estimate = Estimate {
        layout,
        per_group: u64::from(g.blocks_per_group),
        groups,
        counted: groups,
        room: 0,
        room_before_last: 0,
    };
    let mut data = g.blocks_count;
    for (group, desc) in (0..g.groups).zip(descriptors) {
        let free = u64::from(desc.free_clusters()) << g.cluster_shift;
        data = data.saturating_sub(free + estimate.overhead(group));
    }
    estimate.counted = estimate.flex_end(groups);
    estimate.room = u64::from(groups) * estimate.per_group;
    estimate.count(0);
    while data > estimate.room {
        let more = (data - estimate.room).div_ceil(estimate.per_group);
        if u64::from(estimate.groups) + more > u64::from(g.groups) {
            return g.blocks_count;
        }
        estimate.add_groups(more);
    }
    // The last group: its structures (those of a flex group that begins with it all count), and what data is left.
    let last = estimate.groups - 1;
    let from = if g.has_incompat(Incompat::FLEX_BG) && last & !(g.groups_per_flex - 1) == 0 {
        0
    } else {
        last
    };
    let mut tail: u64 = (from..estimate.counted)
        .map(|group| estimate.overhead(group))
        .sum();
    tail += data.saturating_sub(estimate.room_before_last).max(LAST_GROUP_USE);
    tail += g.first_data_block;
    let mut needed = u64::from(estimate.groups - 1) * estimate.per_group + tail;
    // The last group's inode table stays where it is.
    let table = descriptors
        .get(last as usize)
        .map_or(0, GroupDescriptor::inode_table);
    needed = needed.max(table + u64::from(g.table_blocks));
    if needed >= g.blocks_count {
        return g.blocks_count;
    }
    if g.has_incompat(Incompat::EXTENTS) {
        let per_node = u64::from(g.block_size / 12).saturating_sub(1);
        let worst = data.div_ceil(per_node).max(inodes);
        needed += ((g.blocks_count - needed) / MARGIN_SHARE).min(worst);
    }
    needed
}
