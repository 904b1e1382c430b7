//! Writing bitmaps, descriptors and superblocks, with all copies.

use super::Resizer;
use super::space::Space;
use crate::bitmap;
use crate::error::Result;
use crate::group_descriptor::GROUP_BLOCK_UNINIT;
use crate::superblock::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};
use disksmith_storage::read_vec;

impl Resizer {
    /// Writes everything that is in memory. `seconds` is the time of now.
    pub(super) fn write_out(&mut self, seconds: i64) -> Result<()> {
        self.write_inode_bitmaps()?;
        self.write_block_bitmaps()?;
        let table = self.seal_descriptors();
        let free_clusters: u64 = self.groups.iter().map(|d| u64::from(d.free_clusters())).sum();
        let free_inodes: u64 = self.groups.iter().map(|d| u64::from(d.free_inodes())).sum();
        let mut raw = read_vec(&*self.storage, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)?;
        let sb = &mut self.new.sb;
        sb.set_free_blocks(free_clusters << self.new.g.cluster_shift);
        sb.free_inodes = free_inodes as u32;
        let seconds = seconds.clamp(0, (1 << 40) - 1) as u64;
        (sb.write_time, sb.write_time_hi) = (seconds as u32, (seconds >> 32) as u8);
        let block_size = self.new.g.block_size as usize;
        for group in 0..self.new.g.groups {
            if let Some(copy) = self.new.descriptors_in(group) {
                let from = copy.first as usize * block_size;
                let to = (from + copy.len as usize * block_size).min(table.len());
                if let Some(part) = table.get(from..to) {
                    self.storage.write_at(self.new.g.offset(copy.block), part)?;
                }
            }
            if group > 0 && self.new.sb.group_has_superblock(group) {
                let mut copy = self.new.sb.clone();
                copy.block_group_nr = group as u16;
                // Copies never say that all is well.
                copy.state &= !crate::superblock::STATE_VALID;
                let mut bytes = raw.clone();
                copy.seal_into(&mut bytes);
                let block = self.new.superblock_of(group);
                self.storage.write_at(self.new.g.offset(block), &bytes)?;
            }
        }
        self.new.sb.seal_into(&mut raw);
        self.storage.write_at(SUPERBLOCK_OFFSET, &raw)?;
        Ok(())
    }

    fn write_inode_bitmaps(&mut self) -> Result<()> {
        let g = self.new.g.clone();
        let bits = g.block_size * 8;
        // Without checksums of groups the bitmaps of new groups have to be there.
        for group in self.old.g.groups..g.groups {
            if let Some(desc) = self.groups.get(group as usize)
                && !g.features.has_group_checksums()
            {
                self.inodes.load(group, &desc.clone())?;
            }
        }
        // Checksums of 16 bits have to become ones of 32.
        if g.descriptor_size > self.old.g.descriptor_size && g.checksums.is_crc32c() {
            for group in 0..self.old.g.groups.min(g.groups) {
                if let Some(desc) = self.old_groups.get(group as usize).cloned() {
                    self.space.touch(group)?;
                    self.inodes.load(group, &desc)?;
                }
            }
        }
        for (group, map) in self.inodes.touched() {
            let Some(desc) = self.groups.get_mut(group as usize) else {
                continue;
            };
            let lazy = g.features.has_group_checksums();
            if lazy && desc.has(crate::group_descriptor::GROUP_INODE_UNINIT) {
                continue;
            }
            let mut map = map.to_vec();
            bitmap::fill(&mut map, g.inodes_per_group, bits, true);
            let used = map.get(..g.inodes_per_group as usize / 8).unwrap_or(&[]);
            if let Some(sum) = g.checksums.bitmap(used) {
                desc.set_inode_bitmap_csum(sum);
            }
            self.storage.write_at(g.offset(desc.inode_bitmap()), &map)?;
        }
        Ok(())
    }

    fn write_block_bitmaps(&mut self) -> Result<()> {
        let g = self.new.g.clone();
        let lazy = g.features.has_group_checksums();
        for group in 0..g.groups {
            let Some(desc) = self.groups.get_mut(group as usize) else {
                break;
            };
            let mut map = match self.space.changed(group) {
                Some(map) => map.to_vec(),
                None if group < self.old.g.groups => continue,
                None => Space::untouched(&self.new, group, desc),
            };
            let end = g.group_clusters(group);
            let taken: u32 = count_set(&map, end);
            desc.set_free_clusters(end - taken);
            let is_plain = group >= self.old.g.groups && self.space.changed(group).is_none();
            if lazy && is_plain && group + 1 != g.groups {
                desc.flags |= GROUP_BLOCK_UNINIT;
                continue;
            }
            desc.flags &= !GROUP_BLOCK_UNINIT;
            bitmap::fill(&mut map, end, g.block_size * 8, true);
            let used = map.get(..g.clusters_per_group as usize / 8).unwrap_or(&[]);
            if let Some(sum) = g.checksums.bitmap(used) {
                desc.set_block_bitmap_csum(sum);
            }
            self.storage.write_at(g.offset(desc.block_bitmap()), &map)?;
        }
        Ok(())
    }

    /// The descriptor table.
    fn seal_descriptors(&mut self) -> Vec<u8> {
        let g = &self.new.g;
        let size = usize::from(g.descriptor_size);
        let mut table = vec![0; g.descriptor_blocks() as usize * g.block_size as usize];
        for ((number, desc), raw) in (0..)
            .zip(self.groups.iter_mut())
            .zip(table.chunks_exact_mut(size))
        {
            desc.seal_into(raw, number, &g.checksums);
        }
        table
    }
}

/// How many of the first `end` bits are set.
fn count_set(map: &[u8], end: u32) -> u32 {
    let whole = (end / 8) as usize;
    let bytes: u32 = map.iter().take(whole).map(|b| b.count_ones()).sum();
    let rest = (end / 8 * 8..end).filter(|bit| bitmap::is_set(map, *bit)).count();
    bytes + rest as u32
}
