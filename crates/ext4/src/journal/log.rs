//! The log as an area of blocks: where they lie, and how one follows the other.

use super::error::JournalError;
use super::superblock::{JournalSuperblock, SUPERBLOCK_LEN};
use disksmith_storage::{Storage, read_vec};

/// A run of blocks of the journal's file that lies contiguously on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRun {
    /// First block, counted from the start of the journal's file.
    pub logical: u32,
    /// Block of the filesystem at which it lies.
    pub physical: u64,
    /// Length in blocks.
    pub len: u32,
}

/// More runs than this a journal does not have: mke2fs makes it contiguous.
const MAX_RUNS: usize = 1 << 18;

/// The journal: its superblock, and where its blocks lie.
#[derive(Debug, Clone)]
pub struct Log {
    superblock: JournalSuperblock,
    runs: Vec<LogRun>,
    block_size: u32,
    fs_blocks: u64,
}

impl Log {
    /// Reads and checks the journal's superblock.
    ///
    /// `runs` is the block map of the journal's file, `file_blocks` its length in blocks, `block_size` that of the
    /// filesystem in bytes, `fs_blocks` the number of blocks of the filesystem.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] for a superblock or a block map that makes no sense, also
    /// [`JournalError::UnsupportedFeature`] and whatever the storage says.
    pub fn open(
        storage: &dyn Storage,
        mut runs: Vec<LogRun>,
        file_blocks: u64,
        block_size: u32,
        fs_blocks: u64,
    ) -> Result<Self, JournalError> {
        if runs.len() > MAX_RUNS {
            return Err(JournalError::TooLarge {
                what: "the number of pieces of the journal's file",
                value: runs.len() as u64,
                limit: MAX_RUNS as u64,
            });
        }
        runs.sort_by_key(|run| run.logical);
        let mut free_from = 0u64;
        for run in &runs {
            let end = run.physical.checked_add(run.len.into());
            let overlap = u64::from(run.logical) < free_from;
            if overlap || end.is_none_or(|end| end > fs_blocks) {
                return Err(JournalError::Corrupt {
                    structure: "block map of the journal's file",
                    block: run.logical.into(),
                    field: "physical block",
                    value: run.physical,
                    reason: if overlap {
                        "mapped twice"
                    } else {
                        "beyond the end of the filesystem"
                    },
                });
            }
            free_from = u64::from(run.logical).saturating_add(run.len.into());
        }
        let first = physical(&runs, 0)?;
        let bytes = read_vec(storage, byte_offset(first, block_size)?, SUPERBLOCK_LEN)?;
        let superblock = JournalSuperblock::from_bytes(&bytes, block_size, file_blocks.min(fs_blocks))?;
        Ok(Self {
            superblock,
            runs,
            block_size,
            fs_blocks,
        })
    }

    /// The journal's superblock.
    pub fn superblock(&self) -> &JournalSuperblock {
        &self.superblock
    }

    /// Block size in bytes.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Number of blocks of the filesystem.
    pub(super) fn fs_blocks(&self) -> u64 {
        self.fs_blocks
    }

    /// How many blocks full transactions can take.
    pub(super) fn len(&self) -> u32 {
        self.superblock.end().saturating_sub(self.superblock.first())
    }

    /// The block `distance` blocks after `block`, around the end of the log.
    pub(super) fn after(&self, block: u32, distance: u32) -> u32 {
        let (first, len) = (u64::from(self.superblock.first()), u64::from(self.len()).max(1));
        let offset = u64::from(block).saturating_sub(first) + u64::from(distance);
        (first + offset % len) as u32
    }

    /// Where a block of the log lies on the disk, in blocks of the filesystem.
    pub(super) fn physical(&self, block: u32) -> Result<u64, JournalError> {
        physical(&self.runs, block)
    }

    /// Reads a block of the log.
    pub(super) fn read(
        &self,
        storage: &dyn Storage,
        block: u32,
        buf: &mut Vec<u8>,
    ) -> Result<(), JournalError> {
        let at = byte_offset(self.physical(block)?, self.block_size)?;
        buf.resize(self.block_size as usize, 0);
        storage.read_at(at, buf)?;
        Ok(())
    }

    /// Writes another superblock. The rest of its block stays as it is.
    pub(super) fn write_superblock(
        &self,
        storage: &dyn Storage,
        superblock: &JournalSuperblock,
    ) -> Result<(), JournalError> {
        let at = byte_offset(self.physical(0)?, self.block_size)?;
        storage.write_at(at, &superblock.to_bytes())?;
        Ok(())
    }
}

fn physical(runs: &[LogRun], block: u32) -> Result<u64, JournalError> {
    let after = runs.partition_point(|run| run.logical <= block);
    after
        .checked_sub(1)
        .and_then(|i| runs.get(i))
        .and_then(|run| {
            let within = block.checked_sub(run.logical)?;
            (within < run.len).then_some(())?;
            run.physical.checked_add(within.into())
        })
        .ok_or(JournalError::Unmapped { block: block.into() })
}

/// The byte at which a block of the filesystem starts.
pub(super) fn byte_offset(block: u64, block_size: u32) -> Result<u64, JournalError> {
    block.checked_mul(block_size.into()).ok_or(JournalError::Corrupt {
        structure: "block number",
        block: 0,
        field: "physical block",
        value: block,
        reason: "beyond the largest offset",
    })
}
