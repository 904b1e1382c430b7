//! What can go wrong while an image is made.

use disksmith_storage::{Diagnose, ErrorKind};
use std::io;
use std::path::PathBuf;

/// The result of making an image.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong while an image is made. Reading an image gives [`disksmith_vfs::Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no directory can hold: empty, `.`, `..`, with `/` or NUL, or longer than 255 bytes.
    #[error("{path}: {reason}")]
    Name {
        /// The path in the image.
        path: String,
        /// Why it cannot be.
        reason: &'static str,
    },
    /// Two entries of one name.
    #[error("{path}: is in the image already")]
    Duplicate {
        /// The path in the image.
        path: String,
    },
    /// An entry was asked for below something that is no directory.
    #[error("{path}: not a directory")]
    NotADirectory {
        /// The path in the image.
        path: String,
    },
    /// Directories nested deeper than the interchange level allows, and no Rock Ridge to relocate them.
    #[error("{path}: {depth} levels of directories are more than the {limit} that ISO 9660 allows")]
    TooDeep {
        /// The path in the image.
        path: String,
        /// Its level, the root being 1.
        depth: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A file that needs several extents, below interchange level 3.
    #[error("{path}: {size} bytes are too many for a file at interchange level {level}")]
    FileTooLarge {
        /// The path in the image.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The level that was asked for.
        level: u8,
    },
    /// More directories than a path table can number.
    #[error("{count} directories are more than a path table can number (65535)")]
    TooManyDirectories {
        /// How many there are.
        count: usize,
    },
    /// The image would be larger than 32 bits of logical blocks.
    #[error("the image would take {blocks} blocks of 2048 bytes, more than ISO 9660 can address")]
    ImageTooLarge {
        /// How many blocks it would take.
        blocks: u64,
    },
    /// A text of the volume descriptor that does not fit or cannot be said there.
    #[error("{field} {value:?}: {reason}")]
    VolumeText {
        /// Which field: `volume id`, `publisher` …
        field: &'static str,
        /// The value given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// A symbolic link whose target is empty, has NUL in it, or is longer than 4095 bytes.
    #[error("{path}: {reason}")]
    Target {
        /// The path in the image.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A file whose size was another one when its bytes were read.
    #[error("{object}: changed while it was read ({expected} bytes were there, now {found})")]
    SourceChanged {
        /// The host file.
        object: String,
        /// Size when the image was planned.
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// A host file that is neither file, directory, link, device, nor pipe.
    #[error("{}: not a kind of file that an image can hold", path.display())]
    UnsupportedFile {
        /// The host file.
        path: PathBuf,
    },
    /// A boot entry that cannot be.
    #[error("boot image {path}: {reason}")]
    Boot {
        /// The path in the image.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The output is there already and was not to be replaced.
    #[error("{}: exists already", path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {operation} {object}: {source}")]
    Io {
        /// The file.
        object: String,
        /// What was tried, as a verb.
        operation: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A source's storage failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
}

impl Error {
    pub(crate) fn io(object: impl Into<String>, operation: &'static str, source: io::Error) -> Self {
        Self::Io {
            object: object.into(),
            operation,
            source,
        }
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. }
            | Self::Duplicate { .. }
            | Self::NotADirectory { .. }
            | Self::TooDeep { .. }
            | Self::FileTooLarge { .. }
            | Self::TooManyDirectories { .. }
            | Self::ImageTooLarge { .. }
            | Self::VolumeText { .. }
            | Self::Target { .. }
            | Self::UnsupportedFile { .. }
            | Self::Boot { .. } => ErrorKind::Usage,
            Self::OutputExists { .. } => ErrorKind::Refused,
            Self::SourceChanged { .. } => ErrorKind::Failed,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    ErrorKind::NoSpace
                }
                _ => ErrorKind::Failed,
            },
            Self::Storage(inner) => inner.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooDeep { .. } => Some(
                "turn Rock Ridge on, which relocates deep directories, or use interchange level 4".into(),
            ),
            Self::FileTooLarge { .. } => Some("use interchange level 3 or 4".into()),
            Self::SourceChanged { .. } => Some("run it again when nothing writes to the file".into()),
            Self::OutputExists { .. } => Some("choose another name, or replace it with --force".into()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("check the file's permissions".into())
            }
            Self::Storage(inner) => inner.hint(),
            _ => None,
        }
    }
}
