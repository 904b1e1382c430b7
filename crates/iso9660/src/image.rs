//! An image that is planned to the last block, and written in one pass.

use crate::boot_catalog::{self, BootCatalog, BootImage, Emulation, ImagePlace, InfoChecksum};
use crate::directory::Placement;
use crate::error::{Error, Result};
use crate::layout::{Counted, Counter, Layout, PIECE};
use crate::options::{Level, Options};
use crate::partition_table::GPT_BACKUP_BLOCKS;
use crate::source::Source;
use crate::translation_table;
use crate::tree::{Attributes, Content, ImageTree, NodeKind};
use crate::volume::{Listing, Volume};
use crate::volume_descriptor::{BLOCK, FIRST_BLOCK, Kind, VolumeDescriptor};
use std::io::Write;

/// Bytes of the part before the descriptors (ECMA-119 6.2.1).
const SYSTEM_AREA: usize = 32 * 1024;

/// What the names of an image take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSize {
    /// Directories below the root, with their continuation areas.
    pub directories: u64,
    /// The path table, in one byte order.
    pub path_table: u64,
    /// What Rock Ridge takes in all directories.
    pub rock_ridge: u64,
}

/// An image that is planned to the last block: its size is known, and writing it reads every file once, in order.
#[derive(Debug)]
pub struct IsoImage {
    tree: ImageTree,
    options: Options,
    volume: Volume,
    layout: Layout,
}

impl IsoImage {
    /// Plans the image of a tree. Reads no file, except those that get a boot information table and those whose contents
    /// are compared ([`Duplicates::Contents`]).
    ///
    /// # Errors
    /// What the tree holds or the options say cannot be put in an image; see [`Error`].
    pub fn plan(mut tree: ImageTree, options: Options) -> Result<Self> {
        let catalog = match &options.boot {
            Some(catalog) => Some(add_catalog(&mut tree, catalog, &options)?),
            None => None,
        };
        if let Some(table) = &options.translation_table {
            translation_table::add(&mut tree, table, &options)?;
        }
        if options.system_area.len() > SYSTEM_AREA {
            return Err(Error::VolumeText {
                field: "system area",
                value: format!("{} bytes", options.system_area.len()),
                reason: "more than 32 KiB".into(),
            });
        }
        let offset = options.hybrid.partition_offset;
        let mut volume = Volume::new(&tree, &options)?;
        let mut layout = Layout {
            catalog,
            ..Layout::default()
        };
        layout.places = tree.contents.iter().map(|c| (0, c.source.size())).collect();
        let mut counter = Counter {
            next: u64::from(FIRST_BLOCK),
        };
        // The descriptors: primary, boot record, Joliet, enhanced, terminator.
        let common = 2 + u32::from(options.joliet) + u32::from(options.level == Level::Four);
        let descriptors = common + u32::from(options.boot.is_some());
        counter.take(u64::from(descriptors))?;
        if offset > 0 {
            let second = u64::from(FIRST_BLOCK) + u64::from(offset);
            if counter.next > second {
                return Err(Error::VolumeText {
                    field: "partition offset",
                    value: format!("{offset} blocks"),
                    reason: "at least 16 are needed for a second set of descriptors".into(),
                });
            }
            counter.skip_to(second)?;
            layout.second = Some((counter.take(u64::from(common))?, 0));
        }
        let listings = counter.block()?;
        volume.place(&tree, &options, &layout, &mut counter)?;
        if let Some((_, second)) = &mut layout.second {
            *second = counter.block()?;
            counter.take(u64::from(second.saturating_sub(listings)))?;
            layout.forward = second.saturating_sub(listings);
        }
        layout.place_data(
            &tree,
            [
                Some(&volume.plain.hierarchy),
                volume.joliet.as_ref().map(|j| &j.hierarchy),
            ],
            &options,
            &mut counter,
        )?;
        layout.place_hybrid(&tree, &options, &mut counter)?;
        let mut image = Self {
            tree,
            options,
            volume,
            layout,
        };
        image.make_patches()?;
        // Faults of the texts show now, not in the middle of writing.
        image.descriptors(&image.volume, 0)?;
        Ok(image)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        u64::from(self.layout.hybrid.blocks) * BLOCK as u64
    }

    /// The options that the image is made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The files of the image.
    pub fn tree(&self) -> &ImageTree {
        &self.tree
    }

    /// What the names take, in the plain hierarchy.
    pub fn metadata_size(&self) -> MetadataSize {
        let Listing {
            hierarchy,
            table,
            rock_ridge,
        } = &self.volume.plain;
        let below_root = hierarchy.directories.iter().skip(1);
        let blocks: u64 = below_root
            .map(|d| u64::from(d.blocks) + u64::from(d.continuation_blocks))
            .sum();
        MetadataSize {
            directories: blocks * BLOCK as u64,
            path_table: u64::from(table.len),
            rock_ridge: *rock_ridge,
        }
    }

    /// Writes the whole image, front to back.
    ///
    /// # Errors
    /// When a file cannot be read or is not as long as it was, and when `out` fails.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        let mut out = Output { out, written: 0 };
        let mut system_area = self.options.system_area.clone();
        system_area.resize(SYSTEM_AREA, 0);
        self.options.hybrid.put(&self.layout.hybrid, &mut system_area);
        out.write(&system_area)?;
        out.write(&self.descriptors(&self.volume, 0)?)?;
        let rock_ridge = self.options.rock_ridge;
        let second = self.layout.second.map(|(descriptors, listings)| {
            let origin = self.options.hybrid.partition_offset;
            let volume = self.volume.moved(self.layout.forward, origin);
            (descriptors, listings, origin, volume)
        });
        if let Some((descriptors, _, origin, volume)) = &second {
            out.fill_to(*descriptors)?;
            out.write(&self.descriptors(volume, *origin)?)?;
        }
        self.volume
            .write(&self.tree, rock_ridge, &self.layout, &mut |bytes| {
                out.write(bytes)
            })?;
        if let Some((_, listings, origin, volume)) = &second {
            let placement = Counted {
                layout: &self.layout,
                origin: *origin,
            };
            out.fill_to(*listings)?;
            volume.write(&self.tree, rock_ridge, &placement, &mut |bytes| out.write(bytes))?;
        }
        drop(second);
        self.write_data(&mut out)?;
        self.write_partitions(&mut out)
    }

    /// What lies behind the image itself: partitions, and the second GUID partition table.
    fn write_partitions(&self, out: &mut Output<'_>) -> Result<()> {
        let hybrid = &self.layout.hybrid;
        let mut buf = vec![0; PIECE];
        for (partition, range) in self.options.hybrid.appended.iter().zip(&hybrid.appended) {
            out.fill_to(range.start)?;
            partition.source.stream(&mut buf, &mut |piece| out.write(piece))?;
            out.fill()?;
        }
        if let Some(gpt) = self.options.hybrid.gpt(hybrid) {
            out.fill_to(hybrid.blocks.saturating_sub(GPT_BACKUP_BLOCKS))?;
            out.write(&gpt.backup())?;
        }
        out.fill_to(hybrid.blocks)
    }

    fn write_data(&self, out: &mut Output<'_>) -> Result<()> {
        let mut buf = Vec::new();
        for content in &self.layout.order {
            let Some(Content { source, .. }) = self.tree.contents.get(*content as usize) else {
                continue;
            };
            if source.is_boot_catalog() {
                out.write(&self.catalog_bytes())?;
                continue;
            }
            let wanted = usize::try_from(source.size())
                .unwrap_or(PIECE)
                .clamp(BLOCK, PIECE);
            if buf.len() < wanted {
                buf.resize(wanted, 0);
            }
            let patch = self.layout.patches.get(content);
            let mut position = 0usize;
            source.stream(&mut buf, &mut |piece| {
                for (at, bytes) in patch.into_iter().flatten() {
                    apply(*at, bytes, position, piece);
                }
                position = position.saturating_add(piece.len());
                out.write(piece)
            })?;
            out.fill()?;
        }
        Ok(())
    }

    /// The descriptors of a volume that is counted from block `origin`. Only the one from the first block is started from.
    fn descriptors(&self, volume: &Volume, origin: u32) -> Result<Vec<u8>> {
        let hybrid = &self.layout.hybrid;
        let blocks = hybrid.image_blocks.saturating_sub(origin);
        // Who mounts the whole disk shall see that it ends behind the partitions.
        let whole = origin == 0 && (self.options.hybrid.protective || self.layout.second.is_some());
        let primary = if whole { hybrid.blocks } else { blocks };
        let mut out = self.descriptor(Kind::Primary, &volume.plain, primary)?;
        if let Some(catalog) = self.layout.catalog.filter(|_| origin == 0) {
            out.extend(boot_catalog::boot_record(self.layout.place(catalog).0));
        }
        if let Some(joliet) = &volume.joliet {
            out.extend(self.descriptor(Kind::Joliet, joliet, blocks)?);
        }
        if self.options.level == Level::Four {
            out.extend(self.descriptor(Kind::Enhanced, &volume.plain, blocks)?);
        }
        out.extend(VolumeDescriptor::terminator());
        Ok(out)
    }

    fn descriptor(&self, kind: Kind, listing: &Listing, blocks: u32) -> Result<Vec<u8>> {
        let Listing { hierarchy, table, .. } = listing;
        let (root_extent, root_blocks) = hierarchy
            .directories
            .first()
            .map_or((0, 0), |root| (root.extent, root.blocks));
        let root = self.tree.node(self.tree.root());
        VolumeDescriptor {
            kind,
            texts: &self.options.texts,
            blocks,
            path_table_len: table.len,
            path_table_little: table.little,
            path_table_big: table.big,
            root_extent,
            root_len: root_blocks.saturating_mul(BLOCK as u32),
            root_date: crate::date::encode_record(root.attributes.modified),
            time: self.options.time,
            volume_set: self.options.volume_set,
        }
        .encode()
    }

    fn catalog_bytes(&self) -> Vec<u8> {
        let Some(catalog) = &self.options.boot else {
            return Vec::new();
        };
        let places: Vec<ImagePlace> = catalog
            .entries
            .iter()
            .map(|e| self.layout.boot_image(&self.tree, &self.options, e.image))
            .collect();
        boot_catalog::encode(catalog, &places)
    }

    fn make_patches(&mut self) -> Result<()> {
        let images: Vec<(BootImage, bool, bool)> = self
            .options
            .boot
            .iter()
            .flat_map(|b| &b.entries)
            .map(|entry| (entry.image, entry.info_table, entry.grub2_info))
            .collect();
        for (image, info_table, grub2_info) in images {
            let BootImage::File(file) = image else { continue };
            let NodeKind::File { content } = self.tree.node(file).kind else {
                continue;
            };
            let place = self.layout.boot_image(&self.tree, &self.options, image);
            if grub2_info {
                let address = (
                    boot_catalog::GRUB2_INFO.start,
                    boot_catalog::grub2_info(place).to_vec(),
                );
                self.layout.patches.entry(content).or_default().push(address);
            }
            let Some(Content { source, .. }) =
                self.tree.contents.get(content as usize).filter(|_| info_table)
            else {
                continue;
            };
            let mut sum = InfoChecksum::default();
            let patches = self.layout.patches.get(&content).cloned().unwrap_or_default();
            let mut position = 0usize;
            source.stream(&mut vec![0; PIECE], &mut |piece| {
                for (at, bytes) in &patches {
                    apply(*at, bytes, position, piece);
                }
                position = position.saturating_add(piece.len());
                sum.update(piece);
                Ok(())
            })?;
            let table = boot_catalog::info_table(FIRST_BLOCK, place, sum.finish());
            let table = (boot_catalog::INFO_TABLE.start, table);
            self.layout.patches.entry(content).or_default().push(table);
        }
        Ok(())
    }
}

/// Lays bytes that belong at `start` over the piece of an image that starts at `position`.
fn apply(start: usize, bytes: &[u8], position: usize, piece: &mut [u8]) {
    for (at, byte) in (start..).zip(bytes) {
        if let Some(to) = at.checked_sub(position).and_then(|i| piece.get_mut(i)) {
            *to = *byte;
        }
    }
}

/// Counts what was written, so that it can be filled up to whole blocks.
struct Output<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|e| Error::io("the image", "write", e))?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Writes zeroes up to a block.
    fn fill_to(&mut self, block: u32) -> Result<()> {
        const ZEROES: [u8; 16 * 1024] = [0; 16 * 1024];
        let end = u64::from(block) * BLOCK as u64;
        while self.written < end {
            let left = end - self.written;
            let n = usize::try_from(left).unwrap_or(ZEROES.len()).min(ZEROES.len());
            self.write(ZEROES.get(..n).unwrap_or(&ZEROES))?;
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let over = (self.written % BLOCK as u64) as usize;
        if over > 0 {
            self.write([0; BLOCK].get(over..).unwrap_or(&[]))?;
        }
        Ok(())
    }
}

/// Checks the boot entries and gives the catalogue a content, with a name or without. Returns its number.
fn add_catalog(tree: &mut ImageTree, catalog: &BootCatalog, options: &Options) -> Result<u32> {
    let fault = |path: String, reason: String| Error::Boot { path, reason };
    if catalog.entries.is_empty() || catalog.entries.len() > boot_catalog::MAX_ENTRIES {
        let reason = format!("{} boot images; 1 to 30 can be", catalog.entries.len());
        return Err(fault("-".into(), reason));
    }
    for entry in &catalog.entries {
        let (path, size) = match entry.image {
            BootImage::File(file) => {
                let path = tree.path(file);
                let NodeKind::File { content } = tree.node(file).kind else {
                    return Err(fault(path, "is no regular file".into()));
                };
                let content = tree.contents.get(content as usize);
                (path, content.map_or(0, |c| c.source.size()))
            }
            BootImage::Appended(number) => {
                let path = format!("appended partition {number}");
                let mut all = options.hybrid.appended.iter();
                let Some(partition) = all.find(|p| p.number == number) else {
                    return Err(fault(path, "is not there".into()));
                };
                if entry.info_table || entry.grub2_info {
                    return Err(fault(
                        path,
                        "is written as it is, without a boot information table".into(),
                    ));
                }
                (path, partition.source.size())
            }
        };
        if size == 0 {
            return Err(fault(path, "is empty".into()));
        }
        if entry.emulation == Emulation::Floppy && boot_catalog::floppy_type(size).is_none() {
            return Err(fault(
                path,
                format!("{size} bytes are not the size of a floppy of 1.2, 1.44 or 2.88 MiB"),
            ));
        }
        if entry.grub2_info && size < boot_catalog::GRUB2_INFO.end as u64 {
            return Err(fault(
                path,
                "is too short for the address that GRUB 2 looks for".into(),
            ));
        }
        if entry.info_table && size < boot_catalog::INFO_TABLE.end as u64 {
            return Err(fault(path, "is too short for a boot information table".into()));
        }
    }
    let source = Source::boot_catalog(BLOCK as u64);
    match &catalog.file {
        Some((dir, name)) => {
            let id = tree.add_file(*dir, name, Attributes::new(0o444, options.time), source)?;
            tree.set_visibility(id, catalog.visibility);
            match tree.node(id).kind {
                NodeKind::File { content } => Ok(content),
                _ => Err(fault(tree.path(id), "is no regular file".into())),
            }
        }
        None => {
            tree.contents.push(Content {
                source,
                weight: 0,
                zisofs: None,
            });
            Ok(tree.contents.len() as u32 - 1)
        }
    }
}
