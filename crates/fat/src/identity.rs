//! Label and serial number, for programs that list filesystems.

use crate::boot_sector::{BootSector, FatKind};
use crate::code_page::CodePage;
use crate::directory::{DirectoryPlace, Found, read_entries};
use crate::directory_entry::label_text;
use crate::fat_table::FatTable;
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::{Storage, StorageRef, read_vec};
use disksmith_vfs::{Error, Result};
use std::sync::Arc;

/// Where the boot sector of a FAT32 tells the sector of its copy.
const BACKUP_SECTOR: u64 = 50;

/// What a FAT filesystem is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The label: that of the root directory, or else that of the boot sector.
    pub label: Option<Vec<u8>>,
    /// The serial number as `1234-ABCD`, where it is not 0.
    pub uuid: Option<String>,
}

/// Tells whether a storage holds a FAT filesystem, and what it is called: a boot sector with a sound parameter block, and a table that
/// begins with the media byte as every FAT does.
pub fn identify(storage: &StorageRef) -> Option<Identity> {
    let boot = BootSector::load(&**storage).ok()?;
    let media = *read_vec(&**storage, 21, 1).ok()?.first()?;
    let start = read_vec(&**storage, boot.fat_offset, 2).ok()?;
    if start != [media, 0xff] {
        return None;
    }
    let table = FatTable::new(Arc::clone(storage), &boot);
    // A root directory that cannot be read is a matter of opening the filesystem.
    let label = root_label(storage, &boot, &table).ok().flatten();
    Some(Identity::new(&boot, label, CodePage::CP437))
}

/// Gives a filesystem another serial number: in its boot sector, and in the copy that a FAT32 has.
///
/// # Errors
/// [`Error::Unsupported`] where the boot sector has no place for one; those of reading and writing.
pub fn set_serial(storage: &dyn Storage, serial: u32) -> Result<()> {
    let boot = BootSector::load(storage)?;
    if boot.serial.is_none() {
        return Err(Error::Unsupported {
            filesystem: "vfat".into(),
            operation: "a serial number (its boot sector is of a kind that has none)".into(),
        });
    }
    // The extended fields lie after the 16-bit or the 32-bit parameter block.
    let is_fat32 = boot.kind == FatKind::Fat32;
    let place = if is_fat32 { 67 } else { 39 };
    let bytes = serial.to_le_bytes();
    if is_fat32 {
        let number = u64::from(LittleEndian::read_u16(&read_vec(storage, BACKUP_SECTOR, 2)?));
        let copy = number * u64::from(boot.sector_len);
        let is_copy =
            number > 0 && copy < boot.fat_offset && read_vec(storage, copy, 67)? == read_vec(storage, 0, 67)?;
        if is_copy {
            storage.write_at(copy + place, &bytes)?;
        }
    }
    storage.write_at(place, &bytes)?;
    Ok(())
}

impl Identity {
    pub(crate) fn new(boot: &BootSector, root_label: Option<[u8; 11]>, page: CodePage) -> Self {
        let label = root_label.or(boot.label);
        Self {
            label: label.as_ref().and_then(|label| label_text(label, page)),
            uuid: boot
                .serial
                .filter(|serial| *serial != 0)
                .map(|serial| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
        }
    }
}

/// Where the root directory lies.
pub(crate) fn root_place(boot: &BootSector) -> DirectoryPlace {
    match boot.kind {
        FatKind::Fat32 => DirectoryPlace::Chain(boot.root_cluster),
        _ => DirectoryPlace::FixedRoot,
    }
}

/// The label in the root directory.
pub(crate) fn root_label(
    storage: &StorageRef,
    boot: &BootSector,
    table: &FatTable,
) -> Result<Option<[u8; 11]>> {
    let mut label = None;
    let place = (root_place(boot), CodePage::CP437);
    read_entries(&**storage, boot, table, place, &mut |found| {
        if let Found::Label(found) = found {
            label = Some(found);
        }
        Ok(label.is_none())
    })?;
    Ok(label)
}
