//! Writing a new MBR.

use super::boot_record::{BOOT_RECORD_LEN, BootRecord};
use super::partition_record::{Chs, PartitionRecord};
use crate::error::{Error, Result};
use disksmith_storage::{Storage, read_vec};

const SECTOR: u64 = 512;

/// A partition of a new MBR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MbrPartition {
    /// Its number: 1 to 4 for primary and extended partitions, from 5 without gap for logical ones.
    pub number: u32,
    /// Where it starts, in bytes: a multiple of 512.
    pub start: u64,
    /// Its length in bytes: a multiple of 512, not 0.
    pub len: u64,
    /// What it is for.
    pub kind: u8,
    /// Whether a BIOS shall boot it.
    pub bootable: bool,
}

/// A new MBR on a disk with sectors of 512 bytes. The same layout makes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MbrLayout {
    /// The disk's identifier; 0 for none.
    pub identifier: u32,
    /// The partitions in the order of their numbers. Logical ones lie in the only extended one, in ascending order, each with at least
    /// one free sector before it, which holds its record.
    pub partitions: Vec<MbrPartition>,
}

impl MbrPartition {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    fn is_extended(&self) -> bool {
        self.record(0).is_extended()
    }

    /// The record of this partition, counted from the sector `base`.
    fn record(&self, base: u64) -> PartitionRecord {
        let (first, sectors) = (self.start / SECTOR, self.len / SECTOR);
        PartitionRecord {
            indicator: if self.bootable { 0x80 } else { 0 },
            first_chs: Chs::from_lba(first),
            kind: self.kind,
            last_chs: Chs::from_lba(first.saturating_add(sectors).saturating_sub(1)),
            start: u32::try_from(first.saturating_sub(base)).unwrap_or(u32::MAX),
            sectors: u32::try_from(sectors).unwrap_or(u32::MAX),
        }
    }
}

impl MbrLayout {
    /// Writes the table. The boot code in the first sector stays. Does not flush.
    ///
    /// # Errors
    /// [`Error::Layout`] before anything is written, where the layout does not fit the disk or contradicts itself.
    pub fn write(&self, storage: &dyn Storage) -> Result<()> {
        self.check(storage.size()).map_err(|reason| Error::Layout {
            object: storage.name(),
            reason,
        })?;
        let mut record = BootRecord {
            identifier: self.identifier,
            ..BootRecord::default()
        };
        for partition in self.partitions.iter().filter(|p| p.number <= 4) {
            if let Some(place) = record.records.get_mut(partition.number as usize - 1) {
                *place = partition.record(0);
            }
        }
        let boot_sector = read_vec(storage, 0, BOOT_RECORD_LEN)?;
        for (at, record) in self.chain() {
            storage.write_at(at, &record.encode_over(&[]))?;
        }
        storage.write_at(0, &record.encode_over(&boot_sector))?;
        Ok(())
    }

    /// The records of the logical partitions, with the byte offset of each.
    fn chain(&self) -> Vec<(u64, BootRecord)> {
        let Some(extended) = self.partitions.iter().find(|p| p.is_extended()) else {
            return Vec::new();
        };
        let mut chain: Vec<(u64, BootRecord)> = Vec::new();
        let mut at = extended.start;
        for logical in self.partitions.iter().filter(|p| p.number > 4) {
            let mut record = BootRecord::default();
            record.records[0] = logical.record(at / SECTOR);
            if let Some((_, before)) = chain.last_mut() {
                let link = MbrPartition {
                    number: 0,
                    start: at,
                    len: logical.end() - at,
                    kind: 0x05,
                    bootable: false,
                };
                before.records[1] = link.record(extended.start / SECTOR);
            }
            chain.push((at, record));
            at = logical.end();
        }
        if chain.is_empty() {
            chain.push((extended.start, BootRecord::default()));
        }
        chain
    }

    fn check(&self, size: u64) -> std::result::Result<(), String> {
        let extended: Vec<_> = self.partitions.iter().filter(|p| p.is_extended()).collect();
        if extended.len() > 1 || extended.iter().any(|p| p.number > 4) {
            return Err("there can be one extended partition, and it is a primary one".into());
        }
        let mut logical_number = 5;
        let mut logical_end = extended.first().map_or(0, |p| p.start);
        let mut primaries: Vec<&MbrPartition> = Vec::new();
        let mut last_number = 0;
        for p in &self.partitions {
            let number = p.number;
            if p.start < SECTOR || p.start.checked_add(p.len).is_none_or(|end| end > size) {
                return Err(format!("partition {number} does not lie between 512 and {size}"));
            }
            if p.len == 0 || p.start % SECTOR != 0 || p.len % SECTOR != 0 {
                return Err(format!(
                    "partition {number} is not made of whole sectors of 512 bytes"
                ));
            }
            if p.end() / SECTOR > u64::from(u32::MAX) {
                return Err(format!(
                    "partition {number} reaches beyond the 2 TiB that an MBR can tell"
                ));
            }
            if p.kind == 0 {
                return Err(format!("partition {number} has the type of an unused record"));
            }
            if number <= last_number {
                return Err(format!("partition number {number} is out of order"));
            }
            last_number = number;
            if number <= 4 {
                primaries.push(p);
                continue;
            }
            if number != logical_number {
                return Err(format!(
                    "logical partition {number} should have the number {logical_number}"
                ));
            }
            if extended.first().is_none_or(|e| p.end() > e.end())
                || p.start < logical_end.saturating_add(SECTOR)
            {
                return Err(format!(
                    "logical partition {number} does not lie in the extended one with a free sector before it"
                ));
            }
            logical_number += 1;
            logical_end = p.end();
        }
        primaries.sort_by_key(|p| p.start);
        match primaries.windows(2).find(|pair| pair[1].start < pair[0].end()) {
            Some(pair) => Err(format!(
                "partitions {} and {} overlap",
                pair[0].number, pair[1].number
            )),
            None => Ok(()),
        }
    }
}
