//! Directories: linear, hashed, and inline.

pub(crate) mod entry;
mod hash;
mod hash_tree;
pub(crate) mod index_node;
mod inline;
mod listing;

pub use hash::{HashKind, NameHasher};

pub(crate) use entry::{entries_end, file_type_of, kind_of, seal_leaf, walk};
pub(crate) use index_node::{count_offset, seal as seal_index};

use crate::cache::Block;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::inode::InodeFlags;
use crate::inode_table::Node;
use crate::mapping::Mapped;
use entry::{NewEntry, RawEntry, entry_size, set_len, verify_leaf, write_entry};
use std::sync::Arc;

/// Longest name in bytes.
pub(crate) const MAX_NAME: usize = 255;

/// A name that was found in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) inode: u32,
    /// As stored in the entry; 0 where the filesystem does not tell.
    pub(crate) kind: u8,
    place: Place,
}

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Block { logical: u64, offset: usize },
    Inline { offset: usize },
}

/// An entry as it is listed: its cookie leads behind it.
pub(crate) struct Listed<'a> {
    pub(crate) inode: u32,
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
    pub(crate) cookie: u64,
}

/// `s_encoding`: UTF-8 of Unicode 12.1.
const ENCODING_UTF8: u16 = 1;

fn folding_beyond_ascii() -> Error {
    Error::unsupported("looking up or adding names in a case-insensitive directory where not all are ASCII")
}

impl Core {
    pub(crate) fn has_file_type(&self) -> bool {
        self.geometry.has_incompat(Incompat::FILETYPE)
    }

    fn leaf_end(&self) -> usize {
        entries_end(
            self.geometry.block_size as usize,
            self.geometry.checksums.is_crc32c(),
        )
    }

    /// Number of blocks of a directory.
    fn directory_blocks(&self, dir: &Node) -> Result<u64> {
        let size = dir.rec.size();
        let block_size = u64::from(self.geometry.block_size);
        if size == 0 || !size.is_multiple_of(block_size) || size / block_size > self.geometry.blocks_count {
            return Err(dir.corrupt("i_size", size, "a directory that is not made of whole blocks"));
        }
        Ok(size / block_size)
    }

    /// A block of a directory: its number in the filesystem and its contents.
    fn directory_block(&self, dir: &Node, logical: u64) -> Result<(u64, Block)> {
        let (mapped, _) = self.map(dir, logical, 1)?;
        let Mapped::Data(number) = mapped else {
            return Err(dir.corrupt("i_block", logical, "a directory with a hole"));
        };
        let block = self.block(number, |bytes| {
            let Some(seed) = dir.seed else { return Ok(()) };
            // What the kernel leaves in a node's tail can look like a leaf's tail, so the node's head decides.
            let good = if index_node::count_offset(bytes).is_some() {
                index_node::verify(bytes, seed)
            } else {
                verify_leaf(bytes, seed) == Some(true)
            };
            if good {
                return Ok(());
            }
            Err(Error::corrupt(
                format!("directory block {logical} of inode {}", dir.ino),
                self.geometry.offset(number),
                "checksum",
                0u64,
                "the checksum does not match",
            ))
        })?;
        Ok((number, block))
    }

    fn fault(
        &self,
        dir: &Node,
        number: u64,
        (at, field, value, reason): (usize, &'static str, u64, &'static str),
    ) -> Error {
        Error::corrupt(
            format!("directory entry of inode {}", dir.ino),
            self.geometry.offset(number).saturating_add(at as u64),
            field,
            value,
            reason,
        )
    }

    /// Walks the entries of a block, the fake ones of index blocks included.
    fn walk_block<'a>(
        &self,
        dir: &Node,
        number: u64,
        block: &'a [u8],
        visit: impl FnMut(RawEntry<'a>) -> bool,
    ) -> Result<()> {
        let tail = dir.seed.is_some() && index_node::count_offset(block).is_none();
        let limit = entries_end(block.len(), tail);
        walk(block, 0, limit, self.has_file_type(), visit).map_err(|fault| self.fault(dir, number, fault))
    }

    fn search_block(&self, dir: &Node, logical: u64, name: &[u8], fold: bool) -> Result<Option<Found>> {
        let (number, block) = self.directory_block(dir, logical)?;
        let mut found = None;
        self.walk_block(dir, number, &block, |entry| {
            let same = entry.name == name || fold && entry.name.eq_ignore_ascii_case(name);
            if entry.inode != 0 && same {
                found = Some(Found {
                    inode: entry.inode,
                    kind: entry.kind,
                    place: Place::Block {
                        logical,
                        offset: entry.offset,
                    },
                });
            }
            found.is_none()
        })?;
        Ok(found)
    }

    fn check_directory(&self, dir: &Node) -> Result<()> {
        if dir.has(InodeFlags::ENCRYPT) {
            return Err(Error::unsupported("names in an encrypted directory"));
        }
        Ok(())
    }

    /// Whether a directory is to be used by its hash tree.
    pub(crate) fn is_hashed(&self, dir: &Node) -> bool {
        dir.has(InodeFlags::INDEX)
            && self.geometry.has_compat(Compat::DIR_INDEX)
            && !dir.has(InodeFlags::INLINE_DATA)
    }

    /// Finds a name.
    pub(crate) fn find_entry(&self, dir: &Node, name: &[u8]) -> Result<Option<Found>> {
        self.check_directory(dir)?;
        if dir.has(InodeFlags::INLINE_DATA) {
            return self.find_inline(dir, name);
        }
        let blocks = self.directory_blocks(dir)?;
        let folded = dir.has(InodeFlags::CASEFOLD);
        if self.is_hashed(dir)
            && (!folded || name.is_ascii())
            && name != b".."
            && name != b"."
            && let Some(found) = self.find_hashed(dir, name)?
        {
            return Ok(found);
        }
        if name == b".." || name == b"." {
            return self.search_block(dir, 0, name, false);
        }
        let fold = folded && name.is_ascii();
        for logical in 0..blocks {
            if let Some(found) = self.search_block(dir, logical, name, fold)? {
                return Ok(Some(found));
            }
        }
        if folded && !fold && !self.is_plain_ascii(dir)? {
            return Err(folding_beyond_ascii());
        }
        Ok(None)
    }

    /// Whether all names of a directory are ASCII.
    fn is_plain_ascii(&self, dir: &Node) -> Result<bool> {
        let mut plain = true;
        self.list_as_it_lies(dir, 0, &mut |entry| {
            plain = entry.name.is_ascii();
            plain
        })?;
        Ok(plain)
    }

    /// The hash of a name in this directory: case-insensitive ones hash the folded name.
    fn hash_in(&self, dir: &Node, hasher: &NameHasher, name: &[u8]) -> u32 {
        if dir.has(InodeFlags::CASEFOLD) {
            hasher.hash(&name.to_ascii_lowercase())
        } else {
            hasher.hash(name)
        }
    }

    /// Whether a directory has no entries.
    pub(crate) fn directory_is_empty(&self, dir: &Node) -> Result<bool> {
        let mut empty = true;
        self.check_directory(dir)?;
        self.list_as_it_lies(dir, 0, &mut |_| {
            empty = false;
            false
        })?;
        Ok(empty)
    }

    /// The directory that holds this one.
    pub(crate) fn parent_of(&self, dir: &Node) -> Result<u32> {
        if dir.has(InodeFlags::INLINE_DATA) {
            return Ok(crate::record::le32(&dir.rec.block, 0));
        }
        match self.search_block(dir, 0, b"..", false)? {
            Some(found) => Ok(found.inode),
            None => Err(dir.corrupt("..", 0u64, "a directory without a parent")),
        }
    }

    /// Stores a changed directory block with its checksum, whichever kind it is.
    fn store_directory_block(&mut self, dir: &Node, number: u64, mut bytes: Vec<u8>) {
        if let Some(seed) = dir.seed {
            if index_node::count_offset(&bytes).is_some() {
                index_node::seal(&mut bytes, seed);
            } else {
                seal_leaf(&mut bytes, Some(seed));
            }
        }
        self.put_block(number, Arc::new(bytes));
    }

    /// Makes an entry lead elsewhere.
    pub(crate) fn redirect_entry(
        &mut self,
        dir: &mut Node,
        found: &Found,
        inode: u32,
        kind: u8,
    ) -> Result<()> {
        match found.place {
            Place::Inline { offset } => self.patch_inline(dir, offset, inode, kind),
            Place::Block { logical, offset } => {
                let (number, block) = self.directory_block(dir, logical)?;
                let mut bytes = (*block).clone();
                crate::record::put32(&mut bytes, offset, inode);
                if self.has_file_type()
                    && let Some(byte) = bytes.get_mut(offset + 7)
                {
                    *byte = kind;
                }
                self.store_directory_block(dir, number, bytes);
                Ok(())
            }
        }
    }

    /// Makes `..` lead to another directory.
    pub(crate) fn set_parent(&mut self, dir: &mut Node, parent: u32) -> Result<()> {
        if dir.has(InodeFlags::INLINE_DATA) {
            crate::record::put32(&mut dir.rec.block, 0, parent);
            return self.store(dir);
        }
        match self.search_block(dir, 0, b"..", false)? {
            Some(found) => self.redirect_entry(dir, &found, parent, 2),
            None => Err(dir.corrupt("..", 0u64, "a directory without a parent")),
        }
    }

    /// Takes an entry out. The directory's inode is changed in memory and stored by the caller.
    pub(crate) fn remove_entry(&mut self, dir: &mut Node, found: &Found) -> Result<()> {
        let (logical, offset) = match found.place {
            Place::Block { logical, offset } => (logical, offset),
            Place::Inline { offset } => return self.remove_inline(dir, offset),
        };
        let (number, block) = self.directory_block(dir, logical)?;
        let mut before: Option<(usize, usize)> = None;
        let mut own = 0;
        self.walk_block(dir, number, &block, |entry| {
            if entry.offset == offset {
                own = entry.len;
                return false;
            }
            before = Some((entry.offset, entry.len));
            true
        })?;
        let mut bytes = (*block).clone();
        let block_size = bytes.len();
        match before {
            Some((at, len)) => set_len(&mut bytes, at, len + own, block_size),
            None => crate::record::put32(&mut bytes, offset, 0),
        }
        self.store_directory_block(dir, number, bytes);
        Ok(())
    }

    /// Puts a new entry in; the name is not there yet. The directory's inode is changed in memory and stored by the
    /// caller.
    pub(crate) fn add_entry(&mut self, dir: &mut Node, name: &[u8], inode: u32, kind: u8) -> Result<()> {
        self.check_directory(dir)?;
        if dir.has(InodeFlags::CASEFOLD)
            && (!name.is_ascii() || self.superblock.encoding != ENCODING_UTF8 || !self.is_plain_ascii(dir)?)
        {
            return Err(folding_beyond_ascii());
        }
        let kind = if self.has_file_type() { kind } else { 0 };
        if dir.has(InodeFlags::INLINE_DATA) {
            if self.add_inline(dir, name, inode, kind)? {
                return Ok(());
            }
            self.uninline_directory(dir)?;
        }
        if self.is_hashed(dir) {
            return self.add_hashed(dir, name, inode, kind);
        }
        // Without the feature, a hash tree would not be kept up to date.
        dir.rec.set_flag(InodeFlags::INDEX, false);
        let blocks = self.directory_blocks(dir)?;
        for logical in 0..blocks {
            if self.insert_into(dir, logical, name, inode, kind)? {
                return Ok(());
            }
        }
        if blocks == 1 && self.geometry.has_compat(Compat::DIR_INDEX) && self.make_hashed(dir)? {
            return self.add_hashed(dir, name, inode, kind);
        }
        let (logical, _) = self.append_block(dir, &[])?;
        if self.insert_into(dir, logical, name, inode, kind)? {
            return Ok(());
        }
        Err(dir.corrupt("i_size", dir.rec.size(), "a name does not fit an empty block"))
    }

    /// Inserts an entry into a leaf block where there is room.
    fn insert_into(&mut self, dir: &Node, logical: u64, name: &[u8], inode: u32, kind: u8) -> Result<bool> {
        let need = entry_size(name.len());
        let (number, block) = self.directory_block(dir, logical)?;
        let mut room = None;
        self.walk_block(dir, number, &block, |entry| {
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
        let mut bytes = (*block).clone();
        let block_size = bytes.len();
        if used > 0 {
            set_len(&mut bytes, offset, used, block_size);
        }
        write_entry(
            &mut bytes,
            offset + used,
            len - used,
            inode,
            name,
            kind,
            block_size,
        );
        seal_leaf(&mut bytes, dir.seed);
        self.put_block(number, Arc::new(bytes));
        Ok(true)
    }

    /// Contents of a leaf block with the given entries, packed.
    fn leaf_of(&self, dir: &Node, entries: &[NewEntry]) -> Vec<u8> {
        let block_size = self.geometry.block_size as usize;
        let end = self.leaf_end();
        let mut bytes = vec![0u8; block_size];
        if entries.is_empty() {
            set_len(&mut bytes, 0, end, block_size);
        }
        let mut at = 0;
        for (i, (inode, kind, name)) in entries.iter().enumerate() {
            let len = if i + 1 == entries.len() {
                end.saturating_sub(at)
            } else {
                entry_size(name.len())
            };
            write_entry(&mut bytes, at, len, *inode, name, *kind, block_size);
            at += len;
        }
        seal_leaf(&mut bytes, dir.seed);
        bytes
    }

    /// Adds a leaf block at the end of a directory.
    fn append_block(&mut self, dir: &mut Node, entries: &[NewEntry]) -> Result<(u64, u64)> {
        let (logical, number) = self.extend_directory(dir)?;
        let bytes = self.leaf_of(dir, entries);
        self.put_block(number, Arc::new(bytes));
        Ok((logical, number))
    }

    /// Takes a block at the end of a directory; its contents are the caller's to store.
    fn extend_directory(&mut self, dir: &mut Node) -> Result<(u64, u64)> {
        let block_size = u64::from(self.geometry.block_size);
        let logical = dir.rec.size() / block_size;
        let size = (logical + 1) * block_size;
        if size > i32::MAX as u64 && !self.geometry.has_incompat(Incompat::LARGEDIR) {
            return Err(Error::NoSpace {
                what: "room in the directory",
            });
        }
        self.fill_holes(dir, logical, logical + 1, false)?;
        dir.rec.set_size(size);
        match self.map(dir, logical, 1)?.0 {
            Mapped::Data(number) => Ok((logical, number)),
            _ => Err(dir.corrupt("i_block", logical, "a directory with unwritten blocks")),
        }
    }

    /// Makes an inode an empty directory: inline where the filesystem has that, else with a block.
    pub(crate) fn start_directory(&mut self, dir: &mut Node, parent: u32) -> Result<()> {
        if self.may_be_inline(dir) && !dir.has(InodeFlags::CASEFOLD) {
            return self.start_inline_directory(dir, parent);
        }
        self.start_linear_directory(dir, parent)
    }

    /// Writes the first block of a new directory.
    pub(crate) fn start_linear_directory(&mut self, dir: &mut Node, parent: u32) -> Result<()> {
        let kind = if self.has_file_type() { 2 } else { 0 };
        let ino = dir.ino;
        self.append_block(dir, &[(ino, kind, b".".to_vec()), (parent, kind, b"..".to_vec())])?;
        Ok(())
    }

    /// The entries of a leaf block that are in use.
    fn leaf_entries(&self, dir: &Node, number: u64, block: &[u8]) -> Result<Vec<NewEntry>> {
        let mut list = Vec::new();
        self.walk_block(dir, number, block, |entry| {
            if entry.inode != 0 {
                list.push((entry.inode, entry.kind, entry.name.to_vec()));
            }
            true
        })?;
        Ok(list)
    }
}
