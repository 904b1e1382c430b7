//! Long names, FAT specification 1.03, "Long Directory Entries".

use byteorder::{ByteOrder, LittleEndian};
use disksmith_vfs::{Error, Result, check_name};

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

    /// How many parts were gathered.
    pub(crate) fn parts(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
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

/// Checks that a long name can carry a name.
///
/// # Errors
/// [`Error::InvalidName`] and [`Error::NameTooLong`].
pub(crate) fn check_carried(name: &[u8]) -> Result<&str> {
    check_name(name)?;
    let invalid = |reason| Error::InvalidName {
        path: String::from_utf8_lossy(name).into_owned(),
        reason,
    };
    let text = std::str::from_utf8(name).map_err(|_| invalid("FAT cannot carry a name that is not UTF-8"))?;
    if text.chars().any(|c| c < ' ' || "\"*:<>?\\|".contains(c)) {
        return Err(invalid(
            "FAT cannot carry a name with control characters or one of \" * : < > ? \\ |",
        ));
    }
    if text.ends_with(['.', ' ']) {
        return Err(invalid("FAT cannot carry a name that ends in a dot or a blank"));
    }
    if text.encode_utf16().count() > MAX_UNITS {
        return Err(Error::NameTooLong {
            path: text.to_owned(),
            limit: MAX_UNITS,
        });
    }
    Ok(text)
}

/// The long entries of a name that can be carried, in the order in which they lie on the disk.
pub(crate) fn encode(name: &str, short: &[u8; 11]) -> Vec<[u8; 32]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS), 0xffff);
    }
    let checksum = checksum(short);
    let mut entries: Vec<[u8; 32]> = units
        .chunks_exact(UNITS)
        .zip(1..)
        .map(|(units, order)| {
            let mut entry = [0; 32];
            entry[0] = order;
            entry[11] = 0x0f;
            entry[13] = checksum;
            let places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
            for (unit, at) in units.iter().zip(places) {
                LittleEndian::write_u16(&mut entry[at..at + 2], *unit);
            }
            entry
        })
        .collect();
    if let Some(last) = entries.last_mut() {
        last[0] |= LAST_PART;
    }
    entries.reverse();
    entries
}
