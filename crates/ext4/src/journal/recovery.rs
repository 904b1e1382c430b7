//! Recovery: what the log gives back to the filesystem.

use super::error::JournalError;
use super::fast_commit::{self, FastCommitRecord};
use super::header::{BlockType, MAGIC};
use super::log::{Log, byte_offset};
use super::revoke_block::revoked_blocks;
use super::revoke_table::RevokeTable;
use super::scan::{Scan, Walk};
use super::sequence::Sequence;
use disksmith_storage::Storage;
use std::collections::BTreeMap;

/// How much memory recovery may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryLimits {
    /// Blocks that the log holds for the filesystem; about 40 bytes of memory each.
    pub blocks: usize,
    /// Blocks that it revokes; about 30 bytes each.
    pub revoked: usize,
}

impl Default for RecoveryLimits {
    /// More than the largest journal that mke2fs makes by itself (1 GiB) can hold.
    fn default() -> Self {
        Self {
            blocks: 1 << 20,
            revoked: 1 << 21,
        }
    }
}

/// Where the recovered content of a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    /// The block of the disk, inside the journal, that holds it.
    pub(super) from: u64,
    /// Its first four bytes are the journal's magic number, stored as zeroes.
    pub(super) escaped: bool,
}

/// What is to be done to recover a filesystem. Nothing has been written yet.
#[derive(Debug)]
#[must_use = "a plan recovers nothing until it is applied"]
pub struct Recovery {
    log: Log,
    end: Sequence,
    transactions: u32,
    blocks: BTreeMap<u64, Copy>,
    revoked: u64,
    fast_commits: Vec<FastCommitRecord>,
}

impl Recovery {
    /// Walks the log as the kernel does: finds its end, collects what was revoked, and notes the last copy of each block.
    /// All checksums are compared before anything is given back.
    ///
    /// # Errors
    /// Damage before the end of the log, blocks outside the filesystem, and more than `limits` allow.
    pub fn plan(log: Log, storage: &dyn Storage, limits: RecoveryLimits) -> Result<Self, JournalError> {
        let mut this = Self {
            end: log.superblock().sequence(),
            log,
            transactions: 0,
            blocks: BTreeMap::new(),
            revoked: 0,
            fast_commits: Vec::new(),
        };
        if this.log.superblock().start() == 0 {
            return Ok(this);
        }
        let scan = Scan::run(&this.log, storage)?;
        this.end = scan.end;
        this.transactions = scan.end.0.wrapping_sub(this.log.superblock().sequence().0);
        let table = this.revocations(storage, scan, limits.revoked)?;
        this.collect(storage, scan, &table, limits.blocks)?;
        this.fast_commits = fast_commit::scan(&this.log, storage, scan.end)?;
        Ok(this)
    }

    /// Whether the journal holds anything. An empty one needs no recovery.
    pub fn is_needed(&self) -> bool {
        self.log.superblock().start() != 0
    }

    /// The number of transactions that are given back.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// The number of blocks of the filesystem that change.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// How many copies in the log are void because they were revoked.
    pub fn revoked(&self) -> u64 {
        self.revoked
    }

    /// The error for which the kernel gave up this journal, as a negative errno; 0 for none. Where it is not 0 the
    /// filesystem's superblock has to say that the filesystem has errors.
    pub fn error_number(&self) -> i32 {
        self.log.superblock().error_number()
    }

    /// What fast commits recorded after the last transaction, in order. They are replayed on the recovered filesystem, by
    /// whoever knows its inodes.
    pub fn fast_commits(&self) -> &[FastCommitRecord] {
        &self.fast_commits
    }

    /// Refuses to go on where there are fast commits.
    ///
    /// # Errors
    /// [`JournalError::FastCommits`].
    pub fn refuse_fast_commits(&self) -> Result<(), JournalError> {
        if self.fast_commits.is_empty() {
            return Ok(());
        }
        Err(JournalError::FastCommits {
            records: self.fast_commits.len(),
            transaction: self.end.0.wrapping_sub(1),
        })
    }

    /// Writes the blocks back and empties the journal, with a flush between the two. Fast commits are not replayed.
    pub fn apply(&self, storage: &dyn Storage) -> Result<(), JournalError> {
        self.write_blocks(storage)?;
        self.empty_journal(storage)
    }

    /// Writes the blocks back and flushes; the journal keeps them.
    pub fn write_blocks(&self, storage: &dyn Storage) -> Result<(), JournalError> {
        let mut data = Vec::new();
        for (&block, copy) in &self.blocks {
            read_copy(storage, *copy, self.log.block_size(), &mut data)?;
            storage.write_at(byte_offset(block, self.log.block_size())?, &data)?;
        }
        storage.flush()?;
        Ok(())
    }

    /// Marks the journal empty. The number of the next transaction makes everything in the log invalid.
    pub fn empty_journal(&self, storage: &dyn Storage) -> Result<(), JournalError> {
        if !self.is_needed() && self.error_number() == 0 {
            return Ok(());
        }
        let mut superblock = self.log.superblock().clone();
        let next = if self.is_needed() {
            self.end.next()
        } else {
            self.end
        };
        superblock.set_empty(next);
        self.log.write_superblock(storage, &superblock)
    }

    pub(super) fn copies(&self) -> &BTreeMap<u64, Copy> {
        &self.blocks
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    fn revocations(
        &self,
        storage: &dyn Storage,
        scan: Scan,
        limit: usize,
    ) -> Result<RevokeTable, JournalError> {
        let mut table = RevokeTable::new(limit);
        let mut walk = Walk::new(&self.log, storage);
        let format = walk.format();
        let mut block = Vec::new();
        while !walk.transaction.at_or_after(scan.end) {
            match walk.next(&mut block)? {
                Some((at, BlockType::Descriptor)) => {
                    self.check_tail("descriptor block", at, &walk, &block)?;
                    walk.skip(format.tags(&block).len() as u32);
                }
                Some((at, BlockType::Revoke)) => {
                    self.check_tail("revocation block", at, &walk, &block)?;
                    for revoked in revoked_blocks(&block, at, self.log.superblock().incompat())? {
                        table.revoke(revoked, walk.transaction)?;
                    }
                }
                Some((_, BlockType::Commit)) => walk.transaction = walk.transaction.next(),
                _ => return Err(self.changed(&walk)),
            }
        }
        Ok(table)
    }

    fn collect(
        &mut self,
        storage: &dyn Storage,
        scan: Scan,
        table: &RevokeTable,
        limit: usize,
    ) -> Result<(), JournalError> {
        let log = self.log.clone();
        let mut walk = Walk::new(&log, storage);
        let format = walk.format();
        let (mut block, mut data) = (Vec::new(), Vec::new());
        while !walk.transaction.at_or_after(scan.end) {
            match walk.next(&mut block)? {
                Some((_, BlockType::Descriptor)) => {
                    for tag in format.tags(&block) {
                        let at = walk.skip(1);
                        if table.is_revoked(tag.block, walk.transaction) {
                            self.revoked += 1;
                            continue;
                        }
                        if tag.block >= log.fs_blocks() {
                            return Err(JournalError::Corrupt {
                                structure: "descriptor block",
                                block: at.into(),
                                field: "t_blocknr",
                                value: tag.block,
                                reason: "beyond the end of the filesystem",
                            });
                        }
                        log.read(storage, at, &mut data)?;
                        if let Err((found, computed)) = format.check_data(&tag, walk.transaction.0, &data) {
                            return Err(JournalError::Checksum {
                                structure: "data block",
                                block: at.into(),
                                transaction: walk.transaction.0,
                                found,
                                computed,
                            });
                        }
                        let copy = Copy {
                            from: log.physical(at)?,
                            escaped: tag.escaped,
                        };
                        self.blocks.insert(tag.block, copy);
                        if self.blocks.len() > limit {
                            return Err(JournalError::TooLarge {
                                what: "the number of blocks to replay",
                                value: self.blocks.len() as u64,
                                limit: limit as u64,
                            });
                        }
                    }
                }
                Some((_, BlockType::Revoke)) => {}
                Some((_, BlockType::Commit)) => walk.transaction = walk.transaction.next(),
                _ => return Err(self.changed(&walk)),
            }
        }
        Ok(())
    }

    fn check_tail(
        &self,
        structure: &'static str,
        at: u32,
        walk: &Walk<'_>,
        block: &[u8],
    ) -> Result<(), JournalError> {
        walk.format()
            .check_tail(block)
            .map_err(|(found, computed)| JournalError::Checksum {
                structure,
                block: at.into(),
                transaction: walk.transaction.0,
                found,
                computed,
            })
    }

    /// The passes came to different ends.
    fn changed(&self, walk: &Walk<'_>) -> JournalError {
        JournalError::Corrupt {
            structure: "log",
            block: self.log.superblock().start().into(),
            field: "transaction",
            value: walk.transaction.0.into(),
            reason: "complete in the first pass, not in a later one",
        }
    }
}

/// Reads a block's recovered content.
pub(super) fn read_copy(
    storage: &dyn Storage,
    copy: Copy,
    block_size: u32,
    data: &mut Vec<u8>,
) -> Result<(), JournalError> {
    data.resize(block_size as usize, 0);
    storage.read_at(byte_offset(copy.from, block_size)?, data)?;
    if copy.escaped
        && let Some(start) = data.get_mut(..4)
    {
        start.copy_from_slice(&MAGIC.to_be_bytes());
    }
    Ok(())
}
