//! Commits: on request, now and then, and at the end. Requests that come while one runs share the next.

use crate::error::{Error, Result, errno_of_commit};
use crate::joined::Joined;
use disksmith_image::Transaction;
use disksmith_storage::{Diagnose, ErrorKind, StorageRef};
use disksmith_vfs::{FileSystemRef, OperationGate};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Told how a commit ended; the error is an `errno`.
pub(crate) type Answer = Box<dyn FnOnce(std::result::Result<(), i32>) + Send>;

/// Somebody waits for a commit.
struct Waiting {
    /// Which thread.
    who: u32,
    answer: Answer,
}

/// A commit has failed for good.
#[derive(Debug, Clone)]
struct Lost {
    reason: String,
    kind: ErrorKind,
    /// It can be completed all the same; and by what.
    unfinished: bool,
    hint: Option<String>,
}

impl Lost {
    fn of(error: &disksmith_image::Error) -> Self {
        use disksmith_storage::Error::{Interrupted, Pending, Undecided};
        Self {
            reason: error.to_string(),
            kind: error.kind(),
            unfinished: matches!(
                error,
                disksmith_image::Error::Storage(Interrupted { .. } | Pending { .. } | Undecided { .. })
            ),
            hint: error.hint(),
        }
    }

    fn told(self, place: &Path) -> Error {
        let path = place.to_owned();
        if self.unfinished {
            return Error::Unfinished {
                path,
                reason: self.reason,
                hint: self.hint,
            };
        }
        Error::Lost {
            path,
            reason: self.reason,
            kind: self.kind,
        }
    }
}

/// How long a commit waits at most for others to share it.
const GATHERING: Duration = Duration::from_millis(4);

/// Opens a filesystem again, for reading.
pub(crate) type Reopen = Box<dyn Fn(&StorageRef) -> Option<FileSystemRef> + Send + Sync>;

/// How often, and after how much, is committed without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPolicy {
    /// After this time.
    pub interval: Duration,
    /// After so many bytes were written.
    pub volume: u64,
}

impl Default for CommitPolicy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            volume: 1 << 30,
        }
    }
}

/// What a mount changes, and how it becomes the images' state.
pub(crate) struct Committer {
    joined: Arc<Joined>,
    place: PathBuf,
    gate: OperationGate,
    policy: CommitPolicy,
    /// Changes are kept at all.
    keeps: bool,
    changes: AtomicU64,
    committed: AtomicU64,
    written: AtomicU64,
    transaction: Mutex<Option<Transaction>>,
    reopen: Reopen,
    lost: Mutex<Option<Lost>>,
    is_lost: AtomicBool,
    requests: Mutex<Option<Sender<Waiting>>>,
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("place", &self.place)
            .field("changes", &self.changes)
            .field("committed", &self.committed)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Committer {
    pub(crate) fn new(
        joined: Arc<Joined>,
        place: PathBuf,
        transaction: Option<Transaction>,
        keeps: bool,
        policy: CommitPolicy,
        reopen: Reopen,
    ) -> Self {
        Self {
            joined,
            place,
            gate: OperationGate::default(),
            policy,
            keeps,
            changes: AtomicU64::new(0),
            // What opening itself has changed (a journal that was replayed) is committed with the first change, or at the end.
            committed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            transaction: Mutex::new(transaction),
            reopen,
            lost: Mutex::default(),
            is_lost: AtomicBool::new(false),
            requests: Mutex::default(),
        }
    }

    /// Enters the gate for one change.
    pub(crate) fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.enter()
    }

    /// Whether changes can be made.
    pub(crate) fn accepts_changes(&self) -> bool {
        !self.is_lost.load(Ordering::Relaxed)
    }

    /// Something was changed; called inside the gate.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes were written.
    pub(crate) fn note_written(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before < self.policy.volume && before.saturating_add(bytes) >= self.policy.volume {
            self.request(Waiting {
                who: 0,
                answer: Box::new(|_| ()),
            });
        }
    }

    fn request(&self, waiting: Waiting) {
        let sent = match &*lock(&self.requests) {
            Some(requests) => requests.send(waiting).map_err(|unsent| unsent.0),
            None => Err(waiting),
        };
        if let Err(waiting) = sent {
            // There is no thread: it has ended, or was never started.
            (waiting.answer)(self.commit().map_err(|e| errno_of_commit(&e)));
        }
    }

    /// Tells `answer` when everything changed so far is durable. `who` is the thread that asks.
    pub(crate) fn sync(&self, who: u32, answer: Answer) {
        if self.is_lost.load(Ordering::Relaxed) {
            answer(Err(5));
        } else if !self.keeps || !self.is_behind() {
            answer(Ok(()));
        } else {
            self.request(Waiting { who, answer });
        }
    }

    fn is_behind(&self) -> bool {
        self.changes.load(Ordering::Acquire) != self.committed.load(Ordering::Acquire)
    }

    /// Starts the thread that commits.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        let (sender, receiver) = channel();
        *lock(&self.requests) = Some(sender);
        let this = Arc::clone(self);
        std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || this.run(&receiver))
    }

    fn run(&self, requests: &Receiver<Waiting>) {
        let mut last = 0;
        let mut took = Duration::ZERO;
        loop {
            let mut waiting = match requests.recv_timeout(self.policy.interval) {
                Ok(first) => vec![first],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            waiting.extend(requests.try_iter());
            if let Some(first) = waiting.first() {
                // Where several threads sync in turn, those that come a moment later share this commit.
                let others = first.who != last || waiting.len() > 1;
                last = first.who;
                let until = Instant::now() + (took / 4).min(GATHERING);
                while others
                    && let Ok(next) = requests.recv_timeout(until.saturating_duration_since(Instant::now()))
                {
                    waiting.push(next);
                }
            } else if !self.keeps || !self.is_behind() {
                continue;
            }
            let started = Instant::now();
            let result = self.commit();
            took = started.elapsed();
            if let Err(error) = &result {
                log::error!("{error}");
            }
            for waiting in waiting {
                (waiting.answer)(result.as_ref().map(|_| ()).map_err(errno_of_commit));
            }
        }
    }

    /// Makes everything changed so far the images' state.
    ///
    /// # Errors
    /// The images are as the last commit left them. [`Error::Lost`] where the changes since are gone.
    pub(crate) fn commit(&self) -> Result<()> {
        if let Some(lost) = lock(&self.lost).clone() {
            return Err(lost.told(&self.place));
        }
        if !self.keeps {
            return Ok(());
        }
        let mut transaction = lock(&self.transaction);
        let Some(transaction) = transaction.as_mut() else {
            return Ok(());
        };
        let _closed = self.gate.close();
        let until = self.changes.load(Ordering::Acquire);
        for fs in self.joined.writable() {
            fs.sync()?;
        }
        match transaction.checkpoint() {
            Ok(_) => {
                self.committed.store(until, Ordering::Release);
                self.written.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(failure) if failure.staged => Err((*failure.error).into()),
            Err(failure) => {
                let lost = Lost::of(&failure.error);
                *lock(&self.lost) = Some(lost.clone());
                self.is_lost.store(true, Ordering::Relaxed);
                self.joined.replace(|slice| (self.reopen)(slice));
                Err(lost.told(&self.place))
            }
        }
    }

    /// Ends the thread. What is changed later is committed only by [`finish`](Self::finish).
    pub(crate) fn stop(&self, thread: JoinHandle<()>) {
        *lock(&self.requests) = None;
        if thread.join().is_err() {
            log::error!("the thread that commits has failed");
        }
    }

    /// Commits the rest and closes the images.
    pub(crate) fn finish(&self) -> Result<()> {
        let result = self.commit().map_err(|error| match error {
            Error::Lost { .. } | Error::Unfinished { .. } => error,
            // There is nobody left who could try again.
            other => Error::Lost {
                path: self.place.clone(),
                reason: other.to_string(),
                kind: other.kind(),
            },
        });
        if let Some(transaction) = lock(&self.transaction).take() {
            transaction.abandon();
        }
        result
    }
}
