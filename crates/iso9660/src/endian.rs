//! Numbers as ISO 9660 records them: ECMA-119 7.2.3 and 7.3.3, both byte orders side by side.

use byteorder::{BigEndian, ByteOrder, LittleEndian};

/// A 16-bit number in both byte orders (ECMA-119 7.2.3).
pub(crate) fn both16(value: u16) -> [u8; 4] {
    let mut out = [0; 4];
    let (little, big) = out.split_at_mut(2);
    LittleEndian::write_u16(little, value);
    BigEndian::write_u16(big, value);
    out
}

/// A 32-bit number in both byte orders (ECMA-119 7.3.3).
pub(crate) fn both32(value: u32) -> [u8; 8] {
    let mut out = [0; 8];
    let (little, big) = out.split_at_mut(4);
    LittleEndian::write_u32(little, value);
    BigEndian::write_u32(big, value);
    out
}

/// Reads the little-endian half of a 16-bit number in both byte orders; `None` where the bytes end before.
pub(crate) fn read16(bytes: &[u8], offset: usize) -> Option<u16> {
    let end = offset.checked_add(2)?;
    bytes.get(offset..end).map(LittleEndian::read_u16)
}

/// Reads the little-endian half of a 32-bit number in both byte orders; `None` where the bytes end before.
pub(crate) fn read32(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    bytes.get(offset..end).map(LittleEndian::read_u32)
}

/// Reads the big-endian half of a 32-bit number in both byte orders; `None` where the bytes end before.
pub(crate) fn read32_big(bytes: &[u8], offset: usize) -> Option<u32> {
    let (start, end) = (offset.checked_add(4)?, offset.checked_add(8)?);
    bytes.get(start..end).map(BigEndian::read_u32)
}

/// Reads a 32-bit number in both byte orders that is not 0: the little-endian half, or the other one where that was left
/// empty.
pub(crate) fn either32(bytes: &[u8], offset: usize) -> Option<u32> {
    match read32(bytes, offset)? {
        0 => read32_big(bytes, offset),
        little => Some(little),
    }
}
