//! Which files the kernel knows, and how often it was told of each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Parts that are locked on their own, so that threads seldom wait for each other.
const PARTS: usize = 32;

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// As there may be millions of files: small. One that was told so often that it does not fit is known for good.
    count: u32,
    held: bool,
}

/// The files that the kernel knows.
#[derive(Debug)]
pub(crate) struct Lookups {
    parts: Vec<Mutex<HashMap<u64, Known>>>,
    /// How often a number was given to another file while the kernel may still know the one before: only on filesystems that
    /// free files whoever uses them.
    generations: RwLock<HashMap<u64, u64>>,
}

impl Lookups {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            generations: RwLock::default(),
        }
    }

    fn part(&self, number: u64) -> Option<MutexGuard<'_, HashMap<u64, Known>>> {
        let part = self.parts.get(number as usize % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The kernel is told of a file.
    pub(crate) fn add(&self, number: u64) {
        if let Some(mut part) = self.part(number) {
            let known = part.entry(number).or_default();
            known.count = known.count.saturating_add(1);
        }
    }

    /// Runs `hold` unless the file is held already; remembers whether it is then, and tells it. A file that the kernel does not
    /// know needs no hold.
    pub(crate) fn hold_with<E>(
        &self,
        number: u64,
        hold: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        if let Some(mut part) = self.part(number)
            && let Some(known) = part.get_mut(&number)
        {
            if !known.held {
                known.held = hold()?;
            }
            return Ok(known.held);
        }
        Ok(true)
    }

    /// A number will mean another file from now on.
    pub(crate) fn renew(&self, number: u64) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        *generations.entry(number).or_insert(0) += 1;
    }

    /// By which the kernel tells files of one number apart.
    pub(crate) fn generation(&self, number: u64) -> u64 {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        generations.get(&number).copied().unwrap_or(0)
    }

    /// The kernel forgets a file as often as told; runs `release` where it does not know it any more and it was held.
    pub(crate) fn forget(&self, number: u64, times: u64, release: impl FnOnce()) {
        let Some(mut part) = self.part(number) else { return };
        let Some(known) = part.get_mut(&number) else {
            return;
        };
        if known.count != u32::MAX {
            known.count = u32::try_from(times).map_or(0, |times| known.count.saturating_sub(times));
        }
        if known.count == 0 {
            let held = known.held;
            part.remove(&number);
            if part.len() < part.capacity() / 4 && part.capacity() > 64 {
                part.shrink_to_fit();
            }
            if held {
                // Under the lock: nobody can come to know the inode anew before it is freed.
                release();
            }
        }
    }
}
