//! Where each group's bitmaps and inode table lie, and which blocks are taken.

use super::options::FormatOptions;
use super::ranges::Ranges;
use super::sizes::Sizes;
use crate::error::{Error, Result};
use crate::features::Incompat;

/// What one group's descriptor will say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    /// Whether blocks were given to something besides the copies of superblock and descriptors, so that its bitmap has
    /// to be written.
    pub(super) touched: bool,
}

/// All groups, and the blocks taken so far.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    pub(super) sizes: Sizes,
    pub(super) taken: Ranges,
    pub(super) list: Vec<Group>,
    stride: u16,
}

fn no_space() -> Error {
    Error::InvalidOption {
        what: "size",
        reason: "too small for the structures of the filesystem".into(),
    }
}

impl Groups {
    /// Takes the copies of superblock and descriptors, then places bitmaps and inode tables: with `flex_bg` those of a
    /// flex group together at its start, with `packed` all of them at the start of the filesystem, otherwise each in its group.
    pub(super) fn new(sizes: Sizes, options: &FormatOptions) -> Result<Self> {
        let mut this = Self {
            sizes,
            taken: Ranges::default(),
            list: vec![Group::default(); sizes.groups as usize],
            stride: options.stride,
        };
        for group in 0..sizes.groups {
            if sizes.has_super(group) {
                let start = sizes.group_start(group);
                this.taken.take(start, sizes.super_block(group) + 1 - start);
            }
            if let Some(copy) = sizes.descriptors_in(group) {
                let reserved = if sizes.has_super(group) {
                    sizes.reserved_gdt_blocks
                } else {
                    0
                };
                let len = u64::from(copy.len + reserved);
                let limit = sizes.blocks.saturating_sub(copy.block);
                this.taken.take(copy.block, len.min(limit));
            }
        }
        if options.packed && sizes.features.incompat.contains(Incompat::FLEX_BG) {
            this.place_packed()?;
        } else if sizes.flex_groups > 1 {
            for first in (0..sizes.groups).step_by(sizes.flex_groups as usize) {
                this.place_flex_group(first)?;
            }
        } else {
            for group in 0..sizes.groups {
                this.place_group(group)?;
            }
        }
        // From here on whole clusters are given away.
        if sizes.cluster > 1 {
            for range in this.taken.within(0..sizes.blocks) {
                this.take_clusters(range.start, range.end - range.start);
            }
        }
        Ok(this)
    }

    fn place_group(&mut self, group: u32) -> Result<()> {
        let (start, end) = (self.sizes.group_start(group), self.sizes.group_end(group));
        let spread = self.spread(group, start, end);
        let mut place = |len: u32| {
            let from = if len == 1 { spread } else { start };
            let block = self
                .taken
                .find(from, end, len.into(), end)
                .or_else(|| self.taken.find(start, end, len.into(), end))
                .ok_or_else(no_space)?;
            self.taken.take(block, len.into());
            Ok::<u64, Error>(block)
        };
        let placed = Group {
            block_bitmap: place(1)?,
            inode_bitmap: place(1)?,
            inode_table: place(self.sizes.inode_blocks_per_group)?,
            touched: false,
        };
        if let Some(slot) = self.list.get_mut(group as usize) {
            *slot = placed;
        }
        Ok(())
    }

    /// Where the bitmaps of a group are looked for: with a RAID stride further on in each group, so that they do not all come to
    /// lie on one disk.
    fn spread(&self, group: u32, start: u64, end: u64) -> u64 {
        let stride = u64::from(self.stride);
        let (Some(last), true) = (end.checked_sub(1), stride > 0) else {
            return start;
        };
        let from = self.taken.first_free(start) + u64::from(self.sizes.inode_blocks_per_group);
        let Some(room) = last.checked_sub(from) else {
            return start;
        };
        let from = from + stride * u64::from(group) % (room + 1);
        if from < last { from } else { start }
    }

    fn take_clusters(&mut self, start: u64, len: u64) {
        let cluster = u64::from(self.sizes.cluster);
        let first = start - start % cluster;
        let end = start.saturating_add(len).next_multiple_of(cluster);
        self.taken.take(first, end - first);
    }

    /// All block bitmaps, then all inode bitmaps, then all tables, each where there is room behind the one before.
    fn place_packed(&mut self) -> Result<()> {
        let sizes = self.sizes;
        let mut goal = u64::from(sizes.first_data_block);
        for kind in 0..3 {
            let len = if kind == 2 {
                sizes.inode_blocks_per_group
            } else {
                1
            };
            for group in 0..sizes.groups {
                let block = self
                    .taken
                    .find(goal, sizes.blocks, len.into(), sizes.blocks)
                    .ok_or_else(no_space)?;
                goal = block + u64::from(len);
                self.taken.take(block, len.into());
                self.touch(block, len.into());
                if let Some(slot) = self.list.get_mut(group as usize) {
                    match kind {
                        0 => slot.block_bitmap = block,
                        1 => slot.inode_bitmap = block,
                        _ => slot.inode_table = block,
                    }
                }
            }
        }
        Ok(())
    }

    /// All block bitmaps of a flex group stand together where there is room, then all inode bitmaps, then the tables.
    fn place_flex_group(&mut self, first: u32) -> Result<()> {
        let sizes = self.sizes;
        let last = first.saturating_add(sizes.flex_groups - 1).min(sizes.groups - 1);
        let mut goals = [0u64; 3];
        for group in first..=last {
            let left = last - group + 1;
            let mut placed = [0u64; 3];
            for (i, len) in [1, 1, sizes.inode_blocks_per_group].into_iter().enumerate() {
                if group == first
                    && let Some(before) = i.checked_sub(1).and_then(|i| placed.get(i))
                    && let Some(goal) = goals.get_mut(i)
                {
                    // A group that is alone gets the gaps of a full flex group.
                    *goal = before + u64::from(if left == 1 { sizes.flex_groups } else { left });
                }
                let goal = goals.get(i).copied().unwrap_or(0);
                let block = self.place_in_flex(first, last, goal, left, len)?;
                self.taken.take(block, len.into());
                self.touch(block, len.into());
                if let Some(goal) = goals.get_mut(i) {
                    *goal = block + u64::from(len);
                }
                if let Some(slot) = placed.get_mut(i) {
                    *slot = block;
                }
            }
            let [block_bitmap, inode_bitmap, inode_table] = placed;
            if let Some(slot) = self.list.get_mut(group as usize) {
                (slot.block_bitmap, slot.inode_bitmap, slot.inode_table) =
                    (block_bitmap, inode_bitmap, inode_table);
            }
        }
        Ok(())
    }

    /// A place for one structure of `len` blocks: behind the last of its kind, else where the remaining `left` ones fit
    /// together, else anywhere.
    fn place_in_flex(&self, first: u32, last: u32, goal: u64, left: u32, len: u32) -> Result<u64> {
        let sizes = &self.sizes;
        let len = u64::from(len);
        if goal != 0 && goal + len <= sizes.blocks && self.taken.is_free(goal, len) {
            return Ok(goal);
        }
        let all = (u64::from(left) * len).min(u64::from(sizes.blocks_per_group / 4));
        let start = sizes.group_start(first);
        let end = sizes.group_end(last);
        self.taken
            .find(start, end, all.max(len), sizes.blocks)
            .or_else(|| self.taken.find(start, end, len, sizes.blocks))
            .or_else(|| {
                self.taken
                    .find(sizes.first_data_block.into(), end, len, sizes.blocks)
            })
            .or_else(|| {
                self.taken
                    .find(sizes.first_data_block.into(), sizes.blocks, len, sizes.blocks)
            })
            .ok_or_else(no_space)
    }

    /// Takes blocks; the groups that they are in need their bitmaps written.
    pub(super) fn take(&mut self, start: u64, len: u64) {
        self.take_clusters(start, len);
        self.touch(start, len);
    }

    fn touch(&mut self, start: u64, len: u64) {
        let last = start.saturating_add(len).saturating_sub(1);
        for group in self.sizes.group_of(start)..=self.sizes.group_of(last) {
            if let Some(group) = self.list.get_mut(group as usize) {
                group.touched = true;
            }
        }
    }

    /// Takes up to `len` free blocks in a row, the first at or after `goal`, else from the start.
    pub(super) fn allocate(&mut self, goal: u64, len: u64) -> Result<(u64, u64)> {
        let first = self.sizes.first_data_block.into();
        let goal = goal - goal % u64::from(self.sizes.cluster);
        let mut start = self.taken.first_free(goal.max(first));
        if start >= self.sizes.blocks {
            start = self.taken.first_free(first);
        }
        if start >= self.sizes.blocks {
            return Err(no_space());
        }
        let end = self.taken.first_taken(start).unwrap_or(self.sizes.blocks);
        let len = len.min(end.min(self.sizes.blocks) - start);
        self.take(start, len);
        Ok((start, len))
    }

    /// Takes up to `len` free blocks in a row: all of them together where there is room, at or after `goal` if possible; else
    /// the first that are free.
    pub(super) fn place(&mut self, goal: u64, len: u64) -> Result<(u64, u64)> {
        let first = u64::from(self.sizes.first_data_block);
        let end = self.sizes.blocks;
        let start = if self.taken.is_free(goal.max(first), len) && goal >= first && goal + len <= end {
            Some(goal)
        } else {
            self.taken.find(first, end, len, end)
        };
        match start {
            Some(start) => {
                self.take(start, len);
                Ok((start, len))
            }
            None => self
                .allocate(first, len)
                .map_err(|_| Error::NoSpace { what: "blocks" }),
        }
    }

    /// Free blocks of a group.
    pub(super) fn free_in(&self, group: u32) -> u32 {
        let range = self.sizes.group_start(group)..self.sizes.group_end(group);
        let taken: u64 = self
            .taken
            .within(range.clone())
            .iter()
            .map(|r| r.end - r.start)
            .sum();
        (range.end - range.start - taken) as u32
    }

    /// Where mke2fs looks for room for the journal: in the middle, in the group with the most room.
    pub(super) fn journal_goal(&self) -> u64 {
        let sizes = &self.sizes;
        let middle = (sizes.blocks - u64::from(sizes.first_data_block)) / 2;
        let mut group = sizes.group_of(middle);
        let start;
        if sizes.flex_groups > 1 && group > sizes.flex_groups {
            group &= !(sizes.flex_groups - 1);
            while group < sizes.groups && self.free_in(group) == 0 {
                group += 1;
            }
            if group == sizes.groups {
                group = 0;
            }
            start = group;
        } else {
            start = group.saturating_sub(1);
        }
        let end = if group + 1 < sizes.groups {
            group + 1
        } else {
            group
        };
        let mut best = start;
        for other in start + 1..=end {
            if self.free_in(other) > self.free_in(best) {
                best = other;
            }
        }
        sizes.group_start(best)
    }
}
