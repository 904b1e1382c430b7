//! Reading what can be read of a disk that has damaged places.

use crate::worker::Progress;
use disksmith_storage::{Alignment, Error, Extent, Result, Storage, StorageRef};

/// The unit in which damage is looked for.
const SECTOR: usize = 512;

/// A storage of which damaged sectors read as zeroes; each run of them is told. Read-only.
pub(super) struct Salvaged<'a> {
    inner: StorageRef,
    progress: &'a dyn Progress,
}

impl<'a> Salvaged<'a> {
    pub(super) fn new(inner: StorageRef, progress: &'a dyn Progress) -> Self {
        Self { inner, progress }
    }
}

impl std::fmt::Debug for Salvaged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salvaged")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Storage for Salvaged<'_> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        if self.inner.read_at(offset, buf).is_ok() {
            return Ok(());
        }
        for (index, sector) in buf.chunks_mut(SECTOR).enumerate() {
            let at = offset + (index * SECTOR) as u64;
            if let Err(error) = self.inner.read_at(at, sector) {
                sector.fill(0);
                self.progress.unreadable(at, &error.into());
            }
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// What cannot be told is tried to be read.
    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        match self.inner.extent_at(offset, limit) {
            Ok(extent) => Ok(extent),
            Err(error) => {
                self.progress.unreadable(offset, &error.into());
                Ok(Extent::data(
                    (SECTOR as u64).min(self.size() - offset).min(limit.max(1)),
                ))
            }
        }
    }

    fn alignment(&self) -> Alignment {
        self.inner.alignment()
    }
}
