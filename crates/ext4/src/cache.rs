//! Metadata blocks in memory.
//!
//! A block is shared (`Arc`) with whoever reads it, and copied when it is changed while somebody else still holds it: the
//! undo log of an operation holds the old versions, so that giving an operation up is putting them back.

use crate::error::Result;
use disksmith_storage::StorageRef;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Contents of a metadata block.
pub(crate) type Block = Arc<Vec<u8>>;

/// Longest run of blocks written at once, in bytes.
const WRITE_RUN: usize = 1 << 20;

#[derive(Debug, Clone)]
struct Entry {
    data: Block,
    dirty: bool,
    /// The contents were found right, or were made here.
    verified: bool,
    used: u64,
}

#[derive(Debug, Default)]
struct Entries {
    map: HashMap<u64, Entry>,
    clock: u64,
}

/// The state of a block before an operation; `None`: it was not in memory, and the storage's contents count.
#[derive(Debug)]
pub(crate) struct Before(Option<Entry>);

/// A cache of metadata blocks of bounded size.
#[derive(Debug)]
pub(crate) struct Cache {
    storage: StorageRef,
    block_size: u32,
    capacity: usize,
    entries: Mutex<Entries>,
}

impl Cache {
    pub(crate) fn new(storage: StorageRef, block_size: u32, bytes: usize) -> Self {
        Self {
            storage,
            block_size,
            capacity: (bytes / block_size.max(1) as usize).max(64),
            entries: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents of a block. `check` runs once per block that comes from the storage.
    pub(crate) fn get(&self, block: u64, check: impl FnOnce(&[u8]) -> Result<()>) -> Result<Block> {
        {
            let mut entries = self.lock();
            entries.clock += 1;
            let clock = entries.clock;
            if let Some(entry) = entries.map.get_mut(&block) {
                entry.used = clock;
                if entry.verified {
                    return Ok(entry.data.clone());
                }
                let data = entry.data.clone();
                drop(entries);
                check(&data)?;
                if let Some(entry) = self.lock().map.get_mut(&block) {
                    entry.verified = true;
                }
                return Ok(data);
            }
        }
        let offset = block.saturating_mul(u64::from(self.block_size));
        let data = Arc::new(disksmith_storage::read_vec(
            &*self.storage,
            offset,
            self.block_size as usize,
        )?);
        check(&data)?;
        let mut entries = self.lock();
        let clock = entries.clock;
        if entries.map.len() >= self.capacity {
            Self::drop_clean(&mut entries, self.capacity);
        }
        let entry = entries.map.entry(block).or_insert(Entry {
            data,
            dirty: false,
            verified: true,
            used: clock,
        });
        Ok(entry.data.clone())
    }

    /// Drops the least recently used half of the clean blocks.
    fn drop_clean(entries: &mut Entries, capacity: usize) {
        let mut ages: Vec<u64> = entries
            .map
            .values()
            .filter(|e| !e.dirty)
            .map(|e| e.used)
            .collect();
        if ages.len() < capacity / 4 {
            return;
        }
        let middle = ages.len() / 2;
        let (_, limit, _) = ages.select_nth_unstable(middle);
        let limit = *limit;
        entries.map.retain(|_, e| e.dirty || e.used > limit);
    }

    /// Replaces the contents of a block, which becomes dirty; tells what was there.
    pub(crate) fn put(&self, block: u64, data: Block) -> Before {
        let mut entries = self.lock();
        entries.clock += 1;
        let used = entries.clock;
        Before(entries.map.insert(
            block,
            Entry {
                data,
                dirty: true,
                verified: true,
                used,
            },
        ))
    }

    /// Drops a block that is no metadata any more, dirty or not.
    pub(crate) fn forget(&self, block: u64) -> Option<Before> {
        self.lock().map.remove(&block).map(|e| Before(Some(e)))
    }

    /// Blocks of a range that are in memory.
    pub(crate) fn known_in(&self, start: u64, len: u64) -> Vec<u64> {
        let entries = self.lock();
        let end = start.saturating_add(len);
        if (entries.map.len() as u64) < len {
            entries
                .map
                .keys()
                .copied()
                .filter(|b| (start..end).contains(b))
                .collect()
        } else {
            (start..end).filter(|b| entries.map.contains_key(b)).collect()
        }
    }

    /// Puts back what an operation that is given up has replaced. A block may have been written out in between, so
    /// what is put back counts as dirty.
    pub(crate) fn restore(&self, block: u64, before: Before) {
        let mut entries = self.lock();
        match before.0 {
            Some(mut entry) => {
                entry.dirty = true;
                entries.map.insert(block, entry);
            }
            None => {
                entries.map.remove(&block);
            }
        }
    }

    /// Whether so much is dirty that it should be written.
    pub(crate) fn is_crowded(&self) -> bool {
        self.lock().map.len() >= self.capacity
    }

    /// Whether anything waits to be written.
    pub(crate) fn is_dirty(&self) -> bool {
        self.lock().map.values().any(|e| e.dirty)
    }

    /// Writes all dirty blocks in ascending order, and drops old ones where there are too many; tells whether there were any.
    pub(crate) fn write_back(&self) -> Result<bool> {
        let mut dirty: Vec<(u64, Block)> = self
            .lock()
            .map
            .iter()
            .filter(|(_, e)| e.dirty)
            .map(|(b, e)| (*b, e.data.clone()))
            .collect();
        dirty.sort_unstable_by_key(|(block, _)| *block);
        let mut run: Vec<u8> = Vec::new();
        let mut run_start = 0u64;
        let mut next = None;
        for (block, data) in &dirty {
            if next != Some(*block) || run.len() >= WRITE_RUN {
                self.write_run(run_start, &run)?;
                run.clear();
                run_start = *block;
            }
            run.extend_from_slice(data);
            next = block.checked_add(1);
        }
        self.write_run(run_start, &run)?;
        let mut entries = self.lock();
        for (block, data) in &dirty {
            if let Some(entry) = entries.map.get_mut(block)
                && Arc::ptr_eq(&entry.data, data)
            {
                entry.dirty = false;
            }
        }
        if entries.map.len() >= self.capacity {
            Self::drop_clean(&mut entries, self.capacity);
        }
        Ok(!dirty.is_empty())
    }

    fn write_run(&self, start: u64, run: &[u8]) -> Result<()> {
        if !run.is_empty() {
            let offset = start.saturating_mul(u64::from(self.block_size));
            self.storage.write_at(offset, run)?;
        }
        Ok(())
    }
}
