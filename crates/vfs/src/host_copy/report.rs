//! What a copy did.

use crate::metadata::FileType;

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyReport {
    /// Regular files copied, further names of one file not counted.
    pub files: u64,
    /// Directories made; those that were there are not counted.
    pub directories: u64,
    /// Symbolic links, devices, pipes and sockets made.
    pub others: u64,
    /// Further names given to files.
    pub links: u64,
    /// Bytes of contents written, holes not counted.
    pub bytes: u64,
    /// What was not copied.
    pub skipped: Vec<Skipped>,
}

/// A file that was not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its path in the tree.
    pub path: Vec<u8>,
    /// What it is.
    pub file_type: FileType,
}
