//! Which inodes are in use, group by group, loaded where they are needed.

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::group_descriptor::{GROUP_INODE_UNINIT, GroupDescriptor};
use disksmith_storage::{StorageRef, read_vec};
use std::collections::BTreeMap;

/// Inode bitmaps at work.
#[derive(Debug)]
pub(super) struct InodeMaps {
    storage: StorageRef,
    old: Layout,
    new_groups: u32,
    maps: BTreeMap<u32, Vec<u8>>,
}

impl InodeMaps {
    pub(super) fn new(storage: StorageRef, old: &Layout, new: &Layout) -> Self {
        Self {
            storage,
            old: old.clone(),
            new_groups: new.g.groups,
            maps: BTreeMap::new(),
        }
    }

    /// Bitmaps of groups that are kept and were looked at to be changed.
    pub(super) fn touched(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let kept = self.new_groups;
        self.maps
            .iter()
            .filter(move |(group, _)| **group < kept)
            .map(|(group, map)| (*group, map.as_slice()))
    }

    pub(super) fn get_mut(&mut self, group: u32) -> Option<&mut Vec<u8>> {
        self.maps.get_mut(&group)
    }

    /// Reads the bitmap of an old group, without keeping it.
    pub(super) fn read(&self, group: u32, desc: &GroupDescriptor) -> Result<Vec<u8>> {
        if let Some(map) = self.maps.get(&group) {
            return Ok(map.clone());
        }
        let g = &self.old.g;
        if group >= g.groups || g.features.has_group_checksums() && desc.has(GROUP_INODE_UNINIT) {
            return Ok(vec![0; g.block_size as usize]);
        }
        let offset = g.offset(desc.inode_bitmap());
        let map = read_vec(&*self.storage, offset, g.block_size as usize)?;
        let used = map.get(..g.inodes_per_group as usize / 8).unwrap_or(&[]);
        if let Some(sum) = g.checksums.bitmap(used) {
            let mask = if g.descriptor_size >= 64 { u32::MAX } else { 0xffff };
            if (sum ^ desc.inode_bitmap_csum()) & mask != 0 {
                return Err(Error::corrupt(
                    format!("inode bitmap of group {group}"),
                    offset,
                    "checksum",
                    desc.inode_bitmap_csum(),
                    "the checksum does not match",
                ));
            }
        }
        Ok(map)
    }

    /// Reads the bitmap of an old group to change it.
    pub(super) fn load(&mut self, group: u32, desc: &GroupDescriptor) -> Result<()> {
        if !self.maps.contains_key(&group) {
            let map = self.read(group, desc)?;
            self.maps.insert(group, map);
        }
        Ok(())
    }
}
