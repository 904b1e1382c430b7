//! The disk as an internal snapshot holds it, to be read while the image itself stays as it is.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::Qcow2;
use crate::snapshot::SnapshotKey;
use crate::state::State;
use disksmith_storage::Storage;
use std::sync::Arc;

impl Qcow2 {
    /// The disk as it was when a snapshot was made: read-only, over the same backing file. It is to be read only as long as nobody
    /// changes the image.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`], and when the snapshot is damaged.
    pub fn snapshot_view(&self, key: SnapshotKey<'_>) -> Result<Self> {
        let list = self.snapshots()?;
        let Some(snapshot) = key.find(&list).and_then(|index| list.get(index)) else {
            return Err(Error::NoSuchSnapshot {
                image: self.name(),
                name: key.text(),
            });
        };
        let mut header = self.header().clone();
        // Checked for its place and its entries before anything is read through it.
        self.engine.lock().snapshot_l1(snapshot)?;
        header.l1_offset = snapshot.l1_offset;
        header.l1_entries = snapshot.l1_entries;
        header.size = snapshot.disk_size.unwrap_or(header.size);
        let state = State::load(Arc::clone(&self.engine.core), header.clone())?;
        Ok(Self::read_only(Engine::new(state), header))
    }
}
