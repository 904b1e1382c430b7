//! Changing a GPT in place. Entries are kept byte for byte but for the last sector of the one that is resized.

use super::header::GptHeader;
use super::load_raw;
use crate::error::{Error, Result};
use crate::mbr::{BOOT_RECORD_LEN, BootRecord};
use crate::resize::TableChange;
use crate::sector::{Lba, SectorSize};
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::{Storage, ZeroMode, read_vec};

/// Where an entry has its first and its last sector.
const FIRST_AT: usize = 32;
const LAST_AT: usize = 40;

/// Sectors that an array of entries takes.
fn array_sectors(header: &GptHeader, sector: SectorSize) -> u64 {
    (u64::from(header.entry_count) * u64::from(header.entry_size)).div_ceil(sector.bytes())
}

/// Where partitions have to end on a disk of that size, in bytes.
pub(crate) fn usable_end(storage: &dyn Storage, sector: SectorSize, disk_size: u64) -> Result<u64> {
    let behind = bytes_behind(storage, sector);
    Ok((disk_size / sector.bytes() * sector.bytes()).saturating_sub(behind))
}

/// Bytes behind the last sector that partitions may use: the copy of the table.
pub(crate) fn bytes_behind(storage: &dyn Storage, sector: SectorSize) -> u64 {
    let usual = 16384 / sector.bytes();
    let sectors = match load_raw(storage, sector) {
        Ok((header, _)) => array_sectors(&header, sector),
        Err(_) => usual,
    };
    (sectors + 1) * sector.bytes()
}

/// Writes both copies of the changed table, and the MBR that protects it.
pub(crate) fn change(storage: &dyn Storage, sector: SectorSize, change: TableChange) -> Result<()> {
    let (header, mut array) = load_raw(storage, sector)?;
    let bytes = sector.bytes();
    let bad = |reason: String| Error::Layout {
        object: storage.name(),
        reason,
    };
    let sectors = change.disk_size / bytes;
    let behind = array_sectors(&header, sector) + 1;
    let last_usable = sectors
        .checked_sub(behind + 1)
        .filter(|last| *last >= header.first_usable.0)
        .ok_or_else(|| {
            bad(format!(
                "a disk of {} bytes is too small for its GPT",
                change.disk_size
            ))
        })?;
    if let Some((number, len)) = change.partition {
        let at = (number as usize).saturating_sub(1) * header.entry_size as usize;
        let entry = array
            .get_mut(at..at + header.entry_size as usize)
            .ok_or_else(|| bad(format!("there is no entry {number}")))?;
        let first = LittleEndian::read_u64(entry.get(FIRST_AT..FIRST_AT + 8).unwrap_or(&[0; 8]));
        let last = first
            .checked_add(len / bytes)
            .and_then(|end| end.checked_sub(1))
            .ok_or_else(|| bad(format!("partition {number} cannot have {len} bytes")))?;
        if let Some(field) = entry.get_mut(LAST_AT..LAST_AT + 8) {
            LittleEndian::write_u64(field, last);
        }
    }
    for (number, entry) in (1..).zip(array.chunks_exact(header.entry_size as usize)) {
        let Some(used) = entry.get(..48).filter(|e| e.iter().take(16).any(|b| *b != 0)) else {
            continue;
        };
        let last = LittleEndian::read_u64(used.get(LAST_AT..).unwrap_or(&[0; 8]));
        if last > last_usable {
            return Err(bad(format!(
                "partition {number} ends at sector {last}, beyond the last that a disk of {} bytes can use",
                change.disk_size
            )));
        }
    }
    let old_sectors = header.my_lba.max(header.alternate_lba).0 + 1;
    let primary = GptHeader {
        my_lba: Lba(1),
        alternate_lba: Lba(sectors - 1),
        last_usable: Lba(last_usable),
        entries_lba: if header.my_lba == Lba(1) {
            header.entries_lba
        } else {
            Lba(2)
        },
        entries_crc: crc32fast::hash(&array),
        ..header.clone()
    };
    let backup = GptHeader {
        my_lba: primary.alternate_lba,
        alternate_lba: primary.my_lba,
        entries_lba: Lba(last_usable + 1),
        ..primary.clone()
    };
    // What was the copy must not be taken for one.
    let old_backup = header.my_lba.max(header.alternate_lba);
    if old_backup != backup.my_lba
        && old_backup > Lba(1)
        && let Some(offset) = old_backup.checked_offset(sector)
        && storage.check_range(offset, bytes).is_ok()
    {
        storage.write_zeroes(offset, bytes, ZeroMode::Unmap)?;
    }
    for header in [&backup, &primary] {
        let entries = header.entries_lba.0 * bytes;
        let at = header.my_lba.0 * bytes;
        storage.write_at(entries, &array)?;
        storage.write_zeroes(at, bytes, ZeroMode::Keep)?;
        storage.write_at(at, &header.encode())?;
    }
    protect(storage, sectors, old_sectors, sector, change)
}

/// The MBR: its protective record covers the disk; records of a hybrid one follow their partition.
fn protect(
    storage: &dyn Storage,
    sectors: u64,
    old_sectors: u64,
    sector: SectorSize,
    change: TableChange,
) -> Result<()> {
    let boot_sector = read_vec(storage, 0, BOOT_RECORD_LEN)?;
    let Some(mut record) = BootRecord::parse(&boot_sector) else {
        return Ok(());
    };
    if !record.is_protective() {
        return Ok(());
    }
    if !record.is_hybrid() {
        let [first, ..] = BootRecord::protective(sectors).records;
        for slot in record.records.iter_mut().filter(|r| r.kind == first.kind) {
            slot.sectors = first.sectors;
            slot.last_chs = first.last_chs;
        }
    } else {
        for slot in record.records.iter_mut().filter(|r| !r.is_unused()) {
            let end = u64::from(slot.start) + u64::from(slot.sectors);
            if slot.kind == 0xee && end >= old_sectors {
                slot.sectors = u32::try_from(sectors - u64::from(slot.start)).unwrap_or(u32::MAX);
            }
        }
        if let Some((number, len)) = change.partition {
            super::find(storage, &[sector], false)?
                .into_iter()
                .flat_map(|found| found.entries)
                .filter(|(n, _)| *n == number)
                .for_each(|(_, entry)| {
                    for slot in record.records.iter_mut() {
                        if slot.kind != 0xee && u64::from(slot.start) == entry.first.0 {
                            slot.resize(0, u32::try_from(len / sector.bytes()).unwrap_or(u32::MAX));
                        }
                    }
                });
        }
    }
    storage.write_at(0, &record.encode_over(&boot_sector))?;
    Ok(())
}
