//! Descriptor blocks (journal.rst, "Descriptor Block"): which blocks the data blocks that follow belong to.

use super::checksum::{crc32c, crc32c_with_hole};
use super::features::JournalIncompat;
use super::header::HEADER_LEN;
use super::superblock::JournalSuperblock;
use byteorder::{BigEndian, ByteOrder};

const FLAG_ESCAPED: u32 = 1;
const FLAG_SAME_UUID: u32 = 2;
const FLAG_LAST: u32 = 8;
const UUID_LEN: usize = 16;
const TAIL_LEN: usize = 4;

/// How tags are laid out in one journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct TagFormat {
    incompat: JournalIncompat,
    seed: u32,
}

/// One block of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// The block of the filesystem that the data is for.
    pub(super) block: u64,
    /// The data starts with the journal's magic number, which is stored as zeroes.
    pub(super) escaped: bool,
    checksum: u32,
}

impl TagFormat {
    pub(super) fn new(superblock: &JournalSuperblock) -> Self {
        Self {
            incompat: superblock.incompat(),
            seed: superblock.checksum_seed(),
        }
    }

    fn tag_len(self) -> usize {
        if self.incompat.contains(JournalIncompat::CSUM_V3) {
            return 16;
        }
        let mut len = 8;
        if self.incompat.contains(JournalIncompat::CSUM_V2) {
            len += 2;
        }
        if self.incompat.contains(JournalIncompat::BIT64) {
            len += 4;
        }
        len
    }

    /// The tags of a descriptor block in order; each stands for one block of the log that follows.
    pub(super) fn tags(self, block: &[u8]) -> Vec<Tag> {
        let end = if self.incompat.has_metadata_checksums() {
            block.len().saturating_sub(TAIL_LEN)
        } else {
            block.len()
        };
        let tag_len = self.tag_len();
        let mut tags = Vec::new();
        let mut at = HEADER_LEN;
        while let Some(bytes) = block
            .get(..end)
            .and_then(|b| b.get(at..at.saturating_add(tag_len)))
        {
            let (tag, flags) = self.tag(bytes);
            tags.push(tag);
            at += tag_len;
            if flags & FLAG_SAME_UUID == 0 {
                at += UUID_LEN;
            }
            if flags & FLAG_LAST != 0 {
                break;
            }
        }
        tags
    }

    fn tag(self, bytes: &[u8]) -> (Tag, u32) {
        let word = |offset: usize| bytes.get(offset..offset + 4).map_or(0, BigEndian::read_u32);
        let half = |offset: usize| bytes.get(offset..offset + 2).map_or(0, BigEndian::read_u16);
        let bit64 = self.incompat.contains(JournalIncompat::BIT64);
        let (flags, checksum) = if self.incompat.contains(JournalIncompat::CSUM_V3) {
            (word(4), word(12))
        } else {
            (u32::from(half(6)), u32::from(half(4)))
        };
        let high = if bit64 { word(8) } else { 0 };
        let tag = Tag {
            block: u64::from(high) << 32 | u64::from(word(0)),
            escaped: flags & FLAG_ESCAPED != 0,
            checksum,
        };
        (tag, flags)
    }

    /// Compares the checksum in the tail of a descriptor or revocation block: `Err((found, computed))` where they differ.
    pub(super) fn check_tail(self, block: &[u8]) -> Result<(), (u32, u32)> {
        if !self.incompat.has_metadata_checksums() {
            return Ok(());
        }
        let tail = block.len().saturating_sub(TAIL_LEN);
        let found = block
            .get(tail..)
            .filter(|b| b.len() == TAIL_LEN)
            .map_or(0, BigEndian::read_u32);
        let computed = crc32c_with_hole(self.seed, block, tail);
        if found == computed {
            Ok(())
        } else {
            Err((found, computed))
        }
    }

    /// Compares the checksum of a data block, as it lies in the log, with that in its tag.
    pub(super) fn check_data(self, tag: &Tag, sequence: u32, data: &[u8]) -> Result<(), (u32, u32)> {
        if !self.incompat.has_metadata_checksums() {
            return Ok(());
        }
        let mut computed = crc32c(crc32c(self.seed, &sequence.to_be_bytes()), data);
        if !self.incompat.contains(JournalIncompat::CSUM_V3) {
            computed &= 0xFFFF;
        }
        if tag.checksum == computed {
            Ok(())
        } else {
            Err((tag.checksum, computed))
        }
    }

    /// Compares the checksum of a commit block.
    pub(super) fn check_commit(self, block: &[u8], found: u32) -> bool {
        !self.incompat.has_metadata_checksums()
            || crc32c_with_hole(self.seed, block, super::commit_block::CHECKSUM) == found
    }
}
