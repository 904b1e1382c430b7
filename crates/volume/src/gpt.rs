//! GUID partition tables, UEFI Specification 2.10, chapter 5.

mod change;
mod entry;
mod header;
mod layout;

pub use entry::GptEntry;
pub use header::GptHeader;
pub use layout::{GptLayout, GptPartition};

pub(crate) use change::{bytes_behind, change, usable_end};

use crate::error::{Error, Result};
use crate::notice::Notice;
use crate::sector::{Lba, SectorSize};
use disksmith_storage::{Storage, read_vec};

/// Bytes that an array of entries may have; the usual one has 16384.
const MAX_ARRAY_BYTES: u64 = 4 << 20;

/// A GPT as it was found.
#[derive(Debug)]
pub(crate) struct FoundGpt {
    pub(crate) header: GptHeader,
    /// Entries with their numbers from 1; unused ones are left out.
    pub(crate) entries: Vec<(u32, GptEntry)>,
    pub(crate) sector: SectorSize,
    pub(crate) notices: Vec<Notice>,
}

/// One copy of a table: its header, and its used entries with their numbers.
type LoadedGpt = (GptHeader, Vec<(u32, GptEntry)>);

/// Finds a GPT where there is one. `None` where there is no trace of one at the beginning of the disk, nor, when
/// `search_end` says so, at its end.
pub(crate) fn find(
    storage: &dyn Storage,
    sizes: &[SectorSize],
    search_end: bool,
) -> Result<Option<FoundGpt>> {
    let mut damage = None;
    for sector in sizes.iter().copied() {
        match load(storage, sector, Lba(1)) {
            Ok(Some((header, entries))) => {
                let notices = check_backup(storage, sector, &header);
                return Ok(Some(FoundGpt {
                    header,
                    entries,
                    sector,
                    notices,
                }));
            }
            Ok(None) => {}
            Err(error @ Error::Corrupt { .. }) => damage = damage.or(Some(error)),
            Err(other) => return Err(other),
        }
    }
    if search_end {
        for sector in sizes.iter().copied() {
            let Some(last) = last_lba(storage, sector) else {
                continue;
            };
            match load(storage, sector, last) {
                Ok(Some((header, entries))) => {
                    let reason = damage.map_or_else(|| "it has no signature".into(), |e| e.to_string());
                    return Ok(Some(FoundGpt {
                        header,
                        entries,
                        sector,
                        notices: vec![Notice::BackupGptUsed { reason }],
                    }));
                }
                Ok(None) => {}
                Err(error @ Error::Corrupt { .. }) => damage = damage.or(Some(error)),
                Err(other) => return Err(other),
            }
        }
    }
    damage.map_or(Ok(None), Err)
}

/// What is odd about the copy of a good first table.
fn check_backup(storage: &dyn Storage, sector: SectorSize, primary: &GptHeader) -> Vec<Notice> {
    let mut notices = Vec::new();
    if last_lba(storage, sector) != Some(primary.alternate_lba) {
        notices.push(Notice::BackupGptNotAtEnd);
    }
    let bad = |reason: String| Notice::BackupGptBad { reason };
    match load(storage, sector, primary.alternate_lba) {
        Ok(Some((backup, _))) if backup.disk_guid != primary.disk_guid => {
            notices.push(bad(format!("it belongs to the disk {}", backup.disk_guid)));
        }
        Ok(Some((backup, _))) if backup.entries_crc != primary.entries_crc => {
            notices.push(bad("its entries differ from the primary's".into()));
        }
        Ok(Some(_)) => {}
        Ok(None) => notices.push(bad("it has no signature".into())),
        Err(error) => notices.push(bad(error.to_string())),
    }
    notices
}

fn last_lba(storage: &dyn Storage, sector: SectorSize) -> Option<Lba> {
    (storage.size() / sector.bytes()).checked_sub(1).map(Lba)
}

/// Reads the header at `at` and its array of entries. `None` where there is no signature.
fn load_copy(storage: &dyn Storage, sector: SectorSize, at: Lba) -> Result<Option<(GptHeader, Vec<u8>)>> {
    let Some(offset) = at
        .checked_offset(sector)
        .filter(|o| storage.check_range(*o, sector.bytes()).is_ok())
    else {
        return Ok(None);
    };
    let bytes = read_vec(storage, offset, sector.bytes() as usize)?;
    let Some(header) = GptHeader::parse(&bytes, at).map_err(|fault| fault.at(storage, offset))? else {
        return Ok(None);
    };
    let total = u64::from(header.entry_count) * u64::from(header.entry_size);
    let fault = |field, value| Error::Corrupt {
        object: storage.name(),
        structure: "GPT header",
        field,
        offset,
        value,
    };
    if total > MAX_ARRAY_BYTES {
        return Err(fault("number of entries", header.entry_count.to_string()));
    }
    let array_offset = header
        .entries_lba
        .checked_offset(sector)
        .filter(|o| header.entries_lba > Lba(1) && storage.check_range(*o, total).is_ok())
        .ok_or_else(|| fault("entries LBA", format!("{}, not on the disk", header.entries_lba)))?;
    let array = read_vec(storage, array_offset, total as usize)?;
    let crc = crc32fast::hash(&array);
    if crc != header.entries_crc {
        let value = format!("{:#010x}, but the entries have {crc:#010x}", header.entries_crc);
        return Err(fault("CRC of the entries", value));
    }
    Ok(Some((header, array)))
}

/// The header and the array of entries of the first copy that is good: behind the MBR, else where a disk ends.
fn load_raw(storage: &dyn Storage, sector: SectorSize) -> Result<(GptHeader, Vec<u8>)> {
    let first = load_copy(storage, sector, Lba(1));
    if let Ok(Some(found)) = first {
        return Ok(found);
    }
    if let Some(last) = last_lba(storage, sector)
        && let Some(found) = load_copy(storage, sector, last)?
    {
        return Ok(found);
    }
    Err(first.err().unwrap_or_else(|| Error::Corrupt {
        object: storage.name(),
        structure: "GPT header",
        field: "signature",
        offset: sector.bytes(),
        value: "missing, here and at the end of the disk".into(),
    }))
}

/// Reads the header at `at` and its entries. `None` where there is no signature.
fn load(storage: &dyn Storage, sector: SectorSize, at: Lba) -> Result<Option<LoadedGpt>> {
    let Some((header, array)) = load_copy(storage, sector, at)? else {
        return Ok(None);
    };
    let entries = array
        .chunks_exact(header.entry_size as usize)
        .zip(1..)
        .filter_map(|(bytes, number)| Some((number, GptEntry::parse(bytes)?)))
        .filter(|(_, entry)| !entry.type_guid.is_nil())
        .collect();
    Ok(Some((header, entries)))
}
