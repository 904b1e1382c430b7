//! Errors of archives.

use disksmith_storage::{Diagnose, ErrorKind};
use std::io;

/// What can be wrong with an archive, or with what it is read from or written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The first block is no header.
    #[error("this is no tar archive: its first block is no header")]
    NotATar,
    /// A structure is damaged.
    #[error("the tar archive is damaged at byte {offset}: {detail}")]
    Damaged {
        /// Byte offset in the (decompressed) archive.
        offset: u64,
        /// Structure, field and value.
        detail: String,
    },
    /// A member that must not be unpacked.
    #[error("the archive's member {member} {reason}")]
    Refused {
        /// Its name in the archive.
        member: String,
        /// What it would do.
        reason: String,
    },
    /// Reading the archive failed.
    #[error("cannot read the archive: {0}")]
    Read(io::Error),
    /// Writing the archive failed.
    #[error("cannot write the archive: {0}")]
    Write(io::Error),
    /// An error of the files that go in or out.
    #[error(transparent)]
    Files(#[from] crate::error::Error),
}

impl Diagnose for TarError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotATar | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Write(error) if error.kind() == io::ErrorKind::StorageFull => ErrorKind::NoSpace,
            Self::Read(_) | Self::Write(_) => ErrorKind::Failed,
            Self::Files(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotATar => Some("a compressed archive needs its kind of compression named".into()),
            Self::Refused { .. } => {
                Some("take the member out of the archive, or unpack it on this host and look at it".into())
            }
            Self::Files(error) => error.hint(),
            _ => None,
        }
    }
}
