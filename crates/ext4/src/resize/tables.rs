//! Places for bitmaps and inode tables: those of new groups, and those that have to make room.
//!
//! With `flex_bg` a structure goes behind the last one of its kind in the flex group, else where the remaining ones fit
//! together, else anywhere. Without, it stays in its group, in the first room that is free; where there is none, all three
//! are shifted together to directly behind the descriptors, and what files have there is moved.

use super::Resizer;
use super::block_set::BlockSet;
use crate::error::{Error, Result};
use crate::group_descriptor::{GROUP_INODE_UNINIT, GROUP_INODE_ZEROED, GroupDescriptor};
use disksmith_storage::{Storage, ZeroMode, copy, read_vec};
use std::ops::Range;

/// The structures of a group, in the order in which they are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    BlockBitmap,
    InodeBitmap,
    InodeTable,
}

const PARTS: [Part; 3] = [Part::BlockBitmap, Part::InodeBitmap, Part::InodeTable];

impl Part {
    fn of(self, desc: &GroupDescriptor) -> u64 {
        match self {
            Self::BlockBitmap => desc.block_bitmap(),
            Self::InodeBitmap => desc.inode_bitmap(),
            Self::InodeTable => desc.inode_table(),
        }
    }

    fn set(self, desc: &mut GroupDescriptor, block: u64) {
        match self {
            Self::BlockBitmap => desc.set_block_bitmap(block),
            Self::InodeBitmap => desc.set_inode_bitmap(block),
            Self::InodeTable => desc.set_inode_table(block),
        }
    }
}

/// An inode table that is copied once everything else is out of its way.
#[derive(Debug)]
pub(super) struct Shift {
    from: u64,
    to: u64,
    /// Old places of the group's structures, in clusters.
    freed: Vec<Range<u64>>,
    /// Their new places.
    taken: Range<u64>,
}

impl Resizer {
    /// Groups without `flex_bg` whose structures have to be shifted, since there is no free room for those that are in the
    /// way, with the blocks that they will take.
    pub(super) fn find_shifted(&mut self, evacuated: &BlockSet, kept: u32) -> Result<Vec<(u32, Range<u64>)>> {
        let mut shifted = Vec::new();
        if self.new.has_flex() {
            return Ok(shifted);
        }
        for group in 0..kept {
            let Some(desc) = self.old_groups.get(group as usize) else {
                break;
            };
            let tables = self.old.tables(desc).map(|blocks| self.old.clusters_of(&blocks));
            let room: u64 = tables
                .iter()
                .filter(|clusters| evacuated.meets(clusters))
                .map(|clusters| clusters.end - clusters.start)
                .sum();
            let group_clusters = self.new.group_clusters(group);
            if room > 0 && self.space.find(&group_clusters, room)?.is_none() {
                shifted.push((group, self.behind_base(group)?));
            }
        }
        Ok(shifted)
    }

    /// The blocks directly behind a group's descriptors, as many as its structures take.
    fn behind_base(&self, group: u32) -> Result<Range<u64>> {
        let start = self.up_to_cluster(self.new.base(group).end);
        let end = self.part_at(start, Part::InodeTable) + u64::from(self.new.g.table_blocks);
        let limit = self.new.g.group_start(group) + u64::from(self.new.g.group_blocks(group));
        if end > limit {
            return Err(Error::NoSpace { what: "blocks" });
        }
        Ok(start..end)
    }

    fn up_to_cluster(&self, block: u64) -> u64 {
        let first = self.new.g.first_data_block;
        let size = u64::from(self.new.g.cluster_blocks());
        first + (block - first).next_multiple_of(size)
    }

    /// Where a part lies when all three follow each other from `start`, each in clusters of its own.
    fn part_at(&self, start: u64, part: Part) -> u64 {
        let size = u64::from(self.new.g.cluster_blocks());
        match part {
            Part::BlockBitmap => start,
            Part::InodeBitmap => start + size,
            Part::InodeTable => start + 2 * size,
        }
    }

    /// Finds new places for the structures of kept groups that are in the way. Those that go to free room are copied at
    /// once.
    pub(super) fn replace_tables(
        &mut self,
        evacuated: &BlockSet,
        shifted: &[(u32, Range<u64>)],
        kept: u32,
    ) -> Result<()> {
        for (group, blocks) in shifted {
            self.shift_group(*group, blocks)?;
        }
        for group in 0..kept {
            let Some(desc) = self.old_groups.get(group as usize).cloned() else {
                break;
            };
            if shifted.iter().any(|(other, _)| *other == group) {
                continue;
            }
            for (part, blocks) in PARTS.into_iter().zip(self.old.tables(&desc)) {
                let clusters = self.old.clusters_of(&blocks);
                if !evacuated.meets(&clusters) {
                    continue;
                }
                self.space.touch(group)?;
                self.inodes.load(group, &desc)?;
                let len = blocks.end - blocks.start;
                let place = if self.new.has_flex() {
                    self.place_in_flex(group, part, len)?
                } else {
                    self.place_in_group(group, part, len)?
                };
                if part == Part::InodeTable {
                    let offset = |block| self.old.g.offset(block);
                    let storage = &*self.storage;
                    copy(
                        storage,
                        offset(blocks.start),
                        storage,
                        offset(place),
                        offset(len),
                        false,
                    )?;
                }
                for gap in evacuated.gaps(clusters) {
                    let gap = gap.start..gap.end.min(self.new.clusters());
                    self.space.fill(&gap, false)?;
                }
            }
        }
        Ok(())
    }

    fn shift_group(&mut self, group: u32, blocks: &Range<u64>) -> Result<()> {
        let Some(desc) = self.old_groups.get(group as usize).cloned() else {
            return Ok(());
        };
        self.space.touch(group)?;
        self.inodes.load(group, &desc)?;
        let places = PARTS.map(|part| (part, self.part_at(blocks.start, part)));
        let to = self.part_at(blocks.start, Part::InodeTable);
        if let Some(slot) = self.groups.get_mut(group as usize) {
            for (part, block) in places {
                part.set(slot, block);
            }
        }
        let end = self.new.clusters();
        let freed = self.old.tables(&desc).map(|blocks| {
            let clusters = self.old.clusters_of(&blocks);
            clusters.start.min(end)..clusters.end.min(end)
        });
        self.shifts.push(Shift {
            from: desc.inode_table(),
            to,
            freed: freed.to_vec(),
            taken: self.new.clusters_of(blocks),
        });
        Ok(())
    }

    /// Copies the inode tables that are shifted: nothing else is in their way any more.
    pub(super) fn move_tables(&mut self) -> Result<()> {
        for shift in std::mem::take(&mut self.shifts) {
            let len = self.old.g.offset(u64::from(self.old.g.table_blocks));
            let table = read_vec(&*self.storage, self.old.g.offset(shift.from), len as usize)?;
            self.storage.write_at(self.old.g.offset(shift.to), &table)?;
            for clusters in &shift.freed {
                self.space.fill(clusters, false)?;
            }
            self.space.fill(&shift.taken, true)?;
        }
        // What was freed may have been where descriptors are now.
        for group in 0..self.old.g.groups.min(self.new.g.groups) {
            let base = self.new.clusters_of(&self.new.base(group));
            if base != self.old.clusters_of(&self.old.base(group)) {
                self.space.fill(&base, true)?;
            }
        }
        Ok(())
    }

    /// Places the structures of new groups, and clears their inode tables.
    pub(super) fn place_new_groups(&mut self) -> Result<()> {
        let checksums = self.new.g.features.has_group_checksums();
        for group in self.old.g.groups..self.new.g.groups {
            // As resize2fs has it: a bitmap that has nothing but the group's own bitmaps and table is not written.
            let base = self.new.base(group);
            if base.start < base.end {
                self.space.touch(group)?;
            }
            if let Some(desc) = self.groups.get_mut(group as usize) {
                desc.set_free_inodes(self.new.g.inodes_per_group);
                if checksums {
                    desc.flags = GROUP_INODE_UNINIT | GROUP_INODE_ZEROED;
                    desc.set_itable_unused(self.new.g.inodes_per_group);
                }
            }
            if self.new.has_flex() {
                for part in PARTS {
                    let len = match part {
                        Part::InodeTable => u64::from(self.new.g.table_blocks),
                        _ => 1,
                    };
                    self.place_in_flex(group, part, len)?;
                }
            } else {
                let blocks = self.behind_base(group)?;
                let places = PARTS.map(|part| (part, self.part_at(blocks.start, part)));
                if let Some(desc) = self.groups.get_mut(group as usize) {
                    for (part, block) in places {
                        part.set(desc, block);
                    }
                    let desc = desc.clone();
                    self.space.set_descriptor(group, &desc);
                }
                let clusters = self.new.clusters_of(&blocks);
                self.space.fill_loaded(group, &clusters);
            }
            if let Some(desc) = self.groups.get(group as usize) {
                let offset = self.new.g.offset(desc.inode_table());
                let len = self.new.g.offset(u64::from(self.new.g.table_blocks));
                clear(&*self.storage, offset, len)?;
            }
        }
        Ok(())
    }

    /// Takes the first free place for a structure in its group.
    fn place_in_group(&mut self, group: u32, part: Part, len: u64) -> Result<u64> {
        let need = len.div_ceil(u64::from(self.new.g.cluster_blocks()));
        let range = self.new.group_clusters(group);
        let cluster = self
            .space
            .find(&range, need)?
            .ok_or(Error::NoSpace { what: "blocks" })?;
        self.space.fill(&(cluster..cluster + need), true)?;
        let block = self.new.block_of(cluster);
        if let Some(desc) = self.groups.get_mut(group as usize) {
            part.set(desc, block);
        }
        Ok(block)
    }

    /// Takes a place for a structure in the flex group of its group.
    fn place_in_flex(&mut self, group: u32, part: Part, len: u64) -> Result<u64> {
        let flex = self.new.g.groups_per_flex;
        let first = group / flex * flex;
        let last = first.saturating_add(flex - 1).min(self.new.g.groups - 1);
        let left = u64::from(last - group + 1);
        let goal = if group != first {
            let before = self
                .groups
                .get(group as usize - 1)
                .map_or(0, |desc| part.of(desc));
            before + len
        } else {
            let own = |part: Part| self.groups.get(group as usize).map_or(0, |desc| part.of(desc));
            match part {
                Part::BlockBitmap => 0,
                Part::InodeBitmap => own(Part::BlockBitmap) + u64::from(flex),
                Part::InodeTable => own(Part::InodeBitmap) + u64::from(flex),
            }
        };
        let block = self.find_place(first, last, goal, left, len)?;
        let clusters = self.new.clusters_of(&(block..block + len));
        self.space.fill(&clusters, true)?;
        if let Some(desc) = self.groups.get_mut(group as usize) {
            part.set(desc, block);
        }
        Ok(block)
    }

    fn find_place(&mut self, first: u32, last: u32, goal: u64, left: u64, len: u64) -> Result<u64> {
        let layout = self.new.clone();
        let clusters = |blocks: u64| blocks.div_ceil(u64::from(layout.g.cluster_blocks()));
        let need = clusters(len);
        if goal > layout.g.first_data_block && goal + len <= layout.g.blocks_count {
            let wanted = layout.clusters_of(&(goal..goal + len));
            let run = self.space.find(&wanted, wanted.end - wanted.start)?;
            if run == Some(wanted.start) {
                return Ok(goal);
            }
        }
        let all = clusters((left * len).min(u64::from(layout.g.blocks_per_group / 4))).max(need);
        let start = layout.group_clusters(first).start;
        let end = layout.group_clusters(last).end;
        for (range, want) in [
            (start..end, all),
            (start..end, need),
            (0..end, need),
            (0..layout.clusters(), need),
        ] {
            if let Some(cluster) = self.space.find(&range, want)? {
                return Ok(layout.block_of(cluster));
            }
        }
        Err(Error::NoSpace { what: "blocks" })
    }
}

/// Makes a range read as zeroes, as far as it does not already.
pub(super) fn clear(storage: &dyn Storage, offset: u64, len: u64) -> Result<()> {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let extent = storage.extent_at(at, end - at)?;
        let run = extent.len.clamp(1, end - at);
        if !extent.reads_as_zero() {
            storage.write_zeroes(at, run, ZeroMode::Unmap)?;
        }
        at += run;
    }
    Ok(())
}
