//! Contents that are in the inode itself (`inline_data`): 60 bytes in `i_block`, more in the attribute `system.data`.

use crate::core::Core;
use crate::error::Result;
use crate::features::Incompat;
use crate::inode::{INODE_BLOCK_SIZE, InodeFlags};
use crate::inode_table::Node;
use crate::xattr::{Attribute, Value};

/// The attribute's number and name.
const DATA: (u8, &[u8]) = (7, b"data");

impl Core {
    /// What is in the attribute.
    pub(crate) fn inline_rest(&self, node: &Node) -> Result<Vec<u8>> {
        match self.attributes(node)?.find(DATA.0, DATA.1) {
            Some(attribute) => self.attribute_value(&attribute.value),
            None => Ok(Vec::new()),
        }
    }

    /// Replaces what is in the attribute by as many bytes; the record is changed in memory only.
    pub(crate) fn set_inline_rest(&mut self, node: &mut Node, rest: Vec<u8>) -> Result<()> {
        let mut all = self.attributes(node)?;
        for attribute in &mut all.inode {
            if attribute.is(DATA.0, DATA.1) {
                *attribute = Attribute {
                    index: DATA.0,
                    name: DATA.1.to_vec(),
                    value: Value::Here(rest),
                };
                break;
            }
        }
        self.store_attributes(node, &all)
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
