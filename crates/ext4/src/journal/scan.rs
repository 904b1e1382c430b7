//! The first pass of recovery: where the log ends.

use super::checksum::crc32_be;
use super::commit_block::CommitBlock;
use super::descriptor_block::TagFormat;
use super::error::JournalError;
use super::features::{JournalCompat, JournalIncompat};
use super::header::{BlockHeader, BlockType};
use super::log::Log;
use super::sequence::Sequence;
use disksmith_storage::Storage;

/// What the first pass found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// The first transaction that is not to be replayed.
    pub(super) end: Sequence,
    /// How many blocks of the log hold transactions that are.
    pub(super) blocks: u32,
}

/// Takes the log's own blocks one after the other: position, header and content.
pub(super) struct Walk<'a> {
    log: &'a Log,
    storage: &'a dyn Storage,
    format: TagFormat,
    /// Position of the next block.
    next: u32,
    /// The transaction that the next block should belong to.
    pub(super) transaction: Sequence,
    /// How many blocks were passed.
    pub(super) passed: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(log: &'a Log, storage: &'a dyn Storage) -> Self {
        Self {
            log,
            storage,
            format: TagFormat::new(log.superblock()),
            next: log.superblock().start(),
            transaction: log.superblock().sequence(),
            passed: 0,
        }
    }

    /// Reads the next block of the journal itself; `None` where it is not one of the present transaction, which ends the
    /// log. The position moves behind it, not behind the data blocks that a descriptor block announces.
    pub(super) fn next(&mut self, block: &mut Vec<u8>) -> Result<Option<(u32, BlockType)>, JournalError> {
        if self.passed >= self.log.len() {
            // The whole log is full of one unbroken chain: no journal is ever that full.
            return Ok(None);
        }
        let at = self.next;
        self.log.read(self.storage, at, block)?;
        self.skip(1);
        Ok(match BlockHeader::from_bytes(block) {
            Some(header) if header.sequence == self.transaction.0 => Some((at, header.block_type)),
            _ => None,
        })
    }

    /// Moves on by a number of blocks; returns the position before.
    pub(super) fn skip(&mut self, blocks: u32) -> u32 {
        let at = self.next;
        self.next = self.log.after(at, blocks);
        self.passed = self.passed.saturating_add(blocks);
        at
    }

    pub(super) fn format(&self) -> TagFormat {
        self.format
    }
}

impl Scan {
    /// Walks the log to its end.
    ///
    /// A checksum that is wrong has two possible reasons: the last transaction was interrupted, or a block of an older
    /// use of the log looks like one of this. Both end the log. If however its commit block is later than the one
    /// before, that transaction was complete once and is damaged, which is an error.
    pub(super) fn run(log: &Log, storage: &dyn Storage) -> Result<Self, JournalError> {
        let mut walk = Walk::new(log, storage);
        let format = walk.format();
        let version1 = log.superblock().compat().contains(JournalCompat::CHECKSUM);
        let asynchronous = log
            .superblock()
            .incompat()
            .contains(JournalIncompat::ASYNC_COMMIT);
        let mut block = Vec::new();
        let mut data = Vec::new();
        let mut crc = !0;
        let mut last_commit = 0u64;
        let mut doubtful = false;
        // The first transaction with a wrong checksum, where later ones are looked at because of asynchronous commits.
        let mut broken: Option<Sequence> = None;
        let mut complete = 0;
        while let Some((at, kind)) = walk.next(&mut block)? {
            match kind {
                BlockType::Descriptor => {
                    doubtful |= format.check_tail(&block).is_err();
                    let tags = format.tags(&block).len() as u32;
                    if version1 && broken.is_none() {
                        crc = crc32_be(crc, &block);
                        for _ in 0..tags.min(log.len()) {
                            let position = walk.skip(1);
                            log.read(storage, position, &mut data)?;
                            crc = crc32_be(crc, &data);
                        }
                    } else {
                        walk.skip(tags);
                    }
                }
                BlockType::Revoke => doubtful |= format.check_tail(&block).is_err(),
                BlockType::Commit => {
                    let commit = CommitBlock::from_bytes(&block);
                    if doubtful {
                        if commit.seconds >= last_commit {
                            return Err(JournalError::DamagedTransaction {
                                transaction: walk.transaction.0,
                                block: at.into(),
                            });
                        }
                        break;
                    }
                    if version1 && broken.is_some() {
                        break;
                    }
                    let good = if version1 {
                        commit.fits(crc)
                    } else {
                        format.check_commit(&block, commit.checksum)
                    };
                    crc = !0;
                    if !good {
                        if commit.seconds < last_commit {
                            break;
                        }
                        broken.get_or_insert(walk.transaction);
                        if !asynchronous {
                            break;
                        }
                    }
                    last_commit = commit.seconds;
                    if broken.is_none() {
                        complete = walk.passed;
                    }
                    walk.transaction = walk.transaction.next();
                }
                BlockType::SuperblockV1 | BlockType::SuperblockV2 | BlockType::Unknown(_) => break,
            }
        }
        Ok(Self {
            end: broken.unwrap_or(walk.transaction),
            blocks: complete,
        })
    }
}
