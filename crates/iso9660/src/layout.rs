//! Where the parts of an image lie.

use crate::boot_catalog::{BootImage, ImagePlace, Platform};
use crate::directory::Placement;
use crate::error::{Error, Result};
use crate::hierarchy::{Hierarchy, Target};
use crate::hybrid::{CylinderAlignment, HybridLayout, Range, align};
use crate::options::{Duplicates, Level, Options};
use crate::partition_table::GPT_BACKUP_BLOCKS;
use crate::tree::{ImageTree, NodeKind};
use crate::volume_descriptor::BLOCK;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// How much of a file is in memory at a time.
pub(crate) const PIECE: usize = 256 * 1024;

/// Where everything lies, in blocks.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// For each content: its first block and its size. Contents with the same data have the same place.
    pub(crate) places: Vec<(u32, u64)>,
    /// The contents in the order of their data, each data once.
    pub(crate) order: Vec<u32>,
    pub(crate) catalog: Option<u32>,
    /// What is laid over boot images, by content: offset and bytes.
    pub(crate) patches: HashMap<u32, Vec<(usize, Vec<u8>)>>,
    pub(crate) data_start: u32,
    /// Block of the second set of descriptors, and of the path tables and directories that belong to it.
    pub(crate) second: Option<(u32, u32)>,
    /// How many blocks these lie behind the first.
    pub(crate) forward: u32,
    pub(crate) hybrid: HybridLayout,
}

/// A layout counted from another block than the first.
pub(crate) struct Counted<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) origin: u32,
}

impl Placement for Counted<'_> {
    fn place(&self, content: u32) -> (u32, u64) {
        let (extent, size) = self.layout.place(content);
        (extent.saturating_sub(self.origin), size)
    }

    fn empty(&self) -> u32 {
        self.layout.empty().saturating_sub(self.origin)
    }
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

/// Hands out blocks in order.
pub(crate) struct Counter {
    pub(crate) next: u64,
}

impl Counter {
    /// The block that is next.
    pub(crate) fn block(&self) -> Result<u32> {
        u32::try_from(self.next).map_err(|_| Error::ImageTooLarge { blocks: self.next })
    }

    /// The first of so many blocks.
    pub(crate) fn take(&mut self, blocks: u64) -> Result<u32> {
        let first = self.block()?;
        self.next = self.next.saturating_add(blocks);
        self.block()?;
        Ok(first)
    }

    /// Leaves out what is before a block.
    pub(crate) fn skip_to(&mut self, block: u64) -> Result<()> {
        self.next = self.next.max(block);
        self.block().map(drop)
    }
}

impl Layout {
    /// Where a boot image lies.
    pub(crate) fn boot_image(&self, tree: &ImageTree, options: &Options, image: BootImage) -> ImagePlace {
        let nowhere = ImagePlace { extent: 0, size: 0 };
        match image {
            BootImage::File(file) => match tree.node(file).kind {
                NodeKind::File { content } => {
                    let (extent, size) = self.place(content);
                    ImagePlace { extent, size }
                }
                _ => nowhere,
            },
            BootImage::Appended(number) => {
                let mut all = options.hybrid.appended.iter().zip(&self.hybrid.appended);
                all.find(|(partition, _)| partition.number == number)
                    .map_or(nowhere, |(partition, range)| ImagePlace {
                        extent: range.start,
                        size: partition.source.size(),
                    })
            }
        }
    }

    /// Gives what lies behind the data its blocks: padding, partitions, and the second GUID partition table.
    pub(crate) fn place_hybrid(
        &mut self,
        tree: &ImageTree,
        options: &Options,
        counter: &mut Counter,
    ) -> Result<()> {
        let hybrid = &options.hybrid;
        let entries = || options.boot.iter().flat_map(|b| &b.entries);
        let is_file = |image: BootImage| matches!(image, BootImage::File(_));
        let marked = entries().any(|entry| entry.partition && is_file(entry.image));
        let efi = entries().any(|entry| entry.platform == Platform::Efi && is_file(entry.image));
        let backup = if hybrid.has_gpt(marked, efi) {
            u64::from(GPT_BACKUP_BLOCKS)
        } else {
            0
        };
        let tail = u64::from(options.padding_blocks).saturating_add(backup);
        let mut layout = HybridLayout::default();
        if hybrid.appended.is_empty() {
            counter.take(tail)?;
        }
        if hybrid.is_aligned() {
            counter.skip_to(align(counter.next))?;
        }
        layout.image_blocks = counter.block()?;
        for partition in &hybrid.appended {
            let blocks = partition.source.size().div_ceil(BLOCK as u64);
            let start = counter.take(blocks)?;
            if hybrid.is_aligned() && hybrid.alignment == CylinderAlignment::All {
                counter.skip_to(align(counter.next))?;
            }
            layout.appended.push(Range {
                start,
                blocks: counter.block()?.saturating_sub(start),
            });
        }
        if !hybrid.appended.is_empty() {
            counter.take(tail)?;
        }
        layout.blocks = counter.block()?;
        layout.identity = format!(
            "{} {} {:?}",
            options.texts.volume_id, layout.image_blocks, options.time
        );
        self.hybrid = layout;
        for entry in entries() {
            let place = self.boot_image(tree, options, entry.image);
            let blocks = u32::try_from(place.size.div_ceil(BLOCK as u64)).unwrap_or(u32::MAX);
            let range = Range {
                start: place.extent,
                blocks,
            };
            self.hybrid.boot_image.get_or_insert(range.start);
            if !is_file(entry.image) {
                continue;
            }
            if entry.platform == Platform::Efi {
                self.hybrid.efi_image.get_or_insert(range);
            }
            if entry.partition {
                self.hybrid.marked.push((range, place.size));
            }
        }
        Ok(())
    }

    /// Gives every content its blocks: by weight, then in the order of the directories.
    pub(crate) fn place_data(
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
                if let Target::File(id) = record.target {
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
        .filter_map(|e| match e.image {
            BootImage::File(file) => Some(tree.node(file)),
            BootImage::Appended(_) => None,
        })
        .filter_map(|node| match node.kind {
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
