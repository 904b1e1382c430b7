//! Errors of the ext4 crate.

use disksmith_storage::{Diagnose, ErrorKind};
use disksmith_vfs as vfs;

/// The result of an ext4 operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with an ext2, ext3 or ext4 filesystem.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No superblock of the ext family.
    #[error(
        "not an ext2, ext3 or ext4 filesystem: superblock magic at byte 1080 is {magic:#06x}, not 0xef53"
    )]
    NotExt {
        /// The magic that was found.
        magic: u16,
    },
    /// A structure that contradicts itself, its checksum, or the filesystem.
    #[error("{structure} at byte {offset}: {field} is {value:#x}: {reason}")]
    Corrupt {
        /// The structure, with its number where it has one.
        structure: String,
        /// The field.
        field: &'static str,
        /// Byte offset of the structure in the filesystem.
        offset: u64,
        /// What the field holds.
        value: u64,
        /// What is wrong with that.
        reason: String,
    },
    /// Features that are needed even for reading.
    #[error("the filesystem uses features that are not supported: {names}")]
    UnsupportedFeatures {
        /// Names of the features, comma separated.
        names: String,
    },
    /// The filesystem may be read, but not written.
    #[error("the filesystem can only be read: {reason}")]
    ReadOnly {
        /// Why: opened so, or the feature that forbids it.
        reason: String,
    },
    /// A single operation that is not supported on this filesystem or inode.
    #[error("{operation} is not supported")]
    Unsupported {
        /// What was asked, and which feature it would need.
        operation: String,
    },
    /// Multi-mount protection says that somebody has it mounted.
    #[error(
        "the filesystem is in use: multi-mount protection block {block} was last written by {node} on {device}"
    )]
    InUse {
        /// Block number of the protection block.
        block: u64,
        /// Name of the host that wrote it.
        node: String,
        /// Device name on that host.
        device: String,
    },
    /// No free blocks or inodes.
    #[error("no space left on the filesystem (no free {what})")]
    NoSpace {
        /// What ran out: `blocks`, `inodes`.
        what: &'static str,
    },
    /// A value given for formatting makes no filesystem.
    #[error("{what}: {reason}")]
    InvalidOption {
        /// The option.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An error of a file operation (a name that is taken, say).
    #[error(transparent)]
    File(#[from] vfs::Error),
    /// The journal cannot be recovered.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The storage below failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
}

impl Error {
    /// A damaged structure: its name and byte offset, the field and its value, and what is wrong.
    pub fn corrupt(
        structure: impl Into<String>,
        offset: u64,
        field: &'static str,
        value: impl TryInto<u64>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Corrupt {
            structure: structure.into(),
            field,
            offset,
            value: value.try_into().unwrap_or(u64::MAX),
            reason: reason.into(),
        }
    }

    /// An operation that is not supported.
    pub fn unsupported(operation: impl Into<String>) -> Self {
        Self::Unsupported {
            operation: operation.into(),
        }
    }

    /// The error as the file floor tells it. `filesystem` is how the filesystem is named in messages.
    pub fn into_vfs(self, filesystem: &str) -> vfs::Error {
        let filesystem = filesystem.to_owned();
        match self {
            Self::File(inner) => inner,
            Self::Storage(inner) => vfs::Error::Storage(inner),
            Self::NoSpace { what } => vfs::Error::NoSpace { filesystem, what },
            Self::ReadOnly { reason } => vfs::Error::ReadOnly { filesystem, reason },
            Self::Unsupported { operation } => vfs::Error::Unsupported {
                filesystem,
                operation,
            },
            other @ Self::UnsupportedFeatures { .. } => vfs::Error::Unsupported {
                filesystem,
                operation: other.to_string(),
            },
            other => vfs::Error::Corrupt {
                filesystem,
                detail: other.to_string(),
            },
        }
    }
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotExt { .. } | Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::UnsupportedFeatures { .. } | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::ReadOnly { .. } => ErrorKind::Failed,
            Self::InUse { .. } => ErrorKind::InUse,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::InvalidOption { .. } => ErrorKind::Usage,
            Self::File(inner) => inner.kind(),
            Self::Journal(inner) => inner.kind(),
            Self::Storage(inner) => inner.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Corrupt { .. } => Some("run e2fsck on a copy of the image to repair it".into()),
            Self::InUse { .. } => Some(
                "unmount it where it is mounted; if that host crashed, run `tune2fs -f -E clear_mmp`".into(),
            ),
            Self::NoSpace { .. } => {
                Some("delete files in the guest, or make the disk and its filesystem larger".into())
            }
            Self::File(inner) => inner.hint(),
            Self::Journal(inner) => inner.hint(),
            Self::Storage(inner) => inner.hint(),
            _ => None,
        }
    }
}
