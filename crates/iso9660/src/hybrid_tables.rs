//! Which partitions the tables of a hybrid image list: laid out as xorriso lays them out.

use crate::hybrid::{Hybrid, HybridKind, HybridLayout, Range, SECTORS_A_BLOCK, geometry, identity};
use crate::partition_table::{
    GPT_FIRST_USABLE, GPT_READ_ONLY, Gpt, GptPartition, MbrPartition, PartitionType, put_mbr,
};
use crate::volume_descriptor::put;

/// Where boot records look for the address of the boot image.
const BOOT_ADDRESS: usize = 432;
/// Where a master boot record has the serial number of its disk.
const DISK_SERIAL: usize = 440;
/// Where a master boot record says that it is one.
const SIGNATURE: usize = 510;
/// The type of a partition that only keeps a GUID partition table from editors that do not know it (UEFI 2.10, 5.2.3).
const PROTECTIVE: u8 = 0xEE;
/// The types of a partition that holds an ISO image: with partitions behind it, of ISOLINUX's, and any other.
const LINUX: u8 = 0x83;
const HIDDEN_NTFS: u8 = 0x17;
const ISO9660: u8 = 0xCD;
const EFI_SYSTEM: u8 = 0xEF;

impl Hybrid {
    /// Writes boot record and tables over the system area.
    pub(crate) fn put(&self, layout: &HybridLayout, area: &mut [u8]) {
        let address = layout.boot_image.map(|block| u64::from(block) * SECTORS_A_BLOCK);
        match self.kind {
            HybridKind::None => {}
            HybridKind::Isolinux => {
                put(area, BOOT_ADDRESS, &address.unwrap_or(0).to_le_bytes());
                let [a, b, c, d, ..] = identity(&layout.identity);
                put(area, DISK_SERIAL, &[a, b, c, d]);
            }
            HybridKind::Grub2 => {
                // GRUB's first sector of the image is its boot sector for CD-ROMs, four sectors long.
                let address = address.map_or(0, |sector| sector + SECTORS_A_BLOCK);
                put(area, BOOT_ADDRESS, &address.to_le_bytes());
            }
        }
        let partitions = self.mbr(layout);
        if !partitions.is_empty() {
            put_mbr(area, &partitions, geometry(sectors(layout.image_blocks)));
            // An entry that is there only to be active does not make the image a partitioned disk.
            if partitions.iter().all(|p| p.sectors <= 1) {
                put(area, SIGNATURE, &[0, 0]);
            }
        }
        if let Some(gpt) = self.gpt(layout) {
            gpt.put_primary(area);
        }
    }

    /// The entries of the master boot record.
    fn mbr(&self, layout: &HybridLayout) -> Vec<MbrPartition> {
        let mut out = Vec::new();
        let gpt = self.has_gpt(!layout.marked.is_empty(), layout.efi_image.is_some());
        let shows = self.shows_boot_images(!layout.marked.is_empty());
        let isolinux = self.kind == HybridKind::Isolinux;
        let all_in_gpt = self.appended_in_gpt && !self.appended.is_empty();
        let start = sectors(self.partition_offset);
        let image = sectors(layout.image_blocks);
        let first = |active: bool, usual: u8, start: u64, end: u64| MbrPartition {
            number: 1,
            active,
            kind: self.image_type.map_or(usual, PartitionType::byte),
            start,
            sectors: end.saturating_sub(start),
        };
        if gpt && (all_in_gpt || !shows) {
            out.push(MbrPartition {
                kind: PROTECTIVE,
                ..first(false, PROTECTIVE, 1, sectors(layout.blocks))
            });
        } else if shows && isolinux {
            // Type 0 is no partition to firmware, which refuses a table of which two entries lie over each other.
            out.push(first(true, 0, start, image));
        } else if shows {
            // Those who ask for the boot images of any record want no partition of the whole.
        } else if isolinux {
            out.push(first(true, HIDDEN_NTFS, start, image));
        } else if self.protective {
            out.push(first(true, ISO9660, start.max(1), image));
        } else if !self.appended.is_empty() || start > 0 {
            let active = self.kind == HybridKind::Grub2 || self.bootable;
            let usual = if start > 0 { ISO9660 } else { LINUX };
            out.push(first(active, usual, start, image));
        }
        if !self.appended_in_gpt {
            for (partition, range) in self.appended.iter().zip(&layout.appended) {
                // What was asked for under a number takes it.
                out.retain(|p| p.number != partition.number);
                out.push(MbrPartition {
                    number: partition.number,
                    active: false,
                    kind: partition.kind.byte(),
                    start: range.start(),
                    sectors: range.sectors(),
                });
            }
        }
        let free = |taken: &[MbrPartition]| (1..=4u8).find(|n| taken.iter().all(|p| p.number != *n));
        if shows && isolinux {
            for (range, bytes) in &layout.marked {
                let Some(number) = free(&out) else { break };
                out.push(MbrPartition {
                    number,
                    active: false,
                    kind: EFI_SYSTEM,
                    start: range.start(),
                    sectors: bytes.div_ceil(512),
                });
            }
        }
        if self.bootable
            && out.iter().all(|p| !p.active)
            && let Some(number) = free(&out)
        {
            out.push(MbrPartition {
                number,
                active: true,
                kind: 0,
                start: 0,
                sectors: 1,
            });
        }
        out
    }

    /// The GUID partition table, if there is one.
    pub(crate) fn gpt(&self, layout: &HybridLayout) -> Option<Gpt> {
        if !self.has_gpt(!layout.marked.is_empty(), layout.efi_image.is_some()) {
            return None;
        }
        let disk = self.disk_guid.unwrap_or_else(|| {
            let mut disk = identity(&layout.identity);
            // Version and variant of a random UUID (RFC 9562, 5.4).
            disk[7] = disk[7] & 0x0F | 0x40;
            disk[8] = disk[8] & 0x3F | 0x80;
            disk
        });
        let mut gpt = Gpt {
            disk,
            sectors: sectors(layout.blocks),
            partitions: Vec::new(),
        };
        let usable = gpt.sectors.saturating_sub(GPT_FIRST_USABLE);
        let start = sectors(self.partition_offset);
        let shows = self.shows_boot_images(!layout.marked.is_empty());
        let partition = |name: String, kind: PartitionType, range: Range| GptPartition {
            kind: kind.guid(),
            name,
            start: range.start(),
            sectors: range.sectors(),
            attributes: GPT_READ_ONLY,
        };
        if shows {
            let named = layout.marked.iter().zip(1..);
            gpt.partitions.extend(named.map(|((range, _), number)| {
                partition(format!("ISOHybrid{number}"), PartitionType::BASIC_DATA, *range)
            }));
        } else if let Some(range) = layout.efi_image.filter(|_| self.efi_partition) {
            let name = "EFI boot partition".to_owned();
            gpt.partitions
                .push(partition(name, PartitionType::EFI_SYSTEM, range));
        }
        if self.appended_in_gpt || shows {
            for (appended, range) in self.appended.iter().zip(&layout.appended) {
                gpt.partitions.push(GptPartition {
                    attributes: 0,
                    ..partition(format!("Appended{}", appended.number), appended.kind, *range)
                });
            }
        }
        gpt.partitions.sort_by_key(|p| p.start);
        if !shows {
            self.fill_gaps(
                &mut gpt,
                start.max(GPT_FIRST_USABLE),
                sectors(layout.image_blocks),
            );
        } else if self.kind == HybridKind::Isolinux {
            let end = sectors(layout.image_blocks).min(usable);
            gpt.partitions.insert(
                0,
                GptPartition {
                    kind: self.image_type.unwrap_or(PartitionType::BASIC_DATA).guid(),
                    name: "ISOHybrid".into(),
                    start,
                    sectors: end.saturating_sub(start),
                    attributes: GPT_READ_ONLY,
                },
            );
        }
        Some(gpt)
    }

    /// Puts partitions where there are none, so that partition editors see no free space; the one that is the image is
    /// named so.
    fn fill_gaps(&self, gpt: &mut Gpt, first: u64, image: u64) {
        let end = gpt.sectors.saturating_sub(GPT_FIRST_USABLE);
        let mut gaps = 0;
        let mut at = first;
        let mut out = Vec::with_capacity(gpt.partitions.len() * 2 + 1);
        let mut fill = |at: u64, to: u64, out: &mut Vec<GptPartition>| {
            if to <= at {
                return;
            }
            let whole = self.partition_offset > 0 && gaps == 0 && at == first && to == image;
            let kind = self.image_type.filter(|_| whole);
            out.push(GptPartition {
                kind: kind.unwrap_or(PartitionType::BASIC_DATA).guid(),
                name: if whole {
                    "ISO9660".into()
                } else {
                    format!("Gap{gaps}")
                },
                start: at,
                sectors: to - at,
                attributes: GPT_READ_ONLY,
            });
            gaps += 1;
        };
        for partition in gpt.partitions.drain(..) {
            fill(at, partition.start, &mut out);
            at = at.max(partition.start + partition.sectors);
            out.push(partition);
        }
        fill(at, end, &mut out);
        gpt.partitions = out;
    }
}

fn sectors(blocks: u32) -> u64 {
    u64::from(blocks) * SECTORS_A_BLOCK
}
