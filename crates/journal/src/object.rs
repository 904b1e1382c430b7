//! The header of every object of a journal file ("Journal File Format", "Objects"), and numbers in it. Little-endian.

/// Bytes of an object's header.
pub(crate) const HEADER: usize = 16;

/// Types of objects.
pub(crate) const DATA: u8 = 1;
pub(crate) const ENTRY: u8 = 3;
pub(crate) const ENTRY_ARRAY: u8 = 6;

/// Type, flags and size of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectHeader {
    /// Offset 0.
    pub(crate) kind: u8,
    /// Offset 1: how a data object's payload is compressed.
    pub(crate) flags: u8,
    /// Offset 8: bytes of the object, this header with it.
    pub(crate) size: u64,
}

impl ObjectHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: *bytes.first()?,
            flags: *bytes.get(1)?,
            size: u64_at(bytes, 8)?,
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}

pub(crate) fn id_at(bytes: &[u8], at: usize) -> Option<[u8; 16]> {
    bytes.get(at..at.checked_add(16)?)?.try_into().ok()
}
