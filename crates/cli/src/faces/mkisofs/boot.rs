//! What a command line asks for of booting: El Torito images, the system area, partitions.

use super::flavour::Flavour;
use super::interval::Interval;
use super::messages::Messages;
use super::settings::{Settings, number, split};
use super::stop::Stop;
use super::tree;
use crate::faces::getopt::Arguments;
use disksmith_iso9660::{
    AppendedPartition, BootCatalog, BootEntry, BootImage, CylinderAlignment, Emulation, Hybrid, HybridKind,
    ImageTree, NodeId, Options, PartitionType, Platform, Source,
};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most that lies before the volume descriptors.
const SYSTEM_AREA: usize = 32 * 1024;

/// One boot image that was asked for.
#[derive(Debug, Clone, Default)]
struct Entry {
    image: Option<OsString>,
    platform: Option<Platform>,
    no_emulation: bool,
    hard_disk: bool,
    not_bootable: bool,
    load_segment: u16,
    load_sectors: Option<u16>,
    info_table: bool,
    grub2_info: bool,
    partition: bool,
    id: Vec<u8>,
    criteria: Vec<u8>,
}

/// What a command line asks for of booting.
#[derive(Debug, Default)]
pub(super) struct BootRequest {
    entries: Vec<Entry>,
    catalog: Option<OsString>,
    hide_catalog: bool,
    system_area: Option<(OsString, HybridKind)>,
    hybrid: Hybrid,
    disk_guid: DiskGuid,
}

/// What the GUID of the disk is to be.
#[derive(Debug, Clone, Copy, Default)]
enum DiskGuid {
    /// One that follows from the image.
    #[default]
    Any,
    /// One that follows from the volume's time.
    Date,
    Given([u8; 16]),
}

impl BootRequest {
    pub(super) fn read(read: &Arguments, flavour: Flavour) -> Result<Self, Stop> {
        let mut request = Self::default();
        let mut entry = Entry::default();
        for (key, value) in read.options() {
            let text = value.to_string_lossy();
            let small = |what: &str| -> Result<u16, Stop> {
                number(&text)
                    .and_then(|n| u16::try_from(n).ok())
                    .ok_or_else(|| Stop::bad(format!("Boot image {what} invalid: '{text}'.")))
            };
            match *key {
                "eltorito-boot" => entry.image = Some(value.clone()),
                "e" => {
                    entry.image = Some(value.clone());
                    entry.platform = Some(Platform::Efi);
                    entry.no_emulation |= flavour == Flavour::Xorriso;
                }
                "efi-boot" if flavour == Flavour::Genisoimage => {
                    entry.image = Some(value.clone());
                    entry.platform = Some(Platform::Efi);
                }
                "efi-boot" => {
                    request.finish(std::mem::take(&mut entry));
                    request.finish(Entry {
                        image: Some(value.clone()),
                        platform: Some(Platform::Efi),
                        no_emulation: true,
                        ..Entry::default()
                    });
                }
                "eltorito-alt-boot" => request.finish(std::mem::take(&mut entry)),
                "eltorito-catalog" => request.catalog = Some(value.clone()),
                "boot-catalog-hide" => request.hide_catalog = true,
                "no-emul-boot" => entry.no_emulation = true,
                "hard-disk-boot" => entry.hard_disk = true,
                "no-boot" => entry.not_bootable = true,
                "boot-load-seg" => entry.load_segment = small("load segment")?,
                "boot-load-size" if text == "full" => entry.load_sectors = None,
                "boot-load-size" => entry.load_sectors = Some(small("load size")?),
                "boot-info-table" => entry.info_table = true,
                "grub2-boot-info" => entry.grub2_info = true,
                "eltorito-platform" => entry.platform = Some(platform(&text)?),
                "eltorito-id" => entry.id = value.as_bytes().to_vec(),
                "eltorito-selcrit" => entry.criteria = hex(&text)?,
                "generic-boot" | "embedded-boot" => {
                    request.system_area = Some((value.clone(), HybridKind::None));
                }
                "isohybrid-mbr" => request.system_area = Some((value.clone(), HybridKind::Isolinux)),
                "grub2-mbr" => request.system_area = Some((value.clone(), HybridKind::Grub2)),
                "isohybrid-gpt-basdat" => entry.partition = true,
                "part_like_isohybrid" => request.hybrid.partitions_of_any_record = true,
                "efi-boot-part" if text == "--efi-boot-image" => request.hybrid.efi_partition = true,
                "efi-boot-part" => {
                    return Err(Stop::bad(
                        "option '-efi-boot-part' takes only --efi-boot-image; use -append_partition for other files",
                    ));
                }
                "protective-msdos-label" => request.hybrid.protective = true,
                "mbr-force-bootable" => request.hybrid.bootable = true,
                "append_partition" => request.append(value)?,
                "appended_part_as_gpt" => request.hybrid.appended_in_gpt = true,
                "partition_offset" => {
                    let blocks = number(&text).and_then(|n| u32::try_from(n).ok());
                    let blocks = blocks.filter(|n| *n == 0 || *n >= 16);
                    request.hybrid.partition_offset = blocks.ok_or_else(|| {
                        Stop::bad(format!(
                            "-partition_offset: '{text}' is neither 0 nor at least 16"
                        ))
                    })?;
                }
                "partition_cyl_align" => {
                    request.hybrid.alignment = match &*text {
                        "auto" => CylinderAlignment::Auto,
                        "on" => CylinderAlignment::On,
                        "all" => CylinderAlignment::All,
                        "off" => CylinderAlignment::Off,
                        _ => return Err(Stop::bad(format!("-partition_cyl_align: unknown mode '{text}'"))),
                    }
                }
                "iso_mbr_part_type" if text == "default" => request.hybrid.image_type = None,
                "iso_mbr_part_type" => {
                    request.hybrid.image_type = Some(partition_type(&text).ok_or_else(|| {
                        Stop::bad(format!("-iso_mbr_part_type: '{text}' is no partition type"))
                    })?);
                }
                "gpt_disk_guid" if text == "random" => request.disk_guid = DiskGuid::Any,
                "gpt_disk_guid" if text == "modification-date" => request.disk_guid = DiskGuid::Date,
                "gpt_disk_guid" => {
                    request.disk_guid = match partition_type(&text) {
                        Some(PartitionType::Guid(guid)) => DiskGuid::Given(guid),
                        _ => return Err(Stop::bad(format!("--gpt_disk_guid: '{text}' is no GUID"))),
                    }
                }
                _ => {}
            }
        }
        request.finish(entry);
        if let Some((_, kind)) = &request.system_area
            && *kind != HybridKind::None
        {
            request.hybrid.kind = *kind;
        }
        Ok(request)
    }

    fn finish(&mut self, entry: Entry) {
        if entry.image.is_some() {
            self.entries.push(entry);
        }
    }

    fn append(&mut self, value: &OsStr) -> Result<(), Stop> {
        let wrong = |why: &str| Stop::bad(format!("-append_partition: {why}"));
        let (position, rest) = split(value.as_bytes(), 0).ok_or_else(|| wrong("takes three values"))?;
        let (kind, path) = split(rest, 0).ok_or_else(|| wrong("takes three values"))?;
        let position: u8 = std::str::from_utf8(position)
            .ok()
            .and_then(|p| p.parse().ok())
            .filter(|p| (1..=4).contains(p))
            .ok_or_else(|| wrong("the partition number is 1 to 4"))?;
        let kind = partition_type(&String::from_utf8_lossy(kind))
            .ok_or_else(|| wrong("that is no partition type"))?;
        let path = OsStr::from_bytes(path);
        let source = match Interval::parse(path).transpose()? {
            Some(Interval::Part(part)) => part.source()?,
            Some(Interval::Appended(_)) => return Err(wrong("that is a partition itself")),
            None => {
                let path = Path::new(path);
                let size = std::fs::metadata(path)
                    .map_err(|e| Stop::io(&e, format!("Cannot append '{}'.", path.display())))?
                    .len();
                Source::host_file(path, size)
            }
        };
        self.hybrid.appended.retain(|p| p.number != position);
        self.hybrid.appended.push(AppendedPartition {
            number: position,
            kind,
            source,
        });
        self.hybrid.appended.sort_by_key(|p| p.number);
        Ok(())
    }

    /// Puts what was asked for in the options of the image.
    pub(super) fn apply(
        &self,
        image: &mut ImageTree,
        settings: &Settings,
        options: &mut Options,
        messages: &Messages,
    ) -> Result<(), Stop> {
        options.hybrid = self.hybrid.clone();
        options.hybrid.disk_guid = match self.disk_guid {
            DiskGuid::Any => None,
            DiskGuid::Given(guid) => Some(guid),
            DiskGuid::Date => Some(options.time_guid()),
        };
        if let Some((word, kind)) = &self.system_area {
            options.system_area = system_area(word, *kind)?;
        }
        if self.entries.is_empty() {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in &self.entries {
            entries.push(entry.boot_entry(image, messages)?);
        }
        let catalog = self.catalog.clone().unwrap_or_else(|| "boot.catalog".into());
        let (dir, name) = place(image, &catalog)?;
        let visibility = settings.hiding.visibility(Path::new(&catalog));
        options.boot = Some(BootCatalog {
            entries,
            file: (!self.hide_catalog).then_some((dir, name)),
            visibility,
        });
        Ok(())
    }
}

/// The bytes for the start of the image.
fn system_area(word: &OsStr, kind: HybridKind) -> Result<Vec<u8>, Stop> {
    let path = match Interval::parse(word).transpose()? {
        Some(Interval::Part(part)) => return part.start(SYSTEM_AREA),
        Some(Interval::Appended(_)) => {
            return Err(Stop::bad(format!("'{}' is no boot record", word.display())));
        }
        None => Path::new(word),
    };
    // A boot record is only the code before the partition table.
    let most = if kind == HybridKind::None {
        SYSTEM_AREA
    } else {
        512
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most as u64).read_to_end(&mut bytes))
        .map_err(|e| Stop::io(&e, format!("Cannot open '{}'.", path.display())))?;
    Ok(bytes)
}

impl Entry {
    fn entry(&self, platform: Platform, image: impl Into<BootImage>) -> BootEntry {
        BootEntry {
            load_segment: self.load_segment,
            load_sectors: self.load_sectors,
            info_table: self.info_table,
            grub2_info: self.grub2_info,
            bootable: !self.not_bootable,
            partition: self.partition,
            id: self.id.clone(),
            criteria: self.criteria.clone(),
            ..BootEntry::new(platform, image)
        }
    }

    fn boot_entry(&self, image: &ImageTree, messages: &Messages) -> Result<BootEntry, Stop> {
        let name = self.image.clone().unwrap_or_default();
        let platform = self.platform.unwrap_or(Platform::Bios);
        match Interval::parse(&name).transpose()? {
            Some(Interval::Appended(number)) => {
                return Ok(self.entry(platform, BootImage::Appended(number)));
            }
            Some(Interval::Part(_)) => {
                return Err(Stop::bad(format!(
                    "'{}': a boot image is a file of the image, or an appended partition",
                    name.display()
                )));
            }
            None => {}
        }
        let found = tree::find(image, &name).filter(|id| !image.is_directory(*id));
        let Some(id) = found else {
            return Err(Stop::bad(format!(
                "Uh oh, I cant find the boot image '{}' !",
                name.display()
            )));
        };
        let sectors = image.size_of(id).div_ceil(2048).saturating_mul(4);
        let (emulation, what) = if self.no_emulation {
            (Emulation::None, "No emulation".to_owned())
        } else if self.hard_disk {
            let partition_type = partition_type_of(image, id)?;
            (
                Emulation::HardDisk { partition_type },
                "Emulating a hard disk".to_owned(),
            )
        } else {
            let kind = match sectors {
                2400 => "1200",
                2880 => "1440",
                5760 => "2880",
                _ => {
                    return Err(Stop::bad(format!(
                        "Error - boot image '{}' has not an allowable size.",
                        name.display()
                    )));
                }
            };
            (Emulation::Floppy, format!("Emulating a {kind} kB floppy"))
        };
        messages.tell(|| format!("Size of boot image is {sectors} sectors -> {what}"));
        let whole = (emulation == Emulation::None).then(|| u16::try_from(sectors).unwrap_or(0));
        Ok(BootEntry {
            emulation,
            load_sectors: self.load_sectors.or(whole),
            ..self.entry(platform, id)
        })
    }
}

/// Directory and name of a path in the image; the directory is there.
fn place(image: &ImageTree, path: &OsStr) -> Result<(NodeId, Vec<u8>), Stop> {
    let bytes = path.as_bytes();
    let at = bytes.iter().rposition(|b| *b == b'/');
    let (folder, name) = match at {
        Some(at) => bytes.split_at(at),
        None => (&[][..], bytes),
    };
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let dir = tree::find(image, OsStr::from_bytes(folder)).filter(|id| image.is_directory(*id));
    match dir {
        Some(dir) if !name.is_empty() => Ok((dir, name.to_vec())),
        _ => Err(Stop::bad(format!(
            "Uh oh, I cant find the boot catalog directory '{}'!",
            OsStr::from_bytes(folder).display()
        ))),
    }
}

/// The type of the only partition in a hard disk's master boot record.
fn partition_type_of(image: &ImageTree, id: NodeId) -> Result<u8, Stop> {
    let bad = |why: &str| Stop::bad(format!("Boot image '{}' {why}", image.path(id)));
    let record = image.read_start(id, 512)?;
    if record.get(510..512) != Some(&[0x55, 0xAA]) {
        return Err(bad("MBR is not a boot sector."));
    }
    let types: Vec<u8> = (0..4)
        .filter_map(|n| record.get(446 + n * 16 + 4).copied())
        .filter(|kind| *kind != 0)
        .collect();
    match types.as_slice() {
        [] => Err(bad("has no partitions.")),
        [only] => Ok(*only),
        _ => Err(bad("has multiple partitions.")),
    }
}

fn platform(text: &str) -> Result<Platform, Stop> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "x86" => Platform::Bios,
        "ppc" => Platform::Other(1),
        "mac" => Platform::Other(2),
        "efi" => Platform::Efi,
        other => match number(other).and_then(|n| u8::try_from(n).ok()) {
            Some(0) => Platform::Bios,
            Some(0xEF) => Platform::Efi,
            Some(code) => Platform::Other(code),
            None => {
                return Err(Stop::bad(format!(
                    "-eltorito-platform: unknown platform '{text}'"
                )));
            }
        },
    })
}

fn hex(text: &str) -> Result<Vec<u8>, Stop> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    bytes
        .filter(|b| b.len() <= 20)
        .ok_or_else(|| Stop::bad(format!("'{text}' is not up to 20 bytes in hexadecimal")))
}

/// A type byte, a GUID, or a name of xorriso's.
fn partition_type(text: &str) -> Option<PartitionType> {
    match text.to_ascii_lowercase().as_str() {
        "linux" => return Some(PartitionType::Mbr(0x83)),
        "fat12" => return Some(PartitionType::Mbr(0x01)),
        "fat16" => return Some(PartitionType::Mbr(0x06)),
        "fat16_lba" => return Some(PartitionType::Mbr(0x0E)),
        "fat32" => return Some(PartitionType::Mbr(0x0B)),
        "fat32_lba" => return Some(PartitionType::Mbr(0x0C)),
        "efi_system_partition" => return Some(PartitionType::EFI_SYSTEM),
        _ => {}
    }
    if let Some(byte) = number(text).and_then(|n| u8::try_from(n).ok()) {
        return Some(PartitionType::Mbr(byte));
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let bytes = u128::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| digits.len() == 32)?;
    let mut guid = bytes.to_be_bytes();
    if text.contains('-') {
        // The first three groups are numbers, which are written the other way around.
        for range in [0..4, 4..6, 6..8] {
            guid.get_mut(range)?.reverse();
        }
    }
    Some(PartitionType::Guid(guid))
}
