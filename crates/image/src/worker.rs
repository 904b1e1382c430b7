//! Bulk work as a pipeline: one plan, several threads that take pieces of it.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// At most this many threads work on one plan; each holds a few buffers, which bounds memory.
pub(crate) const MAX_THREADS: usize = 8;

/// How many threads suit the machine. At least two, so that one reads while the other waits for the disk; more than there are
/// processors only spin at the lock that the kernel holds on a file that is written.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, MAX_THREADS)
}

/// Runs `work` on each piece that `plan` yields until it yields `None`, on `threads` threads, in no certain order. Pieces are
/// taken one after the other, so that those in work lie close together. Each thread has a `State` of its own (its buffers).
///
/// # Errors
/// The first error of `plan` or `work`; what was begun by then is finished, nothing more is begun.
pub(crate) fn run<Piece, State: Default>(
    threads: usize,
    plan: impl FnMut() -> Result<Option<Piece>> + Send,
    work: impl Fn(Piece, &mut State) -> Result<()> + Sync,
) -> Result<()> {
    let plan = Mutex::new(plan);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let worker = || {
        let mut state = State::default();
        while !stop.load(Ordering::Relaxed) {
            let piece = (plan.lock().unwrap_or_else(PoisonError::into_inner))();
            let result = match piece {
                Ok(None) => return,
                Ok(Some(piece)) => work(piece, &mut state),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                stop.store(true, Ordering::Relaxed);
                failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
                return;
            }
        }
    };
    let threads = threads.clamp(1, MAX_THREADS);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::file("start", "threads", std::io::Error::other(e)))?;
    pool.in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| worker());
        }
        worker();
    });
    failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// What a long operation reports and asks while it runs.
pub trait Progress: Sync {
    /// `done` of `total` bytes are dealt with. Called from several threads, often; `done` may come slightly out of order.
    fn advance(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// So many bytes of data are about to be moved, or were. Called from several threads; who wants to limit the rate waits here.
    fn moved(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A sector at `offset` could not be read, and counts as zeroes from here on. Called only where that was asked for.
    fn unreadable(&self, offset: u64, error: &Error) {
        let _ = (offset, error);
    }

    /// A persistent bitmap was left out, because nobody knows what it should hold.
    fn skipped_bitmap(&self, name: &[u8]) {
        let _ = name;
    }

    /// Whether the operation shall stop. It then fails with [`Error::Cancelled`].
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A [`Progress`] for callers that want none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}

pub(crate) fn check_cancelled(progress: &dyn Progress) -> Result<()> {
    if progress.is_cancelled() {
        Err(Error::Cancelled)
    } else {
        Ok(())
    }
}
