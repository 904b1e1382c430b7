//! Errors of the file floor.

use crate::metadata::FileType;
use disksmith_storage::{Diagnose, ErrorKind};

/// The result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with files. Each variant has an errno (see [`Error::errno`]), for exports.
///
/// A filesystem names the inode or name it was asked about; [`crate::Tree`] puts the whole path in its place
/// with [`Error::at_path`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such name.
    #[error("{path}: no such file or directory")]
    NotFound {
        /// The path or name.
        path: String,
    },
    /// The name is taken.
    #[error("{path}: exists already")]
    Exists {
        /// The path or name.
        path: String,
    },
    /// A directory was needed.
    #[error("{path}: not a directory")]
    NotADirectory {
        /// The path or name.
        path: String,
    },
    /// Something other than a directory was needed.
    #[error("{path}: is a directory")]
    IsADirectory {
        /// The path or name.
        path: String,
    },
    /// The operation needs another kind of file.
    #[error("{path}: is a {found}, which this operation does not work on")]
    WrongType {
        /// The path or name.
        path: String,
        /// What it is.
        found: FileType,
    },
    /// A directory that is to be removed still has entries.
    #[error("{path}: directory not empty")]
    NotEmpty {
        /// The path or name.
        path: String,
    },
    /// Too many symbolic links on the way.
    #[error("{path}: too many levels of symbolic links")]
    SymlinkLoop {
        /// The path.
        path: String,
    },
    /// A name that the filesystem cannot carry, or one that is empty or holds `/` or NUL.
    #[error("{path}: {reason}")]
    InvalidName {
        /// The path or name.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A name that is too long.
    #[error("{path}: name too long (at most {limit} bytes)")]
    NameTooLong {
        /// The path or name.
        path: String,
        /// The filesystem's limit in bytes.
        limit: usize,
    },
    /// An argument that makes no sense: an offset beyond the largest file, a directory moved into itself.
    #[error("{path}: {reason}")]
    InvalidArgument {
        /// The path or name.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The file would be larger than the filesystem allows.
    #[error("{path}: file too large")]
    FileTooLarge {
        /// The path or name.
        path: String,
    },
    /// No more names for one inode.
    #[error("{path}: too many links")]
    TooManyLinks {
        /// The path or name.
        path: String,
    },
    /// The filesystem in the image has no space left.
    #[error("no space left on the filesystem {filesystem} in the image{}", what_text(.what))]
    NoSpace {
        /// Which filesystem: its kind and label or device.
        filesystem: String,
        /// What ran out: `blocks`, `inodes`.
        what: &'static str,
    },
    /// The two names are on different filesystems.
    #[error("{path}: on another filesystem")]
    CrossesFilesystems {
        /// The path or name.
        path: String,
    },
    /// The file carries a flag that forbids it (immutable, append-only).
    #[error("{path}: operation not permitted ({reason})")]
    NotPermitted {
        /// The path or name.
        path: String,
        /// Which flag.
        reason: &'static str,
    },
    /// No such extended attribute.
    #[error("{path}: no extended attribute {name}")]
    NoXattr {
        /// The path or name.
        path: String,
        /// The attribute's full name.
        name: String,
    },
    /// The filesystem was opened for reading, or may only be read.
    #[error("{filesystem} can only be read: {reason}")]
    ReadOnly {
        /// Which filesystem.
        filesystem: String,
        /// Why: opened so; a read-only feature (named); a dirty journal.
        reason: String,
    },
    /// The filesystem, as it is made, cannot do that (owners on FAT); or disksmith cannot yet.
    #[error("{filesystem}: {operation} is not supported")]
    Unsupported {
        /// Which filesystem.
        filesystem: String,
        /// What was asked, or which feature it would need.
        operation: String,
    },
    /// The filesystem is damaged. The text names structure, field, offset and value.
    #[error("{filesystem} is damaged: {detail}")]
    Corrupt {
        /// Which filesystem.
        filesystem: String,
        /// Structure, field, byte offset and value.
        detail: String,
    },
    /// The storage below failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
}

fn what_text(what: &str) -> String {
    if what == "blocks" {
        String::new()
    } else {
        format!(" (no free {what})")
    }
}

impl Error {
    /// Replaces the name that the error speaks of by a whole path.
    #[must_use]
    pub fn at_path(mut self, whole: &[u8]) -> Self {
        match &mut self {
            Self::NotFound { path }
            | Self::Exists { path }
            | Self::NotADirectory { path }
            | Self::IsADirectory { path }
            | Self::WrongType { path, .. }
            | Self::NotEmpty { path }
            | Self::SymlinkLoop { path }
            | Self::InvalidName { path, .. }
            | Self::NameTooLong { path, .. }
            | Self::InvalidArgument { path, .. }
            | Self::FileTooLarge { path }
            | Self::TooManyLinks { path }
            | Self::CrossesFilesystems { path }
            | Self::NotPermitted { path, .. }
            | Self::NoXattr { path, .. } => *path = String::from_utf8_lossy(whole).into_owned(),
            _ => {}
        }
        self
    }

    /// The number that the kernel's VFS would return, as Linux numbers them.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound { .. } => 2,
            Self::Exists { .. } => 17,
            Self::NotADirectory { .. } => 20,
            Self::IsADirectory { .. } => 21,
            Self::WrongType { .. } | Self::InvalidName { .. } | Self::InvalidArgument { .. } => 22,
            Self::NotEmpty { .. } => 39,
            Self::SymlinkLoop { .. } => 40,
            Self::NameTooLong { .. } => 36,
            Self::FileTooLarge { .. } => 27,
            Self::TooManyLinks { .. } => 31,
            Self::NoSpace { .. } => 28,
            Self::CrossesFilesystems { .. } => 18,
            Self::NotPermitted { .. } => 1,
            Self::NoXattr { .. } => 61,
            Self::ReadOnly { .. } => 30,
            Self::Unsupported { .. } => 95,
            Self::Corrupt { .. } => 117,
            Self::Storage(_) => 5,
        }
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoXattr { .. } => ErrorKind::NotFound,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Storage(inner) => inner.kind(),
            _ => ErrorKind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSpace { .. } => {
                Some("delete files in the guest, or make the disk and its filesystem larger".into())
            }
            Self::Corrupt { .. } => Some("repair it with the filesystem's own checker on a copy".into()),
            Self::ReadOnly { .. } => Some(
                "mend the cause named above on a copy (a feature is turned off by `tune2fs -O ^FEATURE`), or edit it in the \
                 running guest"
                    .into(),
            ),
            Self::Storage(inner) => inner.hint(),
            _ => None,
        }
    }
}
