//! Listing directories.
//!
//! Where a listing goes on is told by cookies, which have to hold while names come and go. As in the kernel, a directory
//! that has a hash tree, or would get one when it grows (`dir_index`, one block or inline), is listed in the order of the
//! hashes of its names, and a cookie is a place in that order; names that were there all the time are listed once, whatever
//! happens to others. Other directories are listed as they lie: an entry never moves in its block while it exists.

use super::hash::NameHasher;
use super::{Listed, entry::NewEntry};
use crate::checksum::crc32c;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::Compat;
use crate::inode::InodeFlags;
use crate::inode_table::Node;

/// An entry and its place in the order of hashes.
type Placed = (u64, NewEntry);

impl Core {
    /// Lists a directory from `cookie` on, `.` and `..` left out.
    pub(crate) fn list_entries(
        &self,
        dir: &Node,
        cookie: u64,
        visit: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> Result<()> {
        self.check_directory(dir)?;
        let Some(hasher) = self.listing_hash(dir)? else {
            return self.list_as_it_lies(dir, cookie, visit);
        };
        let mut any = false;
        let result = self.list_by_hash(dir, &hasher, cookie, &mut |entry| {
            any = true;
            visit(entry)
        });
        match result {
            // A tree that is damaged from its root on: the names are there all the same.
            Err(Error::Corrupt { .. }) if !any && cookie <= dir.rec.size() && self.is_hashed(dir) => {
                self.list_as_it_lies(dir, cookie, visit)
            }
            result => result,
        }
    }

    /// The hash by which a directory is listed; `None` where it is listed as it lies.
    fn listing_hash(&self, dir: &Node) -> Result<Option<NameHasher>> {
        if dir.has(InodeFlags::CASEFOLD) || !self.geometry.has_compat(Compat::DIR_INDEX) {
            return Ok(None);
        }
        if self.is_hashed(dir) {
            return self.tree_hasher(dir);
        }
        if dir.has(InodeFlags::INLINE_DATA) || self.directory_blocks(dir)? == 1 {
            return Ok(self.default_hasher());
        }
        Ok(None)
    }

    /// Lists in the order of blocks and entries; a cookie is the byte behind an entry.
    pub(super) fn list_as_it_lies(
        &self,
        dir: &Node,
        cookie: u64,
        visit: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> Result<()> {
        if dir.has(InodeFlags::INLINE_DATA) {
            return self.list_inline(dir, cookie, visit);
        }
        let blocks = self.directory_blocks(dir)?;
        let size = u64::from(self.geometry.block_size);
        let mut go_on = true;
        for logical in cookie / size..blocks {
            let (number, block) = self.directory_block(dir, logical)?;
            let base = logical * size;
            self.walk_block(dir, number, &block, |entry| {
                if entry.inode == 0
                    || base + (entry.offset as u64) < cookie
                    || entry.name == b"."
                    || entry.name == b".."
                {
                    return true;
                }
                go_on = visit(Listed {
                    inode: entry.inode,
                    kind: entry.kind,
                    name: entry.name,
                    // An entry that is removed leaves its room to the one before it: the byte behind that one's name, not
                    // the byte where the next entry starts, stays inside of it.
                    cookie: base + (entry.offset + 1) as u64,
                });
                go_on
            })?;
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    fn list_by_hash(
        &self,
        dir: &Node,
        hasher: &NameHasher,
        cookie: u64,
        visit: &mut dyn FnMut(Listed<'_>) -> bool,
    ) -> Result<()> {
        let mut found: Vec<Placed> = Vec::new();
        let add = |inode: u32, kind: u8, name: &[u8], found: &mut Vec<Placed>| {
            let place = place_of(hasher, name);
            if place >= cookie && name != b"." && name != b".." {
                found.push((place, (inode, kind, name.to_vec())));
            }
        };
        if dir.has(InodeFlags::INLINE_DATA) {
            self.list_inline(dir, 0, &mut |entry| {
                add(entry.inode, entry.kind, entry.name, &mut found);
                true
            })?;
            deliver(&mut found, visit);
            return Ok(());
        }
        let gather = |logical: u64, found: &mut Vec<Placed>| {
            let (number, block) = self.directory_block(dir, logical)?;
            self.walk_block(dir, number, &block, |entry| {
                if entry.inode != 0 {
                    add(entry.inode, entry.kind, entry.name, found);
                }
                true
            })
        };
        if !self.is_hashed(dir) {
            gather(0, &mut found)?;
            deliver(&mut found, visit);
            return Ok(());
        }
        let from = (cookie.saturating_sub(1) >> 32) as u32;
        let Some(mut path) = self.path_to_hash(dir, from << 1)? else {
            return Err(dir.corrupt("dx_root", 0u64, "a hash tree of an unknown kind"));
        };
        let mut left = self.directory_blocks(dir)?;
        loop {
            gather(self.child_block(dir, path.last())?, &mut found)?;
            left = left.saturating_sub(1);
            let next = if left == 0 {
                None
            } else {
                self.next_leaf(dir, &mut path)?
            };
            // A leaf that goes on with the hash of the one before belongs to it.
            if next.is_none_or(|key| key & 1 == 0) && !deliver(&mut found, visit) || next.is_none() {
                return Ok(());
            }
        }
    }
}

/// The place of a name in the order: never 0.
fn place_of(hasher: &NameHasher, name: &[u8]) -> u64 {
    (u64::from(hasher.hash(name) >> 1) << 32 | u64::from(crc32c(!0, name))) + 1
}

/// Tells entries in order and empties the list; `false` where it was stopped.
fn deliver(found: &mut Vec<Placed>, visit: &mut dyn FnMut(Listed<'_>) -> bool) -> bool {
    found.sort_unstable();
    for (place, (inode, kind, name)) in found.drain(..) {
        let go_on = visit(Listed {
            inode,
            kind,
            name: &name,
            cookie: place + 1,
        });
        if !go_on {
            return false;
        }
    }
    true
}
