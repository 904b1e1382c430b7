//! The storage that an edit hands out, which ends with the edit.

use disksmith_storage::{Alignment, Error, Extent, Result, Staging, Storage, ZeroMode};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// A staging that can be taken away while others hold it.
#[derive(Debug)]
pub(crate) struct Stage {
    name: String,
    staging: RwLock<Option<Staging>>,
}

impl Stage {
    pub(crate) fn new(staging: Staging) -> Self {
        Self {
            name: staging.name(),
            staging: RwLock::new(Some(staging)),
        }
    }

    /// Takes the staging out; every later use fails.
    pub(crate) fn end(&self) -> Option<Staging> {
        self.staging
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Passes on what is held in memory. When it fails everything is still staged.
    pub(crate) fn drain(&self) -> Result<()> {
        self.with(Staging::drain)
    }

    /// Keeps everybody else out, so that the staging can be replaced.
    pub(crate) fn close(&self) -> RwLockWriteGuard<'_, Option<Staging>> {
        self.staging.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.with(|staging| Ok(staging.is_dirty())).unwrap_or(false)
    }

    fn with<T>(&self, use_it: impl FnOnce(&Staging) -> Result<T>) -> Result<T> {
        match &*self.staging.read().unwrap_or_else(PoisonError::into_inner) {
            Some(staging) => use_it(staging),
            None => Err(Error::Unsupported {
                object: self.name.clone(),
                operation: "going on after the edit has ended",
            }),
        }
    }
}

impl Storage for Stage {
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
        self.with(Storage::flush)
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

    fn copy_range(&self, offset: u64, source: &dyn Storage, source_offset: u64, len: u64) -> Result<u64> {
        self.with(|s| s.copy_range(offset, source, source_offset, len))
    }
}
