//! Changing the size of the guest's disk.

use crate::create::Preallocation;
use crate::encryption::Encryption;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::feature::Autoclear;
use crate::image::Qcow2;
use crate::preallocate::write_out_zeroes;
use crate::shadow::Qcow2Shadow;
use crate::state::{Mode, State, table_bytes};
use crate::types::MAX_L1_BYTES;
use disksmith_storage::{Shadow, Storage, ZeroMode};
use std::sync::Arc;

impl Qcow2 {
    /// Gives the disk another size, wholly or not at all. What is new reads as zeroes and takes the space that
    /// `preallocation` says; what is cut off is given back.
    ///
    /// # Errors
    /// When the size is no multiple of 512 or too large; [`BitmapRefusal::Inconsistent`](crate::BitmapRefusal); those of a
    /// change set.
    pub fn resize(self: &Arc<Self>, size: u64, preallocation: Preallocation) -> Result<()> {
        let mut edit = Box::new(self.metadata_change_set()?);
        edit.resize(size, preallocation)?;
        edit.prepare()?.switch()?;
        // Nothing leads behind the new end any more.
        if let Some(data) = &self.engine.core.data_file
            && data.size() > size
        {
            data.set_size(size)?;
        }
        Ok(())
    }
}

impl Qcow2Shadow {
    /// Gives the disk another size, as [`Qcow2::resize`] does.
    ///
    /// # Errors
    /// Those of [`Qcow2::resize`].
    pub fn resize(&mut self, size: u64, preallocation: Preallocation) -> Result<()> {
        let (old, raw) = {
            let state = self.engine.lock();
            (
                state.size,
                state.header.autoclear.contains(Autoclear::DATA_FILE_RAW),
            )
        };
        let preallocation = match preallocation {
            // A program that knows nothing of this image may fill the data file.
            Preallocation::Off if raw => Preallocation::Metadata,
            other => other,
        };
        self.engine.set_size(size)?;
        self.engine.preallocate_growth(old, size, preallocation)
    }
}

impl Engine {
    /// Gives the clusters behind the old end their places.
    fn preallocate_growth(&self, from: u64, to: u64, mode: Preallocation) -> Result<()> {
        if mode == Preallocation::Off || from >= to {
            return Ok(());
        }
        if !matches!(self.core.encryption, Encryption::None) {
            // Only what is written reads as zeroes.
            let zeroes = vec![0; (to - from).min(1 << 20) as usize];
            let mut at = from;
            while at < to {
                let n = (to - at).min(zeroes.len() as u64);
                self.write(at, zeroes.get(..n as usize).unwrap_or(&[]))?;
                at += n;
            }
            return Ok(());
        }
        let geometry = self.core.geometry;
        // The cluster in which the old disk ended may show what is below.
        let (mut cluster, end) = (geometry.clusters(from), geometry.clusters(to));
        while cluster < end {
            let (at, len) = {
                let _io = self.exclusive();
                let mut state = self.lock();
                state.begin()?;
                let Some((first, count)) = state.place_clusters(cluster, end - cluster)? else {
                    cluster += 1;
                    continue;
                };
                cluster += count;
                (first << geometry.cluster_bits, count << geometry.cluster_bits)
            };
            let data = self.core.data();
            // A data file may end inside its last cluster.
            let len = len.min(data.size().saturating_sub(at));
            match mode {
                Preallocation::Falloc => data.write_zeroes(at, len, ZeroMode::Keep)?,
                Preallocation::Full => write_out_zeroes(&**data, at, len)?,
                // The place may have held something else before.
                _ => clear(&**data, at, len)?,
            }
        }
        Ok(())
    }

    /// Changes the size. What is new reads as zeroes; what is cut off is given back.
    pub(crate) fn set_size(&self, size: u64) -> Result<()> {
        if !size.is_multiple_of(512) {
            return Err(Error::request(format!(
                "{}: the size must be a multiple of 512",
                self.core.name
            )));
        }
        let old = self.lock().size;
        if size != old {
            let state = self.lock();
            state.check_resizable_bitmaps()?;
            if state.header.version < 3 && state.header.snapshots > 0 {
                return Err(Error::request("Can't resize a v2 image which has snapshots"));
            }
        }
        if size < old {
            self.cut(size, old)?;
            let _io = self.exclusive();
            let mut state = self.lock();
            state.begin()?;
            // What was cut off is unreferenced on disk before the header forgets it.
            state.write_back()?;
            self.core.barrier()?;
            state.resize(size)?;
            return Ok(());
        }
        if size == old {
            return Ok(());
        }
        {
            let _io = self.exclusive();
            let mut state = self.lock();
            state.begin()?;
            state.grow_l1(size)?;
            state.size = size;
        }
        // Whatever lay behind the old end, in this image or in a longer backing file, must not show.
        let zeroed = self.zero_growth(old, size);
        let _io = self.exclusive();
        let mut state = self.lock();
        if let Err(error) = zeroed {
            state.size = old;
            return Err(error);
        }
        state.write_back()?;
        self.core.barrier()?;
        state.resize(size)
    }

    fn zero_growth(&self, from: u64, to: u64) -> Result<()> {
        let mut pos = from;
        while pos < to {
            let extent = self.extent_at(pos, to - pos)?;
            if !extent.reads_as_zero() || extent.depth > 0 {
                self.write_zeroes(pos, extent.len, false)?;
            }
            pos += extent.len;
        }
        if let Some(data) = &self.core.data_file
            && data.size() < to
        {
            data.set_size(to)?;
        }
        Ok(())
    }

    fn cut(&self, from: u64, to: u64) -> Result<()> {
        let _io = self.exclusive();
        let mut state = self.lock();
        state.begin()?;
        let (mut cluster, end) = (self.core.geometry.clusters(from), self.core.geometry.clusters(to));
        while cluster < end {
            cluster += state.drop_cluster(cluster, end - cluster)?;
        }
        Ok(())
    }
}

impl State {
    /// Makes the entry of a cluster empty: gives how many clusters that was.
    fn drop_cluster(&mut self, cluster: u64, count: u64) -> Result<u64> {
        let (l1, index) = self.indices(cluster);
        if self.l2_table(l1)?.is_none() {
            return Ok((self.core.geometry.l2_entries() - index).min(count));
        }
        let old = self.entry(cluster)?;
        if old != crate::entry::L2Entry::default() {
            self.own_l2(l1)?;
            self.set_entry(cluster, crate::entry::L2Entry::default())?;
            self.release_entry(old);
        }
        Ok(1)
    }

    /// Makes the L1 table long enough for a disk of `size` bytes.
    fn grow_l1(&mut self, size: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let needed = geometry.l1_entries(size);
        if needed <= self.l1.len() as u64 {
            return Ok(());
        }
        if needed * 8 > MAX_L1_BYTES {
            return Err(Error::TooLarge {
                image: self.core.name.clone(),
                what: "the L1 table would exceed 32 MiB; greater clusters allow a larger disk",
            });
        }
        let mut l1 = self.l1.clone();
        l1.resize(needed as usize, 0);
        self.l1 = l1;
        if matches!(self.mode, Mode::Shadow { .. }) {
            // The change set writes the whole table anew.
            self.l1_dirty.insert(0);
            return Ok(());
        }
        let clusters = geometry.clusters(needed * 8);
        let (first, _) = self.allocate(clusters)?;
        let (old, old_len) = (self.header.l1_offset, u64::from(self.header.l1_entries) * 8);
        let offset = first << geometry.cluster_bits;
        // The tables that it points to, and the refcounts, come first.
        self.write_back()?;
        self.core.barrier()?;
        let mut bytes = table_bytes(&self.l1);
        bytes.resize((clusters << geometry.cluster_bits) as usize, 0);
        self.core.file.write_at(offset, &bytes)?;
        self.core.barrier()?;
        self.header.l1_offset = offset;
        self.header.l1_entries = needed as u32;
        self.l1_dirty.clear();
        self.write_header()?;
        if old_len > 0 {
            self.release(old >> geometry.cluster_bits, geometry.clusters(old_len));
        }
        Ok(())
    }

    fn resize(&mut self, size: u64) -> Result<()> {
        self.size = size;
        self.header.size = size;
        self.resize_bitmaps()?;
        if matches!(self.mode, Mode::Direct) {
            self.write_header()?;
        }
        Ok(())
    }
}

/// Makes a part of a file read as zeroes where it does not.
fn clear(file: &dyn Storage, at: u64, len: u64) -> Result<()> {
    let mut done = 0;
    while done < len {
        let extent = file.extent_at(at + done, len - done)?;
        let part = extent.len.min(len - done).max(1);
        if !extent.reads_as_zero() {
            file.write_zeroes(at + done, part, ZeroMode::Unmap)?;
        }
        done += part;
    }
    Ok(())
}
