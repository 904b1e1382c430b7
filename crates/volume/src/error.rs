//! Errors of the volume floor.

use disksmith_storage::{Diagnose, ErrorKind};

/// The result of an operation on partitions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with partition tables.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A partition table is there, but no copy of it is good.
    #[error("{object}: the partition table is damaged: {structure} at offset {offset}: {field} is {value}")]
    Corrupt {
        /// The disk.
        object: String,
        /// Which structure.
        structure: &'static str,
        /// Which of its fields.
        field: &'static str,
        /// Where the structure lies, in bytes.
        offset: u64,
        /// The value found, and where it helps what was expected.
        value: String,
    },
    /// A structure of LVM2 is damaged.
    #[error("{object}: LVM2's {structure} at offset {offset} is damaged: {field} is {value}")]
    CorruptLvm {
        /// The physical volume.
        object: String,
        /// Which structure.
        structure: &'static str,
        /// Which of its fields.
        field: &'static str,
        /// Where the structure lies, in bytes.
        offset: u64,
        /// The value found.
        value: String,
    },
    /// A partition table that cannot be written as it was asked for.
    #[error("partition table for {object}: {reason}")]
    Layout {
        /// The disk.
        object: String,
        /// What is wrong with the request.
        reason: String,
    },
    /// The storage below failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
}

impl Diagnose for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } | Self::CorruptLvm { .. } => ErrorKind::Corrupt,
            Self::Layout { .. } => ErrorKind::Usage,
            Self::Storage(inner) => inner.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Corrupt { .. } => Some(
                "repair the table on a copy of the disk (sgdisk --verify, testdisk), or restore a backup"
                    .into(),
            ),
            Self::CorruptLvm { .. } => Some("look at a copy of the disk with pvck and vgcfgrestore".into()),
            Self::Layout { .. } => None,
            Self::Storage(inner) => inner.hint(),
        }
    }
}
