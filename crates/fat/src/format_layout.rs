//! The layout of a FAT filesystem that is to be made.

use crate::boot_sector::{FatKind, NO_NAME};
use crate::format::{FormatOptions, invalid};
use byteorder::{ByteOrder, LittleEndian};
use disksmith_vfs::Result;

/// Clusters that the widths of table entries allow. mkfs.fat keeps away from the limits by the number of reserved entries.
const MAX_FAT12: u64 = 4084;
const MIN_FAT16: u64 = 4085;
const MAX_FAT16: u64 = 65_524;
const MAX_FAT32: u64 = 0x0fff_fff6;
/// Sectors from which on structures are aligned.
const MIN_ALIGNED: u64 = 8193;
/// The most sectors that a cluster can have.
const MAX_PER_CLUSTER: u8 = 128;
/// What a machine does that is started from the filesystem: it halts.
const BOOT_CODE: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfc];

/// The layout, in sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) kind: FatKind,
    pub(crate) sector_len: u32,
    pub(crate) sectors_per_cluster: u8,
    pub(crate) reserved: u16,
    pub(crate) fats: u8,
    pub(crate) fat_sectors: u32,
    pub(crate) root_entries: u16,
    pub(crate) total: u64,
    pub(crate) clusters: u32,
    pub(crate) media: u8,
    heads: u16,
    per_track: u16,
}

/// A floppy disk: KiB, media byte, sectors of a track, sectors of a cluster, root entries.
const FLOPPIES: [(u64, u8, u16, u8, u16); 5] = [
    (360, 0xfd, 9, 2, 112),
    (720, 0xf9, 9, 2, 112),
    (1200, 0xf9, 15, 1, 224),
    (1440, 0xf0, 18, 1, 224),
    (2880, 0xf0, 36, 2, 224),
];

impl Layout {
    /// Chooses what the options leave open.
    pub(crate) fn choose(size: u64, options: &FormatOptions) -> Result<Self> {
        if !matches!(options.sector_len, 512 | 1024 | 2048 | 4096) {
            return Err(invalid("a sector has 512, 1024, 2048 or 4096 bytes"));
        }
        if !(1..=4).contains(&options.fats) {
            return Err(invalid("there are 1 to 4 tables"));
        }
        if options
            .sectors_per_cluster
            .is_some_and(|n| !n.is_power_of_two() || n > MAX_PER_CLUSTER)
        {
            return Err(invalid("a cluster has 1, 2, 4, 8, 16, 32, 64 or 128 sectors"));
        }
        if options.media.is_some_and(|media| media != 0xf0 && media < 0xf8) {
            return Err(invalid("the media byte is 0xf0, or 0xf8 and above"));
        }
        if options.reserved_sectors == Some(0) || options.root_entries == Some(0) {
            return Err(invalid("reserved sectors and root entries cannot be 0"));
        }
        if options
            .geometry
            .is_some_and(|(heads, track)| heads == 0 || track == 0)
        {
            return Err(invalid("heads and sectors of a track cannot be 0"));
        }
        let sector = u64::from(options.sector_len);
        let whole = size / sector;
        let floppy = FLOPPIES.into_iter().find(|(kib, ..)| {
            kib * 1024 == size && options.sector_len == 512 && options.kind != Some(FatKind::Fat32)
        });
        let (heads, per_track) = options.geometry.unwrap_or_else(|| match floppy {
            Some((_, _, track, ..)) => (2, track),
            None => geometry(whole),
        });
        let total = whole / u64::from(per_track) * u64::from(per_track);
        if total == 0 || total > u64::from(u32::MAX) {
            return Err(invalid("the size is too small or too large for a FAT"));
        }
        let kind = options.kind.or(match floppy {
            Some(_) => Some(FatKind::Fat12),
            None if size >= 512 << 20 => Some(FatKind::Fat32),
            None => None,
        });
        let first = options.sectors_per_cluster.unwrap_or(match (floppy, kind) {
            (Some((.., per_cluster, _)), _) => per_cluster,
            (_, Some(FatKind::Fat32)) => fat32_cluster(size, options.sector_len),
            _ => 4,
        });
        let draft = Self {
            kind: kind.unwrap_or(FatKind::Fat12),
            sector_len: options.sector_len,
            sectors_per_cluster: first,
            reserved: options.reserved_sectors.unwrap_or(match kind {
                Some(FatKind::Fat32) => 32,
                _ => 1,
            }),
            fats: options.fats,
            fat_sectors: 0,
            root_entries: match kind {
                Some(FatKind::Fat32) => 0,
                _ => options
                    .root_entries
                    .unwrap_or(floppy.map_or(512, |floppy| floppy.4)),
            },
            total,
            clusters: 0,
            media: options.media.unwrap_or(floppy.map_or(0xf8, |floppy| floppy.1)),
            heads,
            per_track,
        };
        if draft.kind == FatKind::Fat32 && kind.is_some() && draft.reserved < 2 {
            return Err(invalid("a FAT32 needs two reserved sectors at least"));
        }
        let align = options.align && total >= MIN_ALIGNED;
        let mut per_cluster = first;
        loop {
            if let Some(layout) = draft.with_cluster(per_cluster, kind, align) {
                return Ok(layout);
            }
            if options.sectors_per_cluster.is_some() || per_cluster >= MAX_PER_CLUSTER {
                return Err(invalid("the size has too few or too many clusters for this FAT"));
            }
            per_cluster *= 2;
        }
    }

    /// The layout with clusters of a size, where the number of clusters fits.
    fn with_cluster(&self, per_cluster: u8, kind: Option<FatKind>, align: bool) -> Option<Self> {
        let kinds: &[FatKind] = match kind {
            Some(FatKind::Fat12) => &[FatKind::Fat12],
            Some(FatKind::Fat16) => &[FatKind::Fat16],
            Some(FatKind::Fat32) => &[FatKind::Fat32],
            None => &[FatKind::Fat12, FatKind::Fat16],
        };
        kinds
            .iter()
            .find_map(|kind| self.with_kind(*kind, per_cluster, align))
    }

    fn with_kind(&self, kind: FatKind, per_cluster: u8, align: bool) -> Option<Self> {
        let sector = u64::from(self.sector_len);
        let unit = if align { u64::from(per_cluster) } else { 1 };
        let mut layout = self.clone();
        layout.kind = kind;
        layout.sectors_per_cluster = per_cluster;
        layout.reserved = u16::try_from(u64::from(self.reserved).next_multiple_of(unit)).ok()?;
        if kind != FatKind::Fat32 {
            let unit_entries = unit * sector / 32;
            let root = (u64::from(self.root_entries) * 32).next_multiple_of(sector) / 32;
            layout.root_entries = u16::try_from(root.next_multiple_of(unit_entries)).ok()?;
        }
        let root_sectors = u64::from(layout.root_entries) * 32 / sector;
        let rest = self
            .total
            .checked_sub(u64::from(layout.reserved) + root_sectors)?;
        // A cluster and its entries take `per_cluster` sectors and this many bytes' halves in the tables.
        let nibbles = match kind {
            FatKind::Fat12 => 3,
            FatKind::Fat16 => 4,
            FatKind::Fat32 => 8,
        };
        let fats = u64::from(self.fats);
        let share = u64::from(per_cluster) * sector * 2 + fats * nibbles;
        // Two entries of each table stand for no cluster.
        let clusters = (rest * sector * 2 + fats * 2 * nibbles) / share;
        let fat_sectors = ((clusters + 2) * nibbles)
            .div_ceil(sector * 2)
            .next_multiple_of(unit);
        let data = rest.checked_sub(fats * fat_sectors)?;
        let held = (fat_sectors * sector * 2 / nibbles).saturating_sub(2);
        let clusters = (data / u64::from(per_cluster)).min(held);
        let (least, most) = match kind {
            FatKind::Fat12 => (1, MAX_FAT12),
            FatKind::Fat16 => (MIN_FAT16, MAX_FAT16),
            FatKind::Fat32 => (1, MAX_FAT32),
        };
        if !(least..=most).contains(&clusters) {
            return None;
        }
        if kind != FatKind::Fat32 && fat_sectors > u64::from(u16::MAX) {
            return None;
        }
        layout.fat_sectors = u32::try_from(fat_sectors).ok()?;
        layout.clusters = u32::try_from(clusters).ok()?;
        Some(layout)
    }

    /// Where the root directory of a FAT12 or FAT16 begins.
    pub(crate) fn root_sector(&self) -> u64 {
        u64::from(self.reserved) + u64::from(self.fats) * u64::from(self.fat_sectors)
    }

    /// Where the clusters begin.
    pub(crate) fn data_sector(&self) -> u64 {
        self.root_sector() + u64::from(self.root_entries) * 32 / u64::from(self.sector_len)
    }

    /// Where the second boot sector of a FAT32 is; 0 where there is no room.
    pub(crate) fn backup_sector(&self) -> u16 {
        match self.reserved {
            7.. => 6,
            // Behind the FSInfo sector, at the end of what is reserved.
            3..=6 => self.reserved - 1,
            _ => 0,
        }
    }

    /// How a table begins: the media byte, the mark of the end, and in a FAT32 the root directory.
    pub(crate) fn table_start(&self) -> Vec<u8> {
        match self.kind {
            FatKind::Fat12 => vec![self.media, 0xff, 0xff],
            FatKind::Fat16 => vec![self.media, 0xff, 0xff, 0xff],
            FatKind::Fat32 => vec![
                self.media, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f, 0xf8, 0xff, 0xff, 0x0f,
            ],
        }
    }

    /// The boot sector.
    pub(crate) fn encode(&self, options: &FormatOptions, label: Option<&[u8; 11]>) -> [u8; 512] {
        let mut bytes = [0; 512];
        let is_fat32 = self.kind == FatKind::Fat32;
        let code = if is_fat32 { 0x5a } else { 0x3e };
        // A short jump, counted from the byte behind its two.
        bytes[..3].copy_from_slice(&[0xeb, code - 2, 0x90]);
        bytes[3..11].copy_from_slice(b"mkfs.fat");
        // 4096 at most, as was checked.
        LittleEndian::write_u16(&mut bytes[11..13], self.sector_len as u16);
        bytes[13] = self.sectors_per_cluster;
        LittleEndian::write_u16(&mut bytes[14..16], self.reserved);
        bytes[16] = self.fats;
        LittleEndian::write_u16(&mut bytes[17..19], self.root_entries);
        match u16::try_from(self.total) {
            Ok(total) if !is_fat32 => LittleEndian::write_u16(&mut bytes[19..21], total),
            // The sectors of a FAT32 that are few are counted in either field; mkfs.fat takes the short one.
            Ok(total) => LittleEndian::write_u16(&mut bytes[19..21], total),
            // At most 32 bits, as was checked.
            Err(_) => LittleEndian::write_u32(&mut bytes[32..36], self.total as u32),
        }
        bytes[21] = self.media;
        LittleEndian::write_u16(&mut bytes[24..26], self.per_track);
        LittleEndian::write_u16(&mut bytes[26..28], self.heads);
        LittleEndian::write_u32(&mut bytes[28..32], options.hidden_sectors);
        let extended = if is_fat32 {
            LittleEndian::write_u32(&mut bytes[36..40], self.fat_sectors);
            LittleEndian::write_u32(&mut bytes[44..48], 2);
            LittleEndian::write_u16(&mut bytes[48..50], 1);
            LittleEndian::write_u16(&mut bytes[50..52], self.backup_sector());
            64
        } else {
            // At most 16 bits, as was checked.
            LittleEndian::write_u16(&mut bytes[22..24], self.fat_sectors as u16);
            36
        };
        bytes[extended] = if self.media >= 0xf8 && self.media != 0xf9 && self.media != 0xfd {
            0x80
        } else {
            0
        };
        bytes[extended + 2] = 0x29;
        LittleEndian::write_u32(&mut bytes[extended + 3..extended + 7], options.volume_id);
        bytes[extended + 7..extended + 18].copy_from_slice(label.unwrap_or(NO_NAME));
        bytes[extended + 18..extended + 26].copy_from_slice(match self.kind {
            FatKind::Fat12 => b"FAT12   ",
            FatKind::Fat16 => b"FAT16   ",
            FatKind::Fat32 => b"FAT32   ",
        });
        let code = usize::from(code);
        bytes[code..code + BOOT_CODE.len()].copy_from_slice(&BOOT_CODE);
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }
}

/// Heads and sectors of a track for so many sectors, as the SD Association's file system specification has them.
fn geometry(sectors: u64) -> (u16, u16) {
    match sectors {
        0..=4096 => (2, 16),
        4097..=32_768 => (2, 32),
        32_769..=65_536 => (4, 32),
        65_537..=262_144 => (8, 32),
        262_145..=524_288 => (16, 32),
        524_289..=1_032_192 => (16, 63),
        1_032_193..=2_064_384 => (32, 63),
        2_064_385..=4_128_768 => (64, 63),
        4_128_769..=8_257_536 => (128, 63),
        _ => (255, 63),
    }
}

/// Sectors of a cluster of a FAT32 of so many bytes.
fn fat32_cluster(len: u64, sector_len: u32) -> u8 {
    let mib = len >> 20;
    let bytes: u32 = match mib {
        0..=260 => 512,
        261..=8192 => 4096,
        8193..=16_384 => 8192,
        16_385..=32_768 => 16_384,
        _ => 32_768,
    };
    // 64 at most.
    (bytes / sector_len).max(1) as u8
}
