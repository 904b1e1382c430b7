//! Directories whose entries are in the inode: 4 bytes of parent and 56 of entries in `i_block`, more in the attribute
//! `system.data`.

use super::entry::{NewEntry, RawEntry, walk};
use super::{Found, Listed, Place};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::inode_table::Node;
use crate::record::put32;

/// Where entries start in `i_block`, and where it ends.
const START: usize = 4;
const END: usize = 60;

impl Core {
    fn walk_inline(
        &self,
        dir: &Node,
        rest: &[u8],
        mut visit: impl FnMut(usize, RawEntry<'_>) -> bool,
    ) -> Result<()> {
        let bad = |(at, field, value, reason): (usize, &'static str, u64, &'static str)| {
            Error::corrupt(
                format!("inline directory of inode {}", dir.ino),
                at as u64,
                field,
                value,
                reason,
            )
        };
        let mut go_on = true;
        let has_type = self.has_file_type();
        walk(&dir.rec.block, START, END, has_type, |entry| {
            go_on = visit(entry.offset, entry);
            go_on
        })
        .map_err(bad)?;
        if go_on {
            walk(rest, 0, rest.len(), has_type, |entry| {
                visit(END + entry.offset, entry)
            })
            .map_err(bad)?;
        }
        Ok(())
    }

    pub(super) fn find_inline(&self, dir: &Node, name: &[u8]) -> Result<Option<Found>> {
        let rest = self.inline_rest(dir)?;
        let mut found = None;
        self.walk_inline(dir, &rest, |offset, entry| {
            if entry.inode != 0 && entry.name == name {
                found = Some(Found {
                    inode: entry.inode,
                    kind: entry.kind,
                    place: Place::Inline { offset },
                });
            }
            found.is_none()
        })?;
        Ok(found)
    }

    pub(super) fn list_inline(
        &self,
        dir: &Node,
        cookie: u64,
        visit: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> Result<()> {
        let rest = self.inline_rest(dir)?;
        self.walk_inline(dir, &rest, |offset, entry| {
            if entry.inode == 0 || (offset as u64) < cookie {
                return true;
            }
            visit(Listed {
                inode: entry.inode,
                kind: entry.kind,
                name: entry.name,
                cookie: (offset + entry.len) as u64,
            })
        })
    }

    pub(super) fn patch_inline(&mut self, dir: &mut Node, offset: usize, inode: u32, kind: u8) -> Result<()> {
        let has_type = self.has_file_type();
        let patch = |bytes: &mut [u8], at: usize| {
            put32(bytes, at, inode);
            if has_type && let Some(byte) = bytes.get_mut(at + 7) {
                *byte = kind;
            }
        };
        if offset < END {
            patch(&mut dir.rec.block, offset);
        } else {
            let mut rest = self.inline_rest(dir)?;
            patch(&mut rest, offset - END);
            self.set_inline_rest(dir, rest)?;
        }
        self.store(dir)
    }

    /// Moves the entries of an inline directory to a block.
    pub(super) fn uninline_directory(&mut self, dir: &mut Node) -> Result<()> {
        let rest = self.inline_rest(dir)?;
        let parent = self.parent_of(dir)?;
        let mut entries: Vec<NewEntry> = Vec::new();
        self.walk_inline(dir, &rest, |_, entry| {
            if entry.inode != 0 {
                entries.push((entry.inode, entry.kind, entry.name.to_vec()));
            }
            true
        })?;
        self.drop_inline(dir)?;
        self.start_directory(dir, parent)?;
        for (inode, kind, name) in entries {
            self.add_entry(dir, &name, inode, kind)?;
        }
        self.store(dir)
    }
}
