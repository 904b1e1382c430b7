//! Modes, owners, times and extended attributes by path.

use super::{Owner, Tree};
use crate::error::{Error, Result};
use crate::filesystem::XattrMode;
use crate::metadata::{MetadataChange, Timestamp};
use crate::tree::path_walk::LastLink;
use crate::tree::read::text;

impl Tree {
    /// Sets the permission bits, 0o7777 at most.
    pub fn set_permissions(&self, path: impl AsRef<[u8]>, permissions: u16) -> Result<()> {
        let change = MetadataChange {
            permissions: Some(permissions),
            ..MetadataChange::default()
        };
        self.change(path.as_ref(), LastLink::Follow, change)
    }

    /// Sets the owner. Set-uid and set-gid bits are left as they are.
    pub fn chown(&self, path: impl AsRef<[u8]>, owner: Owner) -> Result<()> {
        self.change(path.as_ref(), LastLink::Follow, owner_change(owner))
    }

    /// Sets the owner of a file, or of the symbolic link itself where the path is one of a link.
    pub fn chown_no_follow(&self, path: impl AsRef<[u8]>, owner: Owner) -> Result<()> {
        self.change(path.as_ref(), LastLink::Keep, owner_change(owner))
    }

    /// Sets the times of last access and last change of contents: those that are given.
    pub fn set_times(
        &self,
        path: impl AsRef<[u8]>,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> Result<()> {
        let change = MetadataChange {
            accessed,
            modified,
            ..MetadataChange::default()
        };
        self.change(path.as_ref(), LastLink::Follow, change)
    }

    fn change(&self, path: &[u8], last: LastLink, mut change: MetadataChange) -> Result<()> {
        let node = self.existing(path, last)?;
        change.changed = Some(self.clock());
        self.fs(node)
            .set_metadata(node.inode, &change)
            .map_err(|e| e.at_path(path))
    }

    /// The value of an extended attribute, by its full name (`security.selinux`).
    pub fn xattr(&self, path: impl AsRef<[u8]>, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let node = self.resolve(path)?;
        self.fs(node).xattr(node.inode, name).map_err(|e| e.at_path(path))
    }

    /// The names of all extended attributes, sorted.
    pub fn list_xattrs(&self, path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
        let path = path.as_ref();
        let node = self.resolve(path)?;
        self.fs(node).list_xattrs(node.inode).map_err(|e| e.at_path(path))
    }

    /// Sets an extended attribute, there or not.
    pub fn set_xattr(&self, path: impl AsRef<[u8]>, name: &[u8], value: &[u8]) -> Result<()> {
        let path = path.as_ref();
        let node = self.resolve(path)?;
        self.fs(node)
            .set_xattr(node.inode, name, value, XattrMode::Set)
            .map_err(|e| e.at_path(path))
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// [`Error::NoXattr`] where it is not there.
    pub fn remove_xattr(&self, path: impl AsRef<[u8]>, name: &[u8]) -> Result<()> {
        let path = path.as_ref();
        let node = self.resolve(path)?;
        self.fs(node)
            .remove_xattr(node.inode, name)
            .map_err(|error| match error {
                Error::NoXattr { .. } => Error::NoXattr {
                    path: text(path),
                    name: text(name),
                },
                other => other.at_path(path),
            })
    }
}

fn owner_change(owner: Owner) -> MetadataChange {
    MetadataChange {
        uid: Some(owner.uid),
        gid: Some(owner.gid),
        ..MetadataChange::default()
    }
}
