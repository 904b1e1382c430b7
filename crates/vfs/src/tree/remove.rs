//! Removing files by path.

use super::read::text;
use super::walk::join;
use super::{Node, Tree};
use crate::error::{Error, Result};
use crate::metadata::FileType;

/// A directory that is being emptied.
struct Level {
    dir: Node,
    /// The directory that names it, and the name.
    above: Node,
    name: Vec<u8>,
    path: Vec<u8>,
    /// Directories in it that are still to be emptied; nothing else is left in it.
    below: Vec<(Vec<u8>, Node)>,
}

impl Tree {
    /// Removes a name of anything but a directory. A symbolic link goes itself.
    pub fn remove_file(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let entry = self.entry(path)?;
        if entry.wants_dir {
            return Err(Error::NotADirectory { path: text(path) });
        }
        self.fs(entry.dir)
            .unlink(entry.dir.inode, &entry.name)
            .map_err(|e| e.at_path(path))
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let entry = self.entry(path)?;
        let node = self.child(entry.dir, &entry.name).map_err(|e| e.at_path(path))?;
        self.check_no_mount_within(node, path)?;
        self.fs(entry.dir)
            .remove_dir(entry.dir.inode, &entry.name)
            .map_err(|e| e.at_path(path))
    }

    /// Removes a file, or a directory with everything in it. Symbolic links go themselves; nothing is followed.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is nothing. [`Error::NotPermitted`] where a filesystem is mounted at or below the
    /// path; nothing was removed then. Other errors may come after a part was removed.
    pub fn remove_all(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let entry = self.entry(path)?;
        let node = self.child(entry.dir, &entry.name).map_err(|e| e.at_path(path))?;
        if self.node_metadata(node).map_err(|e| e.at_path(path))?.is_dir() {
            return self.remove_dir_all(path);
        }
        self.remove_file(path)
    }

    /// Removes a directory with everything in it; see [`remove_all`](Self::remove_all).
    pub fn remove_dir_all(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        let entry = self.entry(path)?;
        let dir = self.child(entry.dir, &entry.name).map_err(|e| e.at_path(path))?;
        if !self.node_metadata(dir).map_err(|e| e.at_path(path))?.is_dir() {
            return Err(Error::NotADirectory { path: text(path) });
        }
        self.check_no_mount_within(dir, path)?;
        let top = self.begin_level(dir, entry.dir, entry.name, path.to_vec())?;
        let mut levels = vec![top];
        while let Some(level) = levels.last_mut() {
            let Some((name, node)) = level.below.pop() else {
                self.fs(level.above)
                    .remove_dir(level.above.inode, &level.name)
                    .map_err(|e| e.at_path(&level.path))?;
                levels.pop();
                continue;
            };
            let (above, path) = (level.dir, join(&level.path, &name));
            if levels.iter().any(|level| level.dir == node) {
                return Err(self.reached_twice(node));
            }
            levels.push(self.begin_level(node, above, name, path)?);
        }
        Ok(())
    }

    /// Removes all but directories from a directory.
    fn begin_level(&self, dir: Node, above: Node, name: Vec<u8>, path: Vec<u8>) -> Result<Level> {
        let fs = self.fs(dir);
        let mut below = Vec::new();
        for entry in self.node_entries(dir).map_err(|e| e.at_path(&path))? {
            if entry.file_type == FileType::Directory {
                let inode = entry.inode;
                below.push((entry.name, Node { inode, ..dir }));
            } else {
                fs.unlink(dir.inode, &entry.name)
                    .map_err(|e| e.at_path(&join(&path, &entry.name)))?;
            }
        }
        Ok(Level {
            dir,
            above,
            name,
            path,
            below,
        })
    }
}
