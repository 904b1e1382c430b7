//! The header of a journal file ("Journal File Format", "Header").

use crate::error::{Error, Result, damaged};
use crate::object::{id_at, u32_at, u64_at};

/// Bytes of the header that every version has.
pub(crate) const SIZE: usize = 208;

const SIGNATURE: &[u8; 8] = b"LPKSHHRH";

/// Incompatible features ("Header", `incompatible_flags`).
const COMPRESSED_XZ: u32 = 1;
const COMPRESSED_LZ4: u32 = 1 << 1;
const KEYED_HASH: u32 = 1 << 2;
const COMPRESSED_ZSTD: u32 = 1 << 3;
const COMPACT: u32 = 1 << 4;

/// The fields of the header that reading needs. Little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Offset 12.
    pub(crate) incompatible: u32,
    /// Offset 72: which numbering the entries' sequence numbers belong to.
    pub(crate) seqnum_id: [u8; 16],
    /// Offset 88: bytes of the header as written.
    pub(crate) header_size: u64,
    /// Offset 152.
    pub(crate) entries: u64,
    /// Offset 176: the first array of offsets of entries; 0 where there is none.
    pub(crate) entry_array: u64,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let found = bytes.get(..8).unwrap_or(bytes);
        if found != SIGNATURE {
            return Err(Error::NotAJournal {
                found: found.to_vec(),
            });
        }
        let cut = || damaged("header", 0, "the file is shorter than a header");
        let header = Self {
            incompatible: u32_at(bytes, 12).ok_or_else(cut)?,
            seqnum_id: id_at(bytes, 72).ok_or_else(cut)?,
            header_size: u64_at(bytes, 88).ok_or_else(cut)?,
            entries: u64_at(bytes, 152).ok_or_else(cut)?,
            entry_array: u64_at(bytes, 176).ok_or_else(cut)?,
        };
        let known = COMPRESSED_XZ | COMPRESSED_LZ4 | KEYED_HASH | COMPRESSED_ZSTD | COMPACT;
        let unknown = header.incompatible & !known;
        if unknown != 0 {
            return Err(Error::Unsupported { flags: unknown });
        }
        if header.header_size < SIZE as u64 {
            let detail = format!("header_size is {}, below {SIZE}", header.header_size);
            return Err(damaged("header", 88, detail));
        }
        Ok(header)
    }

    /// Whether offsets in entries and arrays have four bytes.
    pub(crate) fn is_compact(&self) -> bool {
        self.incompatible & COMPACT != 0
    }
}
