//! A bounded cache of slices of metadata tables, keyed by where they lie in the file.

use crate::io::read_padded;
use disksmith_storage::{Result, Storage};
use std::collections::HashMap;

/// Slices are at most this long, whatever the cluster size.
const SLICE: u64 = 4096;
/// Never fewer slices than this.
const MIN_SLICES: usize = 32;

#[derive(Debug)]
struct Slice {
    data: Box<[u8]>,
    dirty: bool,
    used: u64,
}

/// The cache. Dirty slices are kept until [`SliceCache::write_dirty`]; the owner calls it before they get too many.
#[derive(Debug)]
pub(crate) struct SliceCache {
    slice: u64,
    capacity: usize,
    slices: HashMap<u64, Slice>,
    clock: u64,
    dirty: usize,
}

impl SliceCache {
    /// A cache of at most about `bytes` bytes.
    pub(crate) fn new(cluster_size: u64, bytes: u64) -> Self {
        let slice = cluster_size.min(SLICE);
        let capacity = usize::try_from(bytes / slice)
            .unwrap_or(usize::MAX)
            .max(MIN_SLICES);
        Self {
            slice,
            capacity,
            slices: HashMap::new(),
            clock: 0,
            dirty: 0,
        }
    }

    /// Length of a slice in bytes.
    pub(crate) fn slice_size(&self) -> u64 {
        self.slice
    }

    /// Whether so much is dirty that it should be written now.
    pub(crate) fn is_pressed(&self) -> bool {
        self.dirty > self.capacity / 2
    }

    pub(crate) fn has_dirty(&self) -> bool {
        self.dirty > 0
    }

    fn make_room(&mut self) {
        if self.slices.len() < self.capacity {
            return;
        }
        let mut clean: Vec<u64> = self
            .slices
            .values()
            .filter(|s| !s.dirty)
            .map(|s| s.used)
            .collect();
        if clean.is_empty() {
            return;
        }
        let quarter = (clean.len() / 4).min(clean.len() - 1);
        let (_, limit, _) = clean.select_nth_unstable(quarter);
        let limit = *limit;
        self.slices.retain(|_, s| s.dirty || s.used > limit);
    }

    /// The slice that starts at `offset`.
    pub(crate) fn get(&mut self, file: &dyn Storage, offset: u64) -> Result<&[u8]> {
        Ok(&self.load(file, offset)?.data)
    }

    /// The slice that starts at `offset`, to be changed.
    pub(crate) fn get_mut(&mut self, file: &dyn Storage, offset: u64) -> Result<&mut [u8]> {
        self.load(file, offset)?;
        if let Some(slice) = self.slices.get_mut(&offset)
            && !slice.dirty
        {
            slice.dirty = true;
            self.dirty += 1;
        }
        Ok(&mut self.load(file, offset)?.data)
    }

    /// The slice, if it is in memory.
    pub(crate) fn peek(&self, offset: u64) -> Option<&[u8]> {
        self.slices.get(&offset).map(|s| &*s.data)
    }

    fn load(&mut self, file: &dyn Storage, offset: u64) -> Result<&mut Slice> {
        self.clock += 1;
        if !self.slices.contains_key(&offset) {
            self.make_room();
            let mut data = vec![0; self.slice as usize].into_boxed_slice();
            read_padded(file, offset, &mut data)?;
            self.slices.insert(
                offset,
                Slice {
                    data,
                    dirty: false,
                    used: 0,
                },
            );
        }
        let clock = self.clock;
        let slice = self.slices.entry(offset).or_insert_with(|| Slice {
            data: Box::default(),
            dirty: false,
            used: 0,
        });
        slice.used = clock;
        Ok(slice)
    }

    /// Puts a new slice in place, to be written.
    pub(crate) fn put(&mut self, offset: u64, data: Box<[u8]>) {
        self.make_room();
        self.clock += 1;
        let slice = Slice {
            data,
            dirty: true,
            used: self.clock,
        };
        if !self.slices.insert(offset, slice).is_some_and(|old| old.dirty) {
            self.dirty += 1;
        }
    }

    /// Writes all dirty slices, neighbours together, in the order of the file.
    pub(crate) fn write_dirty(&mut self, file: &dyn Storage) -> Result<()> {
        if self.dirty == 0 {
            return Ok(());
        }
        let mut offsets: Vec<u64> = self
            .slices
            .iter()
            .filter(|(_, s)| s.dirty)
            .map(|(o, _)| *o)
            .collect();
        offsets.sort_unstable();
        let (mut start, mut run) = (0u64, Vec::new());
        for offset in offsets {
            if run.len() >= 1 << 20 || start + run.len() as u64 != offset {
                if !run.is_empty() {
                    file.write_at(start, &run)?;
                }
                run.clear();
                start = offset;
            }
            if let Some(slice) = self.slices.get(&offset) {
                run.extend_from_slice(&slice.data);
            }
        }
        if !run.is_empty() {
            file.write_at(start, &run)?;
        }
        for slice in self.slices.values_mut() {
            slice.dirty = false;
        }
        self.dirty = 0;
        Ok(())
    }

    /// Forgets what lies in a range, dirty or not: the range was given up.
    pub(crate) fn forget(&mut self, offset: u64, len: u64) {
        if self.slices.is_empty() {
            return;
        }
        let mut at = offset;
        while at < offset + len {
            if self.slices.remove(&at).is_some_and(|s| s.dirty) {
                self.dirty -= 1;
            }
            at += self.slice;
        }
    }
}
