//! The inodes of a filesystem in memory, and the steps that changes are made of.

use super::ROOT;
use super::directory::Directory;
use super::inode::{Body, Inode};
use super::sparse_bytes::SparseBytes;
use crate::error::{Error, Result};
use crate::metadata::{FileType, InodeNo, Timestamp};
use std::collections::BTreeMap;

/// Every inode, and what they take together.
#[derive(Debug)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<InodeNo, Inode>,
    pub(super) next_inode: u64,
    pub(super) used_pages: u64,
}

pub(super) fn inode_text(inode: InodeNo) -> String {
    format!("inode {inode}")
}

pub(super) fn name_text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl State {
    pub(super) fn inode(&self, inode: InodeNo) -> Result<&Inode> {
        self.inodes.get(&inode).ok_or_else(|| Error::NotFound {
            path: inode_text(inode),
        })
    }

    pub(super) fn inode_mut(&mut self, inode: InodeNo) -> Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| Error::NotFound {
            path: inode_text(inode),
        })
    }

    pub(super) fn dir(&self, inode: InodeNo) -> Result<&Directory> {
        match &self.inode(inode)?.body {
            Body::Directory(dir) => Ok(dir),
            _ => Err(Error::NotADirectory {
                path: inode_text(inode),
            }),
        }
    }

    pub(super) fn dir_mut(&mut self, inode: InodeNo) -> Result<&mut Directory> {
        match &mut self.inode_mut(inode)?.body {
            Body::Directory(dir) => Ok(dir),
            _ => Err(Error::NotADirectory {
                path: inode_text(inode),
            }),
        }
    }

    pub(super) fn file(&self, inode: InodeNo) -> Result<&SparseBytes> {
        let node = self.inode(inode)?;
        match &node.body {
            Body::File(bytes) => Ok(bytes),
            _ => Err(not_a_file(inode, node.file_type())),
        }
    }

    /// Changes a file's contents by `change`, counting the pages that it takes or gives.
    pub(super) fn change_file(
        &mut self,
        inode: InodeNo,
        time: Timestamp,
        change: impl FnOnce(&mut SparseBytes),
    ) -> Result<()> {
        let node = self.inode_mut(inode)?;
        let found = node.file_type();
        let Body::File(bytes) = &mut node.body else {
            return Err(not_a_file(inode, found));
        };
        let before = bytes.pages();
        change(bytes);
        let after = bytes.pages();
        node.modify(time);
        self.used_pages = self.used_pages.saturating_add(after).saturating_sub(before);
        Ok(())
    }

    pub(super) fn lookup(&self, dir: InodeNo, name: &[u8]) -> Result<InodeNo> {
        self.dir(dir)?.get(name).ok_or_else(|| Error::NotFound {
            path: name_text(name),
        })
    }

    pub(super) fn check_free(&self, dir: InodeNo, name: &[u8]) -> Result<()> {
        if self.dir(dir)?.get(name).is_some() {
            return Err(Error::Exists {
                path: name_text(name),
            });
        }
        Ok(())
    }

    pub(super) fn touch_dir(&mut self, dir: InodeNo, time: Timestamp) -> Result<()> {
        self.inode_mut(dir)?.modify(time);
        Ok(())
    }

    /// Takes one name off an inode, which goes with its last one.
    pub(super) fn drop_link(&mut self, inode: InodeNo, time: Timestamp) -> Result<()> {
        let node = self.inode_mut(inode)?;
        node.links = node.links.saturating_sub(1);
        node.changed = time;
        if node.links == 0 {
            if let Body::File(bytes) = &node.body {
                let pages = bytes.pages();
                self.used_pages = self.used_pages.saturating_sub(pages);
            }
            self.inodes.remove(&inode);
        }
        Ok(())
    }

    /// Removes a directory that is known to be empty and is named in `parent`.
    pub(super) fn drop_dir(&mut self, parent: InodeNo, inode: InodeNo) -> Result<()> {
        self.inodes.remove(&inode);
        let parent = self.inode_mut(parent)?;
        parent.links = parent.links.saturating_sub(1);
        Ok(())
    }

    /// Whether `dir` is `ancestor` or lies below it.
    pub(super) fn is_within(&self, mut dir: InodeNo, ancestor: InodeNo) -> Result<bool> {
        loop {
            if dir == ancestor {
                return Ok(true);
            }
            if dir == ROOT {
                return Ok(false);
            }
            dir = self.dir(dir)?.parent;
        }
    }

    /// Tells a moved directory its new parent, and both parents their new link counts.
    pub(super) fn reparent(&mut self, inode: InodeNo, from: InodeNo, to: InodeNo) -> Result<()> {
        if from != to && self.inode(inode)?.file_type() == FileType::Directory {
            self.dir_mut(inode)?.parent = to;
            let old = self.inode_mut(from)?;
            old.links = old.links.saturating_sub(1);
            self.inode_mut(to)?.links += 1;
        }
        Ok(())
    }

    pub(super) fn exchange(
        &mut self,
        a: (InodeNo, &[u8], InodeNo),
        b: (InodeNo, &[u8], InodeNo),
    ) -> Result<()> {
        for (moved, into) in [(a.2, b.0), (b.2, a.0)] {
            let is_dir = self.inode(moved)?.file_type() == FileType::Directory;
            if is_dir && self.is_within(into, moved)? {
                return Err(into_itself(a.1));
            }
        }
        self.dir_mut(a.0)?.set(a.1, b.2);
        self.dir_mut(b.0)?.set(b.1, a.2);
        self.reparent(a.2, a.0, b.0)?;
        self.reparent(b.2, b.0, a.0)
    }

    /// Checks that `old` may take the place of `existing`.
    pub(super) fn check_replace(&self, moved: InodeNo, existing: InodeNo, new_name: &[u8]) -> Result<()> {
        let moved_is_dir = self.inode(moved)?.file_type() == FileType::Directory;
        match (&self.inode(existing)?.body, moved_is_dir) {
            (Body::Directory(dir), true) if dir.is_empty() => Ok(()),
            (Body::Directory(_), true) => Err(Error::NotEmpty {
                path: name_text(new_name),
            }),
            (Body::Directory(_), false) => Err(Error::IsADirectory {
                path: name_text(new_name),
            }),
            (_, true) => Err(Error::NotADirectory {
                path: name_text(new_name),
            }),
            (_, false) => Ok(()),
        }
    }
}

pub(super) fn not_a_file(inode: InodeNo, found: FileType) -> Error {
    let path = inode_text(inode);
    match found {
        FileType::Directory => Error::IsADirectory { path },
        _ => Error::WrongType { path, found },
    }
}

pub(super) fn into_itself(name: &[u8]) -> Error {
    Error::InvalidArgument {
        path: name_text(name),
        reason: "a directory cannot be moved into itself",
    }
}
