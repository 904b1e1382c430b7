//! A file that was made while many are brought into a tree.

use crate::metadata::FileType;
use crate::tree::Node;

/// A file that was made, for whoever labels files.
#[derive(Debug, Clone, Copy)]
pub struct MadeFile<'a> {
    /// The directory that it was made in.
    pub dir: Node,
    /// Its name there.
    pub name: &'a [u8],
    /// The file.
    pub node: Node,
    /// What it is.
    pub file_type: FileType,
}
