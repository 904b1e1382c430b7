//! Several images one behind the other, read as one.

use disksmith_storage::{Error, Extent, HostSpan, Result, Storage, StorageRef};

/// Storages in a row. Read-only.
#[derive(Debug)]
pub(crate) struct Concat {
    /// Each with the offset at which it starts.
    parts: Vec<(u64, StorageRef)>,
    size: u64,
}

impl Concat {
    pub(crate) fn new(storages: Vec<StorageRef>) -> Result<Self> {
        let mut parts = Vec::with_capacity(storages.len());
        let mut size = 0u64;
        for storage in storages {
            let start = size;
            size = size
                .checked_add(storage.size())
                .ok_or_else(|| Error::Unsupported {
                    object: storage.name(),
                    operation: "joining images of more than 16 EiB",
                })?;
            parts.push((start, storage));
        }
        Ok(Self { parts, size })
    }

    /// The part that holds `offset`, and the offset in it.
    fn part(&self, offset: u64) -> Option<(&StorageRef, u64)> {
        let index = self
            .parts
            .partition_point(|(start, _)| *start <= offset)
            .checked_sub(1)?;
        self.parts
            .get(index)
            .map(|(start, storage)| (storage, offset - start))
    }
}

impl Storage for Concat {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        let names: Vec<String> = self.parts.iter().map(|(_, storage)| storage.name()).collect();
        names.join(" + ")
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|r| !r.is_empty()) {
            let Some((storage, at)) = self.part(offset + done as u64) else {
                break;
            };
            let n = storage.size().saturating_sub(at).min(rest.len() as u64) as usize;
            storage.read_at(at, rest.get_mut(..n).unwrap_or_default())?;
            done += n;
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        match self.part(offset) {
            Some((storage, at)) => storage.extent_at(at, limit),
            None => Ok(Extent::zero(1)),
        }
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        let (storage, at) = self.part(offset)?;
        storage.host_span(at, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_storage::Memory;
    use std::sync::Arc;

    #[test]
    fn parts_follow_each_other() {
        let part = |size: u64, byte: u8| -> StorageRef {
            let memory = Memory::new(size);
            memory.write_at(0, &vec![byte; size as usize]).unwrap();
            Arc::new(memory)
        };
        let all = Concat::new(vec![part(3, 1), part(0, 9), part(2, 2), part(4, 3)]).unwrap();
        let mut buf = [0; 9];
        all.read_at(0, &mut buf).unwrap();
        assert_eq!(buf, [1, 1, 1, 2, 2, 3, 3, 3, 3]);
        let mut buf = [0; 4];
        all.read_at(2, &mut buf).unwrap();
        assert_eq!(buf, [1, 2, 2, 3]);
        assert!(all.read_at(6, &mut buf).is_err());
    }
}
