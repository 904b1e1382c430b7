//! Inodes, and through them the blocks that have checksums of their own.

use super::Resealer;
use crate::bitmap;
use crate::error::{Error, Result};
use crate::group_descriptor::GROUP_INODE_UNINIT;
use crate::inode::{Inode, InodeFlags};
use crate::inode_table::Node;
use disksmith_storage::read_vec;

/// So many bytes of an inode table are looked at together.
const CHUNK: usize = 256 * 1024;

impl Resealer {
    pub(super) fn seal_inodes(&mut self) -> Result<()> {
        let g = self.layout.g.clone();
        let size = usize::from(g.inode_size);
        let step = ((CHUNK / size) as u32).max(1);
        let lazy = g.features.has_group_checksums();
        for group in 0..g.groups {
            let Some(desc) = self.groups.get(group as usize).cloned() else {
                break;
            };
            if lazy && desc.has(GROUP_INODE_UNINIT) {
                continue;
            }
            let end = match lazy {
                true => g.inodes_per_group.saturating_sub(desc.itable_unused()),
                false => g.inodes_per_group,
            };
            let map = self.read_block(desc.inode_bitmap())?;
            let mut first = 0;
            while first < end {
                let last = first.saturating_add(step).min(end);
                let offset = g.offset(desc.inode_table()) + u64::from(first) * size as u64;
                let mut chunk = read_vec(&*self.storage, offset, (last - first) as usize * size)?;
                let mut changed = false;
                for (bit, raw) in (first..last).zip(chunk.chunks_exact_mut(size)) {
                    let ino = group * g.inodes_per_group + bit + 1;
                    changed |= self.seal_inode(ino, bitmap::is_set(&map, bit), raw)?;
                }
                if changed {
                    self.storage.write_at(offset, &chunk)?;
                }
                first = last;
            }
        }
        Ok(())
    }

    /// Seals an inode as stored, with what belongs to it; tells whether it was changed.
    fn seal_inode(&mut self, ino: u32, in_use: bool, raw: &mut [u8]) -> Result<bool> {
        if raw.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        let rec = Inode::from_raw(raw);
        let generation = rec.generation;
        if !self.old.verify_inode(ino, generation, raw) {
            if !in_use {
                return Ok(false);
            }
            return Err(Error::corrupt(
                format!("inode {ino}"),
                0,
                "i_checksum",
                rec.checksum_lo,
                "the checksum does not match",
            ));
        }
        if in_use && rec.file_type().is_some() {
            let seed = self.old.inode_seed(ino, generation);
            let mut node = Node {
                ino,
                rec,
                raw: Vec::new(),
                seed,
                charged: None,
            };
            self.seal_attributes(&mut node, raw)?;
            if let (Some(old), Some(new)) = (seed, self.new.inode_seed(ino, generation))
                && !node.has(InodeFlags::INLINE_DATA)
            {
                self.seal_blocks(&node, old, new)?;
            }
        }
        self.new.seal_inode(ino, generation, raw);
        Ok(true)
    }
}
