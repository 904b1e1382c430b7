//! A file whose length is not a multiple of the sector size, read as if it were.

use disksmith_storage::{Alignment, Error, Extent, HostSpan, Result, Storage, StorageRef};

/// Gives a storage a length of whole sectors; what is beyond its end reads as zeroes. As QEMU shows such a raw image
/// to a guest. Read-only.
#[derive(Debug)]
pub(crate) struct RoundedUp {
    inner: StorageRef,
}

impl RoundedUp {
    /// The unit.
    pub(crate) const SECTOR: u64 = 512;

    pub(crate) fn new(inner: StorageRef) -> Self {
        Self { inner }
    }
}

impl Storage for RoundedUp {
    fn size(&self) -> u64 {
        self.inner.size().next_multiple_of(Self::SECTOR)
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let present = self.inner.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (data, rest) = buf.split_at_mut(present);
        rest.fill(0);
        self.inner.read_at(offset, data)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let end = self.inner.size();
        if offset >= end {
            return Ok(Extent::zero((self.size() - offset).min(limit.max(1))));
        }
        let mut extent = self.inner.extent_at(offset, limit)?;
        // The last sector is told as a whole.
        if offset + extent.len == end {
            extent.len = (self.size() - offset).min(limit.max(1));
        }
        Ok(extent)
    }

    fn alignment(&self) -> Alignment {
        self.inner.alignment()
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        if offset >= self.inner.size() {
            return None;
        }
        self.inner.host_span(offset, len)
    }
}
