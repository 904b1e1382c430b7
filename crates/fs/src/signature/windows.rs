//! Filesystems of Windows, but FAT.

use super::{is_at, le16, le32, read};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::{Storage, read_vec};

/// The largest file record that is read, in bytes.
const MAX_RECORD: u64 = 64 << 10;
/// The largest part of a directory that is searched for the label, in bytes.
const MAX_DIRECTORY: u64 = 1 << 20;
const SECTOR: usize = 512;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    // The OEM name in the boot sector.
    match &read::<8>(storage, 3)? {
        b"-FVE-FS-" => Some(Probed::new(Kind::BitLocker)),
        b"NTFS    " if has_signature(storage) => {
            let serial = u64::from_le_bytes(read(storage, 0x48)?);
            Some(Probed {
                kind: Kind::Ntfs,
                label: ntfs_label(storage),
                uuid: (serial != 0).then(|| format!("{serial:016X}")),
            })
        }
        b"EXFAT   " if has_signature(storage) => {
            let serial = u32::from_le_bytes(read(storage, 100)?);
            Some(Probed {
                kind: Kind::Exfat,
                label: exfat_label(storage),
                uuid: (serial != 0).then(|| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
            })
        }
        _ => None,
    }
}

fn has_signature(storage: &dyn Storage) -> bool {
    is_at(storage, 510, &[0x55, 0xaa])
}

/// The cluster size of NTFS by its boot sector: bytes of a sector at 11, sectors at 13, negative as a power of two.
pub(crate) fn ntfs_cluster(storage: &dyn Storage) -> Option<u64> {
    let sector = u64::from(le16(storage, 11)?);
    let [count] = read::<1>(storage, 13)?;
    let sectors = match count {
        0..=128 => u64::from(count),
        negative => 1u64.checked_shl(u32::from(256 - u16::from(negative)))?,
    };
    sector.checked_mul(sectors).filter(|bytes| *bytes > 0)
}

/// The attribute `$VOLUME_NAME` of the file record of `$Volume`, the fourth of the master file table.
fn ntfs_label(storage: &dyn Storage) -> Option<Vec<u8>> {
    const VOLUME: u64 = 3;
    const VOLUME_NAME: u32 = 0x60;
    let cluster = ntfs_cluster(storage)?;
    let table = u64::from_le_bytes(read(storage, 48)?).checked_mul(cluster)?;
    let [size] = read::<1>(storage, 64)?;
    let record_len = match size.cast_signed() {
        clusters @ 0.. => u64::from(clusters.cast_unsigned()).checked_mul(cluster)?,
        negative => 1u64.checked_shl(u32::from(negative.unsigned_abs()))?,
    };
    if !(SECTOR as u64..=MAX_RECORD).contains(&record_len) {
        return None;
    }
    let at = table.checked_add(VOLUME.checked_mul(record_len)?)?;
    let mut record = read_vec(storage, at, usize::try_from(record_len).ok()?).ok()?;
    undo_fixups(&mut record)?;
    let half = |at: usize| record.get(at..)?.first_chunk().copied().map(u16::from_le_bytes);
    let word = |at: usize| record.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
    let mut at = usize::from(half(20)?);
    // an attribute has 16 bytes at least, so that this ends
    loop {
        let kind = word(at)?;
        let len = word(at.checked_add(4)?)? as usize;
        if kind == u32::MAX || len < 16 {
            return None;
        }
        if kind == VOLUME_NAME {
            let value_len = word(at + 16)? as usize;
            let start = at.checked_add(usize::from(half(at + 20)?))?;
            return utf16(record.get(start..start.checked_add(value_len)?)?);
        }
        at = at.checked_add(len)?;
    }
}

/// The last two bytes of each sector of a record are kept at its start, and a number stands in their place.
fn undo_fixups(record: &mut [u8]) -> Option<()> {
    record.starts_with(b"FILE").then_some(())?;
    let half = |record: &[u8], at: usize| record.get(at..)?.first_chunk().copied().map(u16::from_le_bytes);
    let start = usize::from(half(record, 4)?);
    let count = usize::from(half(record, 6)?);
    for sector in 1..count {
        let original: [u8; 2] = *record.get(start + sector * 2..)?.first_chunk()?;
        let end = sector * SECTOR;
        record.get_mut(end - 2..end)?.copy_from_slice(&original);
    }
    Some(())
}

/// The label entry in the root directory of exFAT: type 0x83, length at 1, characters at 2.
fn exfat_label(storage: &dyn Storage) -> Option<Vec<u8>> {
    let [sector_bits, cluster_bits] = read::<2>(storage, 108)?;
    let sector = 1u64.checked_shl(sector_bits.into())?;
    let cluster = sector.checked_shl(cluster_bits.into())?;
    let heap = u64::from(le32(storage, 88)?).checked_mul(sector)?;
    let root = u64::from(le32(storage, 96)?.checked_sub(2)?);
    let at = heap.checked_add(root.checked_mul(cluster)?)?;
    let len = usize::try_from(cluster.min(MAX_DIRECTORY)).ok()?;
    let directory = read_vec(storage, at, len).ok()?;
    let entry = directory
        .chunks_exact(32)
        .take_while(|entry| entry.first() != Some(&0))
        .find(|entry| entry.first() == Some(&0x83))?;
    let units = usize::from(*entry.get(1)?).min(11);
    utf16(entry.get(2..2 + units * 2)?)
}

/// A label in UTF-16; `None` where it is empty.
fn utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .filter_map(|pair| pair.first_chunk().copied().map(u16::from_le_bytes))
        .take_while(|unit| *unit != 0)
        .collect();
    (!units.is_empty()).then(|| String::from_utf16_lossy(&units).into_bytes())
}
