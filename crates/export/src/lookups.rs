//! Which files the kernel knows, and how often it was told of each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts that are locked on their own, so that threads seldom wait for each other.
const PARTS: usize = 32;

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    count: u64,
    held: bool,
}

/// The files that the kernel knows.
#[derive(Debug)]
pub(crate) struct Lookups {
    parts: Vec<Mutex<HashMap<u64, Known>>>,
}

impl Lookups {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
        }
    }

    fn part(&self, number: u64) -> Option<MutexGuard<'_, HashMap<u64, Known>>> {
        let part = self.parts.get(number as usize % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The kernel is told of a file.
    pub(crate) fn add(&self, number: u64) {
        if let Some(mut part) = self.part(number) {
            part.entry(number).or_default().count += 1;
        }
    }

    /// Runs `hold` unless the file is held already; remembers whether it is then. A file that the kernel does not know needs
    /// no hold.
    pub(crate) fn hold_with<E>(&self, number: u64, hold: impl FnOnce() -> Result<bool, E>) -> Result<(), E> {
        if let Some(mut part) = self.part(number)
            && let Some(known) = part.get_mut(&number)
            && !known.held
        {
            known.held = hold()?;
        }
        Ok(())
    }

    /// The kernel forgets a file as often as told; runs `release` where it does not know it any more and it was held.
    pub(crate) fn forget(&self, number: u64, times: u64, release: impl FnOnce()) {
        let Some(mut part) = self.part(number) else { return };
        let Some(known) = part.get_mut(&number) else {
            return;
        };
        known.count = known.count.saturating_sub(times);
        if known.count == 0 {
            let held = known.held;
            part.remove(&number);
            if held {
                // Under the lock: nobody can come to know the inode anew before it is freed.
                release();
            }
        }
    }
}
