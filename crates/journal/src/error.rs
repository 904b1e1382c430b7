//! Errors of journal files.

use std::io;

/// The result of reading a journal.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a journal file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not begin as a journal file.
    #[error("no journal file: it begins with {found:02x?}")]
    NotAJournal {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// It needs features that are not known.
    #[error("incompatible features {flags:#x} of the journal file are not known")]
    Unsupported {
        /// The bits that are not known.
        flags: u32,
    },
    /// A structure is damaged.
    #[error("the journal's {structure} at {offset} is damaged: {detail}")]
    Damaged {
        /// Which structure.
        structure: &'static str,
        /// Its byte offset in the file.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// Reading the file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A damaged structure.
pub(crate) fn damaged(structure: &'static str, offset: u64, detail: impl Into<String>) -> Error {
    Error::Damaged {
        structure,
        offset,
        detail: detail.into(),
    }
}
