//! What was done to recorded storages, in order.

use super::crash::{CrashState, CrashStates};
use crate::error::Result;
use crate::memory::Memory;
use crate::storage::{Storage, copy};
use std::sync::{Arc, Mutex, MutexGuard};

/// One thing that was done. Storages go by their number in the journal.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Write {
        storage: usize,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Zero {
        storage: usize,
        offset: u64,
        len: u64,
    },
    SetSize {
        storage: usize,
        size: u64,
    },
    Flush {
        storage: usize,
    },
    Mark(String),
}

/// Everything done to the storages whose [`super::Recorder`]s share it, in one order, together with what the
/// storages held at first.
#[derive(Debug, Default)]
pub struct Journal {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) initial: Vec<Memory>,
    pub(super) events: Vec<Event>,
}

impl Journal {
    /// An empty journal.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes up a storage as it is now; returns its number.
    pub(super) fn enrol(&self, storage: &dyn Storage) -> Result<usize> {
        let memory = Memory::named(storage.size(), storage.name());
        copy(storage, 0, &memory, 0, storage.size(), true)?;
        let mut log = self.log();
        log.initial.push(memory);
        Ok(log.initial.len() - 1)
    }

    /// Notes that a point was reached; see [`CrashState::passed`].
    pub fn mark(&self, name: impl Into<String>) {
        self.log().events.push(Event::Mark(name.into()));
    }

    /// How many things were noted.
    pub fn len(&self) -> usize {
        self.log().events.len()
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many flushes were noted for storage `number`.
    pub fn flushes(&self, number: usize) -> usize {
        let is_one = |event: &&Event| matches!(event, Event::Flush { storage } if *storage == number);
        self.log().events.iter().filter(is_one).count()
    }

    /// States in which a power cut could have left the storages. For each point of the journal, from before the
    /// first event to after the last: the state in which all that was done by then had reached the disk, the one
    /// in which only what was flushed had, and some in between. Those, about `random` in all, lose and tear at
    /// random what was written after a storage's last flush; `seed` decides how.
    ///
    /// A tear goes between sectors of 512 bytes. A flush orders only its own storage. Of two writes to the same
    /// place that both arrive, the later one wins, as it does in a page cache.
    pub fn crash_states(&self, random: u64, seed: u64) -> impl Iterator<Item = CrashState> + use<> {
        let log = self.log();
        let initial = log.initial.iter().map(Memory::duplicate).collect();
        CrashStates::new(initial, log.events.clone(), random, seed)
    }
}
