//! Feature flags of the superblock, their names, and what is done about each.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.1 (super block), tables of
//! `s_feature_compat`, `s_feature_incompat`, `s_feature_ro_compat`. Names are those of `dumpe2fs`.

use crate::error::{Error, Result};
use bitflags::bitflags;

bitflags! {
    /// Features that may be ignored by who does not know them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Compat: u32 {
        /// Directory preallocation (never implemented).
        const DIR_PREALLOC = 0x1;
        /// AFS server inodes.
        const IMAGIC_INODES = 0x2;
        /// There is a journal.
        const HAS_JOURNAL = 0x4;
        /// Extended attributes.
        const EXT_ATTR = 0x8;
        /// Blocks are reserved for growing the descriptor table.
        const RESIZE_INODE = 0x10;
        /// Hashed directories.
        const DIR_INDEX = 0x20;
        /// Lazily initialised block groups (never merged).
        const LAZY_BG = 0x40;
        /// Excluded inodes (never merged).
        const EXCLUDE_INODE = 0x80;
        /// Excluded bitmap (never merged).
        const EXCLUDE_BITMAP = 0x100;
        /// Backup superblocks only in the two groups of `s_backup_bgs`.
        const SPARSE_SUPER2 = 0x200;
        /// Fast commits in the journal.
        const FAST_COMMIT = 0x400;
        /// Inode numbers and the UUID must not change.
        const STABLE_INODES = 0x800;
        /// There is an orphan file.
        const ORPHAN_FILE = 0x1000;
    }

    /// Features without which a filesystem cannot even be read.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Incompat: u32 {
        /// Compression (never merged).
        const COMPRESSION = 0x1;
        /// Directory entries tell the file type.
        const FILETYPE = 0x2;
        /// The journal must be replayed.
        const RECOVER = 0x4;
        /// This is an external journal, no filesystem.
        const JOURNAL_DEV = 0x8;
        /// Descriptor blocks stand in their own meta groups.
        const META_BG = 0x10;
        /// Extents.
        const EXTENTS = 0x40;
        /// 64-bit block numbers.
        const BIT64 = 0x80;
        /// Multi-mount protection.
        const MMP = 0x100;
        /// Bitmaps and inode tables may stand in other groups.
        const FLEX_BG = 0x200;
        /// Values of large extended attributes in inodes.
        const EA_INODE = 0x400;
        /// Data in directory entries (never merged).
        const DIRDATA = 0x1000;
        /// The checksum seed stands in the superblock.
        const CSUM_SEED = 0x2000;
        /// Directories above 2 GiB, or hashed with 3 levels.
        const LARGEDIR = 0x4000;
        /// Small files and directories in the inode.
        const INLINE_DATA = 0x8000;
        /// Encrypted files.
        const ENCRYPT = 0x1_0000;
        /// Case-insensitive directories.
        const CASEFOLD = 0x2_0000;
    }

    /// Features that are needed for writing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct RoCompat: u32 {
        /// Backup superblocks only in groups 0, 1 and powers of 3, 5, 7.
        const SPARSE_SUPER = 0x1;
        /// There is a file of 2 GiB or more.
        const LARGE_FILE = 0x2;
        /// B-tree directories (never implemented).
        const BTREE_DIR = 0x4;
        /// There may be files with sizes counted in filesystem blocks.
        const HUGE_FILE = 0x8;
        /// Group descriptors have a crc16.
        const GDT_CSUM = 0x10;
        /// Directories may have more than 65,000 links, then counted as 1.
        const DIR_NLINK = 0x20;
        /// Inodes have extra fields.
        const EXTRA_ISIZE = 0x40;
        /// There is a snapshot (never merged).
        const HAS_SNAPSHOT = 0x80;
        /// Quotas in hidden inodes.
        const QUOTA = 0x100;
        /// Blocks are allocated in clusters.
        const BIGALLOC = 0x200;
        /// crc32c of all metadata.
        const METADATA_CSUM = 0x400;
        /// Replicas (never merged).
        const REPLICA = 0x800;
        /// The filesystem must not be written.
        const READONLY = 0x1000;
        /// Project quotas.
        const PROJECT = 0x2000;
        /// Shared blocks (Android).
        const SHARED_BLOCKS = 0x4000;
        /// Verity files.
        const VERITY = 0x8000;
        /// The orphan file may hold orphans.
        const ORPHAN_PRESENT = 0x1_0000;
    }
}

const COMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "dir_prealloc"),
    (0x2, "imagic_inodes"),
    (0x4, "has_journal"),
    (0x8, "ext_attr"),
    (0x10, "resize_inode"),
    (0x20, "dir_index"),
    (0x40, "lazy_bg"),
    (0x80, "exclude_inode"),
    (0x100, "snapshot_bitmap"),
    (0x200, "sparse_super2"),
    (0x400, "fast_commit"),
    (0x800, "stable_inodes"),
    (0x1000, "orphan_file"),
];

const INCOMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x2, "filetype"),
    (0x4, "needs_recovery"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x40, "extent"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

const RO_COMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "sparse_super"),
    (0x2, "large_file"),
    (0x4, "btree_dir"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "has_snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present"),
];

fn names(table: &[(u32, &str)], prefix: &str, bits: u32) -> Vec<String> {
    (0..32)
        .map(|i| 1u32 << i)
        .filter(|bit| bits & bit != 0)
        .map(|bit| match table.iter().find(|(b, _)| *b == bit) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("{prefix}_{bit:#x}"),
        })
        .collect()
}

/// The three feature sets of a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// May be ignored.
    pub compat: Compat,
    /// Needed for reading.
    pub incompat: Incompat,
    /// Needed for writing.
    pub ro_compat: RoCompat,
}

/// Incompatible features that reading is implemented for.
const READABLE: Incompat = Incompat::FILETYPE
    .union(Incompat::RECOVER)
    .union(Incompat::META_BG)
    .union(Incompat::EXTENTS)
    .union(Incompat::BIT64)
    .union(Incompat::MMP)
    .union(Incompat::FLEX_BG)
    .union(Incompat::EA_INODE)
    .union(Incompat::CSUM_SEED)
    .union(Incompat::LARGEDIR)
    .union(Incompat::INLINE_DATA)
    .union(Incompat::ENCRYPT)
    .union(Incompat::CASEFOLD);

/// Read-only compatible features that writing is implemented for.
const WRITABLE: RoCompat = RoCompat::SPARSE_SUPER
    .union(RoCompat::LARGE_FILE)
    .union(RoCompat::HUGE_FILE)
    .union(RoCompat::GDT_CSUM)
    .union(RoCompat::DIR_NLINK)
    .union(RoCompat::EXTRA_ISIZE)
    .union(RoCompat::BIGALLOC)
    .union(RoCompat::METADATA_CSUM)
    .union(RoCompat::QUOTA)
    .union(RoCompat::PROJECT)
    .union(RoCompat::VERITY)
    .union(RoCompat::ORPHAN_PRESENT);

impl Features {
    /// From the three words of the superblock; unknown bits are kept.
    pub fn from_bits(compat: u32, incompat: u32, ro_compat: u32) -> Self {
        Self {
            compat: Compat::from_bits_retain(compat),
            incompat: Incompat::from_bits_retain(incompat),
            ro_compat: RoCompat::from_bits_retain(ro_compat),
        }
    }

    /// Names of all features, as `dumpe2fs` writes them.
    pub fn names(&self) -> Vec<String> {
        let mut all = names(COMPAT_NAMES, "FEATURE_C", self.compat.bits());
        all.extend(names(INCOMPAT_NAMES, "FEATURE_I", self.incompat.bits()));
        all.extend(names(RO_COMPAT_NAMES, "FEATURE_R", self.ro_compat.bits()));
        all
    }

    /// Refuses a filesystem that cannot be read.
    ///
    /// # Errors
    /// [`Error::UnsupportedFeatures`] names every feature that stands in the way.
    pub fn check_readable(&self) -> Result<()> {
        let unknown = self.incompat.difference(READABLE);
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Error::UnsupportedFeatures {
            names: names(INCOMPAT_NAMES, "FEATURE_I", unknown.bits()).join(", "),
        })
    }

    /// The features that forbid writing, comma separated; `None` where it can be written.
    pub fn read_only_reason(&self) -> Option<String> {
        let mut list = names(
            RO_COMPAT_NAMES,
            "FEATURE_R",
            self.ro_compat.difference(WRITABLE).bits(),
        );
        let unwritable = Compat::LAZY_BG | Compat::EXCLUDE_INODE | Compat::EXCLUDE_BITMAP;
        list.extend(names(
            COMPAT_NAMES,
            "FEATURE_C",
            self.compat.intersection(unwritable).bits(),
        ));
        (!list.is_empty()).then(|| list.join(", "))
    }

    /// Whether all metadata has a crc32c.
    pub fn has_metadata_csum(&self) -> bool {
        self.ro_compat.contains(RoCompat::METADATA_CSUM)
    }

    /// Whether group descriptors have a checksum of either kind, and groups may be uninitialised.
    pub fn has_group_checksums(&self) -> bool {
        self.ro_compat
            .intersects(RoCompat::METADATA_CSUM | RoCompat::GDT_CSUM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_are_named() {
        let features = Features::from_bits(0, 0x2 | 0x1 | 0x20, 0);
        let error = features.check_readable().unwrap_err().to_string();
        assert!(error.ends_with("compression, FEATURE_I_0x20"), "{error}");
        let features = Features::from_bits(0, 0x2, 0x8000_0000 | 0x4000);
        assert_eq!(
            features.read_only_reason().as_deref(),
            Some("shared_blocks, FEATURE_R_0x80000000")
        );
    }
}
