//! Extended attributes: their block may have moved, and inodes that hold values may have other numbers.

use super::Resizer;
use super::references::Subject;
use crate::error::{Error, Result};
use crate::inode::INODE_BASE_SIZE;
use crate::record::{le16, le32, put32};
use crate::xattr::{BLOCK_HEADER, INODE_HEADER, XATTR_MAGIC};
use disksmith_storage::read_vec;
use std::ops::Range;

/// Size of an entry without its name.
const ENTRY: usize = 16;

/// Byte offsets of the entries of a list that starts at `start`; `None` where it has no end.
pub(crate) fn entries(area: &[u8], start: usize) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let mut at = start;
    while area.len() >= at + 4 && le32(area, at) != 0 {
        let name = usize::from(*area.get(at)?);
        let next = at + (ENTRY + name).next_multiple_of(4);
        if next > area.len() {
            return None;
        }
        found.push(at);
        at = next;
    }
    Some(found)
}

/// Where the list in an inode starts, if it has one.
pub(crate) fn list_start(raw: &[u8]) -> Option<usize> {
    if raw.len() <= INODE_BASE_SIZE {
        return None;
    }
    let extra = usize::from(le16(raw, 0x80));
    let start = INODE_BASE_SIZE + extra;
    (extra > 0 && start + INODE_HEADER + 4 <= raw.len() && le32(raw, start) == XATTR_MAGIC)
        .then_some(start + INODE_HEADER)
}

/// Where in an inode the value of an attribute is.
pub(super) fn in_inode_value(raw: &[u8], index: u8, name: &[u8]) -> Option<Range<usize>> {
    let start = list_start(raw)?;
    let at = entries(raw, start)?.into_iter().find(|at| {
        raw.get(at + 1) == Some(&index)
            && usize::from(raw.get(*at).copied().unwrap_or(0)) == name.len()
            && raw.get(at + ENTRY..at + ENTRY + name.len()) == Some(name)
    })?;
    let from = start + usize::from(le16(raw, at + 2));
    let to = from.checked_add(le32(raw, at + 8) as usize)?;
    (to <= raw.len()).then_some(from..to)
}

impl Resizer {
    /// Corrects the attributes of an inode.
    pub(super) fn fix_attributes(&mut self, subject: &mut Subject, raw: &mut [u8]) -> Result<()> {
        if !self.renumbered.is_empty()
            && let Some(start) = list_start(raw)
        {
            subject.changed |= self.fix_list(subject, raw, start)?;
        }
        let block = subject.inode.xattr_block();
        if block == 0 {
            return Ok(());
        }
        if !self.old.g.holds(block, 1) {
            return Err(subject.corrupt("i_file_acl", block, "outside of the filesystem"));
        }
        let now = self.translate(block);
        if now == block && self.renumbered.is_empty() {
            return Ok(());
        }
        if now != block {
            subject.inode.set_xattr_block(now);
            subject.changed = true;
        }
        let offset = self.new.g.offset(now);
        let mut bytes = read_vec(&*self.storage, offset, self.new.g.block_size as usize)?;
        if le32(&bytes, 0) != XATTR_MAGIC {
            return Err(subject.corrupt("i_file_acl", block, "no block of extended attributes"));
        }
        // A block that inodes share is corrected by the first; numbers that were corrected are not corrected again.
        let changed =
            !self.corrected_blocks.contains(&now) && self.fix_list(subject, &mut bytes, BLOCK_HEADER)?;
        if changed {
            self.corrected_blocks.insert(now);
        }
        if changed || now != block {
            if let Some(sum) = self.new.g.checksums.xattr_block(now, &bytes) {
                put32(&mut bytes, 16, sum);
            }
            self.storage.write_at(offset, &bytes)?;
        }
        Ok(())
    }

    fn fix_list(&self, subject: &Subject, area: &mut [u8], start: usize) -> Result<bool> {
        let Some(list) = entries(area, start) else {
            return Err(Error::corrupt(
                format!("extended attributes of inode {}", subject.old_ino),
                start as u64,
                "e_name_len",
                0u64,
                "the list has no end",
            ));
        };
        let mut changed = false;
        for at in list {
            if let Some(new) = self.renumbered.get(&le32(area, at + 4)) {
                put32(area, at + 4, *new);
                changed = true;
            }
        }
        Ok(changed)
    }
}
