//! Directories whose entries are in the inode: 4 bytes of parent and 56 of entries in `i_block`, more in the attribute
//! `system.data`.

use super::entry::{EntryFault, NewEntry, RawEntry, entry_size, set_len, walk, write_entry};
use super::{Found, Listed, Place};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::inode::InodeFlags;
use crate::inode_table::Node;
use crate::record::put32;

/// Where entries start in `i_block`, and where it ends.
const START: usize = 4;
const END: usize = 60;

fn bad_entry(dir: &Node, (at, field, value, reason): EntryFault) -> Error {
    Error::corrupt(
        format!("inline directory of inode {}", dir.ino),
        at as u64,
        field,
        value,
        reason,
    )
}

/// Puts an entry where there is room for it among those from `start` on.
fn insert(
    area: &mut [u8],
    start: usize,
    typed: bool,
    new: &NewEntry,
) -> std::result::Result<bool, EntryFault> {
    let (inode, kind, name) = new;
    let need = entry_size(name.len());
    let mut room = None;
    walk(area, start, area.len(), typed, |entry| {
        let used = if entry.inode == 0 {
            0
        } else {
            entry_size(entry.name.len())
        };
        if entry.len >= used + need {
            room = Some((entry.offset, entry.len, used));
        }
        room.is_none()
    })?;
    let Some((offset, len, used)) = room else {
        return Ok(false);
    };
    if used > 0 {
        set_len(area, offset, used, END);
    }
    write_entry(area, offset + used, len - used, *inode, name, *kind, END);
    Ok(true)
}

/// Takes the entry at `offset` out: its room goes to the one before it.
fn remove(area: &mut [u8], start: usize, typed: bool, offset: usize) -> std::result::Result<(), EntryFault> {
    let mut before: Option<(usize, usize)> = None;
    let mut own = 0;
    walk(area, start, area.len(), typed, |entry| {
        if entry.offset == offset {
            own = entry.len;
            return false;
        }
        before = Some((entry.offset, entry.len));
        true
    })?;
    match before {
        Some((at, len)) => set_len(area, at, len + own, END),
        None => put32(area, offset, 0),
    }
    Ok(())
}

impl Core {
    fn walk_inline(
        &self,
        dir: &Node,
        rest: &[u8],
        mut visit: impl FnMut(usize, RawEntry<'_>) -> bool,
    ) -> Result<()> {
        let bad = |fault| bad_entry(dir, fault);
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
                cookie: (offset + 1) as u64,
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

    /// Makes an inode an empty inline directory.
    pub(super) fn start_inline_directory(&mut self, dir: &mut Node, parent: u32) -> Result<()> {
        dir.rec.set_flag(InodeFlags::EXTENTS, false);
        dir.rec.set_flag(InodeFlags::INLINE_DATA, true);
        dir.rec.block = [0; END];
        put32(&mut dir.rec.block, 0, parent);
        set_len(&mut dir.rec.block, START, END - START, END);
        dir.rec.set_size(END as u64);
        self.set_inline_rest(dir, Vec::new())
    }

    /// Puts an entry into an inline directory; `false` where there is no room. The inode is stored by the caller.
    pub(super) fn add_inline(&mut self, dir: &mut Node, name: &[u8], inode: u32, kind: u8) -> Result<bool> {
        let new = (inode, kind, name.to_vec());
        let typed = self.has_file_type();
        let mut first = dir.rec.block;
        if insert(&mut first, START, typed, &new).map_err(|fault| bad_entry(dir, fault))? {
            dir.rec.block = first;
            return Ok(true);
        }
        let mut rest = self.inline_rest(dir)?;
        let mut done = insert(&mut rest, 0, typed, &new).map_err(|fault| bad_entry(dir, fault))?;
        let room = self.inline_room(dir)?;
        if !done && room >= rest.len() + 12 {
            // All the room that there is becomes part of the last entry.
            let mut last = None;
            walk(&rest, 0, rest.len(), typed, |entry| {
                last = Some((entry.offset, entry.len));
                true
            })
            .map_err(|fault| bad_entry(dir, fault))?;
            let (at, len) = last.unwrap_or((0, 0));
            let added = room - rest.len();
            rest.resize(room, 0);
            set_len(&mut rest, at, len + added, END);
            done = insert(&mut rest, 0, typed, &new).map_err(|fault| bad_entry(dir, fault))?;
        }
        if done {
            dir.rec.set_size((END + rest.len()) as u64);
            self.set_inline_rest(dir, rest)?;
        }
        Ok(done)
    }

    /// Takes an entry out of an inline directory. The inode is stored by the caller.
    pub(super) fn remove_inline(&mut self, dir: &mut Node, offset: usize) -> Result<()> {
        let typed = self.has_file_type();
        if offset < END {
            let mut first = dir.rec.block;
            remove(&mut first, START, typed, offset).map_err(|fault| bad_entry(dir, fault))?;
            dir.rec.block = first;
            return Ok(());
        }
        let mut rest = self.inline_rest(dir)?;
        remove(&mut rest, 0, typed, offset - END).map_err(|fault| bad_entry(dir, fault))?;
        self.set_inline_rest(dir, rest)
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
        self.start_linear_directory(dir, parent)?;
        for (inode, kind, name) in entries {
            self.add_entry(dir, &name, inode, kind)?;
        }
        self.store(dir)
    }
}
