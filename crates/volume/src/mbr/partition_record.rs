//! A partition record of an MBR, UEFI Specification 2.10, table 5-2.

use byteorder::{ByteOrder, LittleEndian};

/// Bytes of a record.
pub(super) const RECORD_LEN: usize = 16;
/// The geometry that every tool of today assumes.
const HEADS: u64 = 255;
const SECTORS_PER_TRACK: u64 = 63;

/// A sector's address as cylinder, head and sector, in the three bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chs(pub [u8; 3]);

impl Chs {
    /// What a protective record has at its end: a sector that no BIOS can name.
    pub const BEYOND: Self = Self([0xff; 3]);

    /// The address of a sector with 255 heads and 63 sectors per track; 1023/254/63 where it lies beyond cylinder 1023.
    pub fn from_lba(lba: u64) -> Self {
        let cylinder = lba / (HEADS * SECTORS_PER_TRACK);
        if cylinder > 1023 {
            return Self([254, 0xff, 0xff]);
        }
        let head = (lba / SECTORS_PER_TRACK % HEADS) as u8;
        let sector = (lba % SECTORS_PER_TRACK + 1) as u8;
        Self([
            head,
            sector | ((cylinder >> 2) as u8 & 0xc0),
            (cylinder & 0xff) as u8,
        ])
    }
}

/// A partition record. Sectors count from the record's own base: 0 in an MBR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartitionRecord {
    /// 0x80 for the active partition, otherwise 0. Byte 0.
    pub indicator: u8,
    /// The first sector. Bytes 1 to 3.
    pub first_chs: Chs,
    /// What the partition is for; 0 in an unused record. Byte 4.
    pub kind: u8,
    /// The last sector. Bytes 5 to 7.
    pub last_chs: Chs,
    /// The first sector. Bytes 8 to 11.
    pub start: u32,
    /// How many sectors. Bytes 12 to 15.
    pub sectors: u32,
}

impl PartitionRecord {
    /// Parses a record.
    pub(super) fn parse(bytes: &[u8; RECORD_LEN]) -> Self {
        Self {
            indicator: bytes[0],
            first_chs: Chs([bytes[1], bytes[2], bytes[3]]),
            kind: bytes[4],
            last_chs: Chs([bytes[5], bytes[6], bytes[7]]),
            start: LittleEndian::read_u32(&bytes[8..12]),
            sectors: LittleEndian::read_u32(&bytes[12..16]),
        }
    }

    /// The sixteen bytes of the record.
    pub(super) fn encode(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[0] = self.indicator;
        bytes[1..4].copy_from_slice(&self.first_chs.0);
        bytes[4] = self.kind;
        bytes[5..8].copy_from_slice(&self.last_chs.0);
        LittleEndian::write_u32(&mut bytes[8..12], self.start);
        LittleEndian::write_u32(&mut bytes[12..16], self.sectors);
        bytes
    }

    /// Gives it another length; `base` is the sector that its start counts from.
    pub(crate) fn resize(&mut self, base: u64, sectors: u32) {
        self.sectors = sectors;
        let last = base + u64::from(self.start) + u64::from(sectors).saturating_sub(1);
        self.last_chs = Chs::from_lba(last);
    }

    /// Whether no partition is there.
    pub fn is_unused(&self) -> bool {
        self.kind == 0 || self.sectors == 0
    }

    /// Whether it holds a chain of logical partitions.
    pub fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_fdisk() {
        assert_eq!(Chs::from_lba(2048), Chs([0x20, 0x21, 0x00]));
        assert_eq!(Chs::from_lba(0), Chs([0, 1, 0]));
        assert_eq!(Chs::from_lba(u64::MAX), Chs([0xfe, 0xff, 0xff]));
        assert_eq!(Chs::from_lba(1023 * 255 * 63), Chs([0, 0xc1, 0xff]));
    }
}
