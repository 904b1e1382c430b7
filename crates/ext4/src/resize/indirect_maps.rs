//! Block maps of files without extents: twelve blocks, then trees of one, two and three levels.

use super::Resizer;
use super::references::{Run, Subject};
use crate::error::Result;
use crate::record::{le32, put32};
use disksmith_storage::read_vec;

const DIRECT: usize = 12;
const SLOTS: usize = 15;

/// A walk over the map of one inode.
struct Walk<'a> {
    runs: Option<&'a mut Vec<Run>>,
    /// First block of the file that the next pointer stands for.
    logical: u64,
    nodes: u64,
}

impl Walk<'_> {
    fn add(&mut self, block: u64) {
        if let Some(runs) = &mut self.runs {
            match runs.last_mut() {
                Some((logical, start, len)) if *logical + *len == self.logical && *start + *len == block => {
                    *len += 1;
                }
                _ => runs.push((self.logical, block, 1)),
            }
        }
    }
}

impl Resizer {
    /// Corrects the map of an inode, and tells its runs.
    pub(super) fn fix_indirect(&mut self, subject: &mut Subject, runs: Option<&mut Vec<Run>>) -> Result<()> {
        let mut walk = Walk {
            runs,
            logical: 0,
            nodes: 0,
        };
        let mut map = subject.inode.block;
        for slot in 0..SLOTS {
            let level = (slot + 1).saturating_sub(DIRECT) as u32;
            let block = le32(&map, slot * 4);
            let now = self.fix_pointer(subject, block, level, &mut walk)?;
            if now != block {
                put32(&mut map, slot * 4, now);
                subject.changed = true;
            }
        }
        subject.inode.block = map;
        Ok(())
    }

    /// Corrects what a pointer leads to, and tells where that is now.
    fn fix_pointer(&self, subject: &Subject, block: u32, level: u32, walk: &mut Walk<'_>) -> Result<u32> {
        let per_block = u64::from(self.old.g.block_size / 4);
        if block == 0 {
            walk.logical = walk.logical.saturating_add(per_block.saturating_pow(level));
            return Ok(0);
        }
        if u64::from(block) < self.old.g.first_data_block || u64::from(block) >= self.old.g.blocks_count {
            return Err(subject.corrupt("i_block", block.into(), "outside of the filesystem"));
        }
        let now = self.translate(block.into());
        if level == 0 {
            walk.add(now);
            walk.logical += 1;
        } else {
            walk.nodes += 1;
            if walk.nodes > self.old.g.blocks_count {
                return Err(subject.corrupt("i_block", block.into(), "a map that leads back to itself"));
            }
            self.fix_node(subject, now, level, walk)?;
        }
        u32::try_from(now).map_err(|_| subject.corrupt("i_block", now, "more than 32 bits"))
    }

    fn fix_node(&self, subject: &Subject, block: u64, level: u32, walk: &mut Walk<'_>) -> Result<()> {
        let offset = self.new.g.offset(block);
        let mut bytes = read_vec(&*self.storage, offset, self.new.g.block_size as usize)?;
        let mut changed = false;
        for at in (0..bytes.len()).step_by(4) {
            let pointer = le32(&bytes, at);
            let now = self.fix_pointer(subject, pointer, level - 1, walk)?;
            if now != pointer {
                put32(&mut bytes, at, now);
                changed = true;
            }
        }
        if changed {
            self.storage.write_at(offset, &bytes)?;
        }
        Ok(())
    }
}
