//! Commit blocks (journal.rst, "Commit Block"): the end of a transaction.

use byteorder::{BigEndian, ByteOrder};

const CHECKSUM_TYPE: usize = 12;
const CHECKSUM_SIZE: usize = 13;
/// Offset of the first checksum word.
pub(super) const CHECKSUM: usize = 16;
const COMMIT_SECONDS: usize = 48;

const TYPE_CRC32: u8 = 1;
const CRC32_SIZE: u8 = 4;

/// The block that ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommitBlock {
    checksum_type: u8,
    checksum_size: u8,
    /// The first checksum word.
    pub(super) checksum: u32,
    /// When it was committed, in seconds since 1970.
    pub(super) seconds: u64,
}

impl CommitBlock {
    pub(super) fn from_bytes(block: &[u8]) -> Self {
        Self {
            checksum_type: block.get(CHECKSUM_TYPE).copied().unwrap_or(0),
            checksum_size: block.get(CHECKSUM_SIZE).copied().unwrap_or(0),
            checksum: block.get(CHECKSUM..CHECKSUM + 4).map_or(0, BigEndian::read_u32),
            seconds: block
                .get(COMMIT_SECONDS..COMMIT_SECONDS + 8)
                .map_or(0, BigEndian::read_u64),
        }
    }

    /// Whether a checksum of version 1 fits the transaction's CRC-32, or is not used.
    pub(super) fn fits(&self, crc: u32) -> bool {
        let kind = (self.checksum_type, self.checksum_size);
        (kind == (TYPE_CRC32, CRC32_SIZE) && self.checksum == crc) || (kind == (0, 0) && self.checksum == 0)
    }
}
