//! The directory record (ECMA-119 9.1).

use crate::endian::{both16, both32, read32, read32_big};

/// Bytes before the identifier.
pub(crate) const FIXED_LEN: usize = 33;
/// The longest record with an even length.
pub(crate) const MAX_LEN: usize = 254;
/// File flag: readers are asked not to show it ("existence").
pub(crate) const HIDDEN: u8 = 0x01;
/// File flag: the record is of a directory.
pub(crate) const DIRECTORY: u8 = 0x02;
/// File flag: an associated file (a resource fork), no file of its own.
pub(crate) const ASSOCIATED: u8 = 0x04;
/// File flag: further records with further extents of the file follow.
pub(crate) const MULTI_EXTENT: u8 = 0x80;
/// Identifier of the directory itself.
pub(crate) const SELF: &[u8] = &[0];
/// Identifier of the directory above.
pub(crate) const PARENT: &[u8] = &[1];

/// What a directory record says, its system use area aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryRecord<'a> {
    /// First block of the extent.
    pub(crate) extent: u32,
    /// Length of the extent in bytes.
    pub(crate) len: u32,
    /// Recording date (9.1.5).
    pub(crate) date: [u8; 7],
    pub(crate) flags: u8,
    pub(crate) identifier: &'a [u8],
}

impl DirectoryRecord<'_> {
    /// Bytes that the record leaves for the system use area.
    pub(crate) fn room(identifier_len: usize) -> usize {
        MAX_LEN.saturating_sub(Self::start_of_system_use(identifier_len))
    }

    /// Where the system use area starts in the record.
    fn start_of_system_use(identifier_len: usize) -> usize {
        (FIXED_LEN + identifier_len).next_multiple_of(2)
    }

    /// Appends the record. The identifier and the system use area fit: see [`room`](Self::room).
    pub(crate) fn encode(&self, system_use: &[u8], out: &mut Vec<u8>) {
        let start = Self::start_of_system_use(self.identifier.len());
        let len = (start + system_use.len()).next_multiple_of(2);
        let from = out.len();
        out.push(len as u8);
        out.push(0);
        out.extend_from_slice(&both32(self.extent));
        out.extend_from_slice(&both32(self.len));
        out.extend_from_slice(&self.date);
        out.push(self.flags);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&both16(1));
        out.push(self.identifier.len() as u8);
        out.extend_from_slice(self.identifier);
        out.resize(from + start, 0);
        out.extend_from_slice(system_use);
        out.resize(from + len, 0);
    }
}

/// A record as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedRecord<'a> {
    pub(crate) record: DirectoryRecord<'a>,
    /// Blocks of extended attributes before the data.
    pub(crate) attribute_blocks: u8,
    /// Blocks of one interleave unit and of the gap; both 0 where the file is not interleaved.
    pub(crate) interleave: (u8, u8),
    pub(crate) system_use: &'a [u8],
    /// Length of the whole record.
    pub(crate) len: usize,
}

impl<'a> ParsedRecord<'a> {
    /// Reads the record at the start of `bytes`; `None` where it is none, or reaches beyond them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let len = usize::from(*bytes.first()?);
        let bytes = bytes.get(..len)?;
        let identifier_len = usize::from(*bytes.get(32)?);
        let identifier = bytes.get(FIXED_LEN..FIXED_LEN.checked_add(identifier_len)?)?;
        if identifier.is_empty() {
            return None;
        }
        let start = DirectoryRecord::start_of_system_use(identifier_len);
        // The little-endian halves count, unless they were left empty: no extent is at block 0.
        let number = match read32(bytes, 2)? {
            0 => read32_big,
            _ => read32,
        };
        Some(Self {
            record: DirectoryRecord {
                extent: number(bytes, 2)?,
                len: number(bytes, 10)?,
                date: bytes.get(18..25)?.try_into().ok()?,
                flags: *bytes.get(25)?,
                identifier,
            },
            attribute_blocks: *bytes.get(1)?,
            interleave: (*bytes.get(26)?, *bytes.get(27)?),
            system_use: bytes.get(start..).unwrap_or(&[]),
            len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back() {
        let record = DirectoryRecord {
            extent: 0x0102_0304,
            len: 77,
            date: [126, 1, 2, 3, 4, 5, 0],
            flags: DIRECTORY,
            identifier: b"ABC",
        };
        let mut bytes = Vec::new();
        record.encode(b"NM\x05\x01\x00", &mut bytes);
        assert_eq!(bytes.len(), 42);
        let parsed = ParsedRecord::parse(&bytes).unwrap();
        assert_eq!(parsed.record, record);
        assert_eq!(parsed.system_use, b"NM\x05\x01\x00\x00");
        assert_eq!(ParsedRecord::parse(&bytes[..41]), None);
        assert_eq!(ParsedRecord::parse(&[]), None);
        assert_eq!(ParsedRecord::parse(&[0; 40]), None);
    }
}
