//! An entry of a GPT, UEFI Specification 2.10, section 5.3.3.

use super::header::read_guid;
use crate::sector::Lba;
use byteorder::{ByteOrder, LittleEndian};
use uuid::Uuid;

/// Bytes of the fields that the specification defines.
pub(super) const ENTRY_LEN: usize = 128;
/// UTF-16 code units of a name.
pub(super) const NAME_UNITS: usize = 36;

/// An entry of a GPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptEntry {
    /// What the partition is for; the nil GUID in an unused entry. Bytes 0 to 15.
    pub type_guid: Uuid,
    /// The partition's own GUID. Bytes 16 to 31.
    pub guid: Uuid,
    /// The first sector. Bytes 32 to 39.
    pub first: Lba,
    /// The last sector, which belongs to it. Bytes 40 to 47.
    pub last: Lba,
    /// Bit 0: the platform needs it; bit 1: firmware ignores it; bit 2: a legacy BIOS may boot it; bits 48 to 63 belong to
    /// the type. Bytes 48 to 55.
    pub attributes: u64,
    /// The name, UTF-16LE on the disk, up to its first NUL; what is no valid UTF-16 shows as U+FFFD. Bytes 56 to 127.
    pub name: String,
}

impl GptEntry {
    /// Parses the first 128 bytes of an entry; what a larger entry has beyond is not known to any version of the specification.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.first_chunk::<ENTRY_LEN>()?;
        let units: Vec<u16> = fixed[56..]
            .chunks_exact(2)
            .map(LittleEndian::read_u16)
            .take_while(|unit| *unit != 0)
            .collect();
        Some(Self {
            type_guid: read_guid(&fixed[..16]),
            guid: read_guid(&fixed[16..32]),
            first: Lba(LittleEndian::read_u64(&fixed[32..40])),
            last: Lba(LittleEndian::read_u64(&fixed[40..48])),
            attributes: LittleEndian::read_u64(&fixed[48..56]),
            name: String::from_utf16_lossy(&units),
        })
    }

    /// The 128 bytes of the entry; a name is cut after 36 code units.
    pub(super) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..16].copy_from_slice(&self.type_guid.to_bytes_le());
        bytes[16..32].copy_from_slice(&self.guid.to_bytes_le());
        LittleEndian::write_u64(&mut bytes[32..40], self.first.0);
        LittleEndian::write_u64(&mut bytes[40..48], self.last.0);
        LittleEndian::write_u64(&mut bytes[48..56], self.attributes);
        for (place, unit) in bytes[56..].chunks_exact_mut(2).zip(self.name.encode_utf16()) {
            LittleEndian::write_u16(place, unit);
        }
        bytes
    }
}
