//! The boot sector with its parameter block, FAT specification 1.03, "Boot Sector and BPB".

use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::{Storage, read_vec};
use disksmith_vfs::{Error, Result};

/// Bytes that are looked at.
const LEN: usize = 512;
/// The first cluster that holds data.
pub(crate) const FIRST_CLUSTER: u32 = 2;
/// One more cluster and it would be a FAT16.
const MAX_FAT12_CLUSTERS: u64 = 4084;
const MAX_FAT16_CLUSTERS: u64 = 65_524;
/// Cluster numbers of FAT32 have 28 bits, the highest few of which mean something else.
const MAX_FAT32_CLUSTERS: u64 = 0x0fff_fff5;
/// The label that stands for none.
pub(crate) const NO_NAME: &[u8; 11] = b"NO NAME    ";

/// How many bits an entry of the table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatKind {
    /// 12 bits, two entries in three bytes.
    Fat12,
    /// 16 bits.
    Fat16,
    /// 32 bits, of which the upper four are not used.
    Fat32,
}

/// The layout of a FAT filesystem, checked. Offsets and lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootSector {
    /// How wide table entries are.
    pub kind: FatKind,
    /// Bytes of a logical sector.
    pub sector_len: u32,
    /// Bytes of a cluster.
    pub cluster_len: u32,
    /// Where the first table begins.
    pub fat_offset: u64,
    /// Bytes of one table.
    pub fat_len: u64,
    /// How many copies of the table there are.
    pub fat_count: u8,
    /// Which copy is read; 0 unless a FAT32 says otherwise.
    pub active_fat: u8,
    /// Whether a change goes to all copies of the table, not only to the one that is read.
    pub mirrored: bool,
    /// Where the FSInfo sector of a FAT32 lies.
    pub fs_info_offset: Option<u64>,
    /// Where the root directory of a FAT12 or FAT16 begins.
    pub root_offset: u64,
    /// Bytes of the root directory of a FAT12 or FAT16; 0 in a FAT32.
    pub root_len: u64,
    /// The first cluster of the root directory of a FAT32; 0 elsewhere.
    pub root_cluster: u32,
    /// Where cluster 2 begins.
    pub data_offset: u64,
    /// How many clusters there are.
    pub clusters: u32,
    /// The volume's serial number, where there is one.
    pub serial: Option<u32>,
    /// The label in the boot sector, padded with blanks, where there is one.
    pub label: Option<[u8; 11]>,
    /// Whether the boot sector says that the filesystem was not unmounted.
    pub dirty: bool,
}

impl BootSector {
    /// Reads and checks the boot sector.
    ///
    /// # Errors
    /// [`Error::Corrupt`], naming the field, where it is no boot sector of a FAT filesystem.
    pub fn load(storage: &dyn Storage) -> Result<Self> {
        if storage.size() < LEN as u64 {
            return Err(corrupt(format!(
                "{} bytes are too few for a boot sector",
                storage.size()
            )));
        }
        let bytes = read_vec(storage, 0, LEN)?;
        let bytes = bytes
            .first_chunk()
            .ok_or_else(|| corrupt("the boot sector is short".into()))?;
        Self::parse(bytes)
    }

    /// Parses and checks the first 512 bytes.
    pub fn parse(bytes: &[u8; LEN]) -> Result<Self> {
        let u16_at = |at: usize| LittleEndian::read_u16(&bytes[at..at + 2]);
        let u32_at = |at: usize| LittleEndian::read_u32(&bytes[at..at + 4]);
        let sector_len = u32::from(u16_at(11));
        if !matches!(sector_len, 512 | 1024 | 2048 | 4096) {
            return Err(field("bytes per sector", 11, sector_len));
        }
        let per_cluster = u32::from(bytes[13]);
        if !per_cluster.is_power_of_two() {
            return Err(field("sectors per cluster", 13, per_cluster));
        }
        let reserved = u64::from(u16_at(14));
        if reserved == 0 {
            return Err(field("reserved sectors", 14, 0));
        }
        let fat_count = bytes[16];
        if !(1..=4).contains(&fat_count) {
            return Err(field("number of FATs", 16, u32::from(fat_count)));
        }
        let media = bytes[21];
        if media != 0xf0 && media < 0xf8 {
            return Err(field("media", 21, u32::from(media)));
        }
        let root_entries = u64::from(u16_at(17));
        let (short_total, long_total) = (u16_at(19), u32_at(32));
        let total = if short_total != 0 {
            u64::from(short_total)
        } else {
            u64::from(long_total)
        };
        let (short_fat, long_fat) = (u16_at(22), u32_at(36));
        // As Linux does: what has no 16-bit length of its table is a FAT32, however few clusters it has.
        let is_fat32 = short_fat == 0 && long_fat != 0;
        let fat_sectors = if is_fat32 {
            u64::from(long_fat)
        } else {
            u64::from(short_fat)
        };
        if fat_sectors == 0 {
            return Err(field("sectors per FAT", 22, 0));
        }
        let sector = u64::from(sector_len);
        let root_sectors = if is_fat32 {
            0
        } else {
            (root_entries * 32).div_ceil(sector)
        };
        if !is_fat32 && root_entries == 0 {
            return Err(field("root entries", 17, 0));
        }
        // None of this can overflow: the factors have at most 32, 8 and 12 bits.
        let root_sector = reserved + fat_sectors * u64::from(fat_count);
        let data_sector = root_sector + root_sectors;
        let data_clusters = total.saturating_sub(data_sector) / u64::from(per_cluster);
        if data_clusters == 0 {
            return Err(field(
                "total sectors",
                32,
                u32::try_from(total).unwrap_or(u32::MAX),
            ));
        }
        let kind = if is_fat32 {
            FatKind::Fat32
        } else if data_clusters <= MAX_FAT12_CLUSTERS {
            FatKind::Fat12
        } else {
            FatKind::Fat16
        };
        let fat_len = fat_sectors * sector;
        let (limit, in_table) = match kind {
            FatKind::Fat12 => (MAX_FAT12_CLUSTERS, fat_len * 2 / 3),
            FatKind::Fat16 => (MAX_FAT16_CLUSTERS, fat_len / 2),
            FatKind::Fat32 => (MAX_FAT32_CLUSTERS, fat_len / 4),
        };
        let in_table = in_table.saturating_sub(u64::from(FIRST_CLUSTER));
        let clusters = data_clusters.min(in_table);
        if clusters == 0 || clusters > limit {
            return Err(field(
                "sectors per FAT",
                22,
                u32::try_from(fat_sectors).unwrap_or(u32::MAX),
            ));
        }
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        let root_cluster = if is_fat32 { u32_at(44) } else { 0 };
        if is_fat32 && !(FIRST_CLUSTER..clusters + FIRST_CLUSTER).contains(&root_cluster) {
            return Err(field("cluster of the root directory", 44, root_cluster));
        }
        let flags = if is_fat32 { u16_at(40) } else { 0 };
        let active_fat = if flags & 0x80 != 0 {
            (flags & 0x0f) as u8
        } else {
            0
        };
        if active_fat >= fat_count {
            return Err(field("active FAT", 40, u32::from(active_fat)));
        }
        // The extended fields lie after the 16-bit or the 32-bit parameter block.
        let extended = if is_fat32 { 64 } else { 36 };
        let signature = bytes[extended + 2];
        let has_serial = matches!(signature, 0x28 | 0x29);
        let label = bytes[extended + 7..].first_chunk::<11>().copied();
        Ok(Self {
            kind,
            sector_len,
            cluster_len: sector_len * per_cluster,
            fat_offset: reserved * sector,
            fat_len,
            fat_count,
            active_fat,
            mirrored: flags & 0x80 == 0,
            fs_info_offset: Some(u64::from(u16_at(48)))
                .filter(|number| is_fat32 && *number > 0 && *number < reserved)
                .map(|number| number * sector),
            root_offset: root_sector * sector,
            root_len: root_sectors * sector,
            root_cluster,
            data_offset: data_sector * sector,
            clusters,
            serial: has_serial.then(|| u32_at(extended + 3)),
            label: label.filter(|label| signature == 0x29 && label != NO_NAME),
            dirty: bytes[extended + 1] & 1 != 0,
        })
    }

    /// Whether a number is one of a cluster that exists.
    pub(crate) fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= FIRST_CLUSTER && cluster - FIRST_CLUSTER < self.clusters
    }

    /// Where a cluster begins.
    pub(crate) fn cluster_offset(&self, cluster: u32) -> u64 {
        self.data_offset + u64::from(cluster.saturating_sub(FIRST_CLUSTER)) * u64::from(self.cluster_len)
    }
}

/// The error for damage of any kind.
pub(crate) fn corrupt(detail: String) -> Error {
    Error::Corrupt {
        filesystem: "vfat".into(),
        detail,
    }
}

fn field(name: &str, offset: usize, value: u32) -> Error {
    corrupt(format!("boot sector: {name} at offset {offset} is {value}"))
}
