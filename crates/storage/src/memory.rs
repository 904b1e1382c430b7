//! Storage in memory.

use crate::error::Result;
use crate::extent::{Extent, ExtentState};
use crate::storage::{Alignment, Storage, ZeroMode, is_zero};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes per chunk; a chunk that was never written takes no memory.
const CHUNK: u64 = 16 * 1024;

/// Copies of a memory share chunks until one of them writes.
type Chunks = BTreeMap<u64, Arc<[u8]>>;

/// A storage held in memory. Sparse: what was never written, or was zeroed as a whole chunk, takes no memory, so
/// its size may be anything.
#[derive(Debug)]
pub struct Memory {
    name: String,
    size: AtomicU64,
    chunks: RwLock<Chunks>,
}

impl Memory {
    /// `size` bytes of zeroes.
    pub fn new(size: u64) -> Self {
        Self::named(size, "memory")
    }

    /// `size` bytes of zeroes, called `name` in messages.
    pub fn named(size: u64, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            size: AtomicU64::new(size),
            chunks: RwLock::new(BTreeMap::new()),
        }
    }

    /// A storage that holds `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let memory = Self::new(bytes.len() as u64);
        memory.store(0, bytes);
        memory
    }

    /// All bytes, as one vector of [`size`](Storage::size) bytes. For tests and small things.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size() as usize];
        self.load(0, &mut bytes);
        bytes
    }

    /// A copy that changes independently of this one. Cheap: what neither writes is held once.
    pub fn duplicate(&self) -> Self {
        Self {
            name: self.name.clone(),
            size: AtomicU64::new(self.size()),
            chunks: RwLock::new(self.chunks().clone()),
        }
    }

    /// How many bytes of memory the contents take.
    pub fn resident(&self) -> u64 {
        self.chunks().len() as u64 * CHUNK
    }

    fn chunks(&self) -> RwLockReadGuard<'_, Chunks> {
        self.chunks
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn chunks_mut(&self) -> RwLockWriteGuard<'_, Chunks> {
        self.chunks
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Fills `buf` without a look at the size.
    fn load(&self, offset: u64, buf: &mut [u8]) {
        let chunks = self.chunks();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (index, within) = (at / CHUNK, (at % CHUNK) as usize);
            let n = rest.len().min(CHUNK as usize - within);
            let (head, tail) = rest.split_at_mut(n);
            match chunks.get(&index) {
                Some(chunk) => head.copy_from_slice(&chunk[within..within + n]),
                None => head.fill(0),
            }
            at += n as u64;
            rest = tail;
        }
    }

    /// Stores `buf` without a look at the size.
    fn store(&self, offset: u64, buf: &[u8]) {
        let mut chunks = self.chunks_mut();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (index, within) = (at / CHUNK, (at % CHUNK) as usize);
            let n = rest.len().min(CHUNK as usize - within);
            let (head, tail) = rest.split_at(n);
            if chunks.contains_key(&index) || !is_zero(head) {
                let chunk = chunks
                    .entry(index)
                    .or_insert_with(|| vec![0; CHUNK as usize].into());
                Arc::make_mut(chunk)[within..within + n].copy_from_slice(head);
            }
            at += n as u64;
            rest = tail;
        }
    }

    /// Zeroes a range without a look at the size; whole chunks are given back.
    fn clear(chunks: &mut Chunks, offset: u64, len: u64) {
        let end = offset + len;
        let touched: Vec<u64> = match end.checked_sub(1) {
            Some(last) if len > 0 => chunks
                .range(offset / CHUNK..=last / CHUNK)
                .map(|(i, _)| *i)
                .collect(),
            _ => return,
        };
        for index in touched {
            let start = index * CHUNK;
            let from = offset.max(start) - start;
            let to = (end - start).min(CHUNK);
            if from == 0 && to == CHUNK {
                chunks.remove(&index);
            } else if let Some(chunk) = chunks.get_mut(&index) {
                Arc::make_mut(chunk)[from as usize..to as usize].fill(0);
            }
        }
    }
}

impl Storage for Memory {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        self.load(offset, buf);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        self.store(offset, buf);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64, _mode: ZeroMode) -> Result<()> {
        self.check_range(offset, len)?;
        Self::clear(&mut self.chunks_mut(), offset, len);
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.write_zeroes(offset, len, ZeroMode::Unmap)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let mut chunks = self.chunks_mut();
        let old = self.size.swap(size, Ordering::AcqRel);
        if size < old {
            Self::clear(&mut chunks, size, old - size);
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let limit = limit.max(1).min(self.size() - offset);
        let chunks = self.chunks();
        let mut index = offset / CHUNK;
        let present = chunks.contains_key(&index);
        let end = if present {
            while chunks.contains_key(&index) && index.saturating_mul(CHUNK).saturating_sub(offset) < limit {
                index += 1;
            }
            index.saturating_mul(CHUNK)
        } else {
            match chunks.range(index..).next() {
                Some((next, _)) => next * CHUNK,
                None => u64::MAX,
            }
        };
        let mut extent = Extent::data(limit.min(end - offset));
        if !present {
            extent.state = ExtentState::Zero;
        }
        Ok(extent)
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: 1,
            allocation: CHUNK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_no_memory_for_zeroes() {
        let memory = Memory::new(1 << 60);
        memory.write_at(1 << 40, &[0; 4096]).unwrap();
        assert_eq!(memory.resident(), 0);
        memory.write_at(1 << 50, b"here").unwrap();
        assert_eq!(memory.resident(), CHUNK);
        let hole = memory.extent_at(0, u64::MAX).unwrap();
        assert_eq!((hole.len, hole.state), (1 << 50, ExtentState::Zero));
        assert_eq!(memory.extent_at(1 << 50, u64::MAX).unwrap(), Extent::data(CHUNK));
        memory.discard(0, 1 << 60).unwrap();
        assert_eq!(memory.resident(), 0);
    }

    #[test]
    fn refuses_what_lies_beyond_the_end() {
        let memory = Memory::new(10);
        assert!(memory.read_at(8, &mut [0; 3]).is_err());
        assert!(memory.write_at(u64::MAX, &[1]).is_err());
        assert!(memory.extent_at(10, 1).is_err());
        memory.read_at(10, &mut []).unwrap();
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let memory = Memory::from_bytes(&[7; 100]);
        memory.set_size(50).unwrap();
        memory.set_size(100).unwrap();
        assert!(is_zero(&memory.to_vec()[50..]));
        assert_eq!(memory.to_vec()[..50], [7; 50]);
    }

    proptest! {
        #[test]
        fn behaves_as_an_array(ops in proptest::collection::vec((0u8..4, 0usize..70_000, 0usize..40_000, any::<u8>()), 1..40)) {
            let memory = Memory::new(70_000);
            let mut model = vec![0u8; 70_000];
            for (op, offset, len, value) in ops {
                let len = len.min(model.len().saturating_sub(offset));
                let offset = offset.min(model.len());
                match op {
                    0 | 1 => {
                        memory.write_at(offset as u64, &vec![value; len]).unwrap();
                        model[offset..offset + len].fill(value);
                    }
                    2 => {
                        memory.write_zeroes(offset as u64, len as u64, ZeroMode::Unmap).unwrap();
                        model[offset..offset + len].fill(0);
                    }
                    _ => {
                        memory.set_size(offset as u64 + 1).unwrap();
                        model.resize(offset + 1, 0);
                    }
                }
                prop_assert_eq!(&memory.to_vec(), &model);
            }
            let mut at = 0;
            while at < model.len() {
                let extent = memory.extent_at(at as u64, u64::MAX).unwrap();
                let end = at + extent.len as usize;
                prop_assert!(!extent.reads_as_zero() || is_zero(&model[at..end]));
                at = end;
            }
        }
    }
}
