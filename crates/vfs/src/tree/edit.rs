//! Making, writing and renaming files by path.

use super::path_walk::LastLink;
use super::read::text;
use super::{Node, Owner, Tree};
use crate::error::{Error, Result};
use crate::filesystem::{NewNode, RenameMode};
use crate::metadata::{FileType, MetadataChange};

impl Tree {
    /// Sets the contents of a regular file. One that exists is written in place: it keeps inode, names, mode, owner and extended
    /// attributes. One that does not is made with this owner and these permissions, also where a symbolic link dangles.
    pub fn write(&self, path: impl AsRef<[u8]>, data: &[u8], owner: Owner, permissions: u16) -> Result<()> {
        let path = path.as_ref();
        let node = self.file_to_write(path, owner, permissions)?;
        let fs = self.fs(node);
        fs.set_size(node.inode, 0)
            .and_then(|()| fs.write(node.inode, 0, data))
            .and_then(|()| self.stamp(node))
            .map_err(|e| e.at_path(path))
    }

    /// Adds to the end of a regular file, which is made where it does not exist.
    pub fn append(&self, path: impl AsRef<[u8]>, data: &[u8], owner: Owner, permissions: u16) -> Result<()> {
        let path = path.as_ref();
        let node = self.file_to_write(path, owner, permissions)?;
        let fs = self.fs(node);
        fs.metadata(node.inode)
            .and_then(|metadata| fs.write(node.inode, metadata.size, data))
            .and_then(|()| self.stamp(node))
            .map_err(|e| e.at_path(path))
    }

    /// Cuts or extends a regular file that exists; a part that is new is a hole.
    pub fn truncate(&self, path: impl AsRef<[u8]>, size: u64) -> Result<()> {
        let path = path.as_ref();
        let (node, _) = self.regular(path)?;
        self.fs(node)
            .set_size(node.inode, size)
            .and_then(|()| self.stamp(node))
            .map_err(|e| e.at_path(path))
    }

    /// Makes an empty regular file where there is none; sets both times of one that exists.
    pub fn touch(&self, path: impl AsRef<[u8]>, owner: Owner, permissions: u16) -> Result<()> {
        let path = path.as_ref();
        let place = self.walk_path(path, LastLink::Follow)?;
        match place.node {
            Some(_) => self.set_times(path, Some(self.clock()), Some(self.clock())),
            None => self.file_to_write(path, owner, permissions).map(|_| ()),
        }
    }

    /// The regular file at a path, made where it does not exist.
    pub(crate) fn file_to_write(&self, path: &[u8], owner: Owner, permissions: u16) -> Result<Node> {
        if path.ends_with(b"/") {
            return match self.entry(path) {
                Ok(_) | Err(Error::InvalidArgument { .. }) => Err(Error::IsADirectory { path: text(path) }),
                Err(error) => Err(error),
            };
        }
        let place = self.walk_path(path, LastLink::Follow)?;
        let Some(node) = place.node else {
            let new = self.new_node(FileType::Regular, owner, permissions, b"");
            return self
                .make(place.dir, &place.name, &new)
                .map_err(|e| e.at_path(path));
        };
        match self.node_metadata(node).map_err(|e| e.at_path(path))?.file_type {
            FileType::Regular => Ok(node),
            FileType::Directory => Err(Error::IsADirectory { path: text(path) }),
            found => Err(Error::WrongType {
                path: text(path),
                found,
            }),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`Error::Exists`] where the name is taken, by a dangling link too.
    pub fn create_dir(&self, path: impl AsRef<[u8]>, owner: Owner, permissions: u16) -> Result<()> {
        let new = self.new_node(FileType::Directory, owner, permissions, b"");
        self.create_node(path, &new).map(|_| ())
    }

    /// Makes a directory and those above it that are missing; what exists stays as it is.
    pub fn create_dir_all(&self, path: impl AsRef<[u8]>, owner: Owner, permissions: u16) -> Result<()> {
        let path = path.as_ref();
        let mut end = 0;
        while end < path.len() {
            let rest = path.get(end..).unwrap_or_default();
            let slashes = rest.iter().take_while(|b| **b == b'/').count();
            let name = rest.iter().skip(slashes).take_while(|b| **b != b'/').count();
            end += slashes + name;
            let so_far = path.get(..end).unwrap_or_default();
            if name == 0 || self.is_dir(so_far) {
                continue;
            }
            self.create_dir(so_far, owner, permissions)
                .map_err(|error| match error {
                    Error::Exists { path } => Error::NotADirectory { path },
                    other => other,
                })?;
        }
        self.resolve_dir(path).map(|_| ())
    }

    /// Makes a symbolic link at `path`.
    pub fn symlink(&self, target: impl AsRef<[u8]>, path: impl AsRef<[u8]>, owner: Owner) -> Result<()> {
        let new = self.new_node(FileType::Symlink, owner, 0o777, target.as_ref());
        self.create_node(path, &new).map(|_| ())
    }

    /// Makes a file of any kind. A link in the last place is not followed.
    pub fn create_node(&self, path: impl AsRef<[u8]>, new: &NewNode<'_>) -> Result<Node> {
        let path = path.as_ref();
        let entry = self.entry(path).map_err(|error| match error {
            Error::InvalidArgument { path, .. } => Error::Exists { path },
            other => other,
        })?;
        if entry.wants_dir && new.file_type != FileType::Directory {
            return Err(Error::NotFound { path: text(path) });
        }
        self.make(entry.dir, &entry.name, new)
            .map_err(|e| e.at_path(path))
    }

    /// Gives the file at `original` (a link itself, not what it leads to) the further name `path`.
    ///
    /// # Errors
    /// [`Error::CrossesFilesystems`] where the two are on different filesystems.
    pub fn hard_link(&self, original: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let node = self.resolve_no_follow(original)?;
        let entry = self.entry(path)?;
        if node.mount != entry.dir.mount {
            return Err(Error::CrossesFilesystems { path: text(path) });
        }
        self.fs(node)
            .link(node.inode, entry.dir.inode, &entry.name)
            .map_err(|e| e.at_path(path))
    }

    /// Renames as `rename(2)` does: what the new name meant before is replaced.
    ///
    /// # Errors
    /// [`Error::CrossesFilesystems`] where the two are on different filesystems.
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
        self.rename_with(from, to, RenameMode::Replace)
    }

    /// Renames, choosing what happens where the new name is taken.
    pub fn rename_with(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>, mode: RenameMode) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (old, new) = (self.entry(from)?, self.entry(to)?);
        if old.dir.mount != new.dir.mount {
            return Err(Error::CrossesFilesystems { path: text(to) });
        }
        let node = self.child(old.dir, &old.name).map_err(|e| e.at_path(from))?;
        let is_dir = self.node_metadata(node).map_err(|e| e.at_path(from))?.is_dir();
        for (path, entry) in [(from, &old), (to, &new)] {
            if entry.wants_dir && !is_dir {
                return Err(Error::NotADirectory { path: text(path) });
            }
            if self
                .child(entry.dir, &entry.name)
                .is_ok_and(|node| self.is_mountpoint(node))
            {
                return Err(Error::NotPermitted {
                    path: text(path),
                    reason: "a filesystem is mounted there",
                });
            }
        }
        self.fs(old.dir)
            .rename(old.dir.inode, &old.name, new.dir.inode, &new.name, mode)
            .map_err(|error| match error {
                Error::NotFound { .. } if mode != RenameMode::Exchange => error.at_path(from),
                other => other.at_path(to),
            })
    }

    pub(crate) fn new_node<'a>(
        &self,
        file_type: FileType,
        owner: Owner,
        permissions: u16,
        target: &'a [u8],
    ) -> NewNode<'a> {
        NewNode {
            file_type,
            permissions,
            uid: owner.uid,
            gid: owner.gid,
            time: self.clock(),
            target,
            device: (0, 0),
        }
    }

    /// Makes an entry in a directory.
    pub(crate) fn make(&self, dir: Node, name: &[u8], new: &NewNode<'_>) -> Result<Node> {
        let inode = self.fs(dir).create(dir.inode, name, new)?;
        Ok(Node { inode, ..dir })
    }

    /// Gives a file that was changed the tree's time.
    pub(crate) fn stamp(&self, node: Node) -> Result<()> {
        let change = MetadataChange {
            modified: Some(self.clock()),
            changed: Some(self.clock()),
            ..MetadataChange::default()
        };
        self.fs(node).set_metadata(node.inode, &change)
    }
}
