//! El Torito boot images: the boot record, the catalogue, and the table patched into an image ("El Torito" Bootable
//! CD-ROM Format Specification 1.0; UEFI 2.10, 13.3.2.1).

use crate::tree::{NodeId, Visibility};
use crate::volume_descriptor::{BLOCK, IDENTIFIER, put};
use byteorder::{ByteOrder, LittleEndian};

/// Bytes of an entry of the catalogue.
const ENTRY: usize = 32;
/// Where the boot information table stands in an image, and how long it is.
pub(crate) const INFO_TABLE: std::ops::Range<usize> = 8..64;

/// The firmware that a boot image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// PC BIOS.
    Bios,
    /// UEFI: the image is a FAT filesystem.
    Efi,
    /// Another one, by its number: 1 is PowerPC, 2 is Mac.
    Other(u8),
}

impl Platform {
    fn code(self) -> u8 {
        match self {
            Self::Bios => 0,
            Self::Efi => 0xEF,
            Self::Other(code) => code,
        }
    }
}

/// What the firmware pretends the image to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emulation {
    /// Nothing: it is loaded to memory and started.
    #[default]
    None,
    /// A floppy of 1.2 MiB, 1.44 MiB or 2.88 MiB, by the size of the image.
    Floppy,
    /// A hard disk, whose first partition has this type byte.
    HardDisk {
        /// Partition type of the image's only partition.
        partition_type: u8,
    },
}

/// Where a boot image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootImage {
    /// A regular file of the tree.
    File(NodeId),
    /// The partition of this number behind the image ([`Hybrid::appended`](crate::Hybrid::appended)).
    Appended(u8),
}

impl From<NodeId> for BootImage {
    fn from(file: NodeId) -> Self {
        Self::File(file)
    }
}

/// One boot image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// The firmware that it is for.
    pub platform: Platform,
    /// The image.
    pub image: BootImage,
    /// What it pretends to be.
    pub emulation: Emulation,
    /// Real-mode segment to load it to; 0 is the usual 0x07C0.
    pub load_segment: u16,
    /// How many units of 512 bytes the firmware loads. `None`: the whole image without emulation, 1 with.
    pub load_sectors: Option<u16>,
    /// Whether to write a boot information table to bytes 8 to 63 of the image, as ISOLINUX and GRUB want.
    pub info_table: bool,
    /// Whether to write the image's address at byte 2548 of it, as GRUB 2 wants.
    pub grub2_info: bool,
    /// Whether firmware may start it.
    pub bootable: bool,
    /// Whether it shows as a partition too, where the boot record is one of ISOLINUX's.
    pub partition: bool,
    /// Who made it: at most 24 bytes for the default entry, 28 for others.
    pub id: Vec<u8>,
    /// Selection criteria, by their type byte and at most 19 more; for entries after the default one.
    pub criteria: Vec<u8>,
}

impl BootEntry {
    /// An image without emulation, with defaults for the rest.
    pub fn new(platform: Platform, image: impl Into<BootImage>) -> Self {
        Self {
            platform,
            image: image.into(),
            emulation: Emulation::None,
            load_segment: 0,
            load_sectors: None,
            info_table: false,
            grub2_info: false,
            bootable: true,
            partition: false,
            id: Vec::new(),
            criteria: Vec::new(),
        }
    }
}

/// The boot catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootCatalog {
    /// The boot images, the default one first. At least one, at most 30.
    pub entries: Vec<BootEntry>,
    /// Directory and name under which the catalogue shows as a file; `None` hides it.
    pub file: Option<(NodeId, Vec<u8>)>,
    /// Where that file does not show.
    pub visibility: Visibility,
}

/// Most entries that one block of catalogue holds, were each in a section of its own.
pub(crate) const MAX_ENTRIES: usize = 30;

/// Where a boot image lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImagePlace {
    pub(crate) extent: u32,
    pub(crate) size: u64,
}

/// The size of an image that can pretend to be a floppy, and its media type.
pub(crate) fn floppy_type(size: u64) -> Option<u8> {
    match size {
        1_228_800 => Some(1),
        1_474_560 => Some(2),
        2_949_120 => Some(3),
        _ => None,
    }
}

/// The boot record volume descriptor (El Torito 2.0).
pub(crate) fn boot_record(catalog_block: u32) -> Vec<u8> {
    let mut out = vec![0; BLOCK];
    put(&mut out, 1, IDENTIFIER);
    put(&mut out, 6, &[1]);
    put(&mut out, 7, b"EL TORITO SPECIFICATION");
    put(&mut out, 71, &catalog_block.to_le_bytes());
    out
}

/// The catalogue as one block. `places` has a place for each entry.
pub(crate) fn encode(catalog: &BootCatalog, places: &[ImagePlace]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK);
    let mut entries = catalog.entries.iter().zip(places).peekable();
    if let Some((entry, place)) = entries.next() {
        out.extend_from_slice(&validation_entry(entry.platform, &entry.id));
        out.extend_from_slice(&image_entry(entry, *place));
    }
    while let Some((entry, place)) = entries.next() {
        let more = entries.peek().is_some();
        let mut header = [0; ENTRY];
        header[0] = if more { 0x90 } else { 0x91 };
        header[1] = entry.platform.code();
        header[2] = 1;
        put(&mut header, 4, entry.id.get(..28).unwrap_or(&entry.id));
        out.extend_from_slice(&header);
        out.extend_from_slice(&image_entry(entry, *place));
    }
    out.resize(BLOCK, 0);
    out
}

/// The validation entry: its sixteen words sum to zero (El Torito 2.1).
fn validation_entry(platform: Platform, id: &[u8]) -> [u8; ENTRY] {
    let mut out = [0; ENTRY];
    out[0] = 1;
    out[1] = platform.code();
    put(&mut out, 4, id.get(..24).unwrap_or(id));
    out[30] = 0x55;
    out[31] = 0xAA;
    let sum = out
        .chunks_exact(2)
        .map(LittleEndian::read_u16)
        .fold(0u16, u16::wrapping_add);
    put(&mut out, 28, &0u16.wrapping_sub(sum).to_le_bytes());
    out
}

/// A default or section entry (El Torito 2.2, 2.4).
fn image_entry(entry: &BootEntry, place: ImagePlace) -> [u8; ENTRY] {
    let (media, system_type) = match entry.emulation {
        Emulation::None => (0, 0),
        Emulation::Floppy => (floppy_type(place.size).unwrap_or(2), 0),
        Emulation::HardDisk { partition_type } => (4, partition_type),
    };
    let sectors = entry.load_sectors.unwrap_or(match entry.emulation {
        // 0 lets UEFI take all that there is, where 16 bits cannot say it.
        Emulation::None => u16::try_from(place.size.div_ceil(512)).unwrap_or(0),
        _ => 1,
    });
    let mut out = [0; ENTRY];
    out[0] = if entry.bootable { 0x88 } else { 0 };
    out[1] = media;
    put(&mut out, 2, &entry.load_segment.to_le_bytes());
    out[4] = system_type;
    put(&mut out, 6, &sectors.to_le_bytes());
    put(&mut out, 8, &place.extent.to_le_bytes());
    put(&mut out, 12, entry.criteria.get(..20).unwrap_or(&entry.criteria));
    out
}

/// The sum of an image's 32-bit words from byte 64 on, taken piece by piece.
#[derive(Debug, Default)]
pub(crate) struct InfoChecksum {
    position: u64,
    word: [u8; 4],
    sum: u32,
}

impl InfoChecksum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.position >= INFO_TABLE.end as u64 {
                let at = (self.position % 4) as usize;
                if let Some(slot) = self.word.get_mut(at) {
                    *slot = *byte;
                }
                if at == 3 {
                    self.sum = self.sum.wrapping_add(u32::from_le_bytes(self.word));
                    self.word = [0; 4];
                }
            }
            self.position += 1;
        }
    }

    pub(crate) fn finish(self) -> u32 {
        self.sum.wrapping_add(u32::from_le_bytes(self.word))
    }
}

/// Where GRUB 2 looks for the address of its image, in sectors of 512 bytes, and how long that is.
pub(crate) const GRUB2_INFO: std::ops::Range<usize> = 2548..2556;

/// What stands at [`GRUB2_INFO`]: the sector after the image's own boot code.
pub(crate) fn grub2_info(place: ImagePlace) -> [u8; 8] {
    (u64::from(place.extent) * 4 + 5).to_le_bytes()
}

/// The boot information table: block of the primary descriptor, block and size of the image, its checksum.
pub(crate) fn info_table(descriptor_block: u32, place: ImagePlace, checksum: u32) -> Vec<u8> {
    let mut out = vec![0; INFO_TABLE.len()];
    put(&mut out, 0, &descriptor_block.to_le_bytes());
    put(&mut out, 4, &place.extent.to_le_bytes());
    put(
        &mut out,
        8,
        &(place.size.min(u64::from(u32::MAX)) as u32).to_le_bytes(),
    );
    put(&mut out, 12, &checksum.to_le_bytes());
    out
}
