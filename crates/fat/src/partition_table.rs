//! A master boot record with one partition, for volumes that are to be hard disks. UEFI specification 2.10, 5.2.1, "Legacy Master Boot
//! Record".

use crate::boot_sector::FatKind;
use byteorder::{ByteOrder, LittleEndian};

/// Bytes of a sector of the disk.
pub(crate) const SECTOR_LEN: u32 = 512;
/// Where the partition begins, in bytes.
pub(crate) const PARTITION_START: u64 = 1 << 20;
/// Heads and sectors of the geometry in which BIOSes count.
const HEADS: u64 = 255;
const SECTORS: u64 = 63;

/// The sector, for a partition of so many bytes.
pub(crate) fn encode(kind: FatKind, signature: u32, len: u64) -> [u8; SECTOR_LEN as usize] {
    let first = PARTITION_START / u64::from(SECTOR_LEN);
    let sectors = len / u64::from(SECTOR_LEN);
    let mut bytes = [0; SECTOR_LEN as usize];
    LittleEndian::write_u32(&mut bytes[440..444], signature);
    bytes[447..450].copy_from_slice(&cylinder_head_sector(first));
    bytes[450] = match kind {
        FatKind::Fat12 => 0x01,
        FatKind::Fat16 => 0x0e,
        FatKind::Fat32 => 0x0c,
    };
    bytes[451..454].copy_from_slice(&cylinder_head_sector((first + sectors).saturating_sub(1)));
    LittleEndian::write_u32(&mut bytes[454..458], u32::try_from(first).unwrap_or(u32::MAX));
    LittleEndian::write_u32(&mut bytes[458..462], u32::try_from(sectors).unwrap_or(u32::MAX));
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// A sector's address as the three bytes of a partition entry; the highest one where it does not fit.
fn cylinder_head_sector(sector: u64) -> [u8; 3] {
    let cylinder = sector / (HEADS * SECTORS);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    let head = sector / SECTORS % HEADS;
    let number = sector % SECTORS + 1;
    // 254, 63 and 1023 at most.
    [
        head as u8,
        (number | cylinder >> 2 & 0xc0) as u8,
        (cylinder & 0xff) as u8,
    ]
}
