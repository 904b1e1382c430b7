//! A part of another storage.

use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::storage::{Alignment, HostSpan, Storage, StorageRef, ZeroMode};

/// A contiguous part of another storage, as a storage of its own: a partition, say. Its size is fixed, and no
/// access through it reaches a byte outside it.
#[derive(Debug)]
pub struct Window {
    storage: StorageRef,
    offset: u64,
    len: u64,
    name: String,
}

impl Window {
    /// `len` bytes of `storage` from `offset`, called `name` in messages.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] where the part does not lie inside the storage as it is now.
    pub fn new(storage: StorageRef, offset: u64, len: u64, name: impl Into<String>) -> Result<Self> {
        storage.check_range(offset, len)?;
        Ok(Self {
            storage,
            offset,
            len,
            name: name.into(),
        })
    }

    /// Byte offset of the window in the storage below.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The storage below.
    pub fn inner(&self) -> &StorageRef {
        &self.storage
    }

    /// Where a range lies in the storage below.
    fn below(&self, offset: u64, len: u64) -> Result<u64> {
        self.check_range(offset, len)?;
        self.offset.checked_add(offset).ok_or_else(|| Error::OutOfBounds {
            object: self.name.clone(),
            offset,
            len,
            size: self.len,
        })
    }
}

impl Storage for Window {
    fn size(&self) -> u64 {
        self.len
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_writable(&self) -> bool {
        self.storage.is_writable()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.storage.read_at(self.below(offset, buf.len() as u64)?, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.storage.write_at(self.below(offset, buf.len() as u64)?, buf)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.storage.write_zeroes(self.below(offset, len)?, len, mode)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.storage.discard(self.below(offset, len)?, len)
    }

    fn flush(&self) -> Result<()> {
        self.storage.flush()
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        let at = self.below(offset, 1)?;
        self.storage.extent_at(at, limit.max(1).min(self.len - offset))
    }

    fn alignment(&self) -> Alignment {
        let inner = self.storage.alignment();
        // Granularities count from the start of the storage below; where the window starts off such a
        // boundary only what divides its start is left of them.
        let start = match self.offset.trailing_zeros() {
            64.. => u64::MAX,
            bits => 1u64 << bits,
        };
        Alignment {
            io: inner.io.min(start),
            allocation: inner.allocation.min(start),
        }
    }

    fn copy_range(&self, offset: u64, source: &dyn Storage, source_offset: u64, len: u64) -> Result<u64> {
        self.storage
            .copy_range(self.below(offset, len)?, source, source_offset, len)
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        self.storage.host_span(self.below(offset, len).ok()?, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use std::sync::Arc;

    #[test]
    fn stays_inside() {
        let memory = Arc::new(Memory::from_bytes(&(0..100).collect::<Vec<u8>>()));
        let window = Window::new(memory.clone(), 10, 20, "part").unwrap();
        let mut buf = [0; 20];
        window.read_at(0, &mut buf).unwrap();
        assert_eq!(buf[0], 10);
        assert_eq!(buf[19], 29);
        assert!(window.read_at(1, &mut buf).is_err());
        assert!(window.write_at(20, &[1]).is_err());
        assert!(window.write_zeroes(19, 2, ZeroMode::Keep).is_err());
        assert!(window.discard(u64::MAX, 2).is_err());
        assert_eq!(window.extent_at(5, u64::MAX).unwrap().len, 15);
        window.write_at(19, &[255]).unwrap();
        assert_eq!(memory.to_vec()[29..31], [255, 30]);
        assert_eq!(window.alignment().allocation, 2);
    }

    #[test]
    fn cannot_be_larger_than_what_is_below() {
        let memory: StorageRef = Arc::new(Memory::new(100));
        assert!(Window::new(memory.clone(), 90, 11, "part").is_err());
        assert!(Window::new(memory.clone(), u64::MAX, 2, "part").is_err());
        assert!(Window::new(memory, 100, 0, "part").is_ok());
    }
}
