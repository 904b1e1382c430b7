//! Making a FAT filesystem. Sizes and layout are those that mkfs.fat of dosfstools 4.2 chooses, so that one can stand in for the other.

use crate::boot_sector::{FIRST_CLUSTER, FatKind};
use crate::code_page;
use crate::directory_entry::{ENTRY_LEN, RawEntry};
use crate::format_layout::Layout;
use crate::fs_info::FsInfo;
use disksmith_storage::{Storage, ZeroMode};
use disksmith_vfs::{Error, Result, Timestamp};

/// How a FAT filesystem is made. What is `None` is chosen by the size. Nothing is random and no clock is read: the same options give
/// the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatOptions {
    /// How wide table entries are (`-F`).
    pub kind: Option<FatKind>,
    /// Bytes of a logical sector: 512, 1024, 2048 or 4096 (`-S`).
    pub sector_len: u32,
    /// Sectors of a cluster: a power of two up to 128 (`-s`).
    pub sectors_per_cluster: Option<u8>,
    /// Sectors before the first table, at least (`-R`).
    pub reserved_sectors: Option<u16>,
    /// Copies of the table: 1 to 4 (`-f`).
    pub fats: u8,
    /// Entries of the root directory of a FAT12 or FAT16, at least (`-r`).
    pub root_entries: Option<u16>,
    /// The label (`-n`): at most 11 characters of code page 437, which go into the boot sector and the root directory as they are.
    pub label: Option<String>,
    /// The volume's serial number (`-i`).
    pub volume_id: u32,
    /// Sectors before the filesystem on its disk (`-h`).
    pub hidden_sectors: u32,
    /// Heads and sectors of a track (`-g`).
    pub geometry: Option<(u16, u16)>,
    /// The media byte: 0xf0, or 0xf8 and above (`-M`).
    pub media: Option<u8>,
    /// Whether tables and root directory are aligned to clusters on all but small filesystems (not `-a`).
    pub align: bool,
    /// The time of the label.
    pub time: Timestamp,
}

impl FormatOptions {
    /// The defaults of mkfs.fat.
    pub fn new(volume_id: u32, time: Timestamp) -> Self {
        Self {
            kind: None,
            sector_len: 512,
            sectors_per_cluster: None,
            reserved_sectors: None,
            fats: 2,
            root_entries: None,
            label: None,
            volume_id,
            hidden_sectors: 0,
            geometry: None,
            media: None,
            align: true,
            time,
        }
    }
}

/// The error for options that make no filesystem.
pub(crate) fn invalid(reason: &'static str) -> Error {
    Error::InvalidArgument {
        path: "vfat".into(),
        reason,
    }
}

/// Makes a FAT filesystem over the whole of a storage. Tables and directories are written; what else the storage holds stays.
///
/// # Errors
/// [`Error::InvalidArgument`] for options that do not fit each other or the size, [`Error::InvalidName`] for a label that cannot be one;
/// nothing was written then.
pub fn format(storage: &dyn Storage, options: &FormatOptions) -> Result<()> {
    let label = options.label.as_deref().map(encode_label).transpose()?;
    let layout = Layout::choose(storage.size(), options)?;
    let sector = u64::from(layout.sector_len);
    // The beginning, up to the data, with the root directory.
    let data = layout.data_sector() * sector;
    let cluster_len = u64::from(layout.sectors_per_cluster) * sector;
    let root = match layout.kind {
        FatKind::Fat32 => cluster_len,
        _ => 0,
    };
    storage.write_zeroes(0, data + root, ZeroMode::Keep)?;
    let boot = layout.encode(options, label.as_ref());
    storage.write_at(0, &boot)?;
    if layout.kind == FatKind::Fat32 {
        let info = FsInfo {
            free: layout.clusters.saturating_sub(1),
            last: FIRST_CLUSTER,
        }
        .encode();
        storage.write_at(sector, &info)?;
        let backup = u64::from(layout.backup_sector());
        if backup != 0 {
            storage.write_at(backup * sector, &boot)?;
            if backup + 1 < u64::from(layout.reserved) {
                storage.write_at((backup + 1) * sector, &info)?;
            }
        }
    }
    let start = layout.table_start();
    for copy in 0..u64::from(options.fats) {
        let at = u64::from(layout.reserved) + copy * u64::from(layout.fat_sectors);
        storage.write_at(at * sector, &start)?;
    }
    if let Some(label) = label {
        let at = match layout.kind {
            FatKind::Fat32 => data,
            _ => layout.root_sector() * sector,
        };
        let entry = RawEntry::label(&label, options.time);
        debug_assert_eq!(entry.0.len() as u64, ENTRY_LEN);
        storage.write_at(at, &entry.0)?;
    }
    Ok(())
}

/// A label in code page 437, padded with blanks.
fn encode_label(label: &str) -> Result<[u8; 11]> {
    let refuse = |reason| Error::InvalidName {
        path: label.to_owned(),
        reason,
    };
    let mut padded = [b' '; 11];
    let mut places = padded.iter_mut();
    for c in label.chars() {
        let byte = (0x20..=0xff).find(|byte| code_page::to_char(*byte) == c && *byte != 0x7f);
        let byte = byte
            .filter(|byte| !b"\"*+,./:;<=>?[\\]|".contains(byte))
            .ok_or_else(|| refuse("a FAT label cannot hold one of these characters"))?;
        let place = places
            .next()
            .ok_or_else(|| refuse("a FAT label has at most 11 characters"))?;
        *place = byte;
    }
    match padded[0] {
        b' ' => Err(refuse("a FAT label cannot be empty or begin with a blank")),
        // 0xe5 would mean a deleted entry.
        0xe5 => {
            padded[0] = 0x05;
            Ok(padded)
        }
        _ => Ok(padded),
    }
}
