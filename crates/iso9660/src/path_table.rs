//! The path table (ECMA-119 9.4): all directories in one list, once in each byte order.

use byteorder::{BigEndian, LittleEndian, WriteBytesExt};

/// One directory of a path table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathTableRecord<'a> {
    pub(crate) identifier: &'a [u8],
    pub(crate) extent: u32,
    /// Number of the directory above; the root is 1 and its own parent.
    pub(crate) parent: u16,
}

impl PathTableRecord<'_> {
    /// Length of the record in bytes.
    pub(crate) fn len(&self) -> u64 {
        (8 + self.identifier.len().next_multiple_of(2)) as u64
    }

    /// Appends the record.
    pub(crate) fn encode(&self, big_endian: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.identifier.len() as u8, 0]);
        // Writing to memory does not fail.
        let _ = if big_endian {
            out.write_u32::<BigEndian>(self.extent)
                .and_then(|()| out.write_u16::<BigEndian>(self.parent))
        } else {
            out.write_u32::<LittleEndian>(self.extent)
                .and_then(|()| out.write_u16::<LittleEndian>(self.parent))
        };
        out.extend_from_slice(self.identifier);
        if self.identifier.len() % 2 == 1 {
            out.push(0);
        }
    }
}
