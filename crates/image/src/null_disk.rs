//! A disk that holds nothing: it reads as zeroes, and what is written to it is forgotten.

use disksmith_storage::{Extent, Result, Storage, ZeroMode};

/// QEMU's `null-co`.
#[derive(Debug)]
pub(crate) struct NullDisk {
    size: u64,
    zeroes: bool,
}

impl NullDisk {
    /// `zeroes` says whether it is known that the disk reads as zeroes.
    pub(crate) fn new(size: u64, zeroes: bool) -> Self {
        Self { size, zeroes }
    }
}

impl Storage for NullDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        "null-co://".into()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        buf.fill(0);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)
    }

    fn write_zeroes(&self, offset: u64, len: u64, _: ZeroMode) -> Result<()> {
        self.check_range(offset, len)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let len = (self.size - offset).min(limit.max(1));
        Ok(if self.zeroes {
            Extent::zero(len)
        } else {
            Extent::absent(len)
        })
    }
}
