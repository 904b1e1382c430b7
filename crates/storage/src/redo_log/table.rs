//! A segment of a redo log: one page with a table, and after it the pages of data that the table tells of.

use super::digest::Digest;
use super::{PAGE, SECTOR, SECTORS};
use crate::error::{Error, Result};
use crate::storage::ZeroMode;
use byteorder::{ByteOrder, LittleEndian};
use std::path::Path;

const MAGIC: u32 = u32::from_le_bytes(*b"segt");
const MAGIC_OFFSET: usize = 0;
const COUNT_OFFSET: usize = 4;
const SEQUENCE_OFFSET: usize = 8;
const ENTRIES_OFFSET: usize = 16;

/// Bytes per entry: page number, kind, 4 reserved bytes, and a checksum for each sector.
const ENTRY: usize = 16 + 8 * SECTORS;
/// As many as a page has room for.
pub(super) const ENTRIES: usize = (PAGE as usize - ENTRIES_OFFSET) / ENTRY;

/// What shall become of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// It gets the contents of the next page of data in the segment.
    Data,
    /// It reads as zeroes.
    Zero(ZeroMode),
}

/// A page of the image that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number: offset in the image by the page size.
    pub(super) page: u64,
    pub(super) kind: PageKind,
    /// Checksums of its sectors before the change. What lies beyond the end of the image counts as zeroes.
    pub(super) before: [u64; SECTORS],
}

impl Entry {
    /// An entry for a page that holds `bytes` now.
    pub(super) fn new(page: u64, kind: PageKind, bytes: &[u8]) -> Self {
        let mut before = [0; SECTORS];
        for (sum, sector) in before.iter_mut().zip(bytes.chunks(SECTOR)) {
            *sum = Digest::of(sector);
        }
        Self { page, kind, before }
    }
}

/// The table of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

impl Table {
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES
    }

    /// How many pages of data follow the table.
    pub(super) fn data_pages(&self) -> u64 {
        self.entries
            .iter()
            .filter(|entry| entry.kind == PageKind::Data)
            .count() as u64
    }

    /// As it stands in the log; `sequence` is the segment's number, counted from 0.
    pub(super) fn encode(&self, sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; PAGE as usize];
        LittleEndian::write_u32(&mut bytes[MAGIC_OFFSET..], MAGIC);
        LittleEndian::write_u32(&mut bytes[COUNT_OFFSET..], self.entries.len().min(ENTRIES) as u32);
        LittleEndian::write_u64(&mut bytes[SEQUENCE_OFFSET..], sequence);
        for (entry, slot) in self
            .entries
            .iter()
            .zip(bytes[ENTRIES_OFFSET..].chunks_exact_mut(ENTRY))
        {
            let kind = match entry.kind {
                PageKind::Data => 1,
                PageKind::Zero(ZeroMode::Unmap) => 2,
                PageKind::Zero(ZeroMode::Keep) => 3,
            };
            LittleEndian::write_u64(&mut slot[0..], entry.page);
            LittleEndian::write_u32(&mut slot[8..], kind);
            LittleEndian::write_u64_into(&entry.before, &mut slot[16..ENTRY]);
        }
        bytes
    }

    /// Reads the table of segment `sequence`, which stands at byte `offset` of the log. No page number may be
    /// `pages` or more.
    pub(super) fn parse(bytes: &[u8], sequence: u64, pages: u64, log: &Path, offset: u64) -> Result<Self> {
        let damaged = |field, at: usize, value| Error::LogDamaged {
            log: log.into(),
            field,
            offset: offset.saturating_add(at as u64),
            value,
        };
        if bytes.len() != PAGE as usize {
            return Err(damaged("log segment: length", 0, bytes.len() as u64));
        }
        let magic = LittleEndian::read_u32(&bytes[MAGIC_OFFSET..]);
        if magic != MAGIC {
            return Err(damaged("log segment: magic", MAGIC_OFFSET, magic.into()));
        }
        let found = LittleEndian::read_u64(&bytes[SEQUENCE_OFFSET..]);
        if found != sequence {
            return Err(damaged("log segment: sequence", SEQUENCE_OFFSET, found));
        }
        let count = LittleEndian::read_u32(&bytes[COUNT_OFFSET..]) as usize;
        if count > ENTRIES {
            return Err(damaged("log segment: count", COUNT_OFFSET, count as u64));
        }
        let mut entries = Vec::with_capacity(count);
        for (i, slot) in bytes[ENTRIES_OFFSET..]
            .chunks_exact(ENTRY)
            .take(count)
            .enumerate()
        {
            let at = ENTRIES_OFFSET + i * ENTRY;
            let page = LittleEndian::read_u64(slot);
            if page >= pages {
                return Err(damaged("log segment entry: page", at, page));
            }
            let kind = match LittleEndian::read_u32(&slot[8..]) {
                1 => PageKind::Data,
                2 => PageKind::Zero(ZeroMode::Unmap),
                3 => PageKind::Zero(ZeroMode::Keep),
                other => return Err(damaged("log segment entry: kind", at + 8, other.into())),
            };
            let mut before = [0; SECTORS];
            LittleEndian::read_u64_into(&slot[16..ENTRY], &mut before);
            entries.push(Entry { page, kind, before });
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let kinds = [
            PageKind::Data,
            PageKind::Zero(ZeroMode::Keep),
            PageKind::Zero(ZeroMode::Unmap),
        ];
        let entries: Vec<Entry> = (0..ENTRIES)
            .map(|i| Entry::new(i as u64 * 7, kinds[i % 3], &[i as u8; 4096]))
            .collect();
        let table = Table { entries };
        assert!(table.is_full());
        assert_eq!(table.data_pages(), 17);
        let bytes = table.encode(9);
        let log = Path::new("log");
        assert_eq!(Table::parse(&bytes, 9, 1000, log, 0).unwrap(), table);
        assert!(Table::parse(&bytes, 8, 1000, log, 0).is_err());
        assert!(Table::parse(&bytes, 9, 100, log, 0).is_err());
        assert!(Table::parse(&bytes[1..], 9, 1000, log, 0).is_err());
    }
}
