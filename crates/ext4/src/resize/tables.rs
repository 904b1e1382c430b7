//! Places for bitmaps and inode tables: those of new groups, and those that have to make room.
//!
//! With `flex_bg` a structure goes behind the last one of its kind in the flex group, else where the remaining ones fit
//! together, else anywhere. Without, it stays in its group, in the first room that no structure has; where there is none, all three
//! are shifted together to directly behind the descriptors. What files have there is moved.

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

/// Structures of a group that get other places there, once everything else is out of their way.
#[derive(Debug)]
pub(super) struct Shift {
    /// Where the inode table was and will be.
    table: (u64, u64),
    /// Old places, in clusters.
    freed: Vec<Range<u64>>,
    /// New places, in clusters.
    taken: Vec<Range<u64>>,
}

impl Resizer {
    /// Without `flex_bg`: finds other places in their groups for structures that are in the way, whatever files have there.
    /// Returns the clusters of those places.
    pub(super) fn place_within_groups(
        &mut self,
        evacuated: &BlockSet,
        all_tables: &BlockSet,
        kept: u32,
    ) -> Result<Vec<Range<u64>>> {
        let mut placed = Vec::new();
        if self.new.has_flex() {
            return Ok(placed);
        }
        for group in 0..kept {
            let Some(desc) = self.old_groups.get(group as usize).cloned() else {
                break;
            };
            let tables = self.old.tables(&desc).map(|blocks| self.old.clusters_of(&blocks));
            if !tables.iter().any(|clusters| evacuated.meets(clusters)) {
                continue;
            }
            self.space.touch(group)?;
            self.inodes.load(group, &desc)?;
            let shift = match self.first_places(group, &tables, evacuated, all_tables) {
                Some((places, freed)) => self.shift_to(group, &places, freed),
                None => {
                    let start = self.behind_base(group)?.start;
                    let places = PARTS.map(|part| (part, self.part_at(start, part)));
                    self.shift_to(group, &places, tables.to_vec())
                }
            };
            placed.extend(shift.taken.iter().cloned());
            self.shifts.push(shift);
        }
        Ok(placed)
    }

    /// The first places in a group that no structure has, for each part that is in the way; and what those leave.
    #[allow(clippy::type_complexity, reason = "a list and a list")]
    fn first_places(
        &self,
        group: u32,
        tables: &[Range<u64>; 3],
        evacuated: &BlockSet,
        all_tables: &BlockSet,
    ) -> Option<(Vec<(Part, u64)>, Vec<Range<u64>>)> {
        let mut taken = all_tables.ranges().to_vec();
        taken.push(self.new.clusters_of(&self.new.base(group)));
        let (mut places, mut freed) = (Vec::new(), Vec::new());
        for (part, clusters) in PARTS.into_iter().zip(tables) {
            if !evacuated.meets(clusters) {
                continue;
            }
            let need = clusters.end - clusters.start;
            let gaps = BlockSet::new(taken.clone()).gaps(self.new.group_clusters(group));
            let gap = gaps.into_iter().find(|gap| gap.end - gap.start >= need)?;
            taken.push(gap.start..gap.start + need);
            places.push((part, self.new.block_of(gap.start)));
            freed.push(clusters.clone());
        }
        Some((places, freed))
    }

    /// Gives parts of a group other places; what they leave is freed later.
    fn shift_to(&mut self, group: u32, places: &[(Part, u64)], freed: Vec<Range<u64>>) -> Shift {
        let end = self.new.clusters();
        let mut shift = Shift {
            table: (0, 0),
            freed: freed
                .into_iter()
                .map(|clusters| clusters.start.min(end)..clusters.end.min(end))
                .collect(),
            taken: Vec::new(),
        };
        for (part, block) in places {
            let mut len = 1;
            if *part == Part::InodeTable {
                len = u64::from(self.new.g.table_blocks);
                let from = self
                    .old_groups
                    .get(group as usize)
                    .map_or(0, GroupDescriptor::inode_table);
                shift.table = (from, *block);
            }
            shift.taken.push(self.new.clusters_of(&(*block..*block + len)));
            if let Some(slot) = self.groups.get_mut(group as usize) {
                part.set(slot, *block);
            }
        }
        shift
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

    /// With `flex_bg`: finds free places for the structures of kept groups that are in the way, and copies them at once.
    pub(super) fn replace_tables(&mut self, evacuated: &BlockSet, kept: u32) -> Result<()> {
        if !self.new.has_flex() {
            return Ok(());
        }
        for group in 0..kept {
            let Some(desc) = self.old_groups.get(group as usize).cloned() else {
                break;
            };
            for (part, blocks) in PARTS.into_iter().zip(self.old.tables(&desc)) {
                let clusters = self.old.clusters_of(&blocks);
                if !evacuated.meets(&clusters) {
                    continue;
                }
                self.space.touch(group)?;
                self.inodes.load(group, &desc)?;
                let len = blocks.end - blocks.start;
                let place = self.place_in_flex(group, part, len)?;
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

    /// Copies the inode tables that are shifted: nothing else is in their way any more.
    pub(super) fn move_tables(&mut self) -> Result<()> {
        for shift in std::mem::take(&mut self.shifts) {
            let (from, to) = shift.table;
            if from != to {
                let len = self.old.g.offset(u64::from(self.old.g.table_blocks));
                let table = read_vec(&*self.storage, self.old.g.offset(from), len as usize)?;
                self.storage.write_at(self.old.g.offset(to), &table)?;
            }
            for clusters in &shift.freed {
                self.space.fill(clusters, false)?;
            }
            for clusters in &shift.taken {
                self.space.fill(clusters, true)?;
            }
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
