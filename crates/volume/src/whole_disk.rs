//! Telling a disk that is one filesystem from one with a partition table.

use crate::mbr::{BOOT_RECORD_LEN, BootRecord};
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::{Storage, read_vec};

/// Where an ext superblock has its magic number, and what it is.
const EXT_MAGIC_AT: u64 = 1024 + 56;
const EXT_MAGIC: [u8; 2] = [0x53, 0xef];

/// Whether the first sector is the boot sector of a filesystem, which ends in 0x55 0xAA as an MBR does.
///
/// A FAT must have its first entry as well, since the parameter block of an earlier filesystem stays in the first sector when somebody
/// partitions the disk. An ext filesystem may have any boot code before its superblock; the records decide then: with
/// partitions it is an old superblock, without any it is the filesystem.
pub(crate) fn is_filesystem(storage: &dyn Storage, sector: &[u8], record: Option<&BootRecord>) -> bool {
    let Some(fixed) = sector.first_chunk::<BOOT_RECORD_LEN>() else {
        return false;
    };
    if &fixed[3..11] == b"NTFS    " || &fixed[3..11] == b"EXFAT   " || &fixed[3..11] == b"-FVE-FS-" {
        return true;
    }
    if is_fat(storage, fixed) {
        return true;
    }
    record.is_none_or(BootRecord::is_empty) && read_matches(storage, EXT_MAGIC_AT, &EXT_MAGIC)
}

/// A parameter block as Microsoft's FAT specification 1.03 wants it, and the media byte at the beginning of the FAT.
fn is_fat(storage: &dyn Storage, sector: &[u8; BOOT_RECORD_LEN]) -> bool {
    let bytes_per_sector = LittleEndian::read_u16(&sector[11..13]);
    let sectors_per_cluster = sector[13];
    let reserved = LittleEndian::read_u16(&sector[14..16]);
    let (fats, media) = (sector[16], sector[21]);
    let plausible = matches!(bytes_per_sector, 512 | 1024 | 2048 | 4096)
        && sectors_per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&fats)
        && (media == 0xf0 || media >= 0xf8);
    let fat_at = u64::from(reserved) * u64::from(bytes_per_sector);
    plausible && read_matches(storage, fat_at, &[media, 0xff])
}

fn read_matches(storage: &dyn Storage, offset: u64, bytes: &[u8]) -> bool {
    read_vec(storage, offset, bytes.len()).is_ok_and(|found| found == bytes)
}
