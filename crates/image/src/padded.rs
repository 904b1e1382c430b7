//! What a chain holds below an image whose backing file is about to change.

use disksmith_storage::{Error, Extent, HostSpan, Result, Storage, StorageRef};

/// A storage, or none, made at least so long: what is beyond its end reads as zeroes. An image that stands on it takes nothing for granted
/// there: zeroes are written down, as another backing file may be longer. Read-only.
#[derive(Debug)]
pub(crate) struct Padded {
    inner: Option<StorageRef>,
    size: u64,
}

impl Padded {
    pub(crate) fn new(inner: Option<StorageRef>, at_least: u64) -> Self {
        let size = inner.as_ref().map_or(0, |inner| inner.size()).max(at_least);
        Self { inner, size }
    }

    fn there(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.size())
    }
}

impl Storage for Padded {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.inner
            .as_ref()
            .map_or_else(|| "nothing".into(), |inner| inner.name())
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let present = self.there().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (data, rest) = buf.split_at_mut(present);
        rest.fill(0);
        match &self.inner {
            Some(inner) if !data.is_empty() => inner.read_at(offset, data),
            _ => Ok(()),
        }
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let limit = limit.max(1);
        match &self.inner {
            Some(inner) if offset < inner.size() => inner.extent_at(offset, limit.min(inner.size() - offset)),
            _ => Ok(Extent::absent((self.size - offset).min(limit))),
        }
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        let inner = self.inner.as_ref().filter(|inner| offset < inner.size())?;
        inner.host_span(offset, len)
    }
}
