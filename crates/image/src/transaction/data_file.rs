//! The external data file of an image that is edited: its changes go to a redo log, and count together with the
//! image's.

use disksmith_storage::{Alignment, Error, Extent, Prepared, RawShadow, Result, Shadow, Storage, ZeroMode};
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

/// The shadow of a data file, which the image's own shadow writes to.
#[derive(Debug)]
pub(crate) struct DataFile {
    path: PathBuf,
    name: String,
    shadow: RwLock<Option<RawShadow>>,
}

impl DataFile {
    pub(crate) fn new(path: PathBuf, shadow: RawShadow) -> Self {
        Self {
            path,
            name: shadow.name(),
            shadow: RwLock::new(Some(shadow)),
        }
    }

    fn take(&self) -> Option<RawShadow> {
        self.shadow.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes what was written durable beside the file; `None` where nothing was.
    pub(crate) fn prepare(&self) -> Result<Option<(PathBuf, Box<dyn Prepared>)>> {
        let Some(shadow) = self.take() else {
            return Ok(None);
        };
        if !shadow.is_dirty() {
            Box::new(shadow).abandon()?;
            return Ok(None);
        }
        Ok(Some((self.path.clone(), Box::new(shadow).prepare()?)))
    }

    /// Throws what was written away.
    pub(crate) fn abandon(&self) -> Result<()> {
        self.take().map_or(Ok(()), |shadow| Box::new(shadow).abandon())
    }

    fn with<T>(&self, use_it: impl FnOnce(&RawShadow) -> Result<T>) -> Result<T> {
        match &*self.shadow.read().unwrap_or_else(PoisonError::into_inner) {
            Some(shadow) => use_it(shadow),
            None => Err(Error::Unsupported {
                object: self.name.clone(),
                operation: "going on after the edit has ended",
            }),
        }
    }
}

impl Storage for DataFile {
    fn size(&self) -> u64 {
        self.with(|s| Ok(s.size())).unwrap_or(0)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_writable(&self) -> bool {
        self.with(|s| Ok(s.is_writable())).unwrap_or(false)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.with(|s| s.read_at(offset, buf))
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.with(|s| s.write_at(offset, buf))
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.with(|s| s.write_zeroes(offset, len, mode))
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.with(|s| s.discard(offset, len))
    }

    fn flush(&self) -> Result<()> {
        // It becomes durable when it is prepared, or not at all.
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.with(|s| s.set_size(size))
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.with(|s| s.extent_at(offset, limit))
    }

    fn alignment(&self) -> Alignment {
        self.with(|s| Ok(s.alignment()))
            .unwrap_or(Alignment { io: 1, allocation: 1 })
    }
}
