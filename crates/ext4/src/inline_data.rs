//! Contents that are in the inode itself (`inline_data`): 60 bytes in `i_block`, more in the attribute `system.data`.

use crate::core::Core;
use crate::error::Result;
use crate::features::Incompat;
use crate::inode::{INODE_BLOCK_SIZE, InodeFlags};
use crate::inode_table::Node;
use crate::xattr::{Attribute, Value, area_size};

/// The attribute's number and name.
const DATA: (u8, &[u8]) = (7, b"data");
/// Bytes of its entry, the value left out.
const DATA_ENTRY: usize = 20;

impl Core {
    /// What is in the attribute.
    pub(crate) fn inline_rest(&self, node: &Node) -> Result<Vec<u8>> {
        match self.attributes(node)?.find(DATA.0, DATA.1) {
            Some(attribute) => self.attribute_value(&attribute.value),
            None => Ok(Vec::new()),
        }
    }

    /// Replaces what is in the attribute, or makes it; the record is changed in memory only.
    pub(crate) fn set_inline_rest(&mut self, node: &mut Node, rest: Vec<u8>) -> Result<()> {
        let mut all = self.attributes(node)?;
        let new = Attribute {
            index: DATA.0,
            name: DATA.1.to_vec(),
            value: Value::Here(rest),
        };
        match all.inode.iter_mut().find(|a| a.is(DATA.0, DATA.1)) {
            Some(attribute) => *attribute = new,
            None => all.inode.push(new),
        }
        self.store_attributes(node, &all)
    }

    /// Whether a new inode may have its contents inline.
    pub(crate) fn may_be_inline(&self, node: &Node) -> bool {
        self.geometry.has_incompat(Incompat::INLINE_DATA)
            && !node.has(InodeFlags::ENCRYPT)
            && self
                .inline_room(node)
                .is_ok_and(|_| self.has_inline_entry_room(node))
    }

    fn has_inline_entry_room(&self, node: &Node) -> bool {
        self.attributes(node).is_ok_and(|all| {
            let others = all.inode.iter().filter(|a| !a.is(DATA.0, DATA.1));
            Self::inode_room(node) >= area_size(others) + DATA_ENTRY
        })
    }

    /// Bytes that the attribute's value can have, in whole words.
    pub(crate) fn inline_room(&self, node: &Node) -> Result<usize> {
        let all = self.attributes(node)?;
        let others = all.inode.iter().filter(|a| !a.is(DATA.0, DATA.1));
        let room = Self::inode_room(node).saturating_sub(area_size(others) + DATA_ENTRY);
        Ok(room & !3)
    }

    /// Stores contents inline where they fit and the inode has no blocks; `false` where they must go to blocks. Size and times are
    /// the caller's.
    pub(crate) fn store_inline(&mut self, node: &mut Node, contents: &[u8]) -> Result<bool> {
        if !node.has(InodeFlags::INLINE_DATA) {
            let empty = if node.has(InodeFlags::EXTENTS) {
                crate::record::le32(&node.rec.block, 0) == u32::from(crate::extent_record::EXTENT_MAGIC)
            } else {
                disksmith_storage::is_zero(&node.rec.block)
            };
            if !empty || node.rec.size() != 0 || !node.rec.is_file() || !self.may_be_inline(node) {
                return Ok(false);
            }
        }
        if contents.len() > INODE_BLOCK_SIZE + self.inline_room(node)? {
            return Ok(false);
        }
        let (head, rest) = contents.split_at(contents.len().min(INODE_BLOCK_SIZE));
        node.rec.block = [0; INODE_BLOCK_SIZE];
        crate::record::put_array(&mut node.rec.block, 0, head);
        node.rec.set_flag(InodeFlags::EXTENTS, false);
        node.rec.set_flag(InodeFlags::INLINE_DATA, true);
        self.set_inline_rest(node, rest.to_vec())?;
        Ok(true)
    }

    /// Changes contents that are inline, or can be: `change` gets them. `false` where they go to blocks, and nothing was done.
    pub(crate) fn change_inline(
        &mut self,
        node: &mut Node,
        len: u64,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> Result<bool> {
        let most = u64::from(self.geometry.inode_size);
        if len > most || !self.geometry.has_incompat(Incompat::INLINE_DATA) {
            return Ok(false);
        }
        let mut contents = if node.has(InodeFlags::INLINE_DATA) {
            self.inline_contents(node)?
        } else {
            Vec::new()
        };
        change(&mut contents);
        self.store_inline(node, &contents)
    }

    /// The contents of an inline file or link, as long as its size says.
    pub(crate) fn inline_contents(&self, node: &Node) -> Result<Vec<u8>> {
        let size = node.rec.size();
        let mut bytes = node.rec.block.to_vec();
        if size > INODE_BLOCK_SIZE as u64 {
            bytes.extend(self.inline_rest(node)?);
        }
        if size > bytes.len() as u64 {
            return Err(node.corrupt("i_size", size, "larger than the contents in the inode"));
        }
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// Takes the contents out of the inode, which has no blocks afterwards; its size becomes 0.
    pub(crate) fn drop_inline(&mut self, node: &mut Node) -> Result<()> {
        let mut all = self.attributes(node)?;
        all.remove(DATA.0, DATA.1);
        self.store_attributes(node, &all)?;
        node.rec.set_flag(InodeFlags::INLINE_DATA, false);
        node.rec.set_size(0);
        self.clear_blocks(node);
        Ok(())
    }

    /// Gives an inode an empty extent tree or block map.
    pub(crate) fn clear_blocks(&self, node: &mut Node) {
        let extents = self.geometry.has_incompat(Incompat::EXTENTS);
        node.rec.set_flag(InodeFlags::EXTENTS, extents);
        if extents {
            Self::init_extent_root(node);
        } else {
            node.rec.block = [0; INODE_BLOCK_SIZE];
        }
    }

    /// Moves the contents of an inline file to a block.
    pub(crate) fn uninline_file(&mut self, node: &mut Node) -> Result<()> {
        let contents = self.inline_contents(node)?;
        self.drop_inline(node)?;
        if !contents.is_empty() {
            self.write_blocks(node, 0, &contents)?;
            node.rec.set_size(contents.len() as u64);
        }
        Ok(())
    }
}
