//! Extended attributes: in the inode, in a block that inodes can share, and values in inodes of their own.

mod acl;
pub(crate) mod entry;
mod value_inode;

pub(crate) use acl::Acl;
pub(crate) use entry::{
    Attribute, BLOCK_HEADER, INODE_HEADER, MAX_VALUE, Value, XATTR_MAGIC, full_name, split_name,
};

use crate::block_allocator::Wish;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::inode::INODE_BASE_SIZE;
use crate::inode_table::Node;
use crate::record::{le32, put32};
pub(crate) use entry::area_size;
use entry::{encode_area, parse_area};
use std::sync::Arc;

/// All attributes of an inode, by where they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    pub(crate) inode: Vec<Attribute>,
    pub(crate) block: Vec<Attribute>,
}

impl Attributes {
    pub(crate) fn find(&self, index: u8, name: &[u8]) -> Option<&Attribute> {
        self.inode.iter().chain(&self.block).find(|a| a.is(index, name))
    }

    /// Takes an attribute out; tells its value.
    pub(crate) fn remove(&mut self, index: u8, name: &[u8]) -> Option<Value> {
        for list in [&mut self.inode, &mut self.block] {
            if let Some(at) = list.iter().position(|a| a.is(index, name)) {
                return Some(list.remove(at).value);
            }
        }
        None
    }
}

impl Core {
    /// Byte offset of the attributes in an inode, where it has room for any.
    fn inode_area(node: &Node) -> Option<usize> {
        let start = INODE_BASE_SIZE + usize::from(node.rec.extra_isize);
        (node.raw.len() > INODE_BASE_SIZE
            && node.rec.extra_isize > 0
            && start + INODE_HEADER + 4 <= node.raw.len())
        .then_some(start)
    }

    pub(super) fn xattr_block_bytes(&self, node: &Node) -> Result<Arc<Vec<u8>>> {
        let number = node.rec.xattr_block();
        if !self.geometry.holds(number, 1) {
            return Err(node.corrupt("i_file_acl", number, "outside of the filesystem"));
        }
        self.block(number, |bytes| {
            let bad = |field, value: u32, reason: &str| {
                Err(Error::corrupt(
                    format!("attribute block of inode {}", node.ino),
                    self.geometry.offset(number),
                    field,
                    value,
                    reason,
                ))
            };
            if le32(bytes, 0) != XATTR_MAGIC {
                return bad("h_magic", le32(bytes, 0), "not 0xea020000");
            }
            if le32(bytes, 8) != 1 {
                return bad("h_blocks", le32(bytes, 8), "not 1");
            }
            if self
                .geometry
                .checksums
                .xattr_block(number, bytes)
                .is_some_and(|want| want != le32(bytes, 16))
            {
                return bad("h_checksum", le32(bytes, 16), "the checksum does not match");
            }
            Ok(())
        })
    }

    /// Reads all attributes of an inode.
    pub(crate) fn attributes(&self, node: &Node) -> Result<Attributes> {
        let fault = |place: &str, offset: u64, (at, field, value, reason): entry::AreaFault| {
            Error::corrupt(
                format!("extended attribute of inode {} in the {place}", node.ino),
                offset + at as u64,
                field,
                value,
                reason,
            )
        };
        let mut all = Attributes::default();
        if let Some(start) = Self::inode_area(node)
            && le32(&node.raw, start) == XATTR_MAGIC
        {
            let first = start + INODE_HEADER;
            all.inode = parse_area(&node.raw, first, first).map_err(|e| fault("inode", 0, e))?;
        }
        if node.rec.xattr_block() != 0 {
            let bytes = self.xattr_block_bytes(node)?;
            let offset = self.geometry.offset(node.rec.xattr_block());
            all.block = parse_area(&bytes, BLOCK_HEADER, 0).map_err(|e| fault("block", offset, e))?;
        }
        Ok(all)
    }

    /// How much room attributes have in an inode, the end mark included.
    pub(crate) fn inode_room(node: &Node) -> usize {
        Self::inode_area(node).map_or(0, |start| node.raw.len() - start - INODE_HEADER)
    }

    fn block_room(&self) -> usize {
        self.geometry.block_size as usize - BLOCK_HEADER
    }

    /// Puts an attribute where there is room: in the inode, else in the block. An old value of the same name is gone already.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where neither has room.
    pub(crate) fn place_attribute(
        &mut self,
        node: &mut Node,
        all: &mut Attributes,
        mut attribute: Attribute,
    ) -> Result<()> {
        let holders = self.geometry.has_incompat(Incompat::EA_INODE);
        if holders && self.is_large(&attribute) {
            self.move_value_out(node, &mut attribute)?;
        }
        let before = (all.inode.len(), all.block.clone());
        match self.fit_attribute(node, all, attribute.clone()) {
            Err(Error::NoSpace { .. }) if holders && matches!(attribute.value, Value::Here(_)) => {
                all.inode.truncate(before.0);
                all.block = before.1;
                self.move_value_out(node, &mut attribute)?;
                self.fit_attribute(node, all, attribute)
            }
            result => result,
        }
    }

    /// Whether a value goes to an inode of its own without a try to put it beside its entry, as in the kernel.
    fn is_large(&self, attribute: &Attribute) -> bool {
        let most = self.geometry.block_size as usize - BLOCK_HEADER - 4 - 20;
        matches!(&attribute.value, Value::Here(value) if value.len() > most)
    }

    fn fit_attribute(&self, node: &Node, all: &mut Attributes, attribute: Attribute) -> Result<()> {
        // e2fsck takes a short link for one with blocks where its inode is charged some and has no block of attributes.
        let in_block = node.rec.is_symlink() && attribute.value.holder().is_some();
        all.inode.push(attribute);
        if area_size(&all.inode) <= Self::inode_room(node) && !in_block {
            return Ok(());
        }
        let Some(attribute) = all.inode.pop() else {
            return Ok(());
        };
        all.block.push(attribute);
        all.block
            .sort_by(|a, b| (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name)));
        if area_size(&all.block) > self.block_room() {
            return Err(Error::NoSpace {
                what: "room for extended attributes",
            });
        }
        Ok(())
    }

    /// Stores the attributes of an inode; its record is changed in memory only.
    pub(crate) fn store_attributes(&mut self, node: &mut Node, all: &Attributes) -> Result<()> {
        if let Some(start) = Self::inode_area(node) {
            let first = start + INODE_HEADER;
            encode_area(&mut node.raw, first, first, &all.inode, false);
            let magic = if all.inode.is_empty() { 0 } else { XATTR_MAGIC };
            put32(&mut node.raw, start, magic);
        }
        let old = node.rec.xattr_block();
        let before = if old != 0 {
            let bytes = self.xattr_block_bytes(node)?;
            let list = parse_area(&bytes, BLOCK_HEADER, 0).unwrap_or_default();
            if list == all.block && !list.is_empty() {
                return Ok(());
            }
            Some(bytes)
        } else {
            None
        };
        let shared = before.as_ref().is_some_and(|bytes| le32(bytes, 4) > 1);
        if old != 0 && (shared || all.block.is_empty()) {
            self.release_xattr_block(node)?;
        }
        if all.block.is_empty() {
            return Ok(());
        }
        if !self.geometry.has_compat(Compat::EXT_ATTR) {
            if self.superblock.revision == 0 {
                return Err(Error::unsupported(
                    "a block of extended attributes on a filesystem of revision 0",
                ));
            }
            self.update_superblock(|sb| sb.feature_compat |= Compat::EXT_ATTR.bits());
        }
        let number = match node.rec.xattr_block() {
            0 => {
                let (group, _) = self.geometry.locate_inode(node.ino)?;
                let run = self.allocate(Wish {
                    goal: self.geometry.group_start(group),
                    continues: false,
                    len: 1,
                    room: 1,
                })?;
                self.charge(node, i64::from(self.geometry.cluster_blocks()))?;
                node.rec.set_xattr_block(run.start);
                run.start
            }
            number => number,
        };
        let mut bytes = vec![0u8; self.geometry.block_size as usize];
        put32(&mut bytes, 0, XATTR_MAGIC);
        put32(&mut bytes, 4, 1);
        put32(&mut bytes, 8, 1);
        let hash = encode_area(&mut bytes, BLOCK_HEADER, 0, &all.block, true);
        put32(&mut bytes, 12, hash);
        self.put_xattr_block(number, bytes);
        Ok(())
    }

    fn put_xattr_block(&mut self, number: u64, mut bytes: Vec<u8>) {
        if let Some(crc) = self.geometry.checksums.xattr_block(number, &bytes) {
            put32(&mut bytes, 16, crc);
        }
        self.put_block(number, Arc::new(bytes));
    }

    /// Lets go of an inode's block of attributes: frees it with its last user.
    pub(crate) fn release_xattr_block(&mut self, node: &mut Node) -> Result<()> {
        let number = node.rec.xattr_block();
        if number == 0 {
            return Ok(());
        }
        let bytes = self.xattr_block_bytes(node)?;
        let users = le32(&bytes, 4);
        if users > 1 {
            let mut changed = (*bytes).clone();
            put32(&mut changed, 4, users - 1);
            self.put_xattr_block(number, changed);
        } else {
            self.free(number, 1)?;
        }
        self.charge(node, -i64::from(self.geometry.cluster_blocks()))?;
        node.rec.set_xattr_block(0);
        Ok(())
    }

    /// Lets go of everything that attributes take, before an inode is freed.
    pub(crate) fn release_attributes(&mut self, node: &mut Node) -> Result<()> {
        let all = self.attributes(node)?;
        let shared = node.rec.xattr_block() != 0 && le32(&self.xattr_block_bytes(node)?, 4) > 1;
        for attribute in &all.inode {
            self.release_value(node, &attribute.value)?;
        }
        for attribute in &all.block {
            if shared {
                // The block keeps its holds on them; only what this inode was charged goes.
                self.charge_value(node, &attribute.value, -1)?;
            } else {
                self.release_value(node, &attribute.value)?;
            }
        }
        self.release_xattr_block(node)
    }
}
