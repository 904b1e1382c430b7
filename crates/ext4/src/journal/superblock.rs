//! The journal's superblock (journal.rst, "Super Block"): the first 1024 bytes of the journal.

use super::checksum::{crc32c, crc32c_with_hole};
use super::error::JournalError;
use super::features::{JournalCompat, JournalIncompat};
use super::header::{BlockHeader, BlockType};
use super::sequence::Sequence;
use byteorder::{BigEndian, ByteOrder};

/// Length of the superblock in bytes.
pub(super) const SUPERBLOCK_LEN: usize = 1024;

const BLOCK_SIZE: usize = 0x0C;
const MAX_LEN: usize = 0x10;
const FIRST: usize = 0x14;
const SEQUENCE: usize = 0x18;
const START: usize = 0x1C;
const ERRNO: usize = 0x20;
const FEATURE_COMPAT: usize = 0x24;
const FEATURE_INCOMPAT: usize = 0x28;
const FEATURE_RO_COMPAT: usize = 0x2C;
const UUID: usize = 0x30;
const USERS: usize = 0x40;
const CHECKSUM_TYPE: usize = 0x50;
const FAST_COMMIT_BLOCKS: usize = 0x54;
const CHECKSUM: usize = 0xFC;

/// The only checksum type that checksums of version 2 and 3 may have.
const CHECKSUM_TYPE_CRC32C: u8 = 4;
/// How long the area of fast commits is where the superblock says 0.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;
/// A log shorter than this gives no room to fast commits.
const MIN_LOG_BLOCKS: u32 = 1024;
/// The largest log that mke2fs makes has 10,240,000 blocks.
const MAX_LOG_BLOCKS: u32 = 1 << 24;

/// The journal's superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSuperblock {
    bytes: Vec<u8>,
    version2: bool,
    compat: JournalCompat,
    incompat: JournalIncompat,
}

impl JournalSuperblock {
    /// Makes the superblock of an empty journal of `blocks` blocks, as mke2fs makes it: no features, transaction 1.
    /// `uuid` identifies the filesystem that uses it.
    pub fn new(block_size: u32, blocks: u32, fast_commit_blocks: u32, uuid: [u8; 16]) -> Self {
        let mut bytes = vec![0; SUPERBLOCK_LEN];
        let header = BlockHeader {
            block_type: BlockType::SuperblockV2,
            sequence: 0,
        };
        put(&mut bytes, 0, &header.to_bytes());
        put(&mut bytes, UUID, &uuid);
        let mut new = Self {
            bytes,
            version2: true,
            compat: JournalCompat::empty(),
            incompat: JournalIncompat::empty(),
        };
        new.set(BLOCK_SIZE, block_size);
        new.set(MAX_LEN, blocks.saturating_add(fast_commit_blocks));
        new.set(FIRST, 1);
        new.set(SEQUENCE, 1);
        new.set(USERS, 1);
        new.set(FAST_COMMIT_BLOCKS, fast_commit_blocks);
        new
    }

    /// Reads and checks a superblock. `block_size` is the filesystem's, in bytes; `blocks` the length of the journal's
    /// file in blocks.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`], [`JournalError::Checksum`], [`JournalError::UnsupportedFeature`],
    /// [`JournalError::TooLarge`].
    pub fn from_bytes(bytes: &[u8], block_size: u32, blocks: u64) -> Result<Self, JournalError> {
        let corrupt = |field, value: u32, reason| JournalError::Corrupt {
            structure: "superblock",
            block: 0,
            field,
            value: value.into(),
            reason,
        };
        let bytes = bytes
            .get(..SUPERBLOCK_LEN)
            .ok_or(corrupt("length", bytes.len() as u32, "fewer than 1024 bytes"))?
            .to_vec();
        let header = BlockHeader::from_bytes(&bytes).ok_or_else(|| {
            corrupt(
                "h_magic",
                BigEndian::read_u32(&bytes),
                "not the magic number of journals",
            )
        })?;
        let version2 = match header.block_type {
            BlockType::SuperblockV1 => false,
            BlockType::SuperblockV2 => true,
            _ => {
                let value = bytes.get(4..8).map_or(0, BigEndian::read_u32);
                return Err(corrupt("h_blocktype", value, "not a superblock (3 or 4)"));
            }
        };
        let mut this = Self {
            bytes,
            version2,
            compat: JournalCompat::empty(),
            incompat: JournalIncompat::empty(),
        };
        if version2 {
            this.compat = JournalCompat::from_bits_truncate(this.get(FEATURE_COMPAT));
            this.incompat = JournalIncompat::from_bits_retain(this.get(FEATURE_INCOMPAT));
            this.check_features()?;
        }
        let stored = this.get(BLOCK_SIZE);
        if stored != block_size {
            return Err(corrupt(
                "s_blocksize",
                stored,
                "not the block size of the filesystem",
            ));
        }
        let max_len = this.get(MAX_LEN);
        if u64::from(max_len) > blocks {
            return Err(corrupt(
                "s_maxlen",
                max_len,
                "more than the blocks of the journal's file",
            ));
        }
        if max_len > MAX_LOG_BLOCKS {
            return Err(JournalError::TooLarge {
                what: "the number of blocks of the log",
                value: max_len.into(),
                limit: MAX_LOG_BLOCKS.into(),
            });
        }
        let first = this.get(FIRST);
        if first == 0 || first >= this.end() {
            return Err(corrupt("s_first", first, "not inside the log"));
        }
        let start = this.get(START);
        if start != 0 && (start < first || start >= this.end()) {
            return Err(corrupt("s_start", start, "not inside the log"));
        }
        Ok(this)
    }

    fn check_features(&self) -> Result<(), JournalError> {
        let unsupported = |names: String| Err(JournalError::UnsupportedFeature { names });
        let unknown = self.incompat.difference(JournalIncompat::all()).bits();
        if unknown != 0 {
            return unsupported(format!("of unknown incompatible bits {unknown:#x}"));
        }
        let read_only = self.get(FEATURE_RO_COMPAT);
        if read_only != 0 {
            return unsupported(format!("of unknown read-only compatible bits {read_only:#x}"));
        }
        let v2 = self.incompat.contains(JournalIncompat::CSUM_V2);
        let v3 = self.incompat.contains(JournalIncompat::CSUM_V3);
        let v1 = self.compat.contains(JournalCompat::CHECKSUM);
        if u8::from(v1) + u8::from(v2) + u8::from(v3) > 1 {
            return unsupported("checksums of several versions at the same time".into());
        }
        if self.incompat.has_metadata_checksums() {
            let kind = self.bytes.get(CHECKSUM_TYPE).copied().unwrap_or(0);
            if kind != CHECKSUM_TYPE_CRC32C {
                return unsupported(format!("checksums of type {kind}"));
            }
            let (found, computed) = (self.get(CHECKSUM), self.checksum());
            if found != computed {
                return Err(JournalError::Checksum {
                    structure: "superblock",
                    block: 0,
                    transaction: 0,
                    found,
                    computed,
                });
            }
        }
        Ok(())
    }

    /// The 1024 bytes of this superblock, with its checksum brought up to date.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut this = self.clone();
        if this.incompat.has_metadata_checksums() {
            let sum = this.checksum();
            this.set(CHECKSUM, sum);
        }
        this.bytes
    }

    /// Features that a reader may ignore.
    pub fn compat(&self) -> JournalCompat {
        self.compat
    }

    /// Features that a reader has to know.
    pub fn incompat(&self) -> JournalIncompat {
        self.incompat
    }

    /// The first block of the log.
    pub fn first(&self) -> u32 {
        self.get(FIRST)
    }

    /// One past the last block of the log of full transactions; fast commits may follow.
    pub fn end(&self) -> u32 {
        let max_len = self.get(MAX_LEN);
        if !self.incompat.contains(JournalIncompat::FAST_COMMIT) {
            return max_len;
        }
        match max_len.checked_sub(self.fast_commit_len()) {
            Some(end) if end >= MIN_LOG_BLOCKS => end,
            _ => max_len,
        }
    }

    /// The blocks of the area of fast commits.
    pub fn fast_commit_area(&self) -> std::ops::Range<u32> {
        let max_len = self.get(MAX_LEN);
        if self.incompat.contains(JournalIncompat::FAST_COMMIT) {
            // The kernel leaves one block between the log and the fast commits unused.
            self.end().saturating_add(1)..max_len
        } else {
            max_len..max_len
        }
    }

    fn fast_commit_len(&self) -> u32 {
        match self.get(FAST_COMMIT_BLOCKS) {
            0 => DEFAULT_FAST_COMMIT_BLOCKS,
            n => n,
        }
    }

    /// The block at which the oldest transaction starts; 0 where the journal is empty.
    pub fn start(&self) -> u32 {
        self.get(START)
    }

    /// The oldest transaction in the log, or the next one where it is empty.
    pub fn sequence(&self) -> Sequence {
        Sequence(self.get(SEQUENCE))
    }

    /// The error that made the kernel give up the journal, as a negative errno; 0 for none.
    pub fn error_number(&self) -> i32 {
        self.get(ERRNO) as i32
    }

    /// What the checksums of the journal's blocks start with.
    pub(super) fn checksum_seed(&self) -> u32 {
        crc32c(!0, self.bytes.get(UUID..UUID + 16).unwrap_or(&[]))
    }

    /// Changes the identifier that the checksums of the journal's blocks start with: of an empty journal only.
    pub fn set_uuid(&mut self, uuid: [u8; 16]) {
        put(&mut self.bytes, UUID, &uuid);
    }

    /// Marks the journal empty, the next transaction being `next`; clears the error number and the mark of fast commits.
    pub fn set_empty(&mut self, next: Sequence) {
        self.set(START, 0);
        self.set(SEQUENCE, next.0);
        self.set(ERRNO, 0);
        if self.incompat.contains(JournalIncompat::FAST_COMMIT) {
            self.incompat.remove(JournalIncompat::FAST_COMMIT);
            self.set(FEATURE_INCOMPAT, self.incompat.bits());
        }
    }

    fn checksum(&self) -> u32 {
        crc32c_with_hole(!0, &self.bytes, CHECKSUM)
    }

    fn get(&self, offset: usize) -> u32 {
        self.bytes.get(offset..offset + 4).map_or(0, BigEndian::read_u32)
    }

    fn set(&mut self, offset: usize, value: u32) {
        put(&mut self.bytes, offset, &value.to_be_bytes());
    }
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(offset..offset + value.len()) {
        place.copy_from_slice(value);
    }
}
