//! Putting a new file in the place of an old one.

use super::path_walk::LastLink;
use super::read::text;
use super::{Node, Owner, Tree};
use crate::error::{Error, Result};
use crate::filesystem::{RenameMode, XattrMode};
use crate::metadata::FileType;

/// How many names are tried for the file that is not yet in place.
const MAX_TRIES: u32 = 1000;

impl Tree {
    /// Puts a new file with these contents in the place of a regular file that exists, in one step: whoever looks sees the old file
    /// or the new one. The new inode lies in the same directory and has the mode, owner and all extended attributes (with
    /// that the SELinux label) of the old one. A symbolic link in the last place is followed and stays. Other hard links of
    /// the old file keep the old contents.
    pub fn replace(&self, path: impl AsRef<[u8]>, data: &[u8]) -> Result<()> {
        let path = path.as_ref();
        self.replace_inner(path, data).map_err(|e| e.at_path(path))
    }

    fn replace_inner(&self, path: &[u8], data: &[u8]) -> Result<()> {
        let place = self.walk_path(path, LastLink::Follow)?;
        let old = place.node.ok_or_else(|| Error::NotFound { path: text(path) })?;
        let metadata = self.node_metadata(old)?;
        match metadata.file_type {
            FileType::Regular => {}
            FileType::Directory => return Err(Error::IsADirectory { path: text(path) }),
            found => {
                return Err(Error::WrongType {
                    path: text(path),
                    found,
                });
            }
        }
        let owner = Owner {
            uid: metadata.uid,
            gid: metadata.gid,
        };
        let fs = self.fs(place.dir);
        let (name, new) = self.temporary(place.dir, owner, metadata.permissions)?;
        let done = self.copy_xattrs(old, new).and_then(|()| {
            fs.write(new.inode, 0, data)?;
            self.stamp(new)?;
            fs.rename(
                place.dir.inode,
                &name,
                place.dir.inode,
                &place.name,
                RenameMode::Replace,
            )
        });
        if done.is_err() {
            // The first error is the one to tell.
            let _ = fs.unlink(place.dir.inode, &name);
        }
        done
    }

    /// An empty file under a name of its own.
    fn temporary(&self, dir: Node, owner: Owner, permissions: u16) -> Result<(Vec<u8>, Node)> {
        let new = self.new_node(FileType::Regular, owner, permissions, b"");
        let mut number = 0;
        loop {
            let name = format!(".disksmith-{number}~").into_bytes();
            match self.make(dir, &name, &new) {
                Err(Error::Exists { .. }) if number < MAX_TRIES => number += 1,
                other => return Ok((name, other?)),
            }
        }
    }

    /// Gives `to` all extended attributes of `from`. Where the two lie on different filesystems, what the other one
    /// cannot carry is an error.
    pub(crate) fn copy_xattrs(&self, from: Node, to: Node) -> Result<()> {
        let source = self.fs(from);
        for name in source.list_xattrs(from.inode)? {
            if let Some(value) = source.xattr(from.inode, &name)? {
                self.fs(to).set_xattr(to.inode, &name, &value, XattrMode::Set)?;
            }
        }
        Ok(())
    }
}
