//! The header of a GPT, UEFI Specification 2.10, section 5.3.2.

use crate::error::Error;
use crate::sector::Lba;
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::Storage;
use uuid::Uuid;

/// The first eight bytes.
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Version 1.0, the only one there is.
const REVISION: u32 = 0x0001_0000;
/// Bytes of the fields that the specification defines.
const HEADER_LEN: usize = 92;
/// The smallest entry; others are this times a power of two.
const ENTRY_UNIT: u32 = 128;
/// No one makes larger entries than a sector of the larger kind.
const MAX_ENTRY_SIZE: u32 = 4096;

/// The header of a GPT. All LBAs are in logical sectors of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptHeader {
    /// Where this header lies. Bytes 24 to 31.
    pub my_lba: Lba,
    /// Where the other header lies. Bytes 32 to 39.
    pub alternate_lba: Lba,
    /// The first sector that partitions may use. Bytes 40 to 47.
    pub first_usable: Lba,
    /// The last sector that partitions may use. Bytes 48 to 55.
    pub last_usable: Lba,
    /// The disk's GUID. Bytes 56 to 71.
    pub disk_guid: Uuid,
    /// Where the array of entries starts. Bytes 72 to 79.
    pub entries_lba: Lba,
    /// How many entries the array has. Bytes 80 to 83.
    pub entry_count: u32,
    /// Bytes of one entry: 128 times a power of two. Bytes 84 to 87.
    pub entry_size: u32,
    /// CRC-32 of the array. Bytes 88 to 91.
    pub entries_crc: u32,
}

/// A field that is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    field: &'static str,
    value: String,
}

impl Fault {
    pub(super) fn at(self, storage: &dyn Storage, offset: u64) -> Error {
        Error::Corrupt {
            object: storage.name(),
            structure: "GPT header",
            field: self.field,
            offset,
            value: self.value,
        }
    }
}

fn fault<T>(field: &'static str, value: impl Into<String>) -> Result<T, Fault> {
    let value = value.into();
    Err(Fault { field, value })
}

impl GptHeader {
    /// Parses the sector at `at`. `None` where it has no signature.
    pub(super) fn parse(sector: &[u8], at: Lba) -> Result<Option<Self>, Fault> {
        let Some(fixed) = sector.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        if !fixed.starts_with(SIGNATURE) {
            return Ok(None);
        }
        let revision = LittleEndian::read_u32(&fixed[8..12]);
        if revision != REVISION {
            return fault("revision", format!("{revision:#010x}, not 0x00010000"));
        }
        let size = LittleEndian::read_u32(&fixed[12..16]);
        let Some(whole) = sector.get(..size as usize).filter(|h| h.len() >= HEADER_LEN) else {
            return fault("header size", size.to_string());
        };
        let stored = LittleEndian::read_u32(&fixed[16..20]);
        let found = header_crc(whole);
        if stored != found {
            return fault("CRC", format!("{stored:#010x}, but the header has {found:#010x}"));
        }
        let header = Self {
            my_lba: Lba(LittleEndian::read_u64(&fixed[24..32])),
            alternate_lba: Lba(LittleEndian::read_u64(&fixed[32..40])),
            first_usable: Lba(LittleEndian::read_u64(&fixed[40..48])),
            last_usable: Lba(LittleEndian::read_u64(&fixed[48..56])),
            disk_guid: read_guid(&fixed[56..72]),
            entries_lba: Lba(LittleEndian::read_u64(&fixed[72..80])),
            entry_count: LittleEndian::read_u32(&fixed[80..84]),
            entry_size: LittleEndian::read_u32(&fixed[84..88]),
            entries_crc: LittleEndian::read_u32(&fixed[88..92]),
        };
        if header.my_lba != at {
            return fault("own LBA", format!("{}, but it lies at LBA {at}", header.my_lba));
        }
        let size = header.entry_size;
        if !(ENTRY_UNIT..=MAX_ENTRY_SIZE).contains(&size) || !size.is_power_of_two() {
            return fault("size of an entry", size.to_string());
        }
        if header.first_usable > header.last_usable {
            let value = format!(
                "{}, after the last usable LBA {}",
                header.first_usable, header.last_usable
            );
            return fault("first usable LBA", value);
        }
        Ok(Some(header))
    }

    /// The 92 bytes of the header, with its CRC.
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(SIGNATURE);
        LittleEndian::write_u32(&mut bytes[8..12], REVISION);
        LittleEndian::write_u32(&mut bytes[12..16], HEADER_LEN as u32);
        LittleEndian::write_u64(&mut bytes[24..32], self.my_lba.0);
        LittleEndian::write_u64(&mut bytes[32..40], self.alternate_lba.0);
        LittleEndian::write_u64(&mut bytes[40..48], self.first_usable.0);
        LittleEndian::write_u64(&mut bytes[48..56], self.last_usable.0);
        bytes[56..72].copy_from_slice(&self.disk_guid.to_bytes_le());
        LittleEndian::write_u64(&mut bytes[72..80], self.entries_lba.0);
        LittleEndian::write_u32(&mut bytes[80..84], self.entry_count);
        LittleEndian::write_u32(&mut bytes[84..88], self.entry_size);
        LittleEndian::write_u32(&mut bytes[88..92], self.entries_crc);
        let crc = header_crc(&bytes);
        LittleEndian::write_u32(&mut bytes[16..20], crc);
        bytes
    }
}

/// The CRC-32 of a header whose own CRC field counts as zero.
fn header_crc(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.get(..16).unwrap_or_default());
    hasher.update(&[0; 4]);
    hasher.update(header.get(20..).unwrap_or_default());
    hasher.finalize()
}

/// A GUID in the mixed byte order of UEFI, appendix A.
pub(super) fn read_guid(bytes: &[u8]) -> Uuid {
    bytes
        .first_chunk()
        .map_or(Uuid::nil(), |b| Uuid::from_bytes_le(*b))
}
