//! Another width for refcounts: all of them are written anew beside the old ones, and switched in by the header.

use crate::amend::AmendRefusal;
use crate::error::{Error, Result};
use crate::feature::Autoclear;
use crate::header::SECTOR;
use crate::image::Qcow2;
use crate::io::read_padded;
use crate::refcount;
use crate::state::{State, table_bytes};
use crate::types::{Geometry, MAX_HOST_OFFSET, MAX_REFCOUNT_TABLE_BYTES};
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::{self as storage, Storage};
use std::collections::{BTreeSet, HashSet};

/// The widest refcounts there are.
pub(crate) const MAX_REFCOUNT_BITS: u64 = 64;

/// Where the new refcounts go.
struct Layout {
    geometry: Geometry,
    /// The new blocks, by their index in the table; they follow each other from `first` on, and the table follows them.
    blocks: BTreeSet<u64>,
    first: u64,
    table_clusters: u64,
}

impl Layout {
    /// One past the last cluster of the new structures.
    fn end(&self) -> u64 {
        self.first + self.blocks.len() as u64 + self.table_clusters
    }
}

impl Qcow2 {
    /// Gives all refcounts another width, in one switch. This image cannot be written any more after that.
    pub(crate) fn set_refcount_bits(&self, bits: u64) -> Result<()> {
        if !self.is_writable() {
            return Err(storage::Error::ReadOnly { object: self.name() }.into());
        }
        let order = bits.trailing_zeros();
        self.engine.flush()?;
        let _io = self.engine.exclusive();
        let mut state = self.engine.lock();
        if state.shadowed {
            return Err(Error::Busy { image: self.name() });
        }
        let old_len = state.core.file.size();
        let new = match state.write_refcounts_anew(order) {
            Ok(new) => new,
            Err(error) => {
                let _ = state.core.file.set_size(old_len);
                return Err(error);
            }
        };
        state.shadowed = true;
        let old = (
            state.header.refcount_table_offset,
            u64::from(state.header.refcount_table_clusters),
        );
        let old_blocks: Vec<u64> = state.refcount_table.iter().copied().filter(|e| *e != 0).collect();
        let file = state.core.file.clone();
        file.write_at(0, &new[..])?;
        file.flush()?;
        // What only the old state used is free now; the host may have it back.
        let size = state.core.geometry.cluster_size();
        let parts = old_blocks.into_iter().map(|block| (block, size));
        for (offset, len) in parts.chain([(old.0, old.1 * size)]) {
            let len = len.min(file.size().saturating_sub(offset));
            if len > 0
                && let Err(error) = file.discard(offset, len)
            {
                log::debug!("{error}");
            }
        }
        Ok(())
    }
}

impl State {
    /// Writes the refcounts in the new width behind the end of the file, durably: the first 512 bytes that switch to them.
    fn write_refcounts_anew(&mut self, order: u32) -> Result<Box<[u8; SECTOR]>> {
        let old_structures = self.refcount_structures();
        let layout = self.lay_out_refcounts(order, &old_structures)?;
        let bits = layout.geometry.cluster_bits;
        let file = self.core.file.clone();
        file.set_size(layout.end() << bits)?;
        let mut table = vec![0u64; ((layout.table_clusters << bits) / 8) as usize];
        for (i, index) in layout.blocks.iter().enumerate() {
            let mut block = vec![0u8; layout.geometry.cluster_size() as usize];
            let first = index << layout.geometry.block_bits();
            for j in 0..layout.geometry.block_entries() {
                let cluster = first + j;
                let count = if (layout.first..layout.end()).contains(&cluster) {
                    1
                } else if cluster >= layout.first {
                    0
                } else {
                    self.count_without(cluster, &old_structures)?
                };
                if count > 0 {
                    refcount::set(&mut block, order, j as usize, count);
                }
            }
            let at = (layout.first + i as u64) << bits;
            file.write_at(at, &block)?;
            if let Some(entry) = table.get_mut(*index as usize) {
                *entry = at;
            }
        }
        let at = (layout.first + layout.blocks.len() as u64) << bits;
        file.write_at(at, &table_bytes(&table))?;
        file.flush()?;
        let mut sector = Box::new([0u8; SECTOR]);
        read_padded(&*file, 0, &mut sector[..])?;
        BigEndian::write_u64(&mut sector[48..56], at);
        BigEndian::write_u32(&mut sector[56..60], layout.table_clusters as u32);
        BigEndian::write_u32(&mut sector[96..100], order);
        // Whoever changes the image clears what it does not know to keep.
        let known = Autoclear::DATA_FILE_RAW | Autoclear::BITMAPS;
        BigEndian::write_u64(&mut sector[88..96], (self.header.autoclear & known).bits());
        Ok(sector)
    }

    /// The clusters of the refcount table and its blocks.
    fn refcount_structures(&self) -> HashSet<u64> {
        let geometry = &self.core.geometry;
        let table = self.header.refcount_table_offset >> geometry.cluster_bits;
        let blocks = self.refcount_table.iter().filter(|block| **block != 0);
        blocks
            .map(|block| block >> geometry.cluster_bits)
            .chain(table..table + u64::from(self.header.refcount_table_clusters))
            .collect()
    }

    /// A refcount without the references of the structures that go.
    fn count_without(&mut self, cluster: u64, structures: &HashSet<u64>) -> Result<u64> {
        let count = self.refcount(cluster)?;
        Ok(if structures.contains(&cluster) {
            count.saturating_sub(1)
        } else {
            count
        })
    }

    /// Fails where a refcount is too great for so many bits.
    pub(crate) fn check_refcount_bits(&mut self, bits: u64) -> Result<()> {
        let structures = self.refcount_structures();
        self.lay_out_refcounts(bits.trailing_zeros(), &structures)
            .map(|_| ())
    }

    fn lay_out_refcounts(&mut self, order: u32, structures: &HashSet<u64>) -> Result<Layout> {
        let old = self.core.geometry;
        let geometry = Geometry {
            refcount_order: order,
            ..old
        };
        let first = old.clusters(self.core.file.size());
        let mut blocks = BTreeSet::new();
        for index in 0..self.refcount_table.len() as u64 {
            if self.refcount_table.get(index as usize).is_none_or(|e| *e == 0) {
                continue;
            }
            let start = index << old.block_bits();
            for cluster in start..start + old.block_entries() {
                let count = self.count_without(cluster, structures)?;
                if count == 0 {
                    continue;
                }
                let offset = cluster << old.cluster_bits;
                if cluster >= first {
                    let problem = "a cluster beyond the end of the file is counted as used";
                    return Err(self.core.corrupt("refcount block", offset, count, problem));
                }
                if count > geometry.refcount_max() {
                    let bits = 1 << order;
                    let refusal = AmendRefusal::RefcountTooLarge { bits, offset, count };
                    return Err(Error::Amend(refusal));
                }
                blocks.insert(cluster >> geometry.block_bits());
            }
        }
        let mut layout = Layout {
            geometry,
            blocks,
            first,
            table_clusters: 1,
        };
        loop {
            let (count, clusters) = (layout.blocks.len(), layout.table_clusters);
            let own = layout.first >> geometry.block_bits()..=(layout.end() - 1) >> geometry.block_bits();
            layout.blocks.extend(own);
            let last = layout.blocks.last().copied().unwrap_or(0);
            layout.table_clusters = geometry.clusters((last + 1) * 8).max(clusters);
            if layout.table_clusters << geometry.cluster_bits > MAX_REFCOUNT_TABLE_BYTES
                || layout.end() >= MAX_HOST_OFFSET >> geometry.cluster_bits
            {
                return Err(Error::TooLarge {
                    image: self.core.name.clone(),
                    what: "the refcount table would exceed 8 MiB",
                });
            }
            if (layout.blocks.len(), layout.table_clusters) == (count, clusters) {
                return Ok(layout);
            }
        }
    }
}
