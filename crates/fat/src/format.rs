//! Making a FAT filesystem. Sizes and layout are those that mkfs.fat of dosfstools 4.2 chooses, so that one can stand in for the other.

use crate::boot_sector::{FIRST_CLUSTER, FatKind};
use crate::code_page::CodePage;
use crate::directory_entry::{ENTRY_LEN, RawEntry};
use crate::format_layout::{Layout, Suits};
use disksmith_storage::{Storage, ZeroMode};
use disksmith_vfs::{Error, Result, Timestamp};

/// How a FAT filesystem is made. What is `None` is chosen by the size. Nothing is random and no clock is read: the same options give
/// the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatOptions {
    /// How wide table entries are (`-F`).
    pub kind: Option<FatKind>,
    /// Bytes of a logical sector: 512, 1024, 2048 or 4096 (`-S`). Up to 32768 can be made, but hardly anything reads that.
    pub sector_len: u32,
    /// Sectors of a cluster: a power of two up to 128 (`-s`).
    pub sectors_per_cluster: Option<u8>,
    /// Sectors before the first table, at least (`-R`).
    pub reserved_sectors: Option<u16>,
    /// Copies of the table: 1 to 4 (`-f`).
    pub fats: u8,
    /// Entries of the root directory of a FAT12 or FAT16, at least (`-r`).
    pub root_entries: Option<u16>,
    /// The label (`-n`): at most 11 characters of the code page, which go into the boot sector and the root directory as they are.
    pub label: Option<String>,
    /// The code page of the label (`--codepage`).
    pub code_page: CodePage,
    /// Who made the filesystem, in the boot sector.
    pub maker: [u8; 8],
    /// The volume's serial number (`-i`).
    pub volume_id: u32,
    /// Sectors before the filesystem on its disk (`-h`).
    pub hidden_sectors: u32,
    /// Bytes of the disk by which geometry, kind and clusters are chosen, where the filesystem does not fill it.
    pub disk_len: Option<u64>,
    /// Heads and sectors of a track (`-g`).
    pub geometry: Option<(u16, u16)>,
    /// The media byte: 0xf0, or 0xf8 and above (`-M`).
    pub media: Option<u8>,
    /// The BIOS's number of the drive (`-D`).
    pub drive_number: Option<u8>,
    /// The sector of the second boot sector of a FAT32; 0 for none (`-b`).
    pub backup_sector: Option<u16>,
    /// Whether the boot sector is a partition table too, with one partition over the whole disk (`--mbr`).
    pub partition_table: bool,
    /// What is printed where a machine is started from the filesystem: at most 418 bytes (`-m`).
    pub message: Option<Vec<u8>>,
    /// Blocks of 1024 bytes that are not to be used (`-l`).
    pub bad_blocks: Vec<u64>,
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
            code_page: CodePage::CP850,
            maker: *b"mkfs.fat",
            volume_id,
            hidden_sectors: 0,
            disk_len: None,
            geometry: None,
            media: None,
            drive_number: None,
            backup_sector: None,
            partition_table: false,
            message: None,
            bad_blocks: Vec::new(),
            align: true,
            time,
        }
    }
}

/// What was considered while a layout was chosen, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatNote {
    /// The target has more sectors than can be counted.
    TargetTooLarge,
    /// FAT32 was chosen for the size.
    AutoFat32,
    /// How many sectors are reserved, before they are aligned.
    Reserved {
        /// Whether it is known already that it will be a FAT32.
        fat32: bool,
        /// How many.
        sectors: u16,
    },
    /// The filesystem is so small that nothing is aligned.
    AlignmentDisabled,
    /// Clusters of so many sectors were tried.
    Trying(u8),
    /// A kind of table was tried with them.
    Tried {
        /// Which.
        kind: FatKind,
        /// How many clusters there would be.
        clusters: i64,
        /// How many sectors a table would have.
        fat_sectors: i64,
        /// The most clusters that it could hold.
        most: i64,
        /// Whether that is a filesystem.
        suits: Suits,
    },
    /// A FAT32 that was asked for has so few clusters that others take it for a FAT16.
    FewClusters,
    /// The kind of table that was chosen.
    Chosen(FatKind),
    /// Where the second boot sector is; 0 for none.
    Backup(u16),
}

/// A filesystem that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// How wide table entries are.
    pub kind: FatKind,
    /// Bytes of a sector.
    pub sector_len: u32,
    /// Sectors of a cluster.
    pub sectors_per_cluster: u8,
    /// Sectors before the first table.
    pub reserved_sectors: u16,
    /// Copies of the table.
    pub fats: u8,
    /// Sectors of a table.
    pub fat_sectors: u32,
    /// Entries of a fixed root directory.
    pub root_entries: u16,
    /// Sectors in all.
    pub sectors: u64,
    /// How many clusters there are.
    pub clusters: u32,
    /// The media byte.
    pub media: u8,
    /// The BIOS's number of the drive.
    pub drive_number: u8,
    /// Heads of the disk.
    pub heads: u16,
    /// Sectors of a track.
    pub sectors_per_track: u16,
}

impl Formatted {
    fn new(layout: Layout) -> Self {
        Self {
            kind: layout.kind,
            sector_len: layout.sector_len,
            sectors_per_cluster: layout.sectors_per_cluster,
            reserved_sectors: layout.reserved,
            fats: layout.fats,
            fat_sectors: layout.fat_sectors,
            root_entries: layout.root_entries,
            sectors: layout.total,
            clusters: layout.clusters,
            media: layout.media,
            drive_number: layout.drive,
            heads: layout.heads,
            sectors_per_track: layout.per_track,
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

/// What [`format`] would make of a storage of so many bytes; and what was considered on the way, in order.
///
/// # Errors
/// As [`format`].
pub fn plan_format(size: u64, options: &FormatOptions, notes: &mut Vec<FormatNote>) -> Result<Formatted> {
    Layout::choose_and_tell(size, options, notes).map(Formatted::new)
}

/// Makes a FAT filesystem over the whole of a storage. Tables and directories are written; what else the storage holds stays.
///
/// # Errors
/// [`Error::InvalidArgument`] for options that do not fit each other or the size, [`Error::InvalidName`] for a label that cannot be one;
/// nothing was written then.
pub fn format(storage: &dyn Storage, options: &FormatOptions) -> Result<Formatted> {
    let label = options
        .label
        .as_deref()
        .map(|label| encode_label(label, options.code_page))
        .transpose()?;
    let layout = Layout::choose(storage.size(), options)?;
    let sector = u64::from(layout.sector_len);
    let bad = bad_clusters(&layout, &options.bad_blocks)?;
    // The beginning, up to the data, with the root directory.
    let data = layout.data_sector() * sector;
    let root = match layout.kind {
        FatKind::Fat32 => layout.cluster_len(),
        _ => 0,
    };
    storage.write_zeroes(0, data + root, ZeroMode::Keep)?;
    // Bad clusters count as free in the hint, as mkfs.fat has it.
    let used = u32::from(layout.kind == FatKind::Fat32);
    for (offset, bytes) in layout.reserved_area(options, label.as_ref(), used) {
        storage.write_at(offset, &bytes)?;
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
    mark_bad(storage, &layout, &bad)?;
    Ok(Formatted::new(layout))
}

/// The clusters that hold blocks of 1024 bytes which are not to be used.
fn bad_clusters(layout: &Layout, blocks: &[u64]) -> Result<Vec<u32>> {
    let mut bad = Vec::new();
    let data = layout.data_sector() * u64::from(layout.sector_len);
    for block in blocks {
        let offset = block.saturating_mul(1024);
        let Some(within) = offset.checked_sub(data) else {
            return Err(invalid("a bad block is before the data area"));
        };
        // A block may be several clusters.
        let last = within.saturating_add(1023) / layout.cluster_len();
        for index in within / layout.cluster_len()..=last {
            if index >= u64::from(layout.clusters) {
                return Err(invalid("a bad block is behind the end of the filesystem"));
            }
            if index == 0 && layout.kind == FatKind::Fat32 {
                return Err(invalid("a bad block is where the root directory would be"));
            }
            // Fewer than there are clusters.
            bad.push(index as u32 + FIRST_CLUSTER);
        }
    }
    bad.sort_unstable();
    bad.dedup();
    Ok(bad)
}

/// Notes in all tables that clusters are bad.
fn mark_bad(storage: &dyn Storage, layout: &Layout, bad: &[u32]) -> Result<()> {
    let sector = u64::from(layout.sector_len);
    for copy in 0..u64::from(layout.fats) {
        let table = (u64::from(layout.reserved) + copy * u64::from(layout.fat_sectors)) * sector;
        for cluster in bad {
            let at = u64::from(*cluster);
            match layout.kind {
                FatKind::Fat12 => {
                    let mut bytes = [0; 2];
                    let at = table + at + at / 2;
                    storage.read_at(at, &mut bytes)?;
                    let old = u16::from_le_bytes(bytes);
                    let new = match cluster % 2 {
                        0 => old & 0xf000 | 0xff7,
                        _ => old & 0x000f | 0xff70,
                    };
                    storage.write_at(at, &new.to_le_bytes())?;
                }
                FatKind::Fat16 => storage.write_at(table + at * 2, &0xfff7_u16.to_le_bytes())?,
                FatKind::Fat32 => storage.write_at(table + at * 4, &0x0fff_fff7_u32.to_le_bytes())?,
            }
        }
    }
    Ok(())
}

/// A label in a code page, padded with blanks.
pub(crate) fn encode_label(label: &str, page: CodePage) -> Result<[u8; 11]> {
    let refuse = |reason| Error::InvalidName {
        path: label.to_owned(),
        reason,
    };
    let mut padded = [b' '; 11];
    let mut places = padded.iter_mut();
    for c in label.chars() {
        let byte = page
            .encode(c)
            .filter(|byte| *byte >= 0x20 && *byte != 0x7f && !b"\"*+,./:;<=>?[\\]|".contains(byte))
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
