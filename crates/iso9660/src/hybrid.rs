//! Images that are started from a disk as well as from a CD-ROM: what is asked for of the boot record in the system area,
//! of partition tables over the image, and of partitions behind it.

use crate::partition_table::{PartitionType, SECTOR};
use crate::source::Source;
use crate::volume_descriptor::BLOCK;
use sha2::{Digest, Sha256};

/// Sectors of 512 bytes in a block.
pub(crate) const SECTORS_A_BLOCK: u64 = BLOCK as u64 / SECTOR;

/// What the master boot record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HybridKind {
    /// The system area stays as it was given, unless there are partitions.
    #[default]
    None,
    /// A record of ISOLINUX's (`isohdpfx.bin`), which finds the first boot image by an address in it.
    Isolinux,
    /// A record of GRUB 2's (`boot_hybrid.img`), which finds the first boot image by an address in it.
    Grub2,
}

/// Whether the image is padded to whole cylinders, which some partition editors expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CylinderAlignment {
    /// With a record of ISOLINUX's.
    #[default]
    Auto,
    /// With a protective partition too.
    On,
    /// Appended partitions as well.
    All,
    /// Never.
    Off,
}

/// A partition behind the image.
#[derive(Debug, Clone)]
pub struct AppendedPartition {
    /// Its number, from 1 to 4.
    pub number: u8,
    /// What it is for.
    pub kind: PartitionType,
    /// Its bytes.
    pub source: Source,
}

/// Partition tables of an image, and partitions behind it.
#[derive(Debug, Clone, Default)]
pub struct Hybrid {
    /// What the master boot record is.
    pub kind: HybridKind,
    /// Whether one partition lies over the whole image, so that partition editors leave it alone.
    pub protective: bool,
    /// Whether the first UEFI boot image is a partition of a GUID partition table.
    pub efi_partition: bool,
    /// Whether boot images that are to show as partitions do so without a record of ISOLINUX's too.
    pub partitions_of_any_record: bool,
    /// Partitions behind the image.
    pub appended: Vec<AppendedPartition>,
    /// Whether these stand in a GUID partition table instead of the master boot record.
    pub appended_in_gpt: bool,
    /// The block at which the partition begins that holds the image; a second set of descriptors and directories, counted
    /// from there, makes it a filesystem of its own. 0: there is no second set.
    pub partition_offset: u32,
    /// What that partition is said to be; `None`: what is usual.
    pub image_type: Option<PartitionType>,
    /// The GUID of the disk as it is written; `None`: one that follows from the image.
    pub disk_guid: Option<[u8; 16]>,
    /// Whether some partition of the master boot record is marked active, were it an empty one: some BIOSes want that.
    pub bootable: bool,
    /// Whether the image is padded to whole cylinders.
    pub alignment: CylinderAlignment,
}

impl PartialEq for Hybrid {
    /// Whether both make the same tables; the bytes of appended partitions are not compared.
    fn eq(&self, other: &Self) -> bool {
        let list = |it: &Self| -> Vec<(u8, PartitionType, u64)> {
            it.appended
                .iter()
                .map(|p| (p.number, p.kind, p.source.size()))
                .collect()
        };
        let flags = |it: &Self| {
            (
                (
                    it.kind,
                    it.protective,
                    it.efi_partition,
                    it.partitions_of_any_record,
                ),
                (it.appended_in_gpt, it.partition_offset, it.image_type),
                (it.disk_guid, it.bootable, it.alignment),
            )
        };
        flags(self) == flags(other) && list(self) == list(other)
    }
}

impl Eq for Hybrid {}

/// A range of blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) blocks: u32,
}

impl Range {
    /// First sector.
    pub(crate) fn start(self) -> u64 {
        u64::from(self.start) * SECTORS_A_BLOCK
    }

    /// How many sectors.
    pub(crate) fn sectors(self) -> u64 {
        u64::from(self.blocks) * SECTORS_A_BLOCK
    }
}

/// Where the parts of a hybrid image lie.
#[derive(Debug, Default)]
pub(crate) struct HybridLayout {
    /// Blocks of the image itself.
    pub(crate) image_blocks: u32,
    /// Blocks of the whole file.
    pub(crate) blocks: u32,
    /// The first boot image.
    pub(crate) boot_image: Option<u32>,
    /// The first UEFI boot image, where it is a file.
    pub(crate) efi_image: Option<Range>,
    /// The boot images that are to show as partitions, and their sizes in bytes.
    pub(crate) marked: Vec<(Range, u64)>,
    pub(crate) appended: Vec<Range>,
    /// What tells this image from others; the same image gets the same numbers.
    pub(crate) identity: String,
}

impl Hybrid {
    /// Whether boot images show as partitions, as those of the program `isohybrid` do. `marked` says whether there are any.
    pub(crate) fn shows_boot_images(&self, marked: bool) -> bool {
        marked && (self.kind == HybridKind::Isolinux || self.partitions_of_any_record)
    }

    /// Whether there is a GUID partition table. `marked` and `efi` say whether such boot images are there.
    pub(crate) fn has_gpt(&self, marked: bool, efi: bool) -> bool {
        self.shows_boot_images(marked)
            || (self.efi_partition && efi)
            || (self.appended_in_gpt && !self.appended.is_empty())
    }

    /// Whether the image ends at a cylinder's end.
    pub(crate) fn is_aligned(&self) -> bool {
        match self.alignment {
            CylinderAlignment::Off => false,
            CylinderAlignment::Auto => self.kind == HybridKind::Isolinux,
            CylinderAlignment::On | CylinderAlignment::All => {
                self.kind == HybridKind::Isolinux || self.protective
            }
        }
    }
}

/// Heads and sectors a track that a disk of so many sectors is said to have: cylinders of 1 MiB as long as 1024 of them do.
pub(crate) fn geometry(sectors: u64) -> (u64, u64) {
    const MEBI: u64 = 1 << 11;
    match sectors {
        n if n <= 1024 * MEBI => (64, 32),
        n if n <= 2048 * MEBI => (128, 32),
        n if n <= 255 * 32 * 1024 => (255, 32),
        _ => (255, 63),
    }
}

/// The block at which a cylinder ends, at or behind `block`. Where no block ends with a cylinder, a few cylinders on.
pub(crate) fn align(block: u64) -> u64 {
    let (heads, sectors) = geometry(block.saturating_mul(SECTORS_A_BLOCK));
    let cylinder = heads * sectors;
    let blocks = if cylinder.is_multiple_of(SECTORS_A_BLOCK) {
        cylinder / SECTORS_A_BLOCK
    } else {
        cylinder
    };
    block.div_ceil(blocks).saturating_mul(blocks)
}

/// Sixteen bytes that follow from a text.
pub(crate) fn identity(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = from;
    }
    out
}
