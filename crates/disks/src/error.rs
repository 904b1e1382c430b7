//! Errors of making, formatting and thinning disks.

use disksmith_storage::{Diagnose, ErrorKind};
use std::path::PathBuf;

/// The result of work on whole disks.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with whole disks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that is asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file of the host cannot be read.
    #[error("cannot {operation} {}: {source}", .path.display())]
    Host {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An archive that is damaged, or holds what cannot be taken.
    #[error("{}: {member}: {reason}", .archive.display())]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// The member, or what of the archive.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// A size that is too small.
    #[error("{size} bytes are too few: {needed} are needed")]
    TooSmall {
        /// What was asked for.
        size: u64,
        /// What is needed at least.
        needed: u64,
    },
    /// A device name that no volume of the disk has.
    #[error("there is no {device} on {}; there are: {}", .disk.display(), .known.join(", "))]
    NoSuchDevice {
        /// The name.
        device: String,
        /// The disk.
        disk: PathBuf,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Space cannot be given back where the disk lies.
    #[error("{}: space cannot be given back there ({reason})", .disk.display())]
    NoDiscard {
        /// The disk.
        disk: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An error of another floor.
    #[error("{0}")]
    Below(Box<dyn Diagnose>),
}

impl Error {
    /// Wraps an error of another floor.
    pub fn below(error: impl Diagnose + 'static) -> Self {
        Self::Below(Box::new(error))
    }
}

impl From<disksmith_image::Error> for Error {
    fn from(error: disksmith_image::Error) -> Self {
        Self::below(error)
    }
}

impl From<disksmith_storage::Error> for Error {
    fn from(error: disksmith_storage::Error) -> Self {
        Self::below(error)
    }
}

impl From<disksmith_vfs::Error> for Error {
    fn from(error: disksmith_vfs::Error) -> Self {
        Self::below(error)
    }
}

impl From<disksmith_fs::Error> for Error {
    fn from(error: disksmith_fs::Error) -> Self {
        Self::below(error)
    }
}

impl From<disksmith_volume::Error> for Error {
    fn from(error: disksmith_volume::Error) -> Self {
        Self::below(error)
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage(_) => ErrorKind::Usage,
            Self::TooSmall { .. } => ErrorKind::NoSpace,
            Self::NoSuchDevice { .. } => ErrorKind::NotFound,
            Self::NoDiscard { .. } => ErrorKind::Unsupported,
            Self::Archive { .. } => ErrorKind::Corrupt,
            Self::Host { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Host { .. } => ErrorKind::Failed,
            Self::Below(error) => error.kind(),
        }
    }

    fn may_have_changed(&self) -> bool {
        match self {
            Self::Below(error) => error.may_have_changed(),
            _ => false,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooSmall { .. } => Some("leave the size out to have it computed, or give more".into()),
            Self::NoDiscard { .. } => Some("make a sparse copy instead: name an output".into()),
            Self::Below(error) => error.hint(),
            _ => None,
        }
    }
}
