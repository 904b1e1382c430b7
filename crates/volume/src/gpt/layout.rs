//! Writing a new GPT.

use super::entry::{ENTRY_LEN, GptEntry, NAME_UNITS};
use super::header::GptHeader;
use crate::error::{Error, Result};
use crate::mbr::BootRecord;
use crate::sector::{Lba, SectorSize};
use disksmith_storage::{Storage, ZeroMode, read_vec};
use uuid::Uuid;

/// Entries that a new table has: the 16 KiB that the specification asks for at least.
const ENTRY_COUNT: u32 = 128;
const ARRAY_BYTES: u64 = ENTRY_COUNT as u64 * ENTRY_LEN as u64;

/// A partition of a new GPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptPartition {
    /// Its number, 1 to 128.
    pub number: u32,
    /// Where it starts, in bytes: a multiple of the sector size.
    pub start: u64,
    /// Its length in bytes: a multiple of the sector size, not 0.
    pub len: u64,
    /// What it is for; see [`crate::gpt_type`].
    pub type_guid: Uuid,
    /// Its own GUID.
    pub guid: Uuid,
    /// Its name, at most 36 UTF-16 code units.
    pub name: String,
    /// Attribute bits.
    pub attributes: u64,
}

/// A new GPT. The same layout makes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptLayout {
    /// The disk's GUID.
    pub disk_guid: Uuid,
    /// The logical sector size.
    pub sector: SectorSize,
    /// The partitions, in any order.
    pub partitions: Vec<GptPartition>,
}

impl GptLayout {
    /// The range of bytes that partitions may use on a disk of that size: start and end. `None` where the disk is too small.
    pub fn usable(size: u64, sector: SectorSize) -> Option<(u64, u64)> {
        let bytes = sector.bytes();
        let start = bytes * 2 + ARRAY_BYTES;
        let end = (size / bytes * bytes).checked_sub(bytes + ARRAY_BYTES)?;
        (start < end).then_some((start, end))
    }

    /// Writes protective MBR and both copies of the table. The boot code in the first sector stays, everything else
    /// outside the tables too. Does not flush.
    ///
    /// # Errors
    /// [`Error::Layout`] before anything is written, where the layout does not fit the disk or contradicts itself.
    pub fn write(&self, storage: &dyn Storage) -> Result<()> {
        let bad = |reason: String| Error::Layout {
            object: storage.name(),
            reason,
        };
        let sector = self.sector.bytes();
        let size = storage.size();
        let (start, end) = Self::usable(size, self.sector)
            .ok_or_else(|| bad(format!("a disk of {size} bytes is too small for a GPT")))?;
        self.check(start, end).map_err(bad)?;

        let mut array = vec![0; ARRAY_BYTES as usize];
        for partition in &self.partitions {
            let entry = GptEntry {
                type_guid: partition.type_guid,
                guid: partition.guid,
                first: Lba(partition.start / sector),
                last: Lba((partition.start + partition.len) / sector - 1),
                attributes: partition.attributes,
                name: partition.name.clone(),
            };
            let at = (partition.number as usize - 1) * ENTRY_LEN;
            if let Some(place) = array.get_mut(at..at + ENTRY_LEN) {
                place.copy_from_slice(&entry.encode());
            }
        }
        let sectors = size / sector;
        let primary = GptHeader {
            my_lba: Lba(1),
            alternate_lba: Lba(sectors - 1),
            first_usable: Lba(start / sector),
            last_usable: Lba(end / sector - 1),
            disk_guid: self.disk_guid,
            entries_lba: Lba(2),
            entry_count: ENTRY_COUNT,
            entry_size: ENTRY_LEN as u32,
            entries_crc: crc32fast::hash(&array),
        };
        let backup = GptHeader {
            my_lba: primary.alternate_lba,
            alternate_lba: primary.my_lba,
            entries_lba: Lba(end / sector),
            ..primary.clone()
        };
        let boot_sector = read_vec(storage, 0, 512)?;
        let record = BootRecord::protective(sectors);
        for (header, entries_at, header_at) in [
            (&backup, end, (sectors - 1) * sector),
            (&primary, 2 * sector, sector),
        ] {
            storage.write_at(entries_at, &array)?;
            storage.write_zeroes(header_at, sector, ZeroMode::Keep)?;
            storage.write_at(header_at, &header.encode())?;
        }
        storage.write_at(0, &record.encode_over(&boot_sector))?;
        Ok(())
    }

    fn check(&self, start: u64, end: u64) -> std::result::Result<(), String> {
        let sector = self.sector.bytes();
        let mut ranges = Vec::new();
        for p in &self.partitions {
            let number = p.number;
            let limit = p
                .start
                .checked_add(p.len)
                .filter(|limit| p.start >= start && *limit <= end);
            let Some(limit) = limit else {
                return Err(format!(
                    "partition {number} ({} bytes at {}) does not lie between {start} and {end}",
                    p.len, p.start
                ));
            };
            if !(1..=ENTRY_COUNT).contains(&number) {
                return Err(format!(
                    "partition number {number} is not one of 1 to {ENTRY_COUNT}"
                ));
            }
            if p.len == 0 || p.start % sector != 0 || p.len % sector != 0 {
                return Err(format!(
                    "partition {number} is not made of whole sectors of {sector} bytes"
                ));
            }
            if p.type_guid.is_nil() || p.guid.is_nil() {
                return Err(format!("partition {number} has a nil GUID"));
            }
            if p.name.encode_utf16().count() > NAME_UNITS {
                return Err(format!(
                    "the name of partition {number} is longer than {NAME_UNITS} characters"
                ));
            }
            ranges.push((p.start, limit, number));
        }
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            if let [a, b] = pair
                && b.0 < a.1
            {
                return Err(format!("partitions {} and {} overlap", a.2, b.2));
            }
        }
        let mut numbers: Vec<u32> = ranges.iter().map(|r| r.2).collect();
        numbers.sort_unstable();
        match numbers.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(pair) => Err(format!("the partition number {} is given twice", pair[0])),
            None => Ok(()),
        }
    }
}
