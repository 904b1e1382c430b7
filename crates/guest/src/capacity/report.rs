//! What was changed, or would be, and what remains to be done.

use disksmith_fs::Kind;
use std::path::PathBuf;

/// A partition that got another length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChange {
    /// Its number.
    pub number: u32,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Its length before, in bytes.
    pub old_len: u64,
    /// Its length now.
    pub new_len: u64,
    /// Its identifier, which stays.
    pub uuid: Option<String>,
    /// Its name, which stays.
    pub name: Option<String>,
}

/// A filesystem that got another size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesystemChange {
    /// What it is.
    pub kind: Kind,
    /// Its size before, in bytes.
    pub old_size: u64,
    /// Its size now.
    pub new_size: u64,
    /// The smallest that it could be shrunk to, where that was asked for or needed.
    pub minimum: Option<u64>,
}

/// Something that could not be done from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// What keeps its size: `the XFS filesystem on partition 2`.
    pub what: String,
    /// What the user does about it.
    pub advice: String,
}

/// What was done to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityReport {
    /// The image.
    pub image: PathBuf,
    /// The disk's size before, in bytes.
    pub old_size: u64,
    /// The disk's size now.
    pub new_size: u64,
    /// The kind of partition table, as `blkid` names it.
    pub table: Option<&'static str>,
    /// The partition that was chosen, where the disk has any.
    pub partition: Option<PartitionChange>,
    /// The filesystem, where it is of a kind that can be resized.
    pub filesystem: Option<FilesystemChange>,
    /// What remains to be done.
    pub remains: Vec<Remains>,
    /// The smallest size of the disk that holds everything, where that was asked for.
    pub minimum: Option<u64>,
    /// Whether the image was changed.
    pub changed: bool,
}
