//! Values of attributes in inodes of their own (`ea_inode`): for those too large to stand beside their entry. Files with the same
//! value share the inode.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.7 (extended attributes), and `ext4_xattr_inode_*`.
//! The inode holds the value as its contents, the value's checksum as its access time, and how many entries lead to
//! it as its change time (upper half) and version (lower half).

use super::entry::{Attribute, MAX_VALUE, Value, linked_hash};
use crate::checksum::crc32c;
use crate::core::Core;
use crate::error::Result;
use crate::features::Incompat;
use crate::inode::InodeFlags;
use crate::inode_table::Node;
use crate::record::le32;

/// How many values are remembered for sharing.
const MAX_KNOWN: usize = 4096;

/// How many entries lead to an inode.
fn users_of(holder: &Node) -> u64 {
    u64::from(holder.rec.change_time) << 32 | u64::from(holder.rec.version_lo)
}

fn set_users(holder: &mut Node, users: u64) {
    holder.rec.change_time = (users >> 32) as u32;
    holder.rec.version_lo = users as u32;
}

impl Core {
    /// The checksum of a value: there is one also where other metadata has none.
    fn value_hash(&self, value: &[u8]) -> u32 {
        let seed = if self.geometry.has_incompat(Incompat::CSUM_SEED) {
            self.superblock.checksum_seed
        } else {
            crc32c(!0, &self.superblock.uuid)
        };
        crc32c(seed, value)
    }

    /// The bytes of a value.
    pub(crate) fn attribute_value(&self, value: &Value) -> Result<Vec<u8>> {
        let (ino, size) = match value {
            Value::Here(bytes) => return Ok(bytes.clone()),
            Value::Inode { ino, size, .. } => (*ino, *size),
        };
        let holder = self.load_any(ino)?;
        if !holder.has(InodeFlags::EA_INODE) || !holder.rec.is_file() {
            return Err(holder.corrupt("i_flags", holder.rec.flags, "holds no value of an attribute"));
        }
        if u64::from(size) > MAX_VALUE * 16 || u64::from(size) > holder.rec.size() {
            return Err(holder.corrupt("e_value_size", size, "larger than the inode that holds it"));
        }
        let mut bytes = vec![0; size as usize];
        self.read_file(&holder, 0, &mut bytes)?;
        if self.value_hash(&bytes) != holder.rec.access_time {
            return Err(holder.corrupt(
                "i_atime",
                holder.rec.access_time,
                "the value's checksum does not match",
            ));
        }
        Ok(bytes)
    }

    /// Charges an inode for a value that is elsewhere: every user is charged its blocks and one inode.
    pub(super) fn charge_value(&mut self, node: &mut Node, value: &Value, sign: i64) -> Result<()> {
        let Value::Inode { size, .. } = value else {
            return Ok(());
        };
        let cluster = u64::from(self.geometry.block_size) << self.geometry.cluster_shift;
        let clusters = u64::from(*size).div_ceil(cluster);
        self.charge(node, (clusters << self.geometry.cluster_shift) as i64 * sign)?;
        self.charge_values(node, sign);
        Ok(())
    }

    /// Moves the value of an attribute to an inode of its own, or to one that has the same value.
    pub(super) fn move_value_out(&mut self, node: &mut Node, attribute: &mut Attribute) -> Result<()> {
        let Value::Here(bytes) = &attribute.value else {
            return Ok(());
        };
        let crc = self.value_hash(bytes);
        let ino = match self.share_value(crc, bytes)? {
            Some(ino) => ino,
            None => self.create_value(node, crc, bytes)?,
        };
        attribute.value = Value::Inode {
            ino,
            size: bytes.len() as u32,
            hash: linked_hash(&attribute.name, crc),
        };
        self.charge_value(node, &attribute.value, 1)
    }

    /// Gives an inode a block of attributes of its own where it shares one that leads to values elsewhere: the block alone
    /// counts as their user, and each copy of it has to.
    pub(crate) fn own_values(&mut self, node: &mut Node) -> Result<()> {
        if node.rec.xattr_block() == 0
            || !self.geometry.has_incompat(Incompat::EA_INODE)
            || le32(&self.xattr_block_bytes(node)?, 4) <= 1
        {
            return Ok(());
        }
        let all = self.attributes(node)?;
        let values: Vec<u32> = all.block.iter().filter_map(|a| a.value.holder()).collect();
        if values.is_empty() {
            return Ok(());
        }
        self.release_xattr_block(node)?;
        for ino in values {
            let mut holder = self.load_any(ino)?;
            if !holder.has(InodeFlags::EA_INODE) {
                return Err(holder.corrupt("i_flags", holder.rec.flags, "holds no value of an attribute"));
            }
            let users = users_of(&holder).saturating_add(1);
            set_users(&mut holder, users);
            self.store(&mut holder)?;
        }
        self.store_attributes(node, &all)
    }

    /// An inode that holds these bytes already, as far as is remembered: it gets one more user.
    fn share_value(&mut self, crc: u32, bytes: &[u8]) -> Result<Option<u32>> {
        let Some(ino) = self.values.get(&crc).copied() else {
            return Ok(None);
        };
        if !self.inode_in_use(ino)? {
            return Ok(None);
        }
        let mut holder = self.load_any(ino)?;
        if !holder.has(InodeFlags::EA_INODE) || holder.rec.size() != bytes.len() as u64 {
            return Ok(None);
        }
        let mut there = vec![0; bytes.len()];
        self.read_file(&holder, 0, &mut there)?;
        if there != bytes {
            return Ok(None);
        }
        let users = users_of(&holder).saturating_add(1);
        set_users(&mut holder, users);
        self.store(&mut holder)?;
        Ok(Some(ino))
    }

    fn create_value(&mut self, node: &Node, crc: u32, bytes: &[u8]) -> Result<u32> {
        let now = self.now();
        let mut holder = self.allocate_inode(node.ino, false, false, now)?;
        holder.rec.mode = 0o100_600;
        holder.rec.links = 1;
        holder.rec.set_uid(node.rec.uid());
        holder.rec.set_gid(node.rec.gid());
        self.clear_blocks(&mut holder);
        holder.rec.set_flag(InodeFlags::EA_INODE, true);
        self.write_blocks(&mut holder, 0, bytes)?;
        holder.rec.set_size(bytes.len() as u64);
        holder.rec.access_time = crc;
        holder.rec.access_time_extra = 0;
        holder.rec.change_time_extra = 0;
        set_users(&mut holder, 1);
        self.store(&mut holder)?;
        if self.values.len() >= MAX_KNOWN {
            self.values.clear();
        }
        self.values.insert(crc, holder.ino);
        Ok(holder.ino)
    }

    /// Lets go of an inode that holds a value of `node`: deletes it with its last user. Every user is charged its blocks.
    pub(crate) fn release_value(&mut self, node: &mut Node, value: &Value) -> Result<()> {
        let Value::Inode { ino, .. } = value else {
            return Ok(());
        };
        self.charge_value(node, value, -1)?;
        let mut holder = self.load_any(*ino)?;
        if !holder.has(InodeFlags::EA_INODE) {
            return Err(holder.corrupt("i_flags", holder.rec.flags, "holds no value of an attribute"));
        }
        let users = users_of(&holder);
        if users > 1 {
            set_users(&mut holder, users - 1);
            return self.store(&mut holder);
        }
        self.values.retain(|_, known| known != ino);
        self.unmap(&mut holder, 0, u64::from(u32::MAX))?;
        self.free_inode(&mut holder, false)
    }
}
