//! Changing the size of the guest's disk.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::state::{Mode, State, table_bytes};
use crate::types::MAX_L1_BYTES;

impl Engine {
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
            self.lock().check_resizable_bitmaps()?;
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
