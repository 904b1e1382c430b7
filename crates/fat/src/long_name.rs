//! Long names, FAT specification 1.03, "Long Directory Entries".

use byteorder::{ByteOrder, LittleEndian};

/// UTF-16 code units in one entry, and entries of one name.
const UNITS: usize = 13;
const MAX_PARTS: u8 = 20;
/// UTF-16 code units that a name can have.
const MAX_UNITS: usize = 255;
/// Marks the part that comes first on the disk, which is the name's last.
const LAST_PART: u8 = 0x40;

/// Gathers the parts of a long name, which precede the short entry from the last part to the first.
#[derive(Debug, Default)]
pub(crate) struct LongName {
    /// Code units, from the end of the name to its beginning, part by part.
    parts: Vec<[u16; UNITS]>,
    /// The order number that comes next; 0 where all parts are there.
    expected: u8,
    checksum: u8,
}

impl LongName {
    /// Takes one long entry. One that is out of order begins anew, or is dropped.
    pub(crate) fn push(&mut self, entry: &[u8; 32]) {
        let order = entry[0] & !LAST_PART;
        if entry[0] & LAST_PART != 0 {
            self.parts.clear();
            self.checksum = entry[13];
            self.expected = if (1..=MAX_PARTS).contains(&order) {
                order
            } else {
                0
            };
        }
        if self.expected == 0 || order != self.expected || entry[13] != self.checksum {
            self.clear();
            return;
        }
        let mut units = [0; UNITS];
        let bytes = entry[1..11]
            .chunks_exact(2)
            .chain(entry[14..26].chunks_exact(2))
            .chain(entry[28..32].chunks_exact(2));
        for (place, pair) in units.iter_mut().zip(bytes) {
            *place = LittleEndian::read_u16(pair);
        }
        self.parts.push(units);
        self.expected = order - 1;
    }

    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.expected = 0;
    }

    /// The whole name, if one was gathered that belongs to this short name; as UTF-8, where half a surrogate pair
    /// becomes the three bytes that its number would have (WTF-8), so that different names stay different.
    pub(crate) fn take(&mut self, short: &[u8; 11]) -> Option<Vec<u8>> {
        let complete = self.expected == 0 && !self.parts.is_empty() && self.checksum == checksum(short);
        let units: Vec<u16> = self
            .parts
            .iter()
            .rev()
            .flatten()
            .copied()
            .take_while(|u| *u != 0)
            .collect();
        self.clear();
        if !complete || units.is_empty() || units.len() > MAX_UNITS {
            return None;
        }
        let mut name = Vec::with_capacity(units.len());
        for decoded in char::decode_utf16(units) {
            match decoded {
                Ok(c) => name.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(error) => {
                    let unit = error.unpaired_surrogate();
                    name.push(0xe0 | (unit >> 12) as u8);
                    name.push(0x80 | (unit >> 6 & 0x3f) as u8);
                    name.push(0x80 | (unit & 0x3f) as u8);
                }
            }
        }
        Some(name)
    }
}

/// The checksum that ties long entries to their short name.
pub(crate) fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
