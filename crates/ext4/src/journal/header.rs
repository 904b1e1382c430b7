//! The header that the journal's own blocks start with (journal.rst, "Block Header").

use byteorder::{BigEndian, ByteOrder};

/// What every block of the journal itself starts with. A data block that starts with it is escaped.
pub(super) const MAGIC: u32 = 0xC03B_3998;

/// Length of the header in bytes.
pub(super) const HEADER_LEN: usize = 12;

/// What a block of the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockType {
    Descriptor,
    Commit,
    SuperblockV1,
    SuperblockV2,
    Revoke,
    Unknown(u32),
}

/// Magic number, type and transaction of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) block_type: BlockType,
    pub(super) sequence: u32,
}

impl BlockHeader {
    /// Reads a header; `None` where the block does not start with the magic number.
    pub(super) fn from_bytes(block: &[u8]) -> Option<Self> {
        let header = block.get(..HEADER_LEN)?;
        if BigEndian::read_u32(header) != MAGIC {
            return None;
        }
        let block_type = match BigEndian::read_u32(header.get(4..)?) {
            1 => BlockType::Descriptor,
            2 => BlockType::Commit,
            3 => BlockType::SuperblockV1,
            4 => BlockType::SuperblockV2,
            5 => BlockType::Revoke,
            other => BlockType::Unknown(other),
        };
        Some(Self {
            block_type,
            sequence: BigEndian::read_u32(header.get(8..)?),
        })
    }

    /// The bytes of this header.
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let number = match self.block_type {
            BlockType::Descriptor => 1,
            BlockType::Commit => 2,
            BlockType::SuperblockV1 => 3,
            BlockType::SuperblockV2 => 4,
            BlockType::Revoke => 5,
            BlockType::Unknown(other) => other,
        };
        let [magic, kind, sequence] = [MAGIC, number, self.sequence].map(u32::to_be_bytes);
        for (to, from) in bytes.iter_mut().zip(magic.iter().chain(&kind).chain(&sequence)) {
            *to = *from;
        }
        bytes
    }
}
