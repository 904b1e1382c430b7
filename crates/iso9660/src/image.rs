//! An image that is planned to the last block, and written in one pass.

use crate::boot_catalog::{self, BootCatalog, Emulation, ImagePlace, InfoChecksum};
use crate::directory::{DirectoryEncoder, Placement};
use crate::error::{Error, Result};
use crate::hierarchy::{Hierarchy, Names};
use crate::hybrid::{HybridLayout, Range};
use crate::options::{Duplicates, Level, Options};
use crate::partition_table::GPT_BACKUP_BLOCKS;
use crate::path_table::PathTableRecord;
use crate::source::Source;
use crate::translation_table;
use crate::tree::{Attributes, Content, ImageTree, NodeId, NodeKind};
use crate::volume_descriptor::{BLOCK, FIRST_BLOCK, Kind, VolumeDescriptor};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Write;

/// Bytes of the part before the descriptors (ECMA-119 6.2.1).
const SYSTEM_AREA: usize = 32 * 1024;
/// How much of a file is in memory at a time.
const PIECE: usize = 256 * 1024;

/// Blocks and lengths of one hierarchy's path tables.
#[derive(Debug, Clone, Copy, Default)]
struct PathTable {
    len: u32,
    little: u32,
    big: u32,
}

/// An image that is planned to the last block: its size is known, and writing it reads every file once, in order.
#[derive(Debug)]
pub struct IsoImage {
    tree: ImageTree,
    options: Options,
    plain: (Hierarchy, PathTable),
    joliet: Option<(Hierarchy, PathTable)>,
    layout: Layout,
}

/// Where everything lies, in blocks.
#[derive(Debug, Default)]
struct Layout {
    /// For each content: its first block and its size. Contents with the same data have the same place.
    places: Vec<(u32, u64)>,
    /// The contents in the order of their data, each data once.
    order: Vec<u32>,
    catalog: Option<u32>,
    /// What is laid over boot images, by content: offset and bytes.
    patches: HashMap<u32, Vec<(usize, Vec<u8>)>>,
    data_start: u32,
    end: u32,
    hybrid: HybridLayout,
}

impl Placement for Layout {
    fn place(&self, content: u32) -> (u32, u64) {
        self.places
            .get(content as usize)
            .copied()
            .unwrap_or((self.data_start, 0))
    }

    fn empty(&self) -> u32 {
        self.data_start
    }
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
        let mut plain = (
            Hierarchy::new(&tree, Names::Plain, &options)?,
            PathTable::default(),
        );
        let mut joliet = match options.joliet {
            true => Some((
                Hierarchy::new(&tree, Names::Joliet, &options)?,
                PathTable::default(),
            )),
            false => None,
        };
        let mut layout = Layout {
            catalog,
            ..Layout::default()
        };
        layout.places = tree.contents.iter().map(|c| (0, c.source.size())).collect();

        let mut counter = Counter {
            next: u64::from(FIRST_BLOCK),
        };
        // The descriptors: primary, boot record, Joliet, enhanced, terminator.
        let descriptors = 2
            + u32::from(options.boot.is_some())
            + u32::from(options.joliet)
            + u32::from(options.level == Level::Four);
        counter.take(u64::from(descriptors))?;
        for (hierarchy, table) in std::iter::once(&mut plain).chain(joliet.iter_mut()) {
            let len = path_table_records(hierarchy).map(|r| r.len()).sum::<u64>();
            let blocks = len.div_ceil(BLOCK as u64);
            table.len = u32::try_from(len).map_err(|_| Error::ImageTooLarge { blocks })?;
            table.little = counter.take(blocks)?;
            table.big = counter.take(blocks)?;
        }
        for (hierarchy, _) in std::iter::once(&mut plain).chain(joliet.iter_mut()) {
            let sizes: Vec<(usize, usize)> = {
                let encoder = DirectoryEncoder {
                    tree: &tree,
                    hierarchy,
                    rock_ridge: options.rock_ridge,
                    placement: &layout,
                };
                (0..hierarchy.directories.len() as u32)
                    .map(|index| {
                        let encoded = encoder.encode(index);
                        (encoded.records.len() / BLOCK, encoded.continuations.len() / BLOCK)
                    })
                    .collect()
            };
            for index in hierarchy.disk_order() {
                let at = index as usize;
                let (Some(directory), Some((records, continuations))) =
                    (hierarchy.directories.get_mut(at), sizes.get(at))
                else {
                    continue;
                };
                // A directory's length in bytes is a 32-bit number.
                let too_large = || Error::ImageTooLarge {
                    blocks: *records as u64,
                };
                directory.blocks = u32::try_from(*records)
                    .ok()
                    .filter(|b| *b < 1 << 21)
                    .ok_or_else(too_large)?;
                directory.continuation_blocks = u32::try_from(*continuations).map_err(|_| too_large())?;
                directory.extent = counter.take(*records as u64)?;
                counter.take(*continuations as u64)?;
            }
        }
        layout.place_data(
            &tree,
            [Some(&plain.0), joliet.as_ref().map(|j| &j.0)],
            &options,
            &mut counter,
        )?;
        counter.take(u64::from(options.padding_blocks))?;
        layout.end = counter.block()?;
        layout.place_hybrid(&tree, &options, &mut counter)?;
        let mut image = Self {
            tree,
            options,
            plain,
            joliet,
            layout,
        };
        image.make_patches()?;
        // Faults of the texts show now, not in the middle of writing.
        image.descriptors()?;
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

    /// How many bytes directories take, and path tables: each in one byte order, for the plain hierarchy.
    pub fn metadata_bytes(&self) -> (u64, u64) {
        let (hierarchy, table) = &self.plain;
        let blocks = hierarchy.directories.iter();
        let blocks: u64 = blocks
            .map(|d| u64::from(d.blocks) + u64::from(d.continuation_blocks))
            .sum();
        (blocks * BLOCK as u64, u64::from(table.len))
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
        out.write(&self.descriptors()?)?;
        for (hierarchy, _) in self.hierarchies() {
            for big_endian in [false, true] {
                let mut bytes = Vec::new();
                for record in path_table_records(hierarchy) {
                    record.encode(big_endian, &mut bytes);
                }
                out.write(&bytes)?;
                out.fill()?;
            }
        }
        for (hierarchy, _) in self.hierarchies() {
            let encoder = DirectoryEncoder {
                tree: &self.tree,
                hierarchy,
                rock_ridge: self.options.rock_ridge,
                placement: &self.layout,
            };
            for index in hierarchy.disk_order() {
                let encoded = encoder.encode(index);
                out.write(&encoded.records)?;
                out.write(&encoded.continuations)?;
            }
        }
        self.write_data(&mut out)?;
        out.fill_to(self.layout.end)?;
        self.write_partitions(&mut out)
    }

    fn hierarchies(&self) -> impl Iterator<Item = &(Hierarchy, PathTable)> {
        std::iter::once(&self.plain).chain(self.joliet.iter())
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

    fn descriptors(&self) -> Result<Vec<u8>> {
        let mut out = self.descriptor(Kind::Primary, &self.plain)?;
        if let Some(catalog) = self.layout.catalog {
            out.extend(boot_catalog::boot_record(self.layout.place(catalog).0));
        }
        if let Some(joliet) = &self.joliet {
            out.extend(self.descriptor(Kind::Joliet, joliet)?);
        }
        if self.options.level == Level::Four {
            out.extend(self.descriptor(Kind::Enhanced, &self.plain)?);
        }
        out.extend(VolumeDescriptor::terminator());
        Ok(out)
    }

    fn descriptor(&self, kind: Kind, (hierarchy, table): &(Hierarchy, PathTable)) -> Result<Vec<u8>> {
        let (root_extent, root_blocks) = hierarchy
            .directories
            .first()
            .map_or((0, 0), |root| (root.extent, root.blocks));
        let root = self.tree.node(self.tree.root());
        VolumeDescriptor {
            kind,
            texts: &self.options.texts,
            blocks: self.layout.end,
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

    fn image_place(&self, image: NodeId) -> (u32, ImagePlace) {
        match self.tree.node(image).kind {
            NodeKind::File { content } => {
                let (extent, size) = self.layout.place(content);
                (content, ImagePlace { extent, size })
            }
            _ => (u32::MAX, ImagePlace { extent: 0, size: 0 }),
        }
    }

    fn catalog_bytes(&self) -> Vec<u8> {
        let Some(catalog) = &self.options.boot else {
            return Vec::new();
        };
        let places: Vec<ImagePlace> = catalog
            .entries
            .iter()
            .map(|e| self.image_place(e.image).1)
            .collect();
        boot_catalog::encode(catalog, &places)
    }

    fn make_patches(&mut self) -> Result<()> {
        let images: Vec<(NodeId, bool, bool)> = self
            .options
            .boot
            .iter()
            .flat_map(|b| &b.entries)
            .map(|entry| (entry.image, entry.info_table, entry.grub2_info))
            .collect();
        for (image, info_table, grub2_info) in images {
            let (content, place) = self.image_place(image);
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

/// Hands out blocks in order.
struct Counter {
    next: u64,
}

impl Counter {
    fn block(&self) -> Result<u32> {
        u32::try_from(self.next).map_err(|_| Error::ImageTooLarge { blocks: self.next })
    }

    fn take(&mut self, blocks: u64) -> Result<u32> {
        let first = self.block()?;
        self.next = self.next.saturating_add(blocks);
        self.block()?;
        Ok(first)
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

fn path_table_records(hierarchy: &Hierarchy) -> impl Iterator<Item = PathTableRecord<'_>> {
    hierarchy.directories.iter().map(|d| PathTableRecord {
        identifier: &d.identifier,
        extent: d.extent,
        // Numbers start at 1; there are at most 65535 directories.
        parent: (d.parent + 1).min(u32::from(u16::MAX)) as u16,
    })
}

/// Checks the boot entries and gives the catalogue a content, with a name or without. Returns its number.
fn add_catalog(tree: &mut ImageTree, catalog: &BootCatalog, options: &Options) -> Result<u32> {
    let fault = |path: String, reason: String| Error::Boot { path, reason };
    if catalog.entries.is_empty() || catalog.entries.len() > boot_catalog::MAX_ENTRIES {
        let reason = format!("{} boot images; 1 to 30 can be", catalog.entries.len());
        return Err(fault("-".into(), reason));
    }
    for entry in &catalog.entries {
        let path = tree.path(entry.image);
        let NodeKind::File { content } = tree.node(entry.image).kind else {
            return Err(fault(path, "is no regular file".into()));
        };
        let size = tree.contents.get(content as usize).map_or(0, |c| c.source.size());
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

impl Layout {
    /// Gives partitions behind the image their blocks.
    fn place_hybrid(&mut self, tree: &ImageTree, options: &Options, counter: &mut Counter) -> Result<()> {
        let hybrid = &options.hybrid;
        let mut layout = HybridLayout {
            image_blocks: self.end,
            identity: format!("{} {} {:?}", options.texts.volume_id, self.end, options.time),
            ..HybridLayout::default()
        };
        let place = |image: NodeId| match tree.node(image).kind {
            NodeKind::File { content } => {
                let (start, size) = self.place(content);
                let blocks = u32::try_from(size.div_ceil(BLOCK as u64)).unwrap_or(u32::MAX);
                Range { start, blocks }
            }
            _ => Range::default(),
        };
        for entry in options.boot.iter().flat_map(|b| &b.entries) {
            let range = place(entry.image);
            layout.boot_image.get_or_insert(range.start);
            if entry.platform == boot_catalog::Platform::Efi {
                layout.efi_images.push(range);
            }
        }
        for partition in &hybrid.appended {
            let blocks = partition.source.size().div_ceil(BLOCK as u64);
            let start = counter.take(blocks)?;
            layout.appended.push(Range {
                start,
                blocks: counter.block()?.saturating_sub(start),
            });
        }
        if hybrid.has_gpt() {
            counter.take(u64::from(GPT_BACKUP_BLOCKS))?;
        }
        layout.blocks = counter.block()?;
        self.hybrid = layout;
        Ok(())
    }

    /// Gives every content its blocks: by weight, then in the order of the directories.
    fn place_data(
        &mut self,
        tree: &ImageTree,
        hierarchies: [Option<&Hierarchy>; 2],
        options: &Options,
        counter: &mut Counter,
    ) -> Result<()> {
        self.data_start = counter.block()?;
        let mut seen = vec![false; tree.contents.len()];
        let mut order: Vec<u32> = Vec::with_capacity(tree.contents.len());
        let mut visit = |content: u32| {
            if let Some(seen) = seen.get_mut(content as usize).filter(|seen| !**seen) {
                *seen = true;
                order.push(content);
            }
        };
        self.catalog.into_iter().for_each(&mut visit);
        for directory in hierarchies.into_iter().flatten().flat_map(|h| &h.directories) {
            for record in &directory.records {
                if let crate::hierarchy::Target::File(id) = record.target {
                    let node = tree.node(id);
                    if let NodeKind::File { content } = node.kind {
                        let size = self.places.get(content as usize).map_or(0, |p| p.1);
                        if size > u64::from(u32::MAX) && options.level < Level::Three {
                            let path = tree.path(id);
                            return Err(Error::FileTooLarge {
                                path,
                                size,
                                level: options.level.number(),
                            });
                        }
                        visit(content);
                    }
                }
            }
        }
        order.sort_by_key(|c| std::cmp::Reverse(tree.contents.get(*c as usize).map_or(0, |c| c.weight)));
        let same_as = match options.duplicates {
            Duplicates::Contents => equal_contents(tree, &order, options)?,
            _ => HashMap::new(),
        };
        for content in &order {
            if same_as.contains_key(content) {
                continue;
            }
            if let Some((extent, size)) = self.places.get_mut(*content as usize) {
                *extent = counter.take(size.div_ceil(BLOCK as u64))?;
                if *size == 0 {
                    *extent = self.data_start;
                }
            }
        }
        for (content, original) in &same_as {
            let place = self.places.get(*original as usize).copied();
            if let (Some(to), Some(place)) = (self.places.get_mut(*content as usize), place) {
                *to = place;
            }
        }
        order.retain(|c| !same_as.contains_key(c) && self.place(*c).1 > 0);
        self.order = order;
        Ok(())
    }
}

/// For each content that equals an earlier one: that one. Only contents of one size are read.
fn equal_contents(tree: &ImageTree, order: &[u32], options: &Options) -> Result<HashMap<u32, u32>> {
    let mut sizes = HashMap::<u64, u32>::new();
    // A boot image with a table patched in is not what its source is.
    let patched: Vec<u32> = options
        .boot
        .iter()
        .flat_map(|b| &b.entries)
        .filter(|e| e.info_table || e.grub2_info)
        .filter_map(|e| match tree.node(e.image).kind {
            NodeKind::File { content } => Some(content),
            _ => None,
        })
        .collect();
    let candidates = || {
        order.iter().filter_map(|c| {
            let source = &tree.contents.get(*c as usize)?.source;
            let eligible = source.size() > 0 && !source.is_boot_catalog() && !patched.contains(c);
            eligible.then_some((*c, source))
        })
    };
    for (_, source) in candidates() {
        *sizes.entry(source.size()).or_insert(0) += 1;
    }
    let mut firsts = HashMap::<(u64, [u8; 32]), u32>::new();
    let mut out = HashMap::new();
    let mut buf = vec![0; PIECE];
    for (content, source) in candidates() {
        if sizes.get(&source.size()).is_none_or(|n| *n < 2) {
            continue;
        }
        let mut hash = Sha256::new();
        source.stream(&mut buf, &mut |piece| {
            hash.update(&*piece);
            Ok(())
        })?;
        match firsts.entry((source.size(), hash.finalize().into())) {
            std::collections::hash_map::Entry::Occupied(first) => {
                out.insert(content, *first.get());
            }
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(content);
            }
        }
    }
    Ok(out)
}
