//! Direct writing of metadata, in an order that is safe at every instant: refcounts, then the tables that need
//! them, then what points to those tables; references are dropped last.

use crate::error::{Error, Result};
use crate::feature::Autoclear;
use crate::header::SECTOR;
use crate::state::{Mode, State, table_bytes};
use std::collections::BTreeSet;

impl State {
    /// Called before each change of what the guest sees: the first one marks bitmaps, and clears autoclear bits that
    /// are not understood.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.make_way()?;
        self.mark_bitmaps()?;
        self.start()
    }

    /// Called before each change of metadata alone.
    pub(crate) fn begin_metadata(&mut self) -> Result<()> {
        self.make_way()?;
        self.start()
    }

    /// Makes room in the caches, unless nothing may be changed now.
    pub(crate) fn make_way(&mut self) -> Result<()> {
        if self.shadowed {
            return Err(Error::Busy {
                image: self.core.name.clone(),
            });
        }
        if self.l2.is_pressed() || self.blocks.is_pressed() {
            self.write_back()?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        if self.modified {
            return Ok(());
        }
        let known = Autoclear::DATA_FILE_RAW | Autoclear::BITMAPS;
        let autoclear = self.header.autoclear & known;
        if autoclear != self.header.autoclear {
            self.header.autoclear = autoclear;
            if matches!(self.mode, Mode::Direct) {
                self.write_header()?;
                self.core.barrier()?;
            }
        }
        if self.file_len < self.virgin {
            self.core.file.set_size(self.virgin)?;
            self.file_len = self.virgin;
        }
        self.modified = true;
        Ok(())
    }

    /// The first 512 bytes of the file as they shall be.
    pub(crate) fn new_sector(&self) -> Box<[u8; SECTOR]> {
        let area = self.area.as_ref().and_then(|area| area.new_sector());
        let mut sector = area.unwrap_or_else(|| self.sector.clone());
        self.header.patch(&mut sector);
        sector
    }

    /// Writes the header's fields, in one write.
    pub(crate) fn write_header(&mut self) -> Result<()> {
        let sector = self.new_sector();
        self.core.file.write_at(0, &sector[..])?;
        self.sector = sector;
        Ok(())
    }

    /// Writes all metadata that differs from the file. Does not make the last of it durable.
    pub(crate) fn write_back(&mut self) -> Result<()> {
        if !matches!(self.mode, Mode::Direct) {
            self.blocks.write_dirty(&*self.core.file)?;
            self.l2.write_dirty(&*self.core.file)?;
            return Ok(());
        }
        self.write_refcounts()?;
        if self.l2.has_dirty() || !self.l1_dirty.is_empty() {
            self.core.barrier()?;
            self.l2.write_dirty(&*self.core.file)?;
        }
        if !self.l1_dirty.is_empty() {
            self.core.barrier()?;
            let dirty = std::mem::take(&mut self.l1_dirty);
            write_parts(self, self.header.l1_offset, &self.l1, &dirty)?;
        }
        Ok(())
    }

    fn write_refcounts(&mut self) -> Result<()> {
        let on_disk = u64::from(self.header.refcount_table_clusters) << self.core.geometry.cluster_bits;
        let grown = self.refcount_table.len() as u64 * 8 > on_disk;
        let mut place = None;
        if grown {
            place = Some(self.allocate_refcount_table()?);
        }
        self.blocks.write_dirty(&*self.core.file)?;
        if let Some((first, clusters)) = place {
            let geometry = self.core.geometry;
            let offset = first << geometry.cluster_bits;
            let mut bytes = table_bytes(&self.refcount_table);
            bytes.resize((clusters << geometry.cluster_bits) as usize, 0);
            self.core.file.write_at(offset, &bytes)?;
            self.core.barrier()?;
            self.release(
                self.header.refcount_table_offset >> geometry.cluster_bits,
                self.header.refcount_table_clusters.into(),
            );
            self.header.refcount_table_offset = offset;
            self.header.refcount_table_clusters = clusters as u32;
            self.write_header()?;
            self.refcount_table_dirty.clear();
        } else if !self.refcount_table_dirty.is_empty() {
            self.core.barrier()?;
            let dirty = std::mem::take(&mut self.refcount_table_dirty);
            write_parts(
                self,
                self.header.refcount_table_offset,
                &self.refcount_table,
                &dirty,
            )?;
        }
        Ok(())
    }

    /// Finds room for the refcount table as it is, which may grow meanwhile: first cluster, number of clusters.
    pub(crate) fn allocate_refcount_table(&mut self) -> Result<(u64, u64)> {
        let geometry = self.core.geometry;
        loop {
            let clusters = geometry.clusters(self.refcount_table.len() as u64 * 8).max(1);
            let (first, _) = self.allocate(clusters)?;
            if geometry.clusters(self.refcount_table.len() as u64 * 8) <= clusters {
                return Ok((first, clusters));
            }
            self.release(first, clusters);
        }
    }

    /// Makes everything durable and drops the references that wait for it; gives the clusters that became free.
    pub(crate) fn flush(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut freed = Vec::new();
        if self.modified {
            self.write_back()?;
        }
        if matches!(self.mode, Mode::Direct) {
            if self.modified {
                self.trim()?;
            }
            self.core.file.flush()?;
            self.unmark_bitmaps()?;
            while !self.releases.is_empty() {
                freed.extend(self.settle()?);
                self.write_back()?;
                self.trim()?;
                self.core.file.flush()?;
            }
        } else {
            // Released clusters that are not ours stay as they are until the switch.
            self.settle()?;
        }
        Ok(freed)
    }
}

/// Writes the 512-byte parts `dirty` of a table at `offset`.
fn write_parts(state: &State, offset: u64, table: &[u64], dirty: &BTreeSet<u64>) -> Result<()> {
    for part in dirty {
        let first = *part as usize * 64;
        let last = (first + 64).min(table.len());
        let Some(entries) = table.get(first..last) else {
            continue;
        };
        state
            .core
            .file
            .write_at(offset + part * 512, &table_bytes(entries))?;
    }
    Ok(())
}
