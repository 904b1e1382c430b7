//! Files that were deleted, or cut, but not finished when the system stopped: the orphan list, which starts in the superblock
//! and goes on through deletion times, and the orphan file.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.9 (orphan file).

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Compat, RoCompat};
use crate::mapping::Mapped;
use crate::record::{le32, put32};
use std::sync::Arc;

/// `ob_magic` in the tail of each block of the orphan file.
const BLOCK_MAGIC: u32 = 0x0b10_ca04;
/// Size of that tail: magic and checksum.
const TAIL: usize = 8;
/// Largest size of an orphan file that is believed, in bytes.
const MAX_FILE: u64 = 8 << 20;

impl Core {
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
    fn finish_orphan(&mut self, ino: u32) -> Result<()> {
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
