//! Errors of the storage floor.

use crate::diagnose::{Diagnose, ErrorKind};
use std::io;
use std::path::PathBuf;

/// The result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A process that holds a lock on an image file, as far as `/proc` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Process id.
    pub pid: u32,
    /// The process's command name (`/proc/PID/comm`).
    pub command: String,
}

/// What can go wrong when bytes are reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {operation} {object}{}: {source}", at(.offset))]
    Io {
        /// The file, as the user named it.
        object: String,
        /// What was tried, as a verb: `read`, `write`, `flush`, `open` …
        operation: &'static str,
        /// Byte offset of the access, where there is one.
        offset: Option<u64>,
        /// What the operating system said.
        source: io::Error,
    },
    /// An access that reaches beyond the end of the storage.
    #[error("{object}: {len} bytes at offset {offset} lie beyond its end at {size}")]
    OutOfBounds {
        /// The storage, as [`crate::Storage::name`] gives it.
        object: String,
        /// Byte offset of the access.
        offset: u64,
        /// Length of the access in bytes.
        len: u64,
        /// Size of the storage in bytes.
        size: u64,
    },
    /// A change to something opened for reading, or that cannot be written at all.
    #[error("{object} is read-only")]
    ReadOnly {
        /// The storage.
        object: String,
    },
    /// This kind of storage cannot do that.
    #[error("{object}: {operation} is not possible")]
    Unsupported {
        /// The storage.
        object: String,
        /// What was asked.
        operation: &'static str,
    },
    /// Another process has the file open in a way that excludes this use of it.
    #[error("{} is in use{}", .path.display(), holders_text(.holders))]
    Locked {
        /// The image file.
        path: PathBuf,
        /// Who holds it, as far as can be told.
        holders: Vec<LockHolder>,
    },
    /// A file would be replaced by what is read from it.
    #[error("{} is what is being read: it would be replaced by what comes out of it", .path.display())]
    ReplacesSource {
        /// The file.
        path: PathBuf,
    },
    /// There is no place for the redo log that a change of a raw image needs.
    #[error("no redo log can be written for {}: {reason}", .image.display())]
    NoPlaceForLog {
        /// The image.
        image: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A change of the image was interrupted and is not completed yet.
    #[error("a change of {} was interrupted and waits in {}", .image.display(), .log.display())]
    Pending {
        /// The image.
        image: PathBuf,
        /// The redo log or intent file that holds the change.
        log: PathBuf,
    },
    /// A change is complete and durable in its log, but could not be carried over to the image.
    #[error("the change of {image} is complete in {}, but could not be carried over: {source}", .log.display())]
    Interrupted {
        /// The image.
        image: String,
        /// The log.
        log: PathBuf,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A change is under way in the image, and the log that holds the rest of it is not there.
    #[error("a change of {} was interrupted half-way, and its log {} is not there", .image.display(), .log.display())]
    LogMissing {
        /// The image.
        image: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// The write that decides about a change failed, so that the image may hold the old state or the new one.
    #[error("whether the change of {image} counts is not known: {source}")]
    Undecided {
        /// The image.
        image: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A redo log or intent file that is damaged.
    #[error("{}: {field} at offset {offset} is {value:#x}, which is not valid", .log.display())]
    LogDamaged {
        /// The file.
        log: PathBuf,
        /// Structure and field.
        field: &'static str,
        /// Byte offset of the field.
        offset: u64,
        /// What it holds.
        value: u64,
    },
    /// A redo log that was written for another file than the one that has its name now.
    #[error("{} was written for another file than {image}", .log.display())]
    LogOfAnotherFile {
        /// The image.
        image: String,
        /// The log.
        log: PathBuf,
    },
    /// The image is neither as it was before the interrupted change, nor as the change makes it.
    #[error("{image} was written to after its change was interrupted (at offset {offset}); {} is not applied",
        .log.display())]
    ChangedSince {
        /// The image.
        image: String,
        /// The log.
        log: PathBuf,
        /// Byte offset of the first block that is neither.
        offset: u64,
    },
    /// A loop device of this host stands on the file; a filesystem in it may be mounted.
    #[error("{} is attached to {device}{}", .path.display(), mounted_text(.mounted_at))]
    Attached {
        /// The image file.
        path: PathBuf,
        /// The loop device: `/dev/loop0`.
        device: String,
        /// Where something of it is mounted.
        mounted_at: Option<String>,
    },
    /// An error of the format that this storage is an image of (a damaged qcow2 table, say).
    #[error("{0}")]
    Format(Box<dyn Diagnose>),
}

fn at(offset: &Option<u64>) -> String {
    offset.map(|o| format!(" at offset {o}")).unwrap_or_default()
}

fn mounted_text(mounted_at: &Option<String>) -> String {
    mounted_at
        .as_ref()
        .map(|place| format!(", which is mounted at {place}"))
        .unwrap_or_default()
}

fn holders_text(holders: &[LockHolder]) -> String {
    if holders.is_empty() {
        return " by another process".into();
    }
    let list: Vec<String> = holders
        .iter()
        .map(|h| format!("{} (process {})", h.command, h.pid))
        .collect();
    format!(" by {}", list.join(", "))
}

impl Error {
    /// Wraps what the operating system said.
    pub fn io(
        object: impl Into<String>,
        operation: &'static str,
        offset: Option<u64>,
        source: io::Error,
    ) -> Self {
        Self::Io {
            object: object.into(),
            operation,
            offset,
            source,
        }
    }

    /// Wraps an error of an image format.
    pub fn format(error: impl Diagnose) -> Self {
        Self::Format(Box::new(error))
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    ErrorKind::NoSpace
                }
                _ => ErrorKind::Failed,
            },
            Self::OutOfBounds { .. } => ErrorKind::Corrupt,
            Self::ReadOnly { .. } => ErrorKind::Failed,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Locked { .. } | Self::Attached { .. } => ErrorKind::InUse,
            Self::NoPlaceForLog { .. } => ErrorKind::Failed,
            Self::LogDamaged { .. } => ErrorKind::Corrupt,
            Self::Pending { .. }
            | Self::LogMissing { .. }
            | Self::LogOfAnotherFile { .. }
            | Self::ChangedSince { .. }
            | Self::ReplacesSource { .. } => ErrorKind::Refused,
            Self::Interrupted { source, .. } | Self::Undecided { source, .. } => source.kind(),
            Self::Format(inner) => inner.kind(),
        }
    }

    fn may_have_changed(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::Undecided { .. } => true,
            Self::Format(inner) => inner.may_have_changed(),
            _ => false,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Attached { device, .. } => Some(format!(
                "unmount it and detach it (`losetup -d {device}`), then run this again"
            )),
            Self::Locked { .. } => {
                Some("shut the virtual machine down (or end the process), then run this again".into())
            }
            Self::ReplacesSource { .. } => Some("give another name, or another directory".into()),
            Self::ReadOnly { .. } => Some("check the file's permissions, or work on a copy".into()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("check the file's permissions".into())
            }
            Self::NoPlaceForLog { .. } => Some("name a folder on a local disk for it with --log-dir".into()),
            Self::Pending { image, .. } => Some(format!("run: disksmith recover {}", image.display())),
            Self::Interrupted { image, .. } => {
                Some(format!("remove the cause, then run: disksmith recover {image}"))
            }
            Self::LogMissing { image, log } => Some(format!(
                "bring {} back to where it was; to take the image as it is, half changed: setfattr -x user.disksmith.log {}",
                log.display(),
                image.display()
            )),
            Self::Undecided { .. } => {
                Some("look at the image before you go on: it is whole, old or new".into())
            }
            Self::LogDamaged { log, .. }
            | Self::LogOfAnotherFile { log, .. }
            | Self::ChangedSince { log, .. } => Some(format!(
                "to keep the image as it is now, and give the interrupted change up, delete {}",
                log.display()
            )),
            Self::Io { source, object, .. } if source.kind() == io::ErrorKind::StorageFull => Some(format!(
                "make room on the disk that {object} lies on, then run this again"
            )),
            Self::Format(inner) => inner.hint(),
            _ => None,
        }
    }
}
