//! A boot record: the first sector of a disk, or of a link in a chain of logical partitions. UEFI Specification 2.10, table 5-1.

use super::partition_record::{Chs, PartitionRecord, RECORD_LEN};
use byteorder::{ByteOrder, LittleEndian};

/// Bytes of a boot record, whatever the sector size.
pub(crate) const BOOT_RECORD_LEN: usize = 512;
/// Where boot code ends and the disk's identifier begins.
const IDENTIFIER_AT: usize = 440;
const RECORDS_AT: usize = 446;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// The type of the record that keeps old tools off a GPT disk.
const PROTECTIVE: u8 = 0xee;

/// A boot record, without its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootRecord {
    /// The disk's identifier; 0 where it has none. Bytes 440 to 443.
    pub identifier: u32,
    /// The four partition records. Bytes 446 to 509.
    pub records: [PartitionRecord; 4],
}

impl BootRecord {
    /// Parses a sector. `None` where it has no signature, or where one of the four records has an impossible active flag:
    /// it is no boot record then, but code or text.
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let fixed = sector.first_chunk::<BOOT_RECORD_LEN>()?;
        if fixed[510..] != SIGNATURE {
            return None;
        }
        let mut records = [PartitionRecord::default(); 4];
        for (place, bytes) in records
            .iter_mut()
            .zip(fixed[RECORDS_AT..510].chunks_exact(RECORD_LEN))
        {
            *place = PartitionRecord::parse(bytes.first_chunk()?);
        }
        if records.iter().any(|r| r.indicator & 0x7f != 0) {
            return None;
        }
        Some(Self {
            identifier: LittleEndian::read_u32(&fixed[IDENTIFIER_AT..IDENTIFIER_AT + 4]),
            records,
        })
    }

    /// The record's bytes, with the boot code of `sector`.
    pub fn encode_over(&self, sector: &[u8]) -> [u8; BOOT_RECORD_LEN] {
        let mut bytes = [0; BOOT_RECORD_LEN];
        for (place, byte) in bytes.iter_mut().zip(sector).take(IDENTIFIER_AT) {
            *place = *byte;
        }
        LittleEndian::write_u32(&mut bytes[IDENTIFIER_AT..IDENTIFIER_AT + 4], self.identifier);
        for (place, record) in bytes[RECORDS_AT..510]
            .chunks_exact_mut(RECORD_LEN)
            .zip(&self.records)
        {
            place.copy_from_slice(&record.encode());
        }
        bytes[510..].copy_from_slice(&SIGNATURE);
        bytes
    }

    /// The record that protects a GPT on a disk of that many sectors.
    pub fn protective(sectors: u64) -> Self {
        let mut record = Self::default();
        record.records[0] = PartitionRecord {
            indicator: 0,
            first_chs: Chs::from_lba(1),
            kind: PROTECTIVE,
            last_chs: Chs::BEYOND,
            start: 1,
            sectors: u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        record
    }

    /// Whether it says that the disk has a GPT.
    pub fn is_protective(&self) -> bool {
        self.records.iter().any(|r| r.kind == PROTECTIVE)
    }

    /// Whether it lists other partitions beside the protective record.
    pub fn is_hybrid(&self) -> bool {
        self.is_protective()
            && self
                .records
                .iter()
                .any(|r| r.kind != PROTECTIVE && !r.is_unused())
    }

    /// Whether it lists nothing.
    pub fn is_empty(&self) -> bool {
        self.records.iter().all(PartitionRecord::is_unused)
    }
}
