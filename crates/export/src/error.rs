//! What can go wrong with a mount.

use disksmith_storage::{Diagnose, ErrorKind};
use std::path::PathBuf;

/// The result of mounting, committing and unmounting.
pub type Result<T> = std::result::Result<T, Error>;

/// A mount that cannot be made, or whose changes cannot be committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place where it should appear.
    #[error("cannot mount at {path}: {reason}")]
    Place {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel's side of it.
    #[error("cannot mount at {path}: {source}")]
    Mount {
        /// The directory.
        path: PathBuf,
        /// What the kernel, or `fusermount3`, said.
        source: std::io::Error,
    },
    /// Taking it away.
    #[error("cannot unmount {path}: {reason}")]
    Unmount {
        /// The directory.
        path: PathBuf,
        /// What the kernel, or `fusermount3`, said.
        reason: String,
        /// Whether somebody uses it.
        busy: bool,
    },
    /// Images.
    #[error(transparent)]
    Image(#[from] disksmith_image::Error),
    /// Filesystems.
    #[error(transparent)]
    File(#[from] disksmith_vfs::Error),
    /// The guest.
    #[error(transparent)]
    Guest(#[from] disksmith_guest::Error),
    /// What opening a filesystem says.
    #[error(transparent)]
    Open(#[from] disksmith_fs::Error),
    /// A commit failed earlier, and what was changed since the one before is lost.
    #[error("what was written to {path} since the last commit is lost: {reason}")]
    Lost {
        /// The directory.
        path: PathBuf,
        /// Why the commit failed.
        reason: String,
        /// What kind of failure that was.
        kind: ErrorKind,
    },
    /// A commit stopped after the point from which it counts: what was written is in a log, and goes on from there.
    #[error("the last commit of {path} is not in the image yet: {reason}")]
    Unfinished {
        /// The directory.
        path: PathBuf,
        /// Why it stopped.
        reason: String,
        /// What completes it.
        hint: Option<String>,
    },
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Place { .. } => ErrorKind::Usage,
            Self::Mount { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Failed,
            },
            Self::Unmount { busy: true, .. } => ErrorKind::InUse,
            Self::Unmount { .. } | Self::Unfinished { .. } => ErrorKind::Failed,
            Self::Lost { kind, .. } => *kind,
            Self::Image(inner) => inner.kind(),
            Self::File(inner) => inner.kind(),
            Self::Guest(inner) => inner.kind(),
            Self::Open(inner) => inner.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Place { .. } => Some("name a directory that exists".into()),
            Self::Mount { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Some(
                    "mounting needs /dev/fuse (modprobe fuse) and, for everybody but root, fusermount3 (package fuse3)"
                        .into(),
                ),
                std::io::ErrorKind::PermissionDenied if source.to_string().contains("user_allow_other") => Some(
                    "other users can be let in only where /etc/fuse.conf says user_allow_other".into(),
                ),
                std::io::ErrorKind::PermissionDenied => {
                    Some("a plain user can mount at directories only that are theirs to write".into())
                }
                _ => None,
            },
            Self::Unmount { busy: true, .. } => {
                Some("see who uses it with `fuser -vm DIR`, or leave its directory".into())
            }
            Self::Image(inner) => inner.hint(),
            Self::File(inner) => inner.hint(),
            Self::Guest(inner) => inner.hint(),
            Self::Open(inner) => inner.hint(),
            Self::Unfinished { hint, .. } => hint.clone(),
            Self::Unmount { .. } | Self::Lost { .. } => None,
        }
    }
}

/// The number by which the kernel is told of an error.
pub(crate) fn errno_of(error: &disksmith_vfs::Error) -> i32 {
    match error {
        disksmith_vfs::Error::Storage(inner) if inner.kind() == ErrorKind::NoSpace => NO_SPACE,
        other => other.errno(),
    }
}

/// `ENOSPC`.
const NO_SPACE: i32 = 28;

/// The number by which the kernel is told of a commit that failed.
pub(crate) fn errno_of_commit(error: &Error) -> i32 {
    match error.kind() {
        ErrorKind::NoSpace => NO_SPACE,
        _ => 5,
    }
}
