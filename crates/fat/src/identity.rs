//! Label and serial number, for programs that list filesystems.

use crate::boot_sector::{BootSector, FatKind};
use crate::code_page::CodePage;
use crate::directory::{DirectoryPlace, Found, read_entries};
use crate::directory_entry::label_text;
use crate::fat_table::FatTable;
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::Result;
use std::sync::Arc;

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
