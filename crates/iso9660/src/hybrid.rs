//! Images that are started from a disk as well as from a CD-ROM: a boot record in the system area, partition tables over
//! the image, and partitions behind it.

use crate::partition_table::{Gpt, GptPartition, MbrPartition, PartitionType, SECTOR, put_mbr};
use crate::source::Source;
use crate::volume_descriptor::{BLOCK, put};
use sha2::{Digest, Sha256};

/// Sectors of 512 bytes in a block.
const SECTORS_A_BLOCK: u64 = BLOCK as u64 / SECTOR;
/// Where boot records look for the address of the boot image.
const BOOT_ADDRESS: usize = 432;
/// Where a master boot record has the serial number of its disk.
const DISK_SERIAL: usize = 440;

/// What the master boot record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HybridKind {
    /// The system area stays as it was given, unless partitions are appended.
    #[default]
    None,
    /// One partition over the whole image, so that partition editors leave it alone.
    Protective,
    /// A record of ISOLINUX's (`isohdpfx.bin`), which finds the first boot image by an address in it.
    Isolinux,
    /// A record of GRUB 2's (`boot_hybrid.img`), which finds the first boot image by an address in it.
    Grub2,
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
    /// Whether UEFI boot images show as partitions, in a GUID partition table too.
    pub efi_partitions: bool,
    /// Partitions behind the image.
    pub appended: Vec<AppendedPartition>,
    /// Whether these stand in a GUID partition table instead of the master boot record.
    pub appended_in_gpt: bool,
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
        (self.kind, self.efi_partitions, self.appended_in_gpt)
            == (other.kind, other.efi_partitions, other.appended_in_gpt)
            && list(self) == list(other)
    }
}

impl Eq for Hybrid {}

/// A range of blocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) blocks: u32,
}

impl Range {
    fn start(self) -> u64 {
        u64::from(self.start) * SECTORS_A_BLOCK
    }

    fn sectors(self) -> u64 {
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
    pub(crate) efi_images: Vec<Range>,
    pub(crate) appended: Vec<Range>,
    /// What tells this image from others; the same image gets the same numbers.
    pub(crate) identity: String,
}

impl Hybrid {
    /// Whether there is a GUID partition table.
    pub(crate) fn has_gpt(&self) -> bool {
        self.efi_partitions || (self.appended_in_gpt && !self.appended.is_empty())
    }

    /// Whether there is anything to be written at all.
    pub(crate) fn is_plain(&self) -> bool {
        self.kind == HybridKind::None && self.appended.is_empty() && !self.efi_partitions
    }

    /// Writes the tables over the system area.
    pub(crate) fn put(&self, layout: &HybridLayout, area: &mut [u8]) {
        if self.is_plain() {
            return;
        }
        let whole = u64::from(layout.image_blocks) * SECTORS_A_BLOCK;
        let address = layout.boot_image.map(|block| u64::from(block) * SECTORS_A_BLOCK);
        let identity = identity(&layout.identity);
        let mut partitions = Vec::new();
        match self.kind {
            HybridKind::Isolinux => {
                put(area, BOOT_ADDRESS, &address.unwrap_or(0).to_le_bytes());
                let serial: [u8; 4] = [identity[0], identity[1], identity[2], identity[3]];
                put(area, DISK_SERIAL, &serial);
                partitions.push(MbrPartition {
                    number: 1,
                    active: true,
                    kind: 0x17,
                    start: 0,
                    sectors: whole,
                });
            }
            HybridKind::Grub2 | HybridKind::Protective => {
                if self.kind == HybridKind::Grub2 {
                    // GRUB's first sector of the image is its boot sector for CD-ROMs, four sectors long.
                    let address = address.map_or(0, |sector| sector + SECTORS_A_BLOCK);
                    put(area, BOOT_ADDRESS, &address.to_le_bytes());
                }
                partitions.push(MbrPartition {
                    number: 1,
                    active: self.kind == HybridKind::Grub2,
                    kind: if self.appended_in_gpt { 0xEE } else { 0xCD },
                    start: 1,
                    sectors: (if self.appended_in_gpt {
                        u64::from(layout.blocks) * SECTORS_A_BLOCK
                    } else {
                        whole
                    })
                    .saturating_sub(1),
                });
            }
            HybridKind::None if self.has_gpt() => partitions.push(MbrPartition {
                number: 1,
                active: false,
                kind: 0xEE,
                start: 1,
                sectors: (u64::from(layout.blocks) * SECTORS_A_BLOCK).saturating_sub(1),
            }),
            HybridKind::None => {}
        }
        if self.efi_partitions {
            for (number, range) in (2..=4).zip(&layout.efi_images) {
                partitions.push(MbrPartition {
                    number,
                    active: false,
                    kind: 0xEF,
                    start: range.start(),
                    sectors: range.sectors(),
                });
            }
        }
        if !self.appended_in_gpt {
            for (partition, range) in self.appended.iter().zip(&layout.appended) {
                // What was asked for under a number takes it.
                partitions.retain(|p| p.number != partition.number);
                partitions.push(MbrPartition {
                    number: partition.number,
                    active: false,
                    kind: partition.kind.byte(),
                    start: range.start(),
                    sectors: range.sectors(),
                });
            }
        }
        put_mbr(area, &partitions);
        if let Some(gpt) = self.gpt(layout) {
            gpt.put_primary(area);
        }
    }

    /// The GUID partition table, if there is one.
    pub(crate) fn gpt(&self, layout: &HybridLayout) -> Option<Gpt> {
        if !self.has_gpt() {
            return None;
        }
        let mut partitions = Vec::new();
        if self.efi_partitions {
            for range in &layout.efi_images {
                partitions.push(GptPartition {
                    kind: PartitionType::BASIC_DATA.guid(),
                    name: format!("ISOHybrid{}", partitions.len() + 1),
                    start: range.start(),
                    sectors: range.sectors(),
                });
            }
        }
        if self.appended_in_gpt {
            for (partition, range) in self.appended.iter().zip(&layout.appended) {
                partitions.push(GptPartition {
                    kind: partition.kind.guid(),
                    name: format!("Appended{}", partition.number),
                    start: range.start(),
                    sectors: range.sectors(),
                });
            }
        }
        let mut disk = identity(&layout.identity);
        // Version and variant of a random UUID (RFC 9562, 5.4).
        disk[7] = disk[7] & 0x0F | 0x40;
        disk[8] = disk[8] & 0x3F | 0x80;
        Some(Gpt {
            disk,
            sectors: u64::from(layout.blocks) * SECTORS_A_BLOCK,
            partitions,
        })
    }
}

/// Sixteen bytes that follow from a text.
fn identity(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = from;
    }
    out
}
