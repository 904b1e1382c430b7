//! Another UUID for a filesystem that nobody has mounted.
//!
//! The checksums of `metadata_csum` start from the UUID, unless the feature `metadata_csum_seed` keeps what they start from. Old boot
//! loaders cannot read a filesystem with that feature, so it is not switched on: every checksum is verified, and made anew. What is
//! damaged is not sealed over. Everything is written straight to the storage, in no order that would survive an interruption: the caller
//! stages the storage and commits it as a whole.

mod attributes;
mod blocks;
mod groups;
mod inodes;

use crate::checksum::{Checksums, crc32c};
use crate::core::{Clock, Core};
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::filesystem::{Ext4, OpenOptions};
use crate::group_descriptor::GroupDescriptor;
use crate::inode_table::Node;
use crate::journal::JournalSuperblock;
use crate::mapping::Mapped;
use crate::resize::Layout;
use crate::superblock::Superblock;
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::FileSystem;
use std::collections::BTreeSet;

/// What seals a filesystem anew.
struct Resealer {
    storage: StorageRef,
    /// The filesystem as it was: for the maps of files, whose nodes are read before they are sealed anew.
    core: Core,
    /// With the new UUID.
    layout: Layout,
    groups: Vec<GroupDescriptor>,
    old: Checksums,
    new: Checksums,
    /// By how much what the checksums of attributes' values start from differs: 0 where it does not.
    value_seeds: u32,
    /// Blocks of attributes that were seen to.
    attribute_blocks: BTreeSet<u64>,
}

/// Gives a filesystem another UUID. A journal that was left dirty is recovered first, and orphans are freed.
///
/// # Errors
/// [`Error::Unsupported`] names the feature that stands in the way; [`Error::ReadOnly`] where it cannot be written; those of a damaged
/// filesystem. Once it has failed the storage is in no good state and what was staged has to be thrown away.
pub fn set_uuid(storage: &StorageRef, uuid: [u8; 16], clock: Clock) -> Result<()> {
    settle(storage, clock.clone())?;
    let core = Core::open(storage.clone(), 1 << 20, clock, true)?;
    if core.geometry.has_compat(Compat::STABLE_INODES) {
        return Err(Error::unsupported(
            "another UUID for a filesystem with the feature stable_inodes (the keys of its encrypted files depend on it)",
        ));
    }
    let mut sb = core.superblock.clone();
    sb.uuid = uuid;
    let now = core.now().seconds.clamp(0, (1 << 40) - 1) as u64;
    (sb.write_time, sb.write_time_hi) = (now as u32, (now >> 32) as u8);
    let (old, new) = (core.superblock.checksums(), sb.checksums());
    let value_seeds = match core.geometry.has_incompat(Incompat::EA_INODE) {
        true => value_seed(&core.superblock) ^ value_seed(&sb),
        false => 0,
    };
    let mut resealer = Resealer {
        storage: storage.clone(),
        groups: (0..core.geometry.groups).map(|group| core.group(group)).collect(),
        layout: Layout::new(sb, storage.size())?,
        old,
        new,
        value_seeds,
        attribute_blocks: BTreeSet::new(),
        core,
    };
    resealer.rename_journal(uuid)?;
    if new.is_crc32c() && old != new {
        resealer.seal_bitmaps()?;
        resealer.seal_mmp()?;
    }
    if new.is_crc32c() && old != new || value_seeds != 0 {
        resealer.seal_inodes()?;
    }
    resealer.write_groups()
}

/// What the checksums of attributes' values start from; they have one also where other metadata has none.
fn value_seed(sb: &Superblock) -> u32 {
    if sb.features().incompat.contains(Incompat::CSUM_SEED) {
        sb.checksum_seed
    } else {
        crc32c(!0, &sb.uuid)
    }
}

/// Leaves a clean filesystem, or refuses one that cannot be written.
fn settle(storage: &StorageRef, clock: Clock) -> Result<()> {
    let ext = Ext4::open(storage.clone(), OpenOptions::new(clock).writable(true))?;
    if let Some(reason) = ext.read_only_reason() {
        return Err(Error::ReadOnly {
            reason: reason.to_owned(),
        });
    }
    ext.sync()?;
    Ok(())
}

impl Resealer {
    fn block_size(&self) -> usize {
        self.layout.g.block_size as usize
    }

    fn read_block(&self, block: u64) -> Result<Vec<u8>> {
        if !self.layout.g.holds(block, 1) {
            return Err(Error::corrupt(
                "metadata block",
                0,
                "number",
                block,
                "outside of the filesystem",
            ));
        }
        Ok(read_vec(
            &*self.storage,
            self.layout.g.offset(block),
            self.block_size(),
        )?)
    }

    fn write_block(&self, block: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.storage.write_at(self.layout.g.offset(block), bytes)?)
    }

    /// The runs of a file's blocks that hold data: first block in the filesystem and length.
    fn runs(&self, node: &Node) -> Result<Vec<(u64, u64)>> {
        let size = node.rec.size();
        let blocks = size.div_ceil(u64::from(self.layout.g.block_size));
        if blocks > self.layout.g.blocks_count {
            return Err(node.corrupt("i_size", size, "larger than the filesystem"));
        }
        let mut runs = Vec::new();
        let mut at = 0;
        while at < blocks {
            let (mapped, len) = self.core.map(node, at, blocks - at)?;
            if let Mapped::Data(start) = mapped {
                runs.push((start, len));
            }
            at += len.max(1);
        }
        Ok(runs)
    }

    /// The journal, which is empty, bears the UUID of its filesystem.
    fn rename_journal(&self, uuid: [u8; 16]) -> Result<()> {
        if !self.layout.g.has_compat(Compat::HAS_JOURNAL) {
            return Ok(());
        }
        let node = self.core.load_any(self.layout.sb.journal_inode)?;
        let (Mapped::Data(first), _) = self.core.map(&node, 0, 1)? else {
            return Err(node.corrupt("i_block", 0u32, "a journal with a hole"));
        };
        let mut bytes = self.read_block(first)?;
        let blocks = node.rec.size() >> self.layout.g.block_shift;
        let mut journal = JournalSuperblock::from_bytes(&bytes, self.layout.g.block_size, blocks)?;
        if journal.start() != 0 {
            return Err(node.corrupt("s_start", journal.start(), "the journal is not empty"));
        }
        journal.set_uuid(uuid);
        let renamed = journal.to_bytes();
        if let Some(place) = bytes.get_mut(..renamed.len()) {
            place.copy_from_slice(&renamed);
        }
        self.write_block(first, &bytes)
    }
}
