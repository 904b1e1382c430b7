//! Directory listings that the kernel reads in pieces.

use disksmith_vfs::{DirEntry, FileSystem, InodeNo, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many listings are remembered that somebody stopped reading in the middle.
const MOST: usize = 64;
/// How many entries are fetched at once.
const BATCH: usize = 512;

/// What was fetched and not told yet.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) entries: VecDeque<DirEntry>,
    /// Whether nothing follows.
    complete: bool,
}

/// The rests of listings, by directory and by where they go on.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    rests: Mutex<HashMap<(u64, u64), Rest>>,
}

impl Listings {
    fn lock(&self) -> MutexGuard<'_, HashMap<(u64, u64), Rest>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries of a directory from a cookie on; none at the end.
    pub(crate) fn take(&self, number: u64, fs: &dyn FileSystem, dir: InodeNo, cookie: u64) -> Result<Rest> {
        if cookie != 0
            && let Some(rest) = self.lock().remove(&(number, cookie))
            && (rest.complete || !rest.entries.is_empty())
        {
            return Ok(rest);
        }
        let mut entries = VecDeque::new();
        let mut complete = true;
        fs.read_dir(dir, cookie, &mut |entry| {
            entries.push_back(entry);
            complete = entries.len() < BATCH;
            complete
        })?;
        Ok(Rest { entries, complete })
    }

    /// Keeps what was not told for the next piece, which starts at `cookie`.
    pub(crate) fn put_back(&self, number: u64, cookie: u64, rest: Rest) {
        if rest.entries.is_empty() && !rest.complete {
            return;
        }
        let mut rests = self.lock();
        if rests.len() >= MOST {
            rests.clear();
        }
        rests.insert((number, cookie), rest);
    }

    /// A directory was changed.
    pub(crate) fn forget(&self, number: u64) {
        self.lock().retain(|(of, _), _| *of != number);
    }
}
