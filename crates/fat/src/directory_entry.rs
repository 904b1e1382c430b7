//! A short directory entry, FAT specification 1.03, "FAT Directory Structure".

use crate::boot_sector::FatKind;
use crate::code_page::CodePage;
use crate::date_time::{from_timestamp, to_timestamp};
use byteorder::{ByteOrder, LittleEndian};
use disksmith_vfs::Timestamp;

/// Bytes of an entry.
pub(crate) const ENTRY_LEN: u64 = 32;
const READ_ONLY: u8 = 0x01;
/// Read-only, hidden, system and archive: the bits that people set.
pub(crate) const SETTABLE: u8 = 0x27;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
/// Read-only, hidden, system and label together mark a part of a long name.
const LONG_NAME: u8 = 0x0f;
const LONG_NAME_MASK: u8 = 0x3f;
/// Bits of byte 12, as Windows NT and Linux use them: the name's base, its extension, is in lower case.
pub(crate) const LOWER_BASE: u8 = 0x08;
pub(crate) const LOWER_EXTENSION: u8 = 0x10;

/// What 32 bytes of a directory are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// No entry is here or after.
    End,
    /// An entry that was deleted.
    Deleted,
    /// A part of a long name.
    LongName,
    /// The volume's label, padded with blanks.
    Label([u8; 11]),
    /// A file or a directory.
    Entry(ShortEntry),
}

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShortEntry {
    /// The name as it is stored: eight and three characters, padded with blanks. Bytes 0 to 10.
    pub(crate) raw_name: [u8; 11],
    /// Attribute bits. Byte 11.
    pub(crate) attributes: u8,
    /// Case bits. Byte 12.
    pub(crate) case: u8,
    /// The first cluster; 0 where there is none. Bytes 20-21 (FAT32 only) and 26-27.
    pub(crate) first_cluster: u32,
    /// Size in bytes; 0 for a directory. Bytes 28 to 31.
    pub(crate) size: u32,
    /// When it was made. Bytes 13 to 17.
    pub(crate) created: Timestamp,
    /// The day of the last access. Bytes 18 and 19.
    pub(crate) accessed: Timestamp,
    /// When it was written last. Bytes 22 to 25.
    pub(crate) modified: Timestamp,
}

impl Slot {
    pub(crate) fn parse(bytes: &[u8; 32], kind: FatKind) -> Self {
        let attributes = bytes[11];
        match bytes[0] {
            0 => return Self::End,
            0xe5 => return Self::Deleted,
            _ if attributes & LONG_NAME_MASK == LONG_NAME => return Self::LongName,
            _ => {}
        }
        let u16_at = |at: usize| LittleEndian::read_u16(&bytes[at..at + 2]);
        let mut raw_name = [0; 11];
        raw_name.copy_from_slice(&bytes[..11]);
        if attributes & VOLUME_LABEL != 0 {
            return Self::Label(raw_name);
        }
        let high = match kind {
            FatKind::Fat32 => u32::from(u16_at(20)) << 16,
            _ => 0,
        };
        Self::Entry(ShortEntry {
            raw_name,
            attributes,
            case: bytes[12],
            first_cluster: high | u32::from(u16_at(26)),
            size: LittleEndian::read_u32(&bytes[28..32]),
            created: to_timestamp(u16_at(16), u16_at(14), bytes[13]),
            accessed: to_timestamp(u16_at(18), 0, 0),
            modified: to_timestamp(u16_at(24), u16_at(22), 0),
        })
    }
}

impl ShortEntry {
    pub(crate) fn is_dir(&self) -> bool {
        self.attributes & DIRECTORY != 0
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.attributes & READ_ONLY != 0
    }

    /// Whether it is `.` or `..`.
    pub(crate) fn is_dot(&self) -> bool {
        matches!(&self.raw_name, b".          " | b"..         ")
    }

    /// The short name as people see it.
    pub(crate) fn name(&self, page: CodePage) -> Vec<u8> {
        let (base, extension) = self.raw_name.split_at(8);
        let mut name = decode(base, self.case & LOWER_BASE != 0, page);
        let extension = decode(extension, self.case & LOWER_EXTENSION != 0, page);
        if !extension.is_empty() {
            name.push('.');
            name.push_str(&extension);
        }
        name.into_bytes()
    }
}

/// The 32 bytes of an entry, to be changed field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawEntry(pub(crate) [u8; 32]);

impl RawEntry {
    /// A new entry, whose times are all `time`.
    pub(crate) fn new(is_dir: bool, time: Timestamp) -> Self {
        let mut entry = Self([0; 32]);
        entry.0[11] = if is_dir { DIRECTORY } else { ARCHIVE };
        let (date, of_day, hundredths) = from_timestamp(time);
        entry.0[13] = hundredths;
        LittleEndian::write_u16(&mut entry.0[14..16], of_day);
        LittleEndian::write_u16(&mut entry.0[16..18], date);
        entry.set_accessed(time);
        entry.set_modified(time);
        entry
    }

    /// The entry of the volume's label.
    pub(crate) fn label(label: &[u8; 11], time: Timestamp) -> Self {
        let mut entry = Self::new(false, time);
        entry.set_name(label, 0);
        entry.0[11] = VOLUME_LABEL;
        entry
    }

    pub(crate) fn set_name(&mut self, raw_name: &[u8; 11], case: u8) {
        self.0[..11].copy_from_slice(raw_name);
        self.0[12] = self.0[12] & !(LOWER_BASE | LOWER_EXTENSION) | case;
    }

    /// Swaps names and case bits with another entry.
    pub(crate) fn swap_names(&mut self, other: &mut Self) {
        let (mine, theirs) = (&mut self.0[..11], &mut other.0[..11]);
        mine.swap_with_slice(theirs);
        let bits = LOWER_BASE | LOWER_EXTENSION;
        let (mine, theirs) = (self.0[12], other.0[12]);
        self.0[12] = mine & !bits | theirs & bits;
        other.0[12] = theirs & !bits | mine & bits;
    }

    /// Sets the first cluster; the upper half only in a FAT32.
    pub(crate) fn set_first_cluster(&mut self, cluster: u32, kind: FatKind) {
        if kind == FatKind::Fat32 {
            LittleEndian::write_u16(&mut self.0[20..22], (cluster >> 16) as u16);
        }
        LittleEndian::write_u16(&mut self.0[26..28], (cluster & 0xffff) as u16);
    }

    pub(crate) fn set_size(&mut self, size: u32) {
        LittleEndian::write_u32(&mut self.0[28..32], size);
    }

    pub(crate) fn set_accessed(&mut self, time: Timestamp) {
        LittleEndian::write_u16(&mut self.0[18..20], from_timestamp(time).0);
    }

    pub(crate) fn set_modified(&mut self, time: Timestamp) {
        let (date, of_day, _) = from_timestamp(time);
        LittleEndian::write_u16(&mut self.0[22..24], of_day);
        LittleEndian::write_u16(&mut self.0[24..26], date);
    }

    /// Sets the attribute bits that people set.
    pub(crate) fn set_attributes(&mut self, attributes: u8) {
        self.0[11] = self.0[11] & !SETTABLE | attributes & SETTABLE;
    }

    /// Sets attribute bits besides those that are set.
    pub(crate) fn add_attributes(&mut self, attributes: u8) {
        self.0[11] |= attributes & SETTABLE;
    }

    pub(crate) fn set_read_only(&mut self, read_only: bool) {
        self.0[11] = self.0[11] & !READ_ONLY | if read_only { READ_ONLY } else { 0 };
    }

    /// Marks a file as changed since the last backup.
    pub(crate) fn set_archive(&mut self) {
        self.0[11] |= ARCHIVE;
    }
}

/// Decodes a padded part of a name. A first byte 0x05 stands for 0xe5, which would mean a deleted entry.
pub(crate) fn decode(padded: &[u8], lower: bool, page: CodePage) -> String {
    let len = padded.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    let characters = padded
        .iter()
        .take(len)
        .enumerate()
        .map(|(at, byte)| match (at, byte) {
            (0, 0x05) if padded.len() == 8 => page.decode(0xe5),
            _ => page.decode(*byte),
        });
    let text: String = characters.collect();
    if lower { text.to_lowercase() } else { text }
}

/// A label without its padding; `None` where it is empty.
pub(crate) fn label_text(padded: &[u8; 11], page: CodePage) -> Option<Vec<u8>> {
    let text = decode_label(padded, page);
    (!text.is_empty()).then(|| text.into_bytes())
}

fn decode_label(padded: &[u8; 11], page: CodePage) -> String {
    let text: String = padded
        .iter()
        .take_while(|b| **b != 0)
        .map(|b| page.decode(*b))
        .collect();
    text.trim_end_matches(' ').to_owned()
}
