//! A member of an archive.

use crate::metadata::Timestamp;

/// The kind of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarKind {
    /// A regular file.
    File,
    /// A further name of a member before it.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A member of an archive, as its headers describe it. Nothing in it is checked but that numbers are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// The name as it stands there, which may be absolute or hold `..`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: TarKind,
    /// Permission bits, 0o7777 at most.
    pub permissions: u16,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Size of the file in bytes, its holes with it.
    pub size: u64,
    /// Last change of contents.
    pub modified: Timestamp,
    /// Last access, where the archive says it.
    pub accessed: Option<Timestamp>,
    /// Target of a link of either kind.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes but access control lists: full name and value, each name once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The access control list, as text (acl(5)): users and groups may stand there by name.
    pub acl: Option<Vec<u8>>,
    /// The list that new files in a directory get, as text.
    pub default_acl: Option<Vec<u8>>,
    /// The ranges of the file that the archive holds, ascending and apart; `None` where it holds all of it.
    pub map: Option<Vec<(u64, u64)>>,
}
