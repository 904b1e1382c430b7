//! Changing an MBR in place, and the chain of logical partitions.

use super::boot_record::{BOOT_RECORD_LEN, BootRecord};
use super::logical::logical_records;
use crate::error::{Error, Result};
use crate::resize::TableChange;
use crate::sector::{Lba, SectorSize};
use disksmith_storage::{Storage, read_vec};

fn load(storage: &dyn Storage, offset: u64) -> Result<(Vec<u8>, BootRecord)> {
    let bytes = read_vec(storage, offset, BOOT_RECORD_LEN)?;
    let record = BootRecord::parse(&bytes).ok_or_else(|| Error::Corrupt {
        object: storage.name(),
        structure: "MBR",
        field: "signature",
        offset,
        value: "missing".into(),
    })?;
    Ok((bytes, record))
}

/// Where the record of the logical partition lies that starts at `start`, in bytes.
pub(crate) fn record_before(storage: &dyn Storage, sector: SectorSize, start: u64) -> Result<u64> {
    let (_, boot) = load(storage, 0)?;
    for extended in boot.records.iter().filter(|r| !r.is_unused() && r.is_extended()) {
        for found in logical_records(storage, sector, Lba(extended.start.into()), &mut Vec::new())? {
            if found.partition.first.checked_offset(sector) == Some(start) {
                return Ok(found.record_at.checked_offset(sector).unwrap_or(start));
            }
        }
    }
    Ok(start)
}

/// Writes the changed table.
pub(crate) fn change(storage: &dyn Storage, sector: SectorSize, change: TableChange) -> Result<()> {
    let bad = |reason: String| Error::Layout {
        object: storage.name(),
        reason,
    };
    let (bytes, mut boot) = load(storage, 0)?;
    let disk_sectors = change.disk_size / sector.bytes();
    if let Some((number, len)) = change.partition {
        let sectors = u32::try_from(len / sector.bytes())
            .map_err(|_| bad(format!("an MBR cannot tell {len} bytes for partition {number}")))?;
        if number <= 4 {
            let slot = boot
                .records
                .get_mut((number as usize).saturating_sub(1))
                .ok_or_else(|| bad(format!("there is no partition {number}")))?;
            slot.resize(0, sectors);
        } else {
            change_logical(storage, sector, &mut boot, number, sectors)?;
        }
    }
    if let Some(extended) = boot
        .records
        .iter()
        .position(|r| !r.is_unused() && r.is_extended())
    {
        // Where the disk is cut, an extended partition ends with it, if its logical ones do.
        shrink_extended(storage, sector, &mut boot, extended, disk_sectors)?;
    }
    for (number, record) in (1..).zip(&boot.records).filter(|(_, r)| !r.is_unused()) {
        if u64::from(record.start) + u64::from(record.sectors) > disk_sectors {
            return Err(bad(format!(
                "partition {number} reaches beyond the end of a disk of {} bytes",
                change.disk_size
            )));
        }
    }
    storage.write_at(0, &boot.encode_over(&bytes))?;
    Ok(())
}

fn shrink_extended(
    storage: &dyn Storage,
    sector: SectorSize,
    boot: &mut BootRecord,
    index: usize,
    disk_sectors: u64,
) -> Result<()> {
    let Some(extended) = boot.records.get_mut(index) else {
        return Ok(());
    };
    let start = u64::from(extended.start);
    if start + u64::from(extended.sectors) <= disk_sectors {
        return Ok(());
    }
    let list = logical_records(storage, sector, Lba(start), &mut Vec::new())?;
    let last = list
        .iter()
        .map(|found| found.partition.first.0 + u64::from(found.partition.record.sectors))
        .max()
        .unwrap_or(start + 1);
    if last <= disk_sectors {
        extended.resize(0, u32::try_from(disk_sectors - start).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Resizes a logical partition, the link to it, and the extended partition where that has to grow.
fn change_logical(
    storage: &dyn Storage,
    sector: SectorSize,
    boot: &mut BootRecord,
    number: u32,
    sectors: u32,
) -> Result<()> {
    let mut at = 5;
    for extended in boot
        .records
        .iter_mut()
        .filter(|r| !r.is_unused() && r.is_extended())
    {
        let base = Lba(extended.start.into());
        let list = logical_records(storage, sector, base, &mut Vec::new())?;
        for (index, found) in list.iter().enumerate() {
            if at != number {
                at += 1;
                continue;
            }
            let offset = |lba: Lba| lba.checked_offset(sector).unwrap_or(u64::MAX);
            let (bytes, mut record) = load(storage, offset(found.record_at))?;
            if let Some(slot) = record.records.get_mut(found.slot) {
                slot.resize(found.record_at.0, sectors);
            }
            storage.write_at(offset(found.record_at), &record.encode_over(&bytes))?;
            let end = found.partition.first.0 + u64::from(sectors);
            // The link before it says how far it reaches.
            if let Some(before) = index.checked_sub(1).and_then(|i| list.get(i)) {
                let (bytes, mut record) = load(storage, offset(before.record_at))?;
                let len = u32::try_from(end - found.record_at.0).unwrap_or(u32::MAX);
                for slot in record
                    .records
                    .iter_mut()
                    .filter(|r| !r.is_unused() && r.is_extended())
                {
                    slot.resize(base.0, len);
                }
                storage.write_at(offset(before.record_at), &record.encode_over(&bytes))?;
            }
            let reach = end.saturating_sub(base.0);
            if reach > u64::from(extended.sectors) {
                extended.resize(0, u32::try_from(reach).unwrap_or(u32::MAX));
            }
            return Ok(());
        }
    }
    Err(Error::Layout {
        object: storage.name(),
        reason: format!("there is no logical partition {number}"),
    })
}
