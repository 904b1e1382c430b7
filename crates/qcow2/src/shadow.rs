//! Change sets: writes that go beside the image's state and become visible in one header write.
//!
//! Data, L2 tables and refcount blocks that change go to clusters that the refcounts on disk call free, as they come
//! and within the bounds of the caches; L1 table and refcount table follow when the set is prepared. Nothing that the
//! header on disk leads to is touched before the switch, so a set that never gets there leaves a longer file, no more.

use crate::core::Core;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::header_area::HeaderChange;
use crate::image::Qcow2;
use crate::prepared::PreparedImage;
use crate::state::{Mode, State};
use disksmith_storage::{
    self as storage, Alignment, Diagnose, ErrorKind, Extent, HostSpan, Prepared, Shadow, Storage, StorageRef,
    Unprepared, ZeroMode,
};
use std::sync::Arc;

/// Keeps the image from being changed otherwise while a change set is open over it.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) image: Arc<Qcow2>,
    /// Length of the file before the change set.
    pub(crate) old_len: u64,
    /// Whether the file may have the new state already although the image still knows the old one: then nothing may
    /// be written through it any more.
    pub(crate) undecided: bool,
    /// What was done to the header cluster for a switch that has not been made.
    pub(crate) area: Option<Box<HeaderChange>>,
}

impl Claim {
    /// Cuts off what the change set added to the file, and makes the header cluster what it was.
    pub(crate) fn cut(&mut self) -> Result<()> {
        let file = &self.image.engine.core.file;
        if let Some(area) = self.area.take() {
            area.undo(&**file)?;
        }
        if file.size() > self.old_len {
            file.set_size(self.old_len)?;
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.undecided {
            let file = &self.image.engine.core.file;
            if let Some(Err(error)) = self.area.take().map(|area| area.undo(&**file)) {
                log::warn!("{error}");
            }
            self.image.engine.lock().shadowed = false;
        }
    }
}

/// A change set over a [`Qcow2`].
#[derive(Debug)]
pub struct Qcow2Shadow {
    pub(crate) engine: Engine,
    pub(crate) claim: Option<Claim>,
    /// Whether guest data of an external data file goes to another storage, which is switched in with this.
    data_goes_beside: bool,
}

impl Qcow2 {
    /// Opens a change set. Until it is switched in or given up, the image itself can only be read, and shows its
    /// old contents.
    ///
    /// # Errors
    /// When the image was not opened for writing, has an external data file (its clusters have fixed places), or
    /// has a change set open already.
    pub fn shadow(self: &Arc<Self>) -> Result<Box<dyn Shadow>> {
        Ok(Box::new(self.change_set()?))
    }

    /// As [`shadow`](Self::shadow), and the change set can also change the image's internal snapshots.
    ///
    /// # Errors
    /// Those of [`shadow`](Self::shadow).
    pub fn change_set(self: &Arc<Self>) -> Result<Qcow2Shadow> {
        if !self.is_writable() {
            return Err(storage::Error::ReadOnly { object: self.name() }.into());
        }
        if self.engine.core.has_data_file() {
            return Err(Error::unsupported(
                &self.engine.core.name,
                "editing an image with an external data file, whose clusters cannot move,",
            ));
        }
        self.metadata_change_set()
    }

    /// As [`change_set`](Self::change_set), also for an image with an external data file: then only metadata can be
    /// changed, not what the guest reads.
    ///
    /// # Errors
    /// When the image was not opened for writing, or has a change set open already.
    pub fn metadata_change_set(self: &Arc<Self>) -> Result<Qcow2Shadow> {
        self.begin_change_set(None)
    }

    /// As [`shadow`](Self::shadow), for an image with an external data file, whose clusters cannot move: what the guest
    /// writes goes to `data` at the same place. That must show the data file's contents, with the same size, and be
    /// switched in together with the change set.
    ///
    /// # Errors
    /// When the image was not opened for writing, has no external data file, or has a change set open already.
    pub fn shadow_beside(self: &Arc<Self>, data: StorageRef) -> Result<Box<dyn Shadow>> {
        if !self.engine.core.has_data_file() {
            return Err(Error::request(format!(
                "{}: it has no external data file",
                self.engine.core.name
            )));
        }
        Ok(Box::new(self.begin_change_set(Some(data))?))
    }

    fn begin_change_set(self: &Arc<Self>, data: Option<StorageRef>) -> Result<Qcow2Shadow> {
        if !self.is_writable() {
            return Err(storage::Error::ReadOnly { object: self.name() }.into());
        }
        if self.engine.lock().shadowed {
            return Err(Error::Busy { image: self.name() });
        }
        self.engine.flush()?;
        let mut parent = self.engine.lock();
        if parent.shadowed {
            return Err(Error::Busy { image: self.name() });
        }
        parent.shadowed = true;
        let mut state = parent.fork();
        drop(parent);
        let data_goes_beside = data.is_some();
        if data_goes_beside {
            state.core = Arc::new(Core {
                data_file: data,
                ..(*state.core).clone()
            });
        }
        let claim = Claim {
            image: Arc::clone(self),
            old_len: state.file_len,
            undecided: false,
            area: None,
        };
        Ok(Qcow2Shadow {
            engine: Engine::new(state),
            claim: Some(claim),
            data_goes_beside,
        })
    }
}

impl State {
    /// The state of a change set that changes nothing yet.
    fn fork(&self) -> Self {
        let cluster_size = self.core.geometry.cluster_size();
        Self {
            core: Arc::clone(&self.core),
            header: self.header.clone(),
            sector: self.sector.clone(),
            mode: Mode::Shadow {
                old_table: Arc::new(self.refcount_table.clone()),
            },
            size: self.size,
            l1: self.l1.clone(),
            l1_dirty: Default::default(),
            refcount_table: self.refcount_table.clone(),
            refcount_table_dirty: Default::default(),
            l2: crate::cache::SliceCache::new(cluster_size, crate::state::L2_CACHE),
            blocks: crate::cache::SliceCache::new(cluster_size, crate::state::REFCOUNT_CACHE),
            hint: self.hint,
            file_len: self.file_len,
            virgin: self.file_len.next_multiple_of(cluster_size),
            compressed_end: 0,
            releases: Vec::new(),
            protected: self.protected.clone(),
            in_flight: Vec::new(),
            modified: false,
            shadowed: false,
            dirtied: Default::default(),
            area: None,
        }
    }
}

impl Qcow2Shadow {
    pub(crate) fn check_open(&self, offset: u64, len: u64) -> storage::Result<()> {
        if self.claim.is_none() {
            return Err(storage::Error::ReadOnly { object: self.name() });
        }
        if self.engine.core.has_data_file() && !self.data_goes_beside {
            return Err(Error::unsupported(
                &self.name(),
                "changing an external data file's contents as a whole",
            )
            .into());
        }
        self.check_range(offset, len)
    }
}

impl Drop for Qcow2Shadow {
    fn drop(&mut self) {
        if let Some(mut claim) = self.claim.take()
            && let Err(error) = claim.cut()
        {
            log::warn!("{error}");
        }
    }
}

impl Storage for Qcow2Shadow {
    fn size(&self) -> u64 {
        self.engine.lock().size
    }

    fn name(&self) -> String {
        self.engine.core.name.clone()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> storage::Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        Ok(self.engine.read(offset, buf)?)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> storage::Result<()> {
        self.check_open(offset, buf.len() as u64)?;
        Ok(self.engine.write(offset, buf)?)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> storage::Result<()> {
        self.check_open(offset, len)?;
        Ok(self.engine.write_zeroes(offset, len, mode == ZeroMode::Keep)?)
    }

    fn discard(&self, offset: u64, len: u64) -> storage::Result<()> {
        self.check_open(offset, len)?;
        Ok(self.engine.discard(offset, len)?)
    }

    fn flush(&self) -> storage::Result<()> {
        Ok(self.engine.flush()?)
    }

    fn set_size(&self, size: u64) -> storage::Result<()> {
        self.check_open(0, 0)?;
        Ok(self.engine.set_size(size)?)
    }

    fn extent_at(&self, offset: u64, limit: u64) -> storage::Result<Extent> {
        self.check_range(offset, 1)?;
        self.engine.extent_at(offset, limit.max(1))
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: 1,
            allocation: self.engine.core.geometry.cluster_size(),
        }
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        self.engine.host_span(offset, len)
    }
}

impl Shadow for Qcow2Shadow {
    fn is_dirty(&self) -> bool {
        self.engine.lock().modified
    }

    fn prepare(self: Box<Self>) -> storage::Result<Box<dyn Prepared>> {
        self.try_prepare().map_err(|unprepared| unprepared.error)
    }

    fn try_prepare(mut self: Box<Self>) -> std::result::Result<Box<dyn Prepared>, Unprepared> {
        let lost = |error| Unprepared { error, shadow: None };
        let Some(mut claim) = self.claim.take() else {
            return Err(lost(storage::Error::ReadOnly { object: self.name() }));
        };
        let mut state = self.engine.lock();
        if let Err(error) = state.add_dirtied() {
            let _ = claim.cut();
            return Err(lost(error.into()));
        }
        let written = state.write_tables().map_err(storage::Error::from);
        if let Err(error) = written {
            drop(state);
            if error.kind() == ErrorKind::NoSpace {
                self.claim = Some(claim);
                let shadow: Option<Box<dyn Shadow>> = Some(self);
                return Err(Unprepared { error, shadow });
            }
            // The first error is the one that matters.
            let _ = claim.cut();
            return Err(lost(error));
        }
        if let Err(error) = state.make_durable(&mut claim) {
            let _ = claim.cut();
            return Err(lost(error.into()));
        }
        match PreparedImage::new(&mut state, claim) {
            Ok(prepared) => Ok(Box::new(prepared)),
            Err(error) => Err(lost(error.into())),
        }
    }

    fn abandon(mut self: Box<Self>) -> storage::Result<()> {
        match self.claim.take() {
            Some(mut claim) => Ok(claim.cut()?),
            None => Ok(()),
        }
    }
}

impl State {
    /// Writes all tables that the new state needs beside the old ones. Where it fails for lack of space it can be done again.
    fn write_tables(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        self.settle()?;
        if !self.l1_dirty.is_empty() {
            let bytes = self.l1.len() as u64 * 8;
            let (first, _) = self.allocate(geometry.clusters(bytes))?;
            let old = (self.header.l1_offset, u64::from(self.header.l1_entries) * 8);
            if old.1 > 0 {
                self.release(old.0 >> geometry.cluster_bits, geometry.clusters(old.1));
            }
            self.header.l1_offset = first << geometry.cluster_bits;
            self.header.l1_entries = self.l1.len() as u32;
            self.settle()?;
        }
        if !self.refcount_table_dirty.is_empty() {
            self.move_refcount_table()?;
        }
        self.trim()?;
        self.blocks.write_dirty(&*self.core.file)?;
        self.l2.write_dirty(&*self.core.file)?;
        if !self.l1_dirty.is_empty() {
            self.write_table(self.header.l1_offset, &self.l1)?;
            self.l1_dirty.clear();
        }
        if !self.refcount_table_dirty.is_empty() {
            self.write_table(self.header.refcount_table_offset, &self.refcount_table)?;
            self.refcount_table_dirty.clear();
        }
        Ok(())
    }

    /// Writes what the header needs, and makes everything durable.
    fn make_durable(&mut self, claim: &mut Claim) -> Result<()> {
        self.prepare_header(claim)?;
        self.core.file.flush()?;
        Ok(())
    }

    /// Writes beside the old header what the new one has behind its first 512 bytes.
    fn prepare_header(&mut self, claim: &mut Claim) -> Result<()> {
        let old = claim.image.engine.lock().header.clone();
        if !self.header.area_differs(&old) {
            return Ok(());
        }
        let change = HeaderChange::plan(&self.core, &self.header)?;
        if let Some(sector) = change.old_sector() {
            self.sector = sector;
        }
        let change = Box::new(change);
        claim.area = Some(change.clone());
        change.prepare(&*self.core.file)?;
        self.area = Some(change);
        Ok(())
    }

    /// Gives the refcount table a new place. Counting that place, and no longer the old one, may need further
    /// blocks, and those a longer table: then again. At each step the header names the place that is counted.
    fn move_refcount_table(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        loop {
            let (first, clusters) = self.allocate_refcount_table()?;
            let old = (
                self.header.refcount_table_offset,
                u64::from(self.header.refcount_table_clusters),
            );
            self.header.refcount_table_offset = first << geometry.cluster_bits;
            self.header.refcount_table_clusters = clusters as u32;
            self.release(old.0 >> geometry.cluster_bits, old.1);
            self.settle()?;
            if geometry.clusters(self.refcount_table.len() as u64 * 8) <= clusters {
                let entries = (clusters << geometry.cluster_bits) / 8;
                self.refcount_table.resize(entries as usize, 0);
                return Ok(());
            }
        }
    }

    fn write_table(&self, offset: u64, table: &[u64]) -> Result<()> {
        let mut bytes = crate::state::table_bytes(table);
        bytes.resize(
            bytes
                .len()
                .next_multiple_of(self.core.geometry.cluster_size() as usize),
            0,
        );
        self.core.file.write_at(offset, &bytes)?;
        Ok(())
    }
}
