//! An inode in memory.

use super::directory::Directory;
use super::sparse_bytes::SparseBytes;
use crate::metadata::{FileType, InodeNo, Metadata, Timestamp};
use std::collections::BTreeMap;

/// What an inode holds besides its metadata.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Contents of a regular file.
    File(SparseBytes),
    /// Entries of a directory.
    Directory(Directory),
    /// Target of a symbolic link.
    Symlink(Vec<u8>),
    /// A device, pipe or socket.
    Special(FileType),
}

/// An inode.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) body: Body,
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) device: (u32, u32),
    pub(super) links: u64,
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) created: Timestamp,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Inode {
    /// The kind of file.
    pub(super) fn file_type(&self) -> FileType {
        match &self.body {
            Body::File(_) => FileType::Regular,
            Body::Directory(_) => FileType::Directory,
            Body::Symlink(_) => FileType::Symlink,
            Body::Special(kind) => *kind,
        }
    }

    /// Notes a change of contents.
    pub(super) fn modify(&mut self, time: Timestamp) {
        self.modified = time;
        self.changed = time;
    }

    /// What `stat` tells.
    pub(super) fn metadata(&self, inode: InodeNo) -> Metadata {
        let (size, blocks) = match &self.body {
            Body::File(bytes) => (bytes.size(), bytes.pages().saturating_mul(8)),
            Body::Directory(_) => (4096, 8),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Special(_) => (0, 0),
        };
        Metadata {
            inode,
            file_type: self.file_type(),
            permissions: self.permissions,
            uid: self.uid,
            gid: self.gid,
            size,
            blocks,
            links: self.links,
            device: self.device,
            accessed: self.accessed,
            modified: self.modified,
            changed: self.changed,
            created: Some(self.created),
        }
    }
}
