//! The path tables and directories of an image, for the plain and the Joliet names.

use crate::directory::{DirectoryEncoder, Placement};
use crate::error::{Error, Result};
use crate::hierarchy::{Hierarchy, Names};
use crate::layout::Counter;
use crate::options::Options;
use crate::path_table::PathTableRecord;
use crate::tree::ImageTree;
use crate::volume_descriptor::BLOCK;

/// Blocks and length of one hierarchy's path tables.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathTable {
    pub(crate) len: u32,
    pub(crate) little: u32,
    pub(crate) big: u32,
}

/// A hierarchy with its path tables.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) table: PathTable,
    /// Bytes of Rock Ridge in the directories.
    pub(crate) rock_ridge: u64,
}

/// The path tables and directories of an image.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) plain: Listing,
    pub(crate) joliet: Option<Listing>,
}

impl Volume {
    /// Lays out the names of a tree; blocks are given by [`place`](Self::place).
    pub(crate) fn new(tree: &ImageTree, options: &Options) -> Result<Self> {
        let listing = |names: Names| -> Result<Listing> {
            Ok(Listing {
                hierarchy: Hierarchy::new(tree, names, options)?,
                table: PathTable::default(),
                rock_ridge: 0,
            })
        };
        Ok(Self {
            plain: listing(Names::Plain)?,
            joliet: options.joliet.then(|| listing(Names::Joliet)).transpose()?,
        })
    }

    pub(crate) fn listings(&self) -> impl Iterator<Item = &Listing> {
        std::iter::once(&self.plain).chain(self.joliet.iter())
    }

    fn listings_mut(&mut self) -> impl Iterator<Item = &mut Listing> {
        std::iter::once(&mut self.plain).chain(self.joliet.iter_mut())
    }

    /// Gives path tables and directories their blocks.
    pub(crate) fn place(
        &mut self,
        tree: &ImageTree,
        options: &Options,
        placement: &dyn Placement,
        counter: &mut Counter,
    ) -> Result<()> {
        for listing in self.listings_mut() {
            let len = path_table_records(&listing.hierarchy)
                .map(|r| r.len())
                .sum::<u64>();
            let blocks = len.div_ceil(BLOCK as u64);
            listing.table.len = u32::try_from(len).map_err(|_| Error::ImageTooLarge { blocks })?;
            listing.table.little = counter.take(blocks)?;
            listing.table.big = counter.take(blocks)?;
        }
        for Listing {
            hierarchy,
            rock_ridge,
            ..
        } in self.listings_mut()
        {
            let sizes: Vec<(usize, usize)> = {
                let encoder = DirectoryEncoder {
                    tree,
                    hierarchy,
                    rock_ridge: options.rock_ridge,
                    placement,
                };
                (0..hierarchy.directories.len() as u32)
                    .map(|index| {
                        let encoded = encoder.encode(index);
                        *rock_ridge += encoded.rock_ridge as u64;
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
        Ok(())
    }

    /// The same, written `forward` blocks behind and counted from block `origin` on.
    pub(crate) fn moved(&self, forward: u32, origin: u32) -> Self {
        let mut out = self.clone();
        let shift = |block: &mut u32| *block = block.saturating_add(forward).saturating_sub(origin);
        for Listing { hierarchy, table, .. } in out.listings_mut() {
            shift(&mut table.little);
            shift(&mut table.big);
            for directory in &mut hierarchy.directories {
                shift(&mut directory.extent);
            }
        }
        out
    }

    /// Writes path tables and directories.
    pub(crate) fn write(
        &self,
        tree: &ImageTree,
        rock_ridge: bool,
        placement: &dyn Placement,
        write: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        for Listing { hierarchy, .. } in self.listings() {
            for big_endian in [false, true] {
                let mut bytes = Vec::new();
                for record in path_table_records(hierarchy) {
                    record.encode(big_endian, &mut bytes);
                }
                bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
                write(&bytes)?;
            }
        }
        for Listing { hierarchy, .. } in self.listings() {
            let encoder = DirectoryEncoder {
                tree,
                hierarchy,
                rock_ridge,
                placement,
            };
            for index in hierarchy.disk_order() {
                let encoded = encoder.encode(index);
                write(&encoded.records)?;
                write(&encoded.continuations)?;
            }
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
