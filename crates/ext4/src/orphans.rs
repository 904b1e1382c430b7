//! Files that were deleted, or cut, but not finished when the system stopped: the orphan list, which starts in the superblock
//! and goes on through deletion times, and the orphan file.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.9 (orphan file).

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Compat, RoCompat};
use crate::inode_table::Node;
use crate::mapping::Mapped;
use crate::record::{le32, put32};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// `ob_magic` in the tail of each block of the orphan file.
const BLOCK_MAGIC: u32 = 0x0b10_ca04;
/// Size of that tail: magic and checksum.
const TAIL: usize = 8;
/// Largest size of an orphan file that is believed, in bytes.
const MAX_FILE: u64 = 8 << 20;

/// Inodes that somebody uses although they may have no name any more.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// How often each is held.
    holds: HashMap<u32, u32>,
    /// Those of them that have no name.
    nameless: BTreeSet<u32>,
}

impl Held {
    pub(crate) fn is_nameless(&self, ino: u32) -> bool {
        self.nameless.contains(&ino)
    }
}

/// What was set aside while inodes without a name are out of the filesystem.
#[derive(Debug)]
pub(crate) struct Buried {
    freed: BTreeMap<u64, u64>,
}

// Inodes without a name that are still in use have no place in a committed filesystem: nobody will use them when it is opened
// the next time. So they are deleted for as long as it takes to write the filesystem out, and then brought back in memory;
// their blocks are free in the storage and taken here, and nothing is written to them by anybody else.
impl Core {
    /// An inode outlives its last name from now on.
    pub(crate) fn hold(&mut self, ino: u32) -> Result<()> {
        self.load(ino)?;
        *self.held.holds.entry(ino).or_insert(0) += 1;
        Ok(())
    }

    /// Ends a hold; frees the inode with the last one where it has no name.
    pub(crate) fn release(&mut self, ino: u32) -> Result<()> {
        match self.held.holds.get_mut(&ino) {
            Some(count) if *count > 1 => {
                *count -= 1;
                return Ok(());
            }
            Some(_) => self.held.holds.remove(&ino),
            None => return Ok(()),
        };
        if self.held.nameless.remove(&ino) {
            let mut node = self.load_any(ino)?;
            return self.delete(&mut node);
        }
        Ok(())
    }

    /// Deletes an inode whose last name is gone, unless it is held.
    pub(crate) fn part_with(&mut self, node: &mut Node) -> Result<()> {
        if !self.held.holds.contains_key(&node.ino) {
            return self.delete(node);
        }
        node.rec.links = 0;
        if node.rec.is_dir() {
            node.rec.set_size(0);
        }
        let now = self.now();
        node.rec.set_changed(now);
        self.store(node)?;
        self.held.nameless.insert(node.ino);
        Ok(())
    }

    /// Deletes what has no name, for as long as the filesystem is written out.
    pub(crate) fn bury_nameless(&mut self) -> Option<Buried> {
        while !self.held.nameless.is_empty() {
            let freed = self.take_freed();
            self.begin();
            let failed = self.held.nameless.clone().into_iter().find_map(|ino| {
                let deleted = self.load_any(ino).and_then(|mut node| self.delete(&mut node));
                deleted
                    .and_then(|()| self.settle_quotas())
                    .err()
                    .map(|error| (ino, error))
            });
            let Some((ino, error)) = failed else {
                return Some(Buried { freed });
            };
            // It cannot be freed, now or later: its space is lost, and everything else goes on.
            log::warn!("inode {ino}, which has no name any more, cannot be freed: {error}");
            self.give_up();
            self.set_freed(freed);
            self.held.nameless.remove(&ino);
        }
        None
    }

    /// Brings back what [`bury_nameless`](Self::bury_nameless) deleted.
    pub(crate) fn exhume_nameless(&mut self, buried: Buried) {
        self.give_up();
        self.set_freed(buried.freed);
        self.superblock_is_dirty();
    }

    /// Deletes or cuts all orphans, as the kernel does when it mounts.
    pub(crate) fn process_orphans(&mut self) -> Result<u32> {
        Ok(self.process_orphan_list()? + self.process_orphan_file()?)
    }

    fn process_orphan_list(&mut self) -> Result<u32> {
        let mut next = self.superblock.last_orphan;
        let mut count = 0u32;
        while next != 0 {
            count += 1;
            if count > self.geometry.inodes_count || next < self.geometry.first_inode {
                return Err(Error::corrupt(
                    "superblock",
                    1024,
                    "s_last_orphan",
                    u64::from(next),
                    "the list of orphans has no end",
                ));
            }
            let node = self.load_any(next)?;
            let after = node.rec.deletion_time;
            self.finish_orphan(next)?;
            next = after;
        }
        if self.superblock.last_orphan != 0 {
            self.update_superblock(|sb| sb.last_orphan = 0);
        }
        Ok(count)
    }

    /// Finishes what was begun with an orphan: deletes it, or frees what lies beyond its size.
    pub(crate) fn finish_orphan(&mut self, ino: u32) -> Result<()> {
        if !self.inode_in_use(ino)? {
            return Ok(());
        }
        let mut node = self.load_any(ino)?;
        node.rec.deletion_time = 0;
        if node.rec.file_type().is_none() {
            return Err(node.corrupt("i_mode", node.rec.mode, "an orphan of no kind"));
        }
        if node.rec.links == 0 {
            self.delete(&mut node)
        } else {
            self.trim_file(&mut node)
        }
    }

    fn process_orphan_file(&mut self) -> Result<u32> {
        if !self.geometry.has_compat(Compat::ORPHAN_FILE)
            || !self.geometry.has_ro_compat(RoCompat::ORPHAN_PRESENT)
        {
            return Ok(0);
        }
        let file = self.load_any(self.superblock.orphan_file_inode)?;
        let size = file.rec.size();
        let block_size = u64::from(self.geometry.block_size);
        if size > MAX_FILE || size % block_size != 0 {
            return Err(file.corrupt("i_size", size, "no size of an orphan file"));
        }
        let mut count = 0;
        for logical in 0..size / block_size {
            let (Mapped::Data(number), _) = self.map(&file, logical, 1)? else {
                return Err(file.corrupt("i_block", logical, "an orphan file with a hole"));
            };
            let block = self.block(number, |bytes| {
                let at = bytes.len() - TAIL;
                let bad = |field, value: u32| {
                    Err(Error::corrupt(
                        "orphan file block",
                        self.geometry.offset(number),
                        field,
                        value,
                        "not what it must be",
                    ))
                };
                if le32(bytes, at) != BLOCK_MAGIC {
                    return bad("ob_magic", le32(bytes, at));
                }
                match file.seed {
                    Some(seed) if seed.orphan_block(number, bytes) != le32(bytes, at + 4) => {
                        bad("ob_checksum", le32(bytes, at + 4))
                    }
                    _ => Ok(()),
                }
            })?;
            let end = block.len() - TAIL;
            let orphans: Vec<u32> = block
                .get(..end)
                .unwrap_or(&[])
                .chunks_exact(4)
                .map(|c| le32(c, 0))
                .filter(|ino| *ino != 0)
                .collect();
            if orphans.is_empty() {
                continue;
            }
            for ino in orphans {
                if ino < self.geometry.first_inode || ino == file.ino {
                    return Err(file.corrupt("orphan", ino, "a reserved inode in the orphan file"));
                }
                self.finish_orphan(ino)?;
                count += 1;
            }
            let mut bytes = (*block).clone();
            if let Some(slots) = bytes.get_mut(..end) {
                slots.fill(0);
            }
            if let Some(seed) = file.seed {
                let crc = seed.orphan_block(number, &bytes);
                put32(&mut bytes, end + 4, crc);
            }
            self.put_block(number, Arc::new(bytes));
        }
        self.update_superblock(|sb| sb.feature_ro_compat &= !RoCompat::ORPHAN_PRESENT.bits());
        Ok(count)
    }
}
