//! Partition tables in the system area of an image: a master boot record (UEFI 2.10, 5.2.1) and a GUID partition table
//! (5.3), in sectors of 512 bytes.

use crate::volume_descriptor::put;
use flate2::Crc;

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;
/// Entries of a GUID partition table, and bytes of each: as many as the system area has room for.
const GPT_ENTRIES: usize = 248;
const GPT_ENTRY: usize = 128;
/// Sectors that the entries take.
const GPT_ENTRY_SECTORS: u64 = (GPT_ENTRIES * GPT_ENTRY) as u64 / SECTOR;
/// The first sector that partitions may use: that of the volume descriptors.
pub(crate) const GPT_FIRST_USABLE: u64 = GPT_ENTRY_SECTORS + 2;
/// Attributes of a partition that is required and read-only (UEFI 2.10, 5.3.3; bit 60 by Microsoft's definition).
pub(crate) const GPT_READ_ONLY: u64 = 1 << 60 | 1;
/// Blocks of 2048 bytes that hold the table at the end of a disk: entries and header.
pub(crate) const GPT_BACKUP_BLOCKS: u32 = (GPT_ENTRY_SECTORS as u32 + 1).div_ceil(4);
const MBR_TABLE: usize = 446;

/// What a partition is said to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionType {
    /// The type byte of a master boot record.
    Mbr(u8),
    /// The type of a GUID partition table, in the order in which it is written there.
    Guid([u8; 16]),
}

impl PartitionType {
    /// C12A7328-F81F-11D2-BA4B-00A0C93EC93B: a UEFI system partition.
    pub const EFI_SYSTEM: Self = Self::Guid([
        0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B,
    ]);
    /// EBD0A0A2-B9E5-4433-87C0-68B6B72699C7: Microsoft basic data.
    pub const BASIC_DATA: Self = Self::Guid([
        0xA2, 0xA0, 0xD0, 0xEB, 0xE5, 0xB9, 0x33, 0x44, 0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7,
    ]);
    /// 0FC63DAF-8483-4772-8E79-3D69D8477DE4: Linux filesystem data.
    pub const LINUX: Self = Self::Guid([
        0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4,
    ]);

    /// The type byte in a master boot record.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Mbr(byte) => byte,
            Self::EFI_SYSTEM => 0xEF,
            Self::BASIC_DATA => 0x0C,
            Self::Guid(_) => 0x83,
        }
    }

    /// The type in a GUID partition table.
    pub(crate) fn guid(self) -> [u8; 16] {
        match self {
            Self::Guid(guid) => guid,
            Self::Mbr(0xEF) => Self::EFI_SYSTEM.guid(),
            Self::Mbr(_) => Self::BASIC_DATA.guid(),
        }
    }
}

/// One entry of a master boot record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MbrPartition {
    /// From 1 to 4.
    pub(crate) number: u8,
    pub(crate) active: bool,
    pub(crate) kind: u8,
    /// First sector, and how many.
    pub(crate) start: u64,
    pub(crate) sectors: u64,
}

/// Writes entries and the signature over the first sector, for a disk of so many heads and sectors a track.
pub(crate) fn put_mbr(area: &mut [u8], partitions: &[MbrPartition], geometry: (u64, u64)) {
    put(area, MBR_TABLE, &[0; 64]);
    for partition in partitions {
        let last = partition.start + partition.sectors.saturating_sub(1);
        let mut entry = [0; 16];
        entry[0] = if partition.active { 0x80 } else { 0 };
        entry[4] = partition.kind;
        put(&mut entry, 1, &chs(partition.start, geometry));
        put(&mut entry, 5, &chs(last, geometry));
        put(&mut entry, 8, &clamp(partition.start).to_le_bytes());
        put(&mut entry, 12, &clamp(partition.sectors).to_le_bytes());
        let slot = usize::from(partition.number.clamp(1, 4)) - 1;
        put(area, MBR_TABLE + slot * 16, &entry);
    }
    put(area, 510, &[0x55, 0xAA]);
}

fn clamp(sectors: u64) -> u32 {
    u32::try_from(sectors).unwrap_or(u32::MAX)
}

/// Cylinder, head and sector; the greatest where they cannot say it.
fn chs(sector: u64, (heads, track): (u64, u64)) -> [u8; 3] {
    let (cylinder, head, number) = (
        sector / (heads * track),
        sector / track % heads,
        sector % track + 1,
    );
    if cylinder > 1023 {
        return [0xFE, 0xFF, 0xFF];
    }
    [
        head as u8,
        number as u8 | (cylinder >> 2) as u8 & 0xC0,
        cylinder as u8,
    ]
}

/// One entry of a GUID partition table.
#[derive(Debug, Clone)]
pub(crate) struct GptPartition {
    pub(crate) kind: [u8; 16],
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) sectors: u64,
    pub(crate) attributes: u64,
}

/// A GUID partition table of a disk of so many sectors.
#[derive(Debug)]
pub(crate) struct Gpt {
    pub(crate) disk: [u8; 16],
    pub(crate) sectors: u64,
    pub(crate) partitions: Vec<GptPartition>,
}

impl Gpt {
    fn entries(&self) -> Vec<u8> {
        let mut out = vec![0; GPT_ENTRIES * GPT_ENTRY];
        for (index, partition) in self.partitions.iter().take(GPT_ENTRIES).enumerate() {
            let at = index * GPT_ENTRY;
            let mut unique = self.disk;
            unique[9] ^= index as u8 + 1;
            let last = partition.start + partition.sectors.saturating_sub(1);
            put(&mut out, at, &partition.kind);
            put(&mut out, at + 16, &unique);
            put(&mut out, at + 32, &partition.start.to_le_bytes());
            put(&mut out, at + 40, &last.to_le_bytes());
            put(&mut out, at + 48, &partition.attributes.to_le_bytes());
            let name: Vec<u8> = partition
                .name
                .encode_utf16()
                .take(36)
                .flat_map(u16::to_le_bytes)
                .collect();
            put(&mut out, at + 56, &name);
        }
        out
    }

    /// A header for sector `own`, whose twin is at `other` and whose entries begin at `entries`.
    fn header(&self, own: u64, other: u64, entries: u64, table: &[u8]) -> [u8; 512] {
        let mut out = [0; 512];
        put(&mut out, 0, b"EFI PART");
        put(&mut out, 8, &0x0001_0000u32.to_le_bytes());
        put(&mut out, 12, &92u32.to_le_bytes());
        put(&mut out, 24, &own.to_le_bytes());
        put(&mut out, 32, &other.to_le_bytes());
        // Partitions may begin right behind the table; that of the image itself begins at 0 all the same.
        put(&mut out, 40, &GPT_FIRST_USABLE.to_le_bytes());
        let last = self.sectors.saturating_sub(GPT_FIRST_USABLE);
        put(&mut out, 48, &last.to_le_bytes());
        put(&mut out, 56, &self.disk);
        put(&mut out, 72, &entries.to_le_bytes());
        put(&mut out, 80, &(GPT_ENTRIES as u32).to_le_bytes());
        put(&mut out, 84, &(GPT_ENTRY as u32).to_le_bytes());
        put(&mut out, 88, &crc(table).to_le_bytes());
        let sum = crc(out.get(..92).unwrap_or(&[]));
        put(&mut out, 16, &sum.to_le_bytes());
        out
    }

    /// Writes header and entries behind the first sector.
    pub(crate) fn put_primary(&self, area: &mut [u8]) {
        let table = self.entries();
        let header = self.header(1, self.sectors.saturating_sub(1), 2, &table);
        put(area, SECTOR as usize, &header);
        put(area, 2 * SECTOR as usize, &table);
    }

    /// The last [`GPT_BACKUP_BLOCKS`] blocks of the disk.
    pub(crate) fn backup(&self) -> Vec<u8> {
        let table = self.entries();
        let own = self.sectors.saturating_sub(1);
        let header = self.header(own, 1, own.saturating_sub(GPT_ENTRY_SECTORS), &table);
        let whole = GPT_BACKUP_BLOCKS as usize * 2048;
        let mut out = vec![0; whole.saturating_sub(table.len() + header.len())];
        out.extend_from_slice(&table);
        out.extend_from_slice(&header);
        out
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
