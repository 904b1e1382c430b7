//! Block bitmaps: taking and freeing clusters.

use crate::bitmap;
use crate::cache::Block;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::group_descriptor::{GROUP_BLOCK_UNINIT, GroupDescriptor};
use std::sync::Arc;

/// A run of blocks of the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRun {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// A wish for blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Block where it would be best.
    pub(crate) goal: u64,
    /// Whether anything but the goal itself breaks a run that exists.
    pub(crate) continues: bool,
    /// Blocks that are needed now.
    pub(crate) len: u64,
    /// Length of free run that it should be able to grow into.
    pub(crate) room: u64,
}

/// An allocation that ends at most this many clusters in front of a group's cursor is taken for one in room that was left.
const MAX_WINDOW: u32 = 8192;

impl Core {
    /// The block bitmap of a group, made up where it is not initialised.
    pub(crate) fn block_bitmap(&self, group: u32, desc: &GroupDescriptor) -> Result<Block> {
        let g = &self.geometry;
        if desc.has(GROUP_BLOCK_UNINIT) && g.features.has_group_checksums() {
            return Ok(Arc::new(self.fresh_block_bitmap(group)));
        }
        let block = desc.block_bitmap();
        self.block(block, |data| {
            let used = (g.clusters_per_group / 8) as usize;
            let Some(want) = g.checksums.bitmap(data.get(..used).unwrap_or(data)) else {
                return Ok(());
            };
            let (stored, mask) = if g.descriptor_size >= 64 {
                (desc.block_bitmap_csum(), u32::MAX)
            } else {
                (u32::from(desc.block_bitmap_csum_lo), 0xffff)
            };
            if want & mask != stored {
                return Err(Error::corrupt(
                    format!("block bitmap of group {group}"),
                    g.offset(block),
                    "bg_block_bitmap_csum",
                    u64::from(stored),
                    "the checksum does not match",
                ));
            }
            Ok(())
        })
    }

    /// The bitmap that an uninitialised group stands for: only the group's own metadata is in use.
    fn fresh_block_bitmap(&self, group: u32) -> Vec<u8> {
        let g = &self.geometry;
        let mut bits = vec![0u8; g.block_size as usize];
        let base = g.base_blocks(&self.superblock, group);
        bitmap::fill(&mut bits, 0, base.div_ceil(g.cluster_blocks()), true);
        let desc = self.group(group);
        for (start, len) in [
            (desc.block_bitmap(), 1),
            (desc.inode_bitmap(), 1),
            (desc.inode_table(), u64::from(g.table_blocks)),
        ] {
            let (first, last) = (g.locate(start), g.locate(start.saturating_add(len - 1)));
            if first.0 == group {
                let end = if last.0 == group {
                    last.1 + 1
                } else {
                    g.clusters_per_group
                };
                bitmap::fill(&mut bits, first.1, end, true);
            }
        }
        bitmap::fill(&mut bits, g.group_clusters(group), g.block_size * 8, true);
        bits
    }

    /// Stores a changed block bitmap and its group's descriptor.
    fn store_block_bitmap(&mut self, group: u32, mut desc: GroupDescriptor, bits: Block) {
        let used = (self.geometry.clusters_per_group / 8) as usize;
        if let Some(crc) = self.geometry.checksums.bitmap(bits.get(..used).unwrap_or(&bits)) {
            desc.set_block_bitmap_csum(crc);
        }
        desc.flags &= !GROUP_BLOCK_UNINIT;
        self.put_block(desc.block_bitmap(), bits);
        self.set_group(group, desc);
    }

    /// Takes at least one block and at most `wish.len`, in one run, as near to the goal as can be. With clusters, whole
    /// clusters are taken: the run starts and ends at cluster boundaries, and `wish.len` counts blocks of whole clusters.
    pub(crate) fn allocate(&mut self, wish: Wish) -> Result<BlockRun> {
        let shift = self.geometry.cluster_shift;
        if self.free_clusters == 0 {
            return Err(Error::NoSpace { what: "blocks" });
        }
        let to_clusters = |blocks: u64| {
            (blocks.div_ceil(1 << shift)).clamp(1, u64::from(self.geometry.clusters_per_group)) as u32
        };
        let (want, room) = (to_clusters(wish.len), to_clusters(wish.room.max(wish.len)));
        let goal = if wish.goal >= self.geometry.blocks_count || wish.goal < self.geometry.first_data_block {
            self.geometry.first_data_block
        } else {
            wish.goal
        };
        let (goal_group, goal_cluster) = self.geometry.locate(goal);
        if wish.continues
            && let Some(run) = self.take_at(goal_group, goal_cluster, want)?
        {
            return Ok(run);
        }
        // A run that cannot go on where it ended was cut off by another one: several files are written at the same time. So
        // it gets room of its own, which what comes later does not start in.
        let crowded = wish.continues && room > want;
        // First a run with room to grow, then one that holds what is needed, then the longest there is.
        let mut lengths = vec![room, want];
        lengths.dedup();
        for length in lengths {
            for step in 0..self.geometry.groups {
                let group = (u64::from(goal_group) + u64::from(step)) % u64::from(self.geometry.groups);
                let group = group as u32;
                if self.hints.longest.get(group as usize).copied().unwrap_or(0) < length {
                    continue;
                }
                let cursor = self.hints.cursor.get(group as usize).copied().unwrap_or(0);
                // What lies before the cursor is left to whoever got it as room.
                let strict = crowded && length == room;
                let from = match step {
                    0 if strict => goal_cluster.max(cursor),
                    _ if strict => cursor,
                    0 => goal_cluster,
                    _ => 0,
                };
                if let Some(start) = self.find_run(group, from, length, strict)? {
                    let run = self.take(group, start, want)?;
                    if strict && let Some(cursor) = self.hints.cursor.get_mut(group as usize) {
                        *cursor = start + room;
                    }
                    return Ok(run);
                }
            }
        }
        let mut order: Vec<u32> = (0..self.geometry.groups).collect();
        order.sort_by_key(|g| std::cmp::Reverse(self.hints.longest.get(*g as usize).copied().unwrap_or(0)));
        for group in order {
            let longest = self.hints.longest.get(group as usize).copied().unwrap_or(0);
            if longest == 0 {
                break;
            }
            if let Some(start) = self.find_run(group, 0, longest, false)? {
                return self.take(group, start, want.min(longest));
            }
            // The hint was too high; now it is exact.
            let longest = self.hints.longest.get(group as usize).copied().unwrap_or(0);
            if longest > 0
                && let Some(start) = self.find_run(group, 0, longest, false)?
            {
                return self.take(group, start, want.min(longest));
            }
        }
        Err(Error::NoSpace { what: "blocks" })
    }

    /// Takes up to `want` clusters that begin exactly at `cluster`, where that is free.
    fn take_at(&mut self, group: u32, cluster: u32, want: u32) -> Result<Option<BlockRun>> {
        let desc = self.group(group);
        if desc.free_clusters() == 0 {
            return Ok(None);
        }
        let bits = self.block_bitmap(group, &desc)?;
        let limit = self.geometry.group_clusters(group);
        let end = bitmap::next_set(&bits, cluster, limit.min(cluster.saturating_add(want)));
        if end <= cluster {
            return Ok(None);
        }
        self.take(group, cluster, end - cluster).map(Some)
    }

    /// Finds a free run of at least `length` clusters, at `from` or behind, else anywhere in the group, unless it is to be
    /// `behind` only.
    fn find_run(&mut self, group: u32, from: u32, length: u32, behind: bool) -> Result<Option<u32>> {
        let desc = self.group(group);
        let limit = self.geometry.group_clusters(group);
        let mut longest = 0;
        let mut found = None;
        if desc.free_clusters() >= length {
            let bits = self.block_bitmap(group, &desc)?;
            let mut at = 0;
            while at < limit {
                let start = bitmap::next_clear(&bits, at, limit);
                if start >= limit {
                    break;
                }
                let end = bitmap::next_set(&bits, start, limit);
                longest = longest.max(end - start);
                if end - start >= length {
                    let inside = from.clamp(start, end);
                    if end - inside >= length {
                        return Ok(Some(inside));
                    }
                    found = found.or(Some(start));
                }
                at = end;
            }
        } else {
            longest = desc.free_clusters();
        }
        if found.is_none()
            && let Some(hint) = self.hints.longest.get_mut(group as usize)
        {
            *hint = longest.min(length.saturating_sub(1));
        }
        Ok(found.filter(|_| !behind))
    }

    /// Marks a free run as used.
    pub(crate) fn take(&mut self, group: u32, cluster: u32, count: u32) -> Result<BlockRun> {
        let mut desc = self.group(group);
        let bits = self.block_bitmap(group, &desc)?;
        let end = cluster + count;
        let Some(free) = desc.free_clusters().checked_sub(count) else {
            return Err(Error::corrupt(
                format!("group descriptor {group}"),
                self.geometry.offset(desc.block_bitmap()),
                "bg_free_blocks_count",
                u64::from(desc.free_clusters()),
                "fewer than the bitmap has",
            ));
        };
        desc.set_free_clusters(free);
        let mut bits = bits;
        bitmap::fill(Arc::<Vec<u8>>::make_mut(&mut bits), cluster, end, true);
        self.store_block_bitmap(group, desc, bits);
        if let Some(cursor) = self.hints.cursor.get_mut(group as usize) {
            // What fills room that was left to it does not draw others in.
            let inside = *cursor > end && *cursor - end <= MAX_WINDOW;
            if !inside {
                *cursor = end;
            }
        }
        let start = self.geometry.cluster_start(group, cluster);
        let len = (u64::from(count) << self.geometry.cluster_shift).min(self.geometry.blocks_count - start);
        Ok(BlockRun { start, len })
    }

    /// Frees a run of blocks. With clusters, every cluster that the run touches is freed whole.
    pub(crate) fn free(&mut self, start: u64, len: u64) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        if !self.geometry.holds(start, len) {
            return Err(Error::corrupt(
                "block run",
                0,
                "start",
                start,
                format!("{len} blocks reach outside of the filesystem"),
            ));
        }
        let mut at = start;
        let end = start + len;
        if let Some(kept_back) = &mut self.kept_back {
            kept_back.push((start, end));
            self.forget_blocks(start, len);
            return Ok(());
        }
        while at < end {
            let (group, cluster) = self.geometry.locate(at);
            let group_end = self.geometry.group_start(group) + u64::from(self.geometry.group_blocks(group));
            let stop = end.min(group_end);
            let (_, last) = self.geometry.locate(stop - 1);
            self.free_in_group(group, cluster, last + 1)?;
            let first_block = self.geometry.cluster_start(group, cluster);
            let last_block = (self.geometry.cluster_start(group, last)
                + u64::from(self.geometry.cluster_blocks()))
            .min(self.geometry.blocks_count);
            self.forget_blocks(first_block, last_block - first_block);
            at = stop;
        }
        Ok(())
    }

    fn free_in_group(&mut self, group: u32, from: u32, end: u32) -> Result<()> {
        let mut desc = self.group(group);
        let mut bits = self.block_bitmap(group, &desc)?;
        if bitmap::next_clear(&bits, from, end) < end {
            let at = bitmap::next_clear(&bits, from, end);
            return Err(Error::corrupt(
                format!("block bitmap of group {group}"),
                self.geometry.offset(desc.block_bitmap()),
                "bit",
                u64::from(at),
                "a block that is in use is marked free",
            ));
        }
        self.refuse_metadata(group, &desc, from, end)?;
        let free = desc.free_clusters() + (end - from);
        if free > self.geometry.group_clusters(group) {
            return Err(Error::corrupt(
                format!("group descriptor {group}"),
                self.geometry.offset(desc.block_bitmap()),
                "bg_free_blocks_count",
                u64::from(desc.free_clusters()),
                "more than the bitmap has",
            ));
        }
        desc.set_free_clusters(free);
        bitmap::fill(Arc::<Vec<u8>>::make_mut(&mut bits), from, end, false);
        self.store_block_bitmap(group, desc, bits);
        if let Some(longest) = self.hints.longest.get_mut(group as usize) {
            *longest = free;
        }
        Ok(())
    }

    /// A file whose blocks are the filesystem's own is damaged; freeing them would break the rest too.
    fn refuse_metadata(&self, group: u32, desc: &GroupDescriptor, from: u32, end: u32) -> Result<()> {
        let g = &self.geometry;
        if g.cluster_shift > 0 {
            return Ok(());
        }
        let (start, stop) = (g.cluster_start(group, from), g.cluster_start(group, end));
        for (block, len) in [
            (
                g.group_start(group),
                u64::from(g.base_blocks(&self.superblock, group)),
            ),
            (desc.block_bitmap(), 1),
            (desc.inode_bitmap(), 1),
            (desc.inode_table(), u64::from(g.table_blocks)),
        ] {
            if start < block.saturating_add(len) && block < stop {
                return Err(Error::corrupt(
                    format!("group {group}"),
                    g.offset(block),
                    "block",
                    block,
                    "a file claims a block of the filesystem's own metadata",
                ));
            }
        }
        Ok(())
    }

    /// Calls `sink` with every free run of blocks, in ascending order.
    pub(crate) fn each_free_run(&self, mut sink: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
        let g = &self.geometry;
        let mut pending: Option<BlockRun> = None;
        for group in 0..g.groups {
            let desc = self.group(group);
            if desc.free_clusters() == 0 {
                continue;
            }
            let bits = self.block_bitmap(group, &desc)?;
            let limit = g.group_clusters(group);
            let mut at = 0;
            while at < limit {
                let from = bitmap::next_clear(&bits, at, limit);
                if from >= limit {
                    break;
                }
                let end = bitmap::next_set(&bits, from, limit);
                let start = g.cluster_start(group, from);
                let len = (u64::from(end - from) << g.cluster_shift).min(g.blocks_count - start);
                pending = Some(match pending {
                    Some(run) if run.start + run.len == start => BlockRun {
                        start: run.start,
                        len: run.len + len,
                    },
                    Some(run) => {
                        sink(run.start, run.len)?;
                        BlockRun { start, len }
                    }
                    None => BlockRun { start, len },
                });
                at = end;
            }
        }
        match pending {
            Some(run) => sink(run.start, run.len),
            None => Ok(()),
        }
    }

    /// Discards what was freed and is still free. Only after all metadata was written.
    pub(crate) fn discard_freed(&mut self) -> Result<()> {
        let freed = self.take_freed();
        let g = self.geometry.clone();
        for (start, len) in freed {
            let end = start.saturating_add(len).min(g.blocks_count);
            let mut at = start;
            while at < end {
                let (group, _) = g.locate(at);
                let stop = end.min(g.group_start(group) + u64::from(g.group_blocks(group)));
                let desc = self.group(group);
                let bits = self.block_bitmap(group, &desc)?;
                let (_, first) = g.locate(at);
                let (_, last) = g.locate(stop - 1);
                let mut bit = first;
                while bit <= last {
                    let from = bitmap::next_clear(&bits, bit, last + 1);
                    if from > last {
                        break;
                    }
                    let to = bitmap::next_set(&bits, from, last + 1);
                    let block = g.cluster_start(group, from);
                    let blocks = (u64::from(to - from) << g.cluster_shift).min(g.blocks_count - block);
                    self.storage.discard(g.offset(block), blocks << g.block_shift)?;
                    bit = to;
                }
                at = stop;
            }
        }
        Ok(())
    }
}
