//! Inodes of groups that are given up go to the first free ones that are left.

use super::Resizer;
use crate::bitmap;
use crate::error::{Error, Result};
use crate::group_descriptor::{GROUP_INODE_UNINIT, GroupDescriptor};
use crate::inode::Inode;
use disksmith_storage::read_vec;

impl Resizer {
    /// Gives inodes beyond the end other numbers, and copies them there.
    pub(super) fn renumber_inodes(&mut self) -> Result<()> {
        let per_group = self.old.g.inodes_per_group;
        let mut next = self.old.g.first_inode;
        for group in self.new.g.groups..self.old.g.groups {
            let Some(desc) = self.old_groups.get(group as usize).cloned() else {
                break;
            };
            if desc.free_inodes() == per_group {
                continue;
            }
            let map = self.inodes.read(group, &desc)?;
            let mut bit = bitmap::next_set(&map, 0, per_group);
            while bit < per_group {
                let from = group * per_group + bit + 1;
                let to = self.take_inode(&mut next)?;
                self.move_inode(from, to, &desc)?;
                bit = bitmap::next_set(&map, bit + 1, per_group);
            }
        }
        Ok(())
    }

    /// Byte offset of an inode in a group whose table has not been moved.
    fn inode_offset(&self, desc: &GroupDescriptor, ino: u32) -> u64 {
        let within = u64::from((ino - 1) % self.old.g.inodes_per_group);
        self.old.g.offset(desc.inode_table()) + within * u64::from(self.old.g.inode_size)
    }

    fn move_inode(&mut self, from: u32, to: u32, desc: &GroupDescriptor) -> Result<()> {
        let size = usize::from(self.old.g.inode_size);
        let raw = read_vec(&*self.storage, self.inode_offset(desc, from), size)?;
        let inode = Inode::from_raw(&raw);
        if !self.old.g.checksums.verify_inode(from, inode.generation, &raw) {
            return Err(Error::corrupt(
                format!("inode {from}"),
                self.inode_offset(desc, from),
                "checksum",
                inode.checksum_lo,
                "the checksum does not match",
            ));
        }
        let group = (to - 1) / self.old.g.inodes_per_group;
        let Some(target) = self.groups.get_mut(group as usize) else {
            return Err(Error::NoSpace { what: "inodes" });
        };
        if inode.is_dir() {
            target.set_used_dirs(target.used_dirs() + 1);
        }
        let target = target.clone();
        self.storage.write_at(self.inode_offset(&target, to), &raw)?;
        self.renumbered.insert(from, to);
        Ok(())
    }

    /// Takes the first free inode from `next` on.
    fn take_inode(&mut self, next: &mut u32) -> Result<u32> {
        let per_group = self.old.g.inodes_per_group;
        loop {
            let (group, from) = ((*next - 1) / per_group, (*next - 1) % per_group);
            if group >= self.new.g.groups {
                return Err(Error::NoSpace { what: "inodes" });
            }
            let Some(desc) = self.groups.get(group as usize).cloned() else {
                return Err(Error::NoSpace { what: "inodes" });
            };
            if desc.free_inodes() > 0 {
                let old = self.old_groups.get(group as usize).cloned().unwrap_or_default();
                self.inodes.load(group, &old)?;
                if let Some(map) = self.inodes.get_mut(group) {
                    let bit = bitmap::next_clear(map, from, per_group);
                    if bit < per_group {
                        bitmap::fill(map, bit, bit + 1, true);
                        self.use_inode(group, bit, desc)?;
                        let ino = group * per_group + bit + 1;
                        *next = ino + 1;
                        return Ok(ino);
                    }
                }
            }
            *next = (group + 1) * per_group + 1;
        }
    }

    /// Counts an inode as used; the part of the table before it becomes valid.
    fn use_inode(&mut self, group: u32, bit: u32, mut desc: GroupDescriptor) -> Result<()> {
        let per_group = self.old.g.inodes_per_group;
        desc.set_free_inodes(desc.free_inodes() - 1);
        if self.old.g.features.has_group_checksums() {
            let unused = if desc.has(GROUP_INODE_UNINIT) {
                per_group
            } else {
                desc.itable_unused()
            };
            let valid = per_group.saturating_sub(unused);
            if bit >= valid {
                let size = u64::from(self.old.g.inode_size);
                let offset = self.old.g.offset(desc.inode_table()) + u64::from(valid) * size;
                super::tables::clear(&*self.storage, offset, u64::from(bit + 1 - valid) * size)?;
                desc.set_itable_unused(per_group - bit - 1);
            }
            if desc.has(GROUP_INODE_UNINIT) {
                desc.flags &= !GROUP_INODE_UNINIT;
            }
            self.space.touch(group)?;
        }
        if let Some(slot) = self.groups.get_mut(group as usize) {
            *slot = desc;
        }
        Ok(())
    }
}
