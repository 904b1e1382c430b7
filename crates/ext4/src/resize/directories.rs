//! Directories whose entries name inodes that have other numbers now.

use super::Resizer;
use super::references::{Run, Subject};
use super::values::in_inode_value;
use crate::directory::{count_offset, entries_end, seal_index, seal_leaf, walk};
use crate::error::{Error, Result};
use crate::features::Incompat;
use crate::record::{le32, put32};
use disksmith_storage::read_vec;

/// Where entries start in `i_block` of an inline directory.
const INLINE_START: usize = 4;

impl Resizer {
    fn new_number(&self, ino: u32) -> Option<u32> {
        self.renumbered.get(&ino).copied()
    }

    /// Corrects the blocks of a directory.
    pub(super) fn fix_directory(&self, subject: &Subject, runs: &[Run]) -> Result<()> {
        let size = self.new.g.block_size as usize;
        for block in runs.iter().flat_map(|(_, start, len)| *start..start + len) {
            let offset = self.new.g.offset(block);
            let mut bytes = read_vec(&*self.storage, offset, size)?;
            let is_node = count_offset(&bytes).is_some();
            let end = entries_end(size, subject.seed.is_some() && !is_node);
            let changed = self.fix_entries(subject, &mut bytes, 0, end)?;
            if !changed && !subject.is_renumbered() {
                continue;
            }
            match subject.seed {
                Some(seed) if is_node => seal_index(&mut bytes, seed),
                seed => seal_leaf(&mut bytes, seed),
            }
            self.storage.write_at(offset, &bytes)?;
        }
        Ok(())
    }

    fn fix_entries(&self, subject: &Subject, bytes: &mut [u8], start: usize, end: usize) -> Result<bool> {
        let has_type = self.new.g.has_incompat(Incompat::FILETYPE);
        let mut found = Vec::new();
        walk(bytes, start, end, has_type, |entry| {
            if let Some(new) = self.new_number(entry.inode) {
                found.push((entry.offset, new));
            }
            true
        })
        .map_err(|(at, field, value, reason)| {
            Error::corrupt(
                format!("directory entry of inode {}", subject.old_ino),
                at as u64,
                field,
                value,
                reason,
            )
        })?;
        for (offset, new) in &found {
            put32(bytes, *offset, *new);
        }
        Ok(!found.is_empty())
    }

    /// Corrects a directory whose entries are in the inode.
    pub(super) fn fix_inline_directory(&self, subject: &mut Subject, raw: &mut [u8]) -> Result<()> {
        let mut block = subject.inode.block;
        if let Some(parent) = self.new_number(le32(&block, 0)) {
            put32(&mut block, 0, parent);
            subject.changed = true;
        }
        let end = block.len();
        subject.changed |= self.fix_entries(subject, &mut block, INLINE_START, end)?;
        subject.inode.block = block;
        if let Some(range) = in_inode_value(raw, 7, b"data")
            && let Some(rest) = raw.get_mut(range)
            && !rest.is_empty()
        {
            let end = rest.len();
            subject.changed |= self.fix_entries(subject, rest, 0, end)?;
        }
        Ok(())
    }
}
