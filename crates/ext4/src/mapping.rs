//! Which block of the filesystem holds which block of a file, by extent tree or block map, with clusters or without.

use crate::block_allocator::Wish;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::extent_record::ExtentLeaf;
use crate::inode::InodeFlags;
use crate::inode_table::Node;

/// How a run of blocks of a file is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// No blocks.
    Hole,
    /// Blocks from this one on.
    Data(u64),
    /// Blocks from this one on, which read as zeroes.
    Unwritten(u64),
}

/// Largest run that a write tries to find room for when the file may grow on, in blocks of 4 KiB.
const MAX_ROOM_BYTES: u64 = 8 << 20;

impl Core {
    /// How `logical` is held, and for how many blocks (1 to `max`) that holds.
    pub(crate) fn map(&self, node: &Node, logical: u64, max: u64) -> Result<(Mapped, u64)> {
        let max = max.max(1);
        if !node.has(InodeFlags::EXTENTS) {
            let (block, len) = self.map_indirect(node, logical, max)?;
            return Ok((block.map_or(Mapped::Hole, Mapped::Data), len.min(max)));
        }
        let Ok(at) = u32::try_from(logical) else {
            return Ok((Mapped::Hole, max));
        };
        let (hit, next) = self.find_extent(node, at)?;
        Ok(match hit {
            Some(extent) => {
                let skip = u64::from(at - extent.logical);
                let len = (u64::from(extent.len) - skip).min(max);
                let block = extent.physical + skip;
                if extent.unwritten {
                    (Mapped::Unwritten(block), len)
                } else {
                    (Mapped::Data(block), len)
                }
            }
            None => {
                let len = next.map_or(max, |n| u64::from(n).saturating_sub(logical).clamp(1, max));
                (Mapped::Hole, len)
            }
        })
    }

    /// Number of blocks that a file may have.
    pub(crate) fn max_blocks(&self, node: &Node) -> u64 {
        if node.has(InodeFlags::EXTENTS) {
            u64::from(u32::MAX)
        } else {
            self.block_map_limit()
        }
    }

    fn insert(&mut self, node: &mut Node, run: ExtentLeaf) -> Result<()> {
        if node.has(InodeFlags::EXTENTS) {
            self.insert_extent(node, run)
        } else {
            self.set_indirect(node, u64::from(run.logical), run.physical, u64::from(run.len))
        }
    }

    /// Where the blocks of a file from `logical` on should be, and whether that continues a run.
    fn goal(&self, node: &Node, logical: u64) -> Result<(u64, bool)> {
        if node.has(InodeFlags::EXTENTS) {
            if let Some(before) = self.extent_before(node, logical.min(u64::from(u32::MAX)) as u32)? {
                let gap = logical.saturating_sub(u64::from(before.logical));
                return Ok((before.physical.saturating_add(gap), before.end() == logical));
            }
        } else if logical > 0
            && let (Mapped::Data(before), _) = self.map(node, logical - 1, 1)?
        {
            return Ok((before + 1, true));
        }
        let (group, _) = self.geometry.locate_inode(node.ino)?;
        let cursor = self.hints.cursor.get(group as usize).copied().unwrap_or(0);
        Ok((self.geometry.cluster_start(group, cursor), false))
    }

    /// Takes blocks for every hole between `from` and `end` (blocks of the file); tells the runs that are new. The inode
    /// is changed in memory only.
    pub(crate) fn fill_holes(
        &mut self,
        node: &mut Node,
        from: u64,
        end: u64,
        unwritten: bool,
    ) -> Result<Vec<ExtentLeaf>> {
        if end > self.max_blocks(node) {
            return Err(Error::File(disksmith_vfs::Error::FileTooLarge {
                path: node.name(),
            }));
        }
        let unwritten = unwritten && node.has(InodeFlags::EXTENTS);
        let mut fresh = Vec::new();
        let mut at = from;
        while at < end {
            let (mapped, len) = self.map(node, at, end - at)?;
            if mapped != Mapped::Hole {
                at += len;
                continue;
            }
            let run = self.fill_hole(node, at, len, unwritten)?;
            at += u64::from(run.len);
            fresh.push(run);
        }
        Ok(fresh)
    }

    fn fill_hole(&mut self, node: &mut Node, at: u64, len: u64, unwritten: bool) -> Result<ExtentLeaf> {
        let shift = self.geometry.cluster_shift;
        let logical = at as u32;
        if shift > 0
            && let Some((physical, room)) = self.shared_cluster(node, at)?
        {
            // The cluster belongs to the file already.
            let run = ExtentLeaf {
                logical,
                len: len.min(room) as u32,
                physical,
                unwritten,
            };
            self.insert(node, run)?;
            return Ok(run);
        }
        let (goal, continues) = self.goal(node, at)?;
        let into = at & u64::from(self.geometry.cluster_blocks() - 1);
        let want = len.saturating_add(into);
        let size = at.saturating_add(len);
        let most = (MAX_ROOM_BYTES >> self.geometry.block_shift).max(1);
        // Who writes in pieces will write more: look for a run that the file can grow into.
        let room = size
            .next_power_of_two()
            .saturating_mul(if size > 4 { 16 } else { 2 })
            .min(most)
            .max(want.min(32768));
        let taken = self.allocate(Wish {
            goal: goal.saturating_sub(into),
            continues,
            len: want.min(32768),
            room,
        })?;
        let mut usable = taken.len.saturating_sub(into).min(len);
        if shift > 0 {
            // A cluster at the end may hold blocks further on that are the file's; it was looked at as a hole, so stop at
            // the first cluster that is shared.
            let last = (at + usable - 1) >> shift;
            if usable > 0 && last != at >> shift && self.shared_cluster(node, last << shift)?.is_some() {
                usable = (last << shift) - at;
                let kept = ((at + usable) >> shift) - (at >> shift);
                let keep = kept << shift;
                self.free(taken.start + keep, taken.len - keep)?;
            }
        }
        let run = ExtentLeaf {
            logical,
            len: usable as u32,
            physical: taken.start + into,
            unwritten,
        };
        let clusters = (into + usable).div_ceil(1 << shift);
        self.charge(node, (clusters << shift) as i64)?;
        self.insert(node, run)?;
        Ok(run)
    }

    /// With clusters: where `logical` lies if its cluster belongs to the file already through another of its blocks, and for
    /// how many blocks.
    fn shared_cluster(&self, node: &Node, logical: u64) -> Result<Option<(u64, u64)>> {
        let size = u64::from(self.geometry.cluster_blocks());
        let start = logical & !(size - 1);
        let mut at = start;
        while at < start + size {
            let (mapped, len) = self.map(node, at, start + size - at)?;
            if let Mapped::Data(block) | Mapped::Unwritten(block) = mapped {
                let into = at - start;
                let Some(cluster) = block.checked_sub(into) else {
                    return Err(node.corrupt("ee_start", block, "not aligned to its cluster"));
                };
                if (cluster.saturating_sub(self.geometry.first_data_block)) & (size - 1) != 0 {
                    return Err(node.corrupt("ee_start", block, "not aligned to its cluster"));
                }
                return Ok(Some((cluster + (logical - start), start + size - logical)));
            }
            at += len;
        }
        Ok(None)
    }

    /// Takes everything between `from` and `end` (blocks of the file) out of the file and frees it.
    pub(crate) fn unmap(&mut self, node: &mut Node, from: u64, end: u64) -> Result<()> {
        if from >= end || from > u64::from(u32::MAX) {
            return Ok(());
        }
        let runs = if node.has(InodeFlags::EXTENTS) {
            self.remove_extents(node, from as u32, end.min(1 << 32))?.runs
        } else {
            self.remove_indirect(node, from, end)?
        };
        let shift = self.geometry.cluster_shift;
        if shift == 0 {
            for run in runs {
                self.free(run.physical, u64::from(run.len))?;
                self.charge(node, -i64::from(run.len))?;
            }
            return Ok(());
        }
        let mut done = None;
        for run in runs {
            let first = u64::from(run.logical) >> shift;
            let last = (run.end() - 1) >> shift;
            for cluster in first..=last {
                if done == Some(cluster) {
                    continue;
                }
                done = Some(cluster);
                let edge = cluster == first || cluster == last;
                if edge && self.shared_cluster(node, cluster << shift)?.is_some() {
                    continue;
                }
                let within = u64::from(run.logical).saturating_sub(cluster << shift);
                let skip = (cluster << shift).saturating_sub(u64::from(run.logical));
                let start = (run.physical + skip).saturating_sub(within);
                self.free(start, 1)?;
                self.charge(node, -i64::from(self.geometry.cluster_blocks()))?;
            }
        }
        Ok(())
    }
}
