//! Errors of opening filesystems.

use crate::kind::Kind;
use disksmith_storage::{Diagnose, ErrorKind};

/// The result of opening a filesystem.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a filesystem could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing that is known lies there.
    #[error("{object}: no known filesystem")]
    Unknown {
        /// The storage.
        object: String,
    },
    /// What lies there is known, but disksmith cannot open it.
    #[error("{object}: {} is not supported yet", .kind.description())]
    Unsupported {
        /// The storage.
        object: String,
        /// What it is.
        kind: Kind,
    },
    /// The filesystem is damaged, or needs a feature that disksmith lacks.
    #[error("{object}: {source}")]
    File {
        /// The storage.
        object: String,
        /// What the filesystem said.
        source: disksmith_vfs::Error,
    },
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::File { source, .. } => source.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => None,
            Self::Unsupported {
                kind: Kind::Luks | Kind::BitLocker,
                ..
            } => Some("open encrypted guests on the host that has the key, or edit them from within".into()),
            Self::Unsupported { .. } => None,
            Self::File { source, .. } => source.hint(),
        }
    }
}
