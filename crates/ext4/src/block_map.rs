//! The block map of ext2 and ext3: 12 direct pointers, then single, double and triple indirect blocks.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.5 (the contents of `inode.i_block`),
//! "Direct/Indirect Block Addressing".

use crate::block_allocator::Wish;
use crate::cache::Block;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::extent_record::ExtentLeaf;
use crate::inode_table::Node;
use crate::record::{le32, put32};
use std::sync::Arc;

/// Pointers to data in `i_block`.
const DIRECT: u64 = 12;

/// Where a block of a file is pointed to from.
struct Place {
    /// Index in `i_block`.
    slot: usize,
    /// Levels of indirect blocks below the slot.
    depth: u32,
    /// Index of the block among those below the slot.
    within: u64,
}

impl Core {
    fn pointers(&self) -> u64 {
        u64::from(self.geometry.block_size / 4)
    }

    /// Blocks below a pointer with `depth` levels of indirect blocks below it.
    fn span(&self, depth: u32) -> u64 {
        self.pointers().pow(depth)
    }

    /// Number of blocks that a block map can reach.
    pub(crate) fn block_map_limit(&self) -> u64 {
        (DIRECT + self.span(1) + self.span(2) + self.span(3)).min(u64::from(u32::MAX))
    }

    fn place(&self, logical: u64) -> Option<Place> {
        if logical < DIRECT {
            return Some(Place {
                slot: logical as usize,
                depth: 0,
                within: 0,
            });
        }
        let mut within = logical - DIRECT;
        for depth in 1..=3u32 {
            if within < self.span(depth) {
                return Some(Place {
                    slot: 11 + depth as usize,
                    depth,
                    within,
                });
            }
            within -= self.span(depth);
        }
        None
    }

    fn check_pointer(&self, node: &Node, pointer: u32) -> Result<u64> {
        let block = u64::from(pointer);
        if !self.geometry.holds(block, 1) {
            return Err(node.corrupt("i_block", block, "a block pointer outside of the filesystem"));
        }
        Ok(block)
    }

    fn indirect_block(&self, node: &Node, pointer: u32) -> Result<Block> {
        let block = self.check_pointer(node, pointer)?;
        self.block(block, |_| Ok(()))
    }

    /// The block behind `logical` and the length of the run it starts, at most `max`; for a hole, the length of the hole as
    /// far as it is known.
    pub(crate) fn map_indirect(&self, node: &Node, logical: u64, max: u64) -> Result<(Option<u64>, u64)> {
        let Some(place) = self.place(logical) else {
            return Ok((None, max));
        };
        let mut pointer = le32(&node.rec.block, place.slot * 4);
        if place.depth == 0 {
            let list = |i: u64| le32(&node.rec.block, (logical + i) as usize * 4);
            return self.run_of(node, max.min(DIRECT - logical), list);
        }
        let mut within = place.within;
        let mut depth = place.depth;
        loop {
            let span = self.span(depth);
            if pointer == 0 {
                return Ok((None, max.min(span - within)));
            }
            let bytes = self.indirect_block(node, pointer)?;
            depth -= 1;
            let child_span = self.span(depth);
            let index = within / child_span;
            within %= child_span;
            if depth == 0 {
                let list = |i: u64| le32(&bytes, (index + i) as usize * 4);
                return self.run_of(node, max.min(self.pointers() - index), list);
            }
            pointer = le32(&bytes, index as usize * 4);
        }
    }

    /// The run that starts with pointer 0 of `list`.
    fn run_of(&self, node: &Node, max: u64, list: impl Fn(u64) -> u32) -> Result<(Option<u64>, u64)> {
        let first = list(0);
        let mut len = 1;
        if first == 0 {
            while len < max && list(len) == 0 {
                len += 1;
            }
            return Ok((None, len));
        }
        let start = self.check_pointer(node, first)?;
        while len < max && u64::from(list(len)) == start + len {
            len += 1;
        }
        if !self.geometry.holds(start, len) {
            return Err(node.corrupt("i_block", start, "a block pointer outside of the filesystem"));
        }
        Ok((Some(start), len))
    }

    /// Points `len` blocks of the file from `logical` on to the blocks from `physical` on.
    pub(crate) fn set_indirect(
        &mut self,
        node: &mut Node,
        logical: u64,
        physical: u64,
        len: u64,
    ) -> Result<()> {
        if physical + len > u64::from(u32::MAX) {
            return Err(Error::unsupported("a block map to blocks beyond 2^32"));
        }
        let mut done = 0;
        while done < len {
            let at = logical + done;
            let Some(place) = self.place(at) else {
                return Err(Error::File(disksmith_vfs::Error::FileTooLarge {
                    path: node.name(),
                }));
            };
            if place.depth == 0 {
                put32(&mut node.rec.block, place.slot * 4, (physical + done) as u32);
                done += 1;
                continue;
            }
            let mut depth = place.depth;
            let mut within = place.within;
            let mut pointer = le32(&node.rec.block, place.slot * 4);
            let mut fresh = false;
            if pointer == 0 {
                pointer = self.take_indirect(node, physical)?;
                put32(&mut node.rec.block, place.slot * 4, pointer);
                fresh = true;
            }
            loop {
                let bytes = if fresh {
                    Arc::new(vec![0; self.geometry.block_size as usize])
                } else {
                    self.indirect_block(node, pointer)?
                };
                let block = u64::from(pointer);
                depth -= 1;
                let child_span = self.span(depth);
                let index = within / child_span;
                within %= child_span;
                if depth == 0 {
                    let count = (self.pointers() - index).min(len - done);
                    self.edit_block(block, bytes, |data| {
                        for i in 0..count {
                            put32(data, (index + i) as usize * 4, (physical + done + i) as u32);
                        }
                    });
                    done += count;
                    break;
                }
                pointer = le32(&bytes, index as usize * 4);
                let was_fresh = fresh;
                fresh = pointer == 0;
                if fresh {
                    pointer = self.take_indirect(node, physical)?;
                    self.edit_block(block, bytes, |data| put32(data, index as usize * 4, pointer));
                } else if was_fresh {
                    self.put_block(block, bytes);
                }
            }
        }
        Ok(())
    }

    fn take_indirect(&mut self, node: &mut Node, goal: u64) -> Result<u32> {
        let run = self.allocate(Wish {
            goal,
            continues: false,
            len: 1,
            room: 1,
        })?;
        self.charge(node, i64::from(self.geometry.cluster_blocks()))?;
        u32::try_from(run.start).map_err(|_| Error::unsupported("a block map to blocks beyond 2^32"))
    }

    /// Takes everything from `from` up to `end` out of the map and frees indirect blocks that become empty. The data
    /// blocks are not freed here.
    pub(crate) fn remove_indirect(
        &mut self,
        node: &mut Node,
        from: u64,
        end: u64,
    ) -> Result<Vec<ExtentLeaf>> {
        let mut runs = Vec::new();
        for logical in from..end.min(DIRECT) {
            let slot = logical as usize * 4;
            let pointer = le32(&node.rec.block, slot);
            if pointer != 0 {
                push_run(&mut runs, logical, self.check_pointer(node, pointer)?);
                put32(&mut node.rec.block, slot, 0);
            }
        }
        let mut base = DIRECT;
        for depth in 1..=3u32 {
            let span = self.span(depth);
            let (a, b) = (from.max(base), end.min(base + span));
            let slot = (11 + depth as usize) * 4;
            let pointer = le32(&node.rec.block, slot);
            if a < b && pointer != 0 && self.remove_below(node, pointer, depth, base, (a, b), &mut runs)? {
                put32(&mut node.rec.block, slot, 0);
            }
            base += span;
        }
        Ok(runs)
    }

    /// Removes a range below an indirect block; tells whether the block became empty and was freed.
    fn remove_below(
        &mut self,
        node: &mut Node,
        pointer: u32,
        depth: u32,
        base: u64,
        (from, end): (u64, u64),
        runs: &mut Vec<ExtentLeaf>,
    ) -> Result<bool> {
        let bytes = self.indirect_block(node, pointer)?;
        let mut changed = (*bytes).clone();
        let span = self.span(depth - 1);
        let first = (from.max(base) - base) / span;
        let last = (end - 1 - base) / span;
        for index in first..=last.min(self.pointers() - 1) {
            let child = le32(&changed, index as usize * 4);
            if child == 0 {
                continue;
            }
            let child_base = base + index * span;
            let gone = if depth == 1 {
                push_run(runs, child_base, self.check_pointer(node, child)?);
                true
            } else {
                let part = (from.max(child_base), end.min(child_base + span));
                self.remove_below(node, child, depth - 1, child_base, part, runs)?
            };
            if gone {
                put32(&mut changed, index as usize * 4, 0);
            }
        }
        if disksmith_storage::is_zero(&changed) {
            self.charge(node, -i64::from(self.geometry.cluster_blocks()))?;
            self.free(u64::from(pointer), 1)?;
            return Ok(true);
        }
        if changed != *bytes {
            self.put_block(u64::from(pointer), Arc::new(changed));
        }
        Ok(false)
    }
}

fn push_run(runs: &mut Vec<ExtentLeaf>, logical: u64, physical: u64) {
    if let Some(last) = runs.last_mut()
        && last.end() == logical
        && last.physical + u64::from(last.len) == physical
    {
        last.len += 1;
        return;
    }
    runs.push(ExtentLeaf {
        logical: logical as u32,
        len: 1,
        physical,
        unwritten: false,
    });
}
