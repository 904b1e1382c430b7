//! The layout of a FAT filesystem that is to be made.

use crate::boot_sector::{FIRST_CLUSTER, FatKind, NO_NAME};
use crate::format::{FormatNote, FormatOptions, invalid};
use crate::fs_info::FsInfo;
use byteorder::{ByteOrder, LittleEndian};
use disksmith_vfs::Result;

/// Clusters that the widths of table entries allow. mkfs.fat keeps away from the limits by the number of reserved entries.
pub(crate) const MAX_FAT12: i64 = 4084;
const MIN_FAT16: i64 = 4087;
pub(crate) const MAX_FAT16: i64 = 65_524;
pub(crate) const MIN_FAT32: i64 = 65_525;
pub(crate) const MAX_FAT32: i64 = 0x0fff_fff6;
/// Sectors from which on structures are aligned.
const MIN_ALIGNED: u64 = 8193;
/// The most sectors that a cluster can have.
const MAX_PER_CLUSTER: u8 = 128;
/// The most bytes of a sector that are written.
const MAX_SECTOR_LEN: u32 = 32_768;
/// Where a boot sector's code begins, behind the 16-bit and the 32-bit parameter block.
const CODE_AT: usize = 0x3e;
const CODE_AT_FAT32: usize = 0x5a;
/// Where the code ends at the latest: there a partition table begins, or the signature.
const CODE_END: usize = 0x1b8;
/// What a machine does that is started from the filesystem: it prints the text behind this by the BIOS, waits for a key, and lets the BIOS
/// try the next device. The two bytes of the text's address are zero here.
const BOOT_CODE: [u8; 32] = [
    0x31, 0xdb, // xor bx, bx
    0x8e, 0xdb, // mov ds, bx
    0xfc, // cld
    0xbe, 0x00, 0x00, // mov si, text
    0xb4, 0x0e, // next: mov ah, 0x0e
    0xb3, 0x07, // mov bl, 7
    0xac, // lodsb
    0x08, 0xc0, // or al, al
    0x74, 0x04, // jz wait
    0xcd, 0x10, // int 0x10
    0xeb, 0xf3, // jmp next
    0x31, 0xc0, // wait: xor ax, ax
    0xcd, 0x16, // int 0x16
    0xcd, 0x18, // int 0x18
    0xf4, // halt: hlt
    0xeb, 0xfd, 0x90, 0x90, // jmp halt
];
/// Where the address of the text stands in the code.
const TEXT_ADDRESS_AT: usize = 6;
/// The address at which a BIOS puts a boot sector.
const LOAD_ADDRESS: u16 = 0x7c00;
/// The text that is printed where none is given.
const BOOT_TEXT: &[u8] =
    b"There is no operating system on this disk.\r\nPress a key to start from another one.\r\n";
/// The longest text of one's own.
pub(crate) const MAX_MESSAGE: usize = 418;

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
    pub(crate) heads: u16,
    pub(crate) per_track: u16,
    pub(crate) drive: u8,
    pub(crate) backup: u16,
}

/// A floppy disk: KiB, media byte, sectors of a track, sectors of a cluster, root entries.
const FLOPPIES: [(u64, u8, u16, u8, u16); 5] = [
    (360, 0xfd, 9, 2, 112),
    (720, 0xf9, 9, 2, 112),
    (1200, 0xf9, 15, 1, 224),
    (1440, 0xf0, 18, 1, 224),
    (2880, 0xf0, 36, 2, 224),
];

/// Clusters and table of one width, for one cluster size.
struct Trial {
    clusters: i64,
    fat_sectors: i64,
    held: i64,
}

impl Trial {
    /// Whether this makes a filesystem.
    fn judge(&self, enough: bool) -> Suits {
        if self.clusters > self.held {
            Suits::TooMany
        } else if !enough {
            Suits::TooFew
        } else {
            Suits::Yes
        }
    }

    fn note(&self, kind: FatKind, suits: Suits) -> FormatNote {
        FormatNote::Tried {
            kind,
            clusters: self.clusters,
            fat_sectors: self.fat_sectors,
            most: self.held,
            suits,
        }
    }
}

impl Layout {
    /// Chooses what the options leave open.
    pub(crate) fn choose(size: u64, options: &FormatOptions) -> Result<Self> {
        Self::choose_and_tell(size, options, &mut Vec::new())
    }

    /// As [`choose`](Self::choose); tells what was considered, also where nothing fits.
    pub(crate) fn choose_and_tell(
        size: u64,
        options: &FormatOptions,
        notes: &mut Vec<FormatNote>,
    ) -> Result<Self> {
        check(options)?;
        let sector = u64::from(options.sector_len);
        let whole = size / sector;
        let disk = options.disk_len.unwrap_or(size);
        let floppy = FLOPPIES.into_iter().find(|(kib, ..)| kib * 1024 == disk);
        let (heads, per_track) = options.geometry.unwrap_or_else(|| match floppy {
            Some((_, _, track, ..)) => (2, track),
            None => geometry(disk / sector),
        });
        let mut total = match options.align {
            true => whole / u64::from(per_track) * u64::from(per_track),
            false => whole,
        };
        if total > u64::from(u32::MAX) {
            total = u64::from(u32::MAX);
            notes.push(FormatNote::TargetTooLarge);
        }
        let kind = options.kind.or(match floppy {
            Some(_) => None,
            None if disk >= 512 << 20 => {
                notes.push(FormatNote::AutoFat32);
                Some(FatKind::Fat32)
            }
            None => None,
        });
        let first = options.sectors_per_cluster.unwrap_or(match (floppy, kind) {
            (Some((.., per_cluster, _)), _) => per_cluster,
            (_, Some(FatKind::Fat32)) => fat32_cluster(disk, options.sector_len),
            _ => 4,
        });
        let is_fat32 = kind == Some(FatKind::Fat32);
        let media = options.media.unwrap_or(floppy.map_or(0xf8, |floppy| floppy.1));
        let mut draft = Self {
            kind: kind.unwrap_or(FatKind::Fat12),
            sector_len: options.sector_len,
            sectors_per_cluster: first,
            reserved: options.reserved_sectors.unwrap_or(if is_fat32 { 32 } else { 1 }),
            fats: options.fats,
            fat_sectors: 0,
            root_entries: match is_fat32 {
                true => 0,
                false => options
                    .root_entries
                    .unwrap_or(floppy.map_or(512, |floppy| floppy.4)),
            },
            total,
            clusters: 0,
            media,
            heads,
            per_track,
            drive: options.drive_number.unwrap_or(match media {
                0xf9 | 0xfd | 0xf0 => 0,
                _ => 0x80,
            }),
            backup: 0,
        };
        notes.push(FormatNote::Reserved {
            fat32: is_fat32,
            sectors: draft.reserved,
        });
        if is_fat32 && draft.reserved < 2 {
            return Err(invalid("On FAT32 at least 2 reserved sectors are needed."));
        }
        let align = options.align && total >= MIN_ALIGNED;
        if options.align && !align {
            notes.push(FormatNote::AlignmentDisabled);
        }
        draft.try_clusters(options, kind, align, notes)?;
        if kind.is_none() {
            notes.push(FormatNote::Chosen(draft.kind));
        }
        draft.finish(options, size, notes)
    }

    /// Tries sizes of clusters until one of the tables fits.
    fn try_clusters(
        &mut self,
        options: &FormatOptions,
        kind: Option<FatKind>,
        align: bool,
        notes: &mut Vec<FormatNote>,
    ) -> Result<()> {
        let (base_reserved, base_root) = (self.reserved, self.root_entries);
        let mut per_cluster = self.sectors_per_cluster;
        loop {
            notes.push(FormatNote::Trying(per_cluster));
            self.reserved = base_reserved;
            self.root_entries = base_root;
            self.sectors_per_cluster = per_cluster;
            if self.try_cluster(kind, align, notes)? {
                return Ok(());
            }
            if options.sectors_per_cluster.is_some() {
                return Err(invalid(
                    "Not enough or too many clusters for filesystem - try less or more sectors per cluster",
                ));
            }
            if per_cluster >= MAX_PER_CLUSTER {
                return Err(invalid(
                    "Attempting to create a too small or a too large filesystem",
                ));
            }
            per_cluster *= 2;
        }
    }

    fn try_cluster(
        &mut self,
        kind: Option<FatKind>,
        align: bool,
        notes: &mut Vec<FormatNote>,
    ) -> Result<bool> {
        let too_much = || invalid("Attempting to create a too small or a too large filesystem");
        let sector = u64::from(self.sector_len);
        let unit = if align {
            u64::from(self.sectors_per_cluster)
        } else {
            1
        };
        let reserved = u64::from(self.reserved).next_multiple_of(unit);
        let root = (u64::from(self.root_entries) * 32)
            .div_ceil(sector)
            .next_multiple_of(unit);
        self.reserved = u16::try_from(reserved).map_err(|_| too_much())?;
        // A root directory that is not aligned does not always fill its last sector.
        if align {
            self.root_entries = u16::try_from(root * sector / 32).map_err(|_| too_much())?;
        }
        // 32 bits at most, and 128 sectors of 32 KiB.
        let rest = self.total as i64 - reserved as i64;
        let fat12 = self.trial(rest - root as i64, 3, MAX_FAT12, align);
        let fat16 = self.trial(rest - root as i64, 4, MAX_FAT16, align);
        let fat32 = self.trial(rest, 8, MAX_FAT32, align);
        let wanted = |of: FatKind| kind.is_none() || kind == Some(of);
        let mut judge = |of: FatKind, trial: &Trial, enough: bool| {
            let suits = trial.judge(enough);
            if wanted(of) {
                notes.push(trial.note(of, suits));
            }
            suits == Suits::Yes && trial.clusters > 0
        };
        let fits12 = judge(FatKind::Fat12, &fat12, true);
        let fits16 = judge(FatKind::Fat16, &fat16, fat16.clusters >= MIN_FAT16);
        let enough = fat32.clusters >= MIN_FAT32 || kind == Some(FatKind::Fat32);
        let fits32 = judge(FatKind::Fat32, &fat32, enough);
        let use12 = fits12 && wanted(FatKind::Fat12);
        let use16 = fits16 && wanted(FatKind::Fat16);
        let (chosen, trial) = if use16 && (!use12 || fat16.clusters > fat12.clusters) {
            (FatKind::Fat16, fat16)
        } else if use12 {
            (FatKind::Fat12, fat12)
        } else if fits32 && kind == Some(FatKind::Fat32) {
            (FatKind::Fat32, fat32)
        } else {
            return Ok(false);
        };
        self.kind = chosen;
        self.clusters = u32::try_from(trial.clusters).map_err(|_| too_much())?;
        self.fat_sectors = u32::try_from(trial.fat_sectors).map_err(|_| too_much())?;
        if chosen != FatKind::Fat32 && self.fat_sectors > u32::from(u16::MAX) {
            return Err(too_much());
        }
        Ok(true)
    }

    /// Clusters and table where `space` sectors are for both, and an entry has so many nibbles.
    fn trial(&self, space: i64, nibbles: i64, limit: i64, align: bool) -> Trial {
        let (sector, per_cluster) = (i64::from(self.sector_len), i64::from(self.sectors_per_cluster));
        let fats = i64::from(self.fats);
        if space <= 0 {
            return Trial {
                clusters: 0,
                fat_sectors: 0,
                held: 0,
            };
        }
        // A cluster and its entries take this many half bytes; two entries of each table stand for no cluster.
        let share = per_cluster * sector * 2 + fats * nibbles;
        let reserved_entries = fats * 2 * nibbles;
        let clusters = (space * sector * 2 + reserved_entries) / share;
        let mut fat_sectors = ((clusters + 2) * nibbles + 1).div_euclid(2);
        fat_sectors = (fat_sectors + sector - 1).div_euclid(sector);
        if align {
            fat_sectors = (fat_sectors + per_cluster - 1) / per_cluster * per_cluster;
        }
        let clusters = (space - fats * fat_sectors).div_euclid(per_cluster);
        Trial {
            clusters,
            fat_sectors,
            held: (fat_sectors * sector * 2 / nibbles).min(limit),
        }
    }

    fn finish(mut self, options: &FormatOptions, size: u64, notes: &mut Vec<FormatNote>) -> Result<Self> {
        if self.kind == FatKind::Fat32 && i64::from(self.clusters) < MIN_FAT32 {
            notes.push(FormatNote::FewClusters);
        }
        if self.kind == FatKind::Fat32 {
            self.backup = match options.backup_sector {
                Some(1) => return Err(invalid("Backup boot sector must not be same as info sector (1)")),
                Some(sector) if sector >= self.reserved && sector != 0 => {
                    return Err(invalid("Backup boot sector must be a reserved sector"));
                }
                Some(sector) => sector,
                None => match self.reserved {
                    7.. => 6,
                    // The last two, for the second FSInfo sector to be behind it.
                    4..=6 => self.reserved - 2,
                    3 => 2,
                    _ => 0,
                },
            };
            notes.push(FormatNote::Backup(self.backup));
        }
        // A filesystem of less is not worth its name.
        let start = self.data_sector() * u64::from(self.sector_len).div_ceil(512);
        if size / 1024 < start.div_ceil(2) + 32 {
            return Err(invalid("Too few blocks for viable filesystem"));
        }
        Ok(self)
    }

    /// Bytes of a cluster.
    pub(crate) fn cluster_len(&self) -> u64 {
        u64::from(self.sectors_per_cluster) * u64::from(self.sector_len)
    }

    /// Where the root directory of a FAT12 or FAT16 begins.
    pub(crate) fn root_sector(&self) -> u64 {
        u64::from(self.reserved) + u64::from(self.fats) * u64::from(self.fat_sectors)
    }

    /// Where the clusters begin.
    pub(crate) fn data_sector(&self) -> u64 {
        self.root_sector() + (u64::from(self.root_entries) * 32).div_ceil(u64::from(self.sector_len))
    }

    /// What is before the first table, piece by piece with its offset, where so many clusters are in use.
    pub(crate) fn reserved_area(
        &self,
        options: &FormatOptions,
        label: Option<&[u8; 11]>,
        used: u32,
    ) -> Vec<(u64, Vec<u8>)> {
        let sector = u64::from(self.sector_len);
        let boot = self.encode(options, label).to_vec();
        if self.kind != FatKind::Fat32 {
            return vec![(0, boot)];
        }
        let info = FsInfo {
            free: self.clusters.saturating_sub(used),
            last: FIRST_CLUSTER + used.saturating_sub(1),
        }
        .encode()
        .to_vec();
        let mut pieces = vec![(0, boot.clone()), (sector, info.clone())];
        let backup = u64::from(self.backup);
        if backup != 0 {
            pieces.push((backup * sector, boot));
            if backup + 1 < u64::from(self.reserved) {
                pieces.push(((backup + 1) * sector, info));
            }
        }
        pieces
    }

    /// The boot sector.
    pub(crate) fn encode(&self, options: &FormatOptions, label: Option<&[u8; 11]>) -> [u8; 512] {
        let mut bytes = [0; 512];
        let is_fat32 = self.kind == FatKind::Fat32;
        let code = if is_fat32 { CODE_AT_FAT32 } else { CODE_AT };
        // A short jump, counted from the byte behind its two.
        bytes[..3].copy_from_slice(&[0xeb, code as u8 - 2, 0x90]);
        bytes[3..11].copy_from_slice(&options.maker);
        // 32768 at most, as was checked.
        LittleEndian::write_u16(&mut bytes[11..13], self.sector_len as u16);
        bytes[13] = self.sectors_per_cluster;
        LittleEndian::write_u16(&mut bytes[14..16], self.reserved);
        bytes[16] = self.fats;
        LittleEndian::write_u16(&mut bytes[17..19], self.root_entries);
        match u16::try_from(self.total) {
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
            LittleEndian::write_u32(&mut bytes[44..48], FIRST_CLUSTER);
            LittleEndian::write_u16(&mut bytes[48..50], 1);
            LittleEndian::write_u16(&mut bytes[50..52], self.backup);
            64
        } else {
            // At most 16 bits, as was checked.
            LittleEndian::write_u16(&mut bytes[22..24], self.fat_sectors as u16);
            36
        };
        bytes[extended] = self.drive;
        bytes[extended + 2] = 0x29;
        LittleEndian::write_u32(&mut bytes[extended + 3..extended + 7], options.volume_id);
        bytes[extended + 7..extended + 18].copy_from_slice(label.unwrap_or(NO_NAME));
        bytes[extended + 18..extended + 26].copy_from_slice(match self.kind {
            FatKind::Fat12 => b"FAT12   ",
            FatKind::Fat16 => b"FAT16   ",
            FatKind::Fat32 => b"FAT32   ",
        });
        let text_at = code + BOOT_CODE.len();
        bytes[code..text_at].copy_from_slice(&BOOT_CODE);
        let address = LOAD_ADDRESS + text_at as u16;
        LittleEndian::write_u16(
            &mut bytes[code + TEXT_ADDRESS_AT..code + TEXT_ADDRESS_AT + 2],
            address,
        );
        let text = options.message.as_deref().unwrap_or(BOOT_TEXT);
        let end = if options.partition_table { CODE_END } else { 509 };
        if let Some(place) = bytes.get_mut(text_at..end) {
            place
                .iter_mut()
                .zip(text)
                .for_each(|(place, byte)| *place = *byte);
        }
        if options.partition_table {
            self.encode_partition(options, &mut bytes);
        }
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    /// A partition table in the boot sector itself, whose one partition is the whole disk.
    fn encode_partition(&self, options: &FormatOptions, bytes: &mut [u8; 512]) {
        let (heads, track) = (u64::from(self.heads.max(1)), u64::from(self.per_track.max(1)));
        let sectors = self.total * (u64::from(self.sector_len) / 512).max(1);
        LittleEndian::write_u32(&mut bytes[440..444], options.volume_id);
        bytes[446] = 0x80;
        // Head 0, sector 1, cylinder 0.
        bytes[447..450].copy_from_slice(&[0, 1, 0]);
        bytes[450] = match self.kind {
            FatKind::Fat12 => 0x01,
            FatKind::Fat16 if sectors < 65_536 => 0x04,
            FatKind::Fat16 => 0x06,
            FatKind::Fat32 => 0x0c,
        };
        // mkfs.fat gives the address behind the last sector.
        let cylinder = sectors / (heads * track);
        let number = sectors % track + 1;
        let end = match cylinder {
            0..=1023 => [
                // 255, 63 and 1023 at most.
                (sectors / track % heads) as u8,
                (number | cylinder >> 2 & 0xc0) as u8,
                (cylinder & 0xff) as u8,
            ],
            _ => [0xfe, 0xff, 0xff],
        };
        bytes[451..454].copy_from_slice(&end);
        LittleEndian::write_u32(&mut bytes[458..462], u32::try_from(sectors).unwrap_or(u32::MAX));
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
}

/// Whether a trial makes a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suits {
    /// It does.
    Yes,
    /// More clusters than the table can have.
    TooMany,
    /// So few that it would be taken for a smaller kind.
    TooFew,
}

/// Refuses options that cannot be.
fn check(options: &FormatOptions) -> Result<()> {
    if !options.sector_len.is_power_of_two() || !(512..=MAX_SECTOR_LEN).contains(&options.sector_len) {
        return Err(invalid(
            "a sector has 512, 1024, 2048, 4096 bytes, or a higher power of two up to 32768",
        ));
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
    if options
        .message
        .as_ref()
        .is_some_and(|text| text.len() > MAX_MESSAGE)
    {
        return Err(invalid("the message of the boot sector is too long"));
    }
    Ok(())
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
