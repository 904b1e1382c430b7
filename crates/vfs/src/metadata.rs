//! What is known of a file besides its contents.

use std::fmt;

/// The number of an inode. Filesystems without inodes (FAT, ISO 9660) give stable synthetic numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNo(pub u64);

impl fmt::Display for InodeNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl std::fmt::Display for FileType {
    /// In words: `named pipe`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Regular => "regular file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
        })
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds after that, less than 1,000,000,000.
    pub nanoseconds: u32,
}

/// What `stat` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Inode number.
    pub inode: InodeNo,
    /// Kind of file.
    pub file_type: FileType,
    /// Permission bits with set-uid, set-gid and sticky: 0o7777 at most.
    pub permissions: u16,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Size in bytes: contents of a file, length of a link's target.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Number of names.
    pub links: u64,
    /// Major and minor device number; (0, 0) where it is no device.
    pub device: (u32, u32),
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of contents.
    pub modified: Timestamp,
    /// Last change of metadata.
    pub changed: Timestamp,
    /// Creation, where the filesystem keeps it.
    pub created: Option<Timestamp>,
}

impl Metadata {
    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Whether this is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type == FileType::Regular
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type == FileType::Symlink
    }
}

/// What `set_metadata` changes: the fields that are `Some`.
///
/// The change time becomes the filesystem's clock unless [`changed`](Self::changed) is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// Permission bits, 0o7777 at most.
    pub permissions: Option<u16>,
    /// Owner's user id.
    pub uid: Option<u32>,
    /// Owner's group id.
    pub gid: Option<u32>,
    /// Last access.
    pub accessed: Option<Timestamp>,
    /// Last change of contents.
    pub modified: Option<Timestamp>,
    /// Last change of metadata.
    pub changed: Option<Timestamp>,
}

/// What `statfs` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatFs {
    /// Block size in bytes.
    pub block_size: u64,
    /// Blocks for files, as the kernel's statfs counts them (overhead taken off).
    pub blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// Free blocks that an ordinary user may take.
    pub available_blocks: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// Longest name in bytes.
    pub max_name_len: u32,
}
