//! Inodes in their tables: reading, storing, taking and freeing.

use crate::bitmap;
use crate::cache::Block;
use crate::checksum::{InodeSeed, crc32c};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Incompat, RoCompat};
use crate::group_descriptor::{GROUP_INODE_UNINIT, GROUP_INODE_ZEROED, GroupDescriptor};
use crate::inode::{INODE_BASE_SIZE, Inode, InodeFlags};
use crate::quota::Charge;
use crate::record::put16;
use disksmith_vfs::Timestamp;
use std::sync::Arc;

/// Inode number of the root directory.
pub(crate) const ROOT_INODE: u32 = 2;

/// So many directories at the top are made near their parent before more of them are spread.
const FEW_TOPS: u32 = 4;

/// An inode in memory: its record, and all its bytes as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) ino: u32,
    pub(crate) rec: Inode,
    pub(crate) raw: Vec<u8>,
    /// What the checksums of its blocks start from.
    pub(crate) seed: Option<InodeSeed>,
    /// What quotas are charged for it as it was loaded or stored; `None` for a new one.
    pub(crate) charged: Option<Charge>,
}

impl Node {
    /// How it is named in messages.
    pub(crate) fn name(&self) -> String {
        format!("inode {}", self.ino)
    }

    pub(crate) fn has(&self, flag: InodeFlags) -> bool {
        self.rec.has(flag)
    }

    /// A damaged field of this inode.
    pub(crate) fn corrupt(&self, field: &'static str, value: impl TryInto<u64>, reason: &str) -> Error {
        Error::corrupt(self.name(), 0, field, value, reason)
    }
}

impl Core {
    /// Block of the inode table that holds an inode, and byte offset in it.
    fn inode_location(&self, ino: u32) -> Result<(u32, u32, u64, usize)> {
        let (group, index) = self.geometry.locate_inode(ino)?;
        let desc = self.group(group);
        let byte = u64::from(index) * u64::from(self.geometry.inode_size);
        let block = desc.inode_table() + (byte >> self.geometry.block_shift);
        let within = (byte & u64::from(self.geometry.block_size - 1)) as usize;
        Ok((group, index, block, within))
    }

    /// Reads an inode, whatever state it is in.
    pub(crate) fn load_any(&self, ino: u32) -> Result<Node> {
        let (_, _, block, within) = self.inode_location(ino)?;
        let data = self.block(block, |_| Ok(()))?;
        let size = usize::from(self.geometry.inode_size);
        let raw = data.get(within..within + size).unwrap_or(&[]).to_vec();
        let rec = Inode::from_raw(&raw);
        let offset = self.geometry.offset(block) + within as u64;
        if !self.geometry.checksums.verify_inode(ino, rec.generation, &raw) {
            return Err(Error::corrupt(
                format!("inode {ino}"),
                offset,
                "i_checksum",
                u64::from(rec.checksum_lo),
                "the checksum does not match",
            ));
        }
        if size > INODE_BASE_SIZE {
            let extra = usize::from(rec.extra_isize);
            if extra + INODE_BASE_SIZE > size || extra % 4 != 0 {
                return Err(Error::corrupt(
                    format!("inode {ino}"),
                    offset,
                    "i_extra_isize",
                    extra as u64,
                    "does not fit the inode",
                ));
            }
        }
        let seed = self.geometry.checksums.inode_seed(ino, rec.generation);
        let mut node = Node {
            ino,
            rec,
            raw,
            seed,
            charged: None,
        };
        node.charged = self.charge_of(&node);
        Ok(node)
    }

    /// Reads an inode that a name leads to: one that is in use, and none of the filesystem's own.
    pub(crate) fn load(&self, ino: u32) -> Result<Node> {
        let sb = &self.superblock;
        let hidden = [
            sb.journal_inode,
            sb.orphan_file_inode,
            sb.user_quota_inode,
            sb.group_quota_inode,
            sb.project_quota_inode,
        ];
        if ino != ROOT_INODE && (ino < self.geometry.first_inode || hidden.contains(&ino)) {
            return Err(Error::corrupt(
                format!("inode {ino}"),
                0,
                "number",
                u64::from(ino),
                "a name leads to an inode of the filesystem's own",
            ));
        }
        let node = self.load_any(ino)?;
        if node.rec.links == 0 && !self.held.is_nameless(ino) {
            return Err(node.corrupt("i_links_count", 0u64, "an inode that is named is not in use"));
        }
        if node.rec.file_type().is_none() {
            return Err(node.corrupt("i_mode", node.rec.mode, "no kind of file"));
        }
        Ok(node)
    }

    /// Stores an inode with its checksum.
    pub(crate) fn store(&mut self, node: &mut Node) -> Result<()> {
        self.charge_quotas(node);
        self.store_record(node)
    }

    fn store_record(&mut self, node: &mut Node) -> Result<()> {
        let (_, _, block, within) = self.inode_location(node.ino)?;
        node.rec.store_into(&mut node.raw);
        self.geometry
            .checksums
            .seal_inode(node.ino, node.rec.generation, &mut node.raw);
        let data = self.block(block, |_| Ok(()))?;
        self.edit_block(block, data, |bytes| {
            if let Some(slot) = bytes.get_mut(within..within + node.raw.len()) {
                slot.copy_from_slice(&node.raw);
            }
        });
        Ok(())
    }

    fn inode_bitmap(&self, group: u32, desc: &GroupDescriptor) -> Result<Block> {
        let g = &self.geometry;
        if desc.has(GROUP_INODE_UNINIT) && g.features.has_group_checksums() {
            let mut bits = vec![0u8; g.block_size as usize];
            bitmap::fill(&mut bits, g.inodes_per_group, g.block_size * 8, true);
            return Ok(Arc::new(bits));
        }
        let block = desc.inode_bitmap();
        self.block(block, |data| {
            let used = (g.inodes_per_group / 8) as usize;
            let Some(want) = g.checksums.bitmap(data.get(..used).unwrap_or(data)) else {
                return Ok(());
            };
            let (stored, mask) = if g.descriptor_size >= 64 {
                (desc.inode_bitmap_csum(), u32::MAX)
            } else {
                (u32::from(desc.inode_bitmap_csum_lo), 0xffff)
            };
            if want & mask != stored {
                return Err(Error::corrupt(
                    format!("inode bitmap of group {group}"),
                    g.offset(block),
                    "bg_inode_bitmap_csum",
                    u64::from(stored),
                    "the checksum does not match",
                ));
            }
            Ok(())
        })
    }

    fn store_inode_bitmap(&mut self, group: u32, mut desc: GroupDescriptor, bits: Block) {
        let used = (self.geometry.inodes_per_group / 8) as usize;
        if let Some(crc) = self.geometry.checksums.bitmap(bits.get(..used).unwrap_or(&bits)) {
            desc.set_inode_bitmap_csum(crc);
        }
        self.put_block(desc.inode_bitmap(), bits);
        self.set_group(group, desc);
    }

    /// Whether the bitmap says that an inode is in use.
    pub(crate) fn inode_in_use(&self, ino: u32) -> Result<bool> {
        let (group, index) = self.geometry.locate_inode(ino)?;
        let bits = self.inode_bitmap(group, &self.group(group))?;
        Ok(bitmap::is_set(&bits, index))
    }

    /// Groups in the order in which a new inode looks for room.
    fn choose_group(&mut self, parent: u32, is_dir: bool, top: bool) -> Result<u32> {
        let groups = self.geometry.groups;
        let (parent_group, _) = self.geometry.locate_inode(parent)?;
        let free_of = |core: &Self, group: u32| core.group(group).free_inodes();
        if self.free_inodes == 0 {
            return Err(Error::NoSpace { what: "inodes" });
        }
        if is_dir {
            let average_inodes = self.free_inodes / u64::from(groups);
            let average_clusters = self.free_clusters / u64::from(groups);
            // A directory at the top goes to a new place; others stay near their parent while it is not crowded.
            // But a few new ones are no hierarchy to spread: what one edit writes should lie together.
            self.hints.tops = self.hints.tops.saturating_add(u32::from(top));
            let top = top && self.hints.tops > FEW_TOPS;
            let start = if top {
                let flex = self.geometry.groups_per_flex.max(1);
                let next = self.hints.last_spread.wrapping_add(flex) % groups;
                self.hints.last_spread = next;
                next
            } else {
                parent_group
            };
            let (inode_floor, cluster_floor) = if top {
                (average_inodes, average_clusters)
            } else {
                (average_inodes / 4, average_clusters / 4)
            };
            for step in 0..groups {
                let group = ((u64::from(start) + u64::from(step)) % u64::from(groups)) as u32;
                let desc = self.group(group);
                if desc.free_inodes() > 0
                    && u64::from(desc.free_inodes()) >= inode_floor
                    && u64::from(desc.free_clusters()) >= cluster_floor
                {
                    return Ok(group);
                }
            }
        } else {
            if free_of(self, parent_group) > 0 && self.group(parent_group).free_clusters() > 0 {
                return Ok(parent_group);
            }
            let mut step = 1u64;
            let mut group = (u64::from(parent_group) + u64::from(parent)) % u64::from(groups);
            while step < u64::from(groups) {
                group = (group + step) % u64::from(groups);
                let desc = self.group(group as u32);
                if desc.free_inodes() > 0 && desc.free_clusters() > 0 {
                    return Ok(group as u32);
                }
                step <<= 1;
            }
        }
        (0..groups)
            .map(|step| ((u64::from(parent_group) + u64::from(step)) % u64::from(groups)) as u32)
            .find(|group| free_of(self, *group) > 0)
            .ok_or(Error::NoSpace { what: "inodes" })
    }

    /// Takes a free inode near `parent` and gives it back as a blank record of the right extra size. `top`: a
    /// directory that starts a hierarchy of its own.
    pub(crate) fn allocate_inode(
        &mut self,
        parent: u32,
        is_dir: bool,
        top: bool,
        time: Timestamp,
    ) -> Result<Node> {
        let first = self.choose_group(parent, is_dir, top)?;
        for step in 0..self.geometry.groups {
            let group = ((u64::from(first) + u64::from(step)) % u64::from(self.geometry.groups)) as u32;
            if self.group(group).free_inodes() == 0 {
                continue;
            }
            if let Some(ino) = self.take_inode(group, is_dir)? {
                return self.blank_inode(ino, time);
            }
        }
        Err(Error::NoSpace { what: "inodes" })
    }

    fn take_inode(&mut self, group: u32, is_dir: bool) -> Result<Option<u32>> {
        let per_group = self.geometry.inodes_per_group;
        let bits = self.inode_bitmap(group, &self.group(group))?;
        let from = if group == 0 {
            self.geometry.first_inode - 1
        } else {
            0
        };
        let from = from
            .saturating_sub(group.saturating_mul(per_group))
            .min(per_group);
        let index = bitmap::next_clear(&bits, from, per_group);
        if index >= per_group {
            return Ok(None);
        }
        self.mark_inode(group, index, is_dir)?;
        Ok(Some(group * per_group + index + 1))
    }

    /// Marks a free inode of a group as used.
    pub(crate) fn mark_inode(&mut self, group: u32, index: u32, is_dir: bool) -> Result<()> {
        let per_group = self.geometry.inodes_per_group;
        let mut desc = self.group(group);
        let mut bits = self.inode_bitmap(group, &desc)?;
        let Some(free) = desc.free_inodes().checked_sub(1) else {
            return Err(Error::corrupt(
                format!("group descriptor {group}"),
                self.geometry.offset(desc.inode_bitmap()),
                "bg_free_inodes_count",
                0u64,
                "fewer than the bitmap has",
            ));
        };
        bitmap::fill(Arc::<Vec<u8>>::make_mut(&mut bits), index, index + 1, true);
        desc.set_free_inodes(free);
        if is_dir {
            desc.set_used_dirs(desc.used_dirs().saturating_add(1));
        }
        if self.geometry.features.has_group_checksums() {
            let used = if desc.has(GROUP_INODE_UNINIT) {
                0
            } else {
                per_group - desc.itable_unused().min(per_group)
            };
            self.prepare_table(&desc, used, index)?;
            desc.set_itable_unused(per_group - used.max(index + 1));
            desc.flags &= !GROUP_INODE_UNINIT;
        }
        self.store_inode_bitmap(group, desc, bits);
        Ok(())
    }

    /// Makes the blocks of an inode table that come into use zero, where the table was never written. `used` inodes
    /// at its start are in use already.
    fn prepare_table(&mut self, desc: &GroupDescriptor, used: u32, index: u32) -> Result<()> {
        if desc.has(GROUP_INODE_ZEROED) || index < used {
            return Ok(());
        }
        let per_block = self.geometry.block_size / u32::from(self.geometry.inode_size);
        let first = used.div_ceil(per_block);
        let last = index / per_block;
        for block in first..=last {
            let number = desc.inode_table() + u64::from(block);
            self.put_block(number, Arc::new(vec![0; self.geometry.block_size as usize]));
        }
        Ok(())
    }

    fn blank_inode(&mut self, ino: u32, time: Timestamp) -> Result<Node> {
        let (_, _, block, within) = self.inode_location(ino)?;
        let size = usize::from(self.geometry.inode_size);
        let data = self.block(block, |_| Ok(()))?;
        let old = Inode::from_raw(data.get(within..within + size).unwrap_or(&[]));
        let mut raw = vec![0; size];
        if size > INODE_BASE_SIZE {
            let room = size - INODE_BASE_SIZE;
            let extra = usize::from(self.geometry.want_extra_isize).max(32).min(room) & !3;
            put16(&mut raw, 0x80, extra as u16);
        }
        let mut rec = Inode::from_raw(&raw);
        let mut stir = [0u8; 16];
        let (a, b) = stir.split_at_mut(8);
        a.copy_from_slice(&time.seconds.to_le_bytes());
        b.copy_from_slice(&(u64::from(ino) << 32 | u64::from(time.nanoseconds)).to_le_bytes());
        rec.generation = crc32c(old.generation.wrapping_add(1), &stir);
        rec.set_accessed(time);
        rec.set_changed(time);
        rec.set_modified(time);
        rec.set_created(time);
        if self.geometry.has_incompat(Incompat::EXTENTS) {
            rec.set_flag(InodeFlags::EXTENTS, true);
        }
        let seed = self.geometry.checksums.inode_seed(ino, rec.generation);
        Ok(Node {
            ino,
            rec,
            raw,
            seed,
            charged: None,
        })
    }

    /// Marks an inode as free. Its blocks were freed before.
    pub(crate) fn free_inode(&mut self, node: &mut Node, is_dir: bool) -> Result<()> {
        let (group, index) = self.geometry.locate_inode(node.ino)?;
        let mut desc = self.group(group);
        let mut bits = self.inode_bitmap(group, &desc)?;
        if node.ino < self.geometry.first_inode || !bitmap::is_set(&bits, index) {
            return Err(node.corrupt("number", node.ino, "a named inode is reserved or marked free"));
        }
        bitmap::fill(Arc::<Vec<u8>>::make_mut(&mut bits), index, index + 1, false);
        desc.set_free_inodes((desc.free_inodes() + 1).min(self.geometry.inodes_per_group));
        if is_dir {
            desc.set_used_dirs(desc.used_dirs().saturating_sub(1));
        }
        self.store_inode_bitmap(group, desc, bits);
        node.rec.links = 0;
        node.rec.set_size(0);
        // Smaller values would be taken for a link of the orphan list.
        node.rec.deletion_time =
            (self.now().seconds as u32).max(self.geometry.inodes_count.saturating_add(1));
        self.discharge_quotas(node);
        self.store_record(node)
    }

    /// Adds to the space that an inode takes, in blocks.
    pub(crate) fn charge(&self, node: &mut Node, blocks: i64) -> Result<()> {
        let huge = self.geometry.has_ro_compat(RoCompat::HUGE_FILE);
        let bs = self.geometry.block_size;
        let per_block = i64::from(bs / 512);
        let sectors = node.rec.sectors(huge, bs);
        let changed = i64::try_from(sectors)
            .ok()
            .and_then(|s| s.checked_add(blocks.checked_mul(per_block)?))
            .and_then(|s| u64::try_from(s).ok());
        let Some(changed) = changed else {
            return Err(node.corrupt("i_blocks", sectors, "contradicts the blocks that it has"));
        };
        if !node.rec.set_sectors(changed, huge, bs) {
            return Err(Error::File(disksmith_vfs::Error::FileTooLarge {
                path: node.name(),
            }));
        }
        Ok(())
    }
}
