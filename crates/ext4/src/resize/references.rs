//! Looking through all inodes for what refers to blocks and inodes that were moved.

use super::Resizer;
use crate::bitmap;
use crate::checksum::InodeSeed;
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::group_descriptor::GROUP_INODE_UNINIT;
use crate::inode::{Inode, InodeFlags};
use crate::record::{le32, put32};
use disksmith_storage::read_vec;
use disksmith_vfs::FileType;

/// Inodes of the table that are looked at together, in bytes.
const CHUNK: usize = 256 * 1024;
/// The inode of blocks that are known to be bad, whose mode says nothing.
const BAD_BLOCKS_INODE: u32 = 1;
/// The inode of reserved descriptor blocks, which is made anew.
pub(super) const RESIZE_INODE: u32 = 7;

/// A run of a file: first block in the file, first block in the filesystem (where it is now), length.
pub(super) type Run = (u64, u64, u64);

/// An inode that is looked at.
#[derive(Debug)]
pub(super) struct Subject {
    /// Its number as it was.
    pub(super) old_ino: u32,
    /// Its number now.
    pub(super) ino: u32,
    pub(super) inode: Inode,
    /// What checksums of its blocks started from, and start from now.
    pub(super) old_seed: Option<InodeSeed>,
    pub(super) seed: Option<InodeSeed>,
    /// Whether anything of the inode was changed.
    pub(super) changed: bool,
}

impl Subject {
    pub(super) fn is_renumbered(&self) -> bool {
        self.old_ino != self.ino
    }

    pub(super) fn corrupt(&self, field: &'static str, value: u64, reason: &str) -> Error {
        Error::corrupt(format!("inode {}", self.old_ino), 0, field, value, reason)
    }
}

impl Resizer {
    /// Corrects all references to what was moved.
    pub(super) fn fix_references(&mut self) -> Result<()> {
        if self.new.g.has_incompat(Incompat::MMP) {
            self.new.sb.mmp_block = self.translate(self.old.sb.mmp_block);
        }
        if self.moves.is_empty() && self.renumbered.is_empty() {
            return Ok(());
        }
        self.fix_superblock_inodes();
        let back: std::collections::BTreeMap<u32, u32> =
            self.renumbered.iter().map(|(from, to)| (*to, *from)).collect();
        let size = usize::from(self.old.g.inode_size);
        let per_group = self.old.g.inodes_per_group;
        let step = ((CHUNK / size) as u32).max(1);
        for group in 0..self.old.g.groups.min(self.new.g.groups) {
            let (Some(desc), Some(old)) = (
                self.groups.get(group as usize).cloned(),
                self.old_groups.get(group as usize).cloned(),
            ) else {
                break;
            };
            if desc.free_inodes() == per_group
                || self.new.g.features.has_group_checksums() && desc.has(GROUP_INODE_UNINIT)
            {
                continue;
            }
            let map = self.inodes.read(group, &old)?;
            let mut first = 0;
            while first < per_group {
                let end = (first + step).min(per_group);
                let mut bit = bitmap::next_set(&map, first, end);
                if bit == end {
                    first = end;
                    continue;
                }
                let offset = self.new.g.offset(desc.inode_table()) + u64::from(first) * size as u64;
                let mut chunk = read_vec(&*self.storage, offset, (end - first) as usize * size)?;
                let mut changed = false;
                while bit < end {
                    let ino = group * per_group + bit + 1;
                    let at = (bit - first) as usize * size;
                    if let Some(raw) = chunk.get_mut(at..at + size) {
                        let old_ino = back.get(&ino).copied().unwrap_or(ino);
                        changed |= self.fix_inode(old_ino, ino, raw)?;
                    }
                    bit = bitmap::next_set(&map, bit + 1, end);
                }
                if changed {
                    self.storage.write_at(offset, &chunk)?;
                }
                first = end;
            }
        }
        Ok(())
    }

    fn fix_superblock_inodes(&mut self) {
        let new = |ino: u32| self.renumbered.get(&ino).copied().unwrap_or(ino);
        let sb = &self.old.sb;
        let numbers = [
            new(sb.journal_inode),
            new(sb.user_quota_inode),
            new(sb.group_quota_inode),
            new(sb.project_quota_inode),
            new(sb.lost_found_inode),
            new(sb.orphan_file_inode),
        ];
        let sb = &mut self.new.sb;
        [
            sb.journal_inode,
            sb.user_quota_inode,
            sb.group_quota_inode,
            sb.project_quota_inode,
            sb.lost_found_inode,
            sb.orphan_file_inode,
        ] = numbers;
    }

    /// Corrects an inode as stored; tells whether it was changed.
    fn fix_inode(&mut self, old_ino: u32, ino: u32, raw: &mut [u8]) -> Result<bool> {
        if ino == RESIZE_INODE && self.new.g.has_compat(Compat::RESIZE_INODE) {
            return Ok(false);
        }
        let inode = Inode::from_raw(raw);
        let seed = |ino| self.new.g.checksums.inode_seed(ino, inode.generation);
        let mut subject = Subject {
            old_ino,
            ino,
            old_seed: seed(old_ino),
            seed: seed(ino),
            changed: old_ino != ino,
            inode,
        };
        let before = raw.to_vec();
        self.fix_attributes(&mut subject, raw)?;
        let kind = subject.inode.file_type();
        let inline = subject.inode.has(InodeFlags::INLINE_DATA);
        let has_blocks = match kind {
            Some(FileType::Regular | FileType::Directory) => !inline,
            Some(FileType::Symlink) => !inline && !self.is_fast_symlink(&subject.inode),
            None => ino == BAD_BLOCKS_INODE,
            Some(_) => false,
        };
        let is_orphan_file = old_ino == self.old.sb.orphan_file_inode && old_ino != 0;
        let is_dir = kind == Some(FileType::Directory);
        let wants_runs = is_orphan_file || is_dir && (!self.renumbered.is_empty() || subject.is_renumbered());
        let mut runs = Vec::new();
        if has_blocks {
            let into = wants_runs.then_some(&mut runs);
            if subject.inode.has(InodeFlags::EXTENTS) {
                self.fix_extents(&mut subject, into)?;
            } else {
                self.fix_indirect(&mut subject, into)?;
            }
        }
        if is_dir && !self.renumbered.is_empty() {
            if inline {
                self.fix_inline_directory(&mut subject, raw)?;
            } else {
                self.fix_directory(&subject, &runs)?;
            }
        }
        if is_orphan_file {
            self.seal_orphan_file(&subject, &runs)?;
        }
        if ino == self.new.sb.journal_inode && ino != 0 && subject.changed {
            self.back_up_journal(&subject.inode);
        }
        subject.inode.store_into(raw);
        if !subject.changed && raw == before.as_slice() {
            return Ok(false);
        }
        let generation = subject.inode.generation;
        self.new.g.checksums.seal_inode(ino, generation, raw);
        Ok(true)
    }

    fn is_fast_symlink(&self, inode: &Inode) -> bool {
        if inode.has(InodeFlags::EXTENTS) {
            return false;
        }
        let huge = self.old.g.has_ro_compat(crate::features::RoCompat::HUGE_FILE);
        let own = if inode.xattr_block() == 0 {
            0
        } else {
            u64::from(self.old.g.block_size / 512) << self.old.g.cluster_shift
        };
        inode.sectors(huge, self.old.g.block_size) <= own
    }

    /// Checksums of the blocks of the orphan file depend on where they lie.
    fn seal_orphan_file(&self, subject: &Subject, runs: &[Run]) -> Result<()> {
        let Some(seed) = subject.seed else { return Ok(()) };
        for block in runs.iter().flat_map(|(_, start, len)| *start..start + len) {
            let offset = self.new.g.offset(block);
            let mut bytes = read_vec(&*self.storage, offset, self.new.g.block_size as usize)?;
            let sum = seed.orphan_block(block, &bytes);
            let at = bytes.len() - 4;
            put32(&mut bytes, at, sum);
            self.storage.write_at(offset, &bytes)?;
        }
        Ok(())
    }

    /// The superblock has a copy of where the journal lies.
    fn back_up_journal(&mut self, inode: &Inode) {
        let sb = &mut self.new.sb;
        if sb.journal_backup_type != 1 {
            return;
        }
        let [words @ .., high, low] = &mut sb.journal_backup;
        for (slot, bytes) in words.iter_mut().zip(inode.block.chunks_exact(4)) {
            *slot = le32(bytes, 0);
        }
        (*high, *low) = (inode.size_hi, inode.size_lo);
    }
}
