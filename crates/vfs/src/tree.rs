//! Mounted filesystems joined to one tree of paths.

mod attributes;
mod edit;
mod glob;
mod path_walk;
mod read;
mod remove;
mod replace;
#[cfg(test)]
mod tests;
mod walk;

use crate::error::{Error, Result};
use crate::filesystem::FileSystemRef;
use crate::metadata::{InodeNo, Timestamp};
use std::collections::HashMap;

pub(crate) use path_walk::{Entry, LastLink};
pub(crate) use walk::join;
pub use walk::{WalkEntry, WalkStep};

/// One of the filesystems of a [`Tree`]: 0 is the root filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountId(usize);

impl MountId {
    /// Its place in the order of mounting.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A file in a [`Tree`]: which filesystem, and which inode of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The filesystem.
    pub mount: MountId,
    /// The inode in it.
    pub inode: InodeNo,
}

/// Who owns a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Owner {
    /// The superuser and its group.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

#[derive(Debug)]
struct Mount {
    fs: FileSystemRef,
    /// The directory that it covers; none for the root filesystem.
    covers: Option<Node>,
    path: Vec<u8>,
}

/// Several filesystems as one tree, with an interface like that of `std::fs`.
///
/// # Paths
/// Paths are bytes. Each is taken from the tree's root, with or without a leading slash. Symbolic links are followed
/// inside the tree: an absolute target starts at the tree's root, and `..` stops there, so that no path leaves it, as
/// `openat2` with `RESOLVE_IN_ROOT` and `chroot` do. At most 40 links are followed on one way. A trailing slash asks for a
/// directory. Every call follows a link in the last place unless its name or text says otherwise.
///
/// # Errors
/// Errors carry the whole path as it was given.
#[derive(Debug)]
pub struct Tree {
    mounts: Vec<Mount>,
    covered: HashMap<Node, MountId>,
    clock: Timestamp,
}

impl Tree {
    /// A tree of one filesystem. `clock` is the time that everything made or changed through the tree gets.
    pub fn new(root: FileSystemRef, clock: Timestamp) -> Self {
        Self {
            mounts: vec![Mount {
                fs: root,
                covers: None,
                path: b"/".to_vec(),
            }],
            covered: HashMap::new(),
            clock,
        }
    }

    /// Puts the root of a filesystem in the place of a directory.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::NotADirectory`] where the path is not one of a directory.
    pub fn mount(&mut self, path: impl AsRef<[u8]>, fs: FileSystemRef) -> Result<MountId> {
        let path = path.as_ref();
        let covered = self.resolve_dir(path)?;
        let id = MountId(self.mounts.len());
        self.mounts.push(Mount {
            fs,
            covers: Some(covered),
            path: path.to_vec(),
        });
        self.covered.insert(covered, id);
        Ok(id)
    }

    /// The filesystems of the tree, each with the path it was mounted at, in the order of mounting.
    pub fn mounts(&self) -> impl Iterator<Item = (&[u8], &FileSystemRef)> {
        self.mounts.iter().map(|m| (m.path.as_slice(), &m.fs))
    }

    /// The filesystems of the tree, each with the directory that its root stands for (none for the first), in the order of
    /// mounting.
    pub fn mount_places(&self) -> impl Iterator<Item = (Option<Node>, &FileSystemRef)> {
        self.mounts.iter().map(|m| (m.covers, &m.fs))
    }

    /// The time that changes made through the tree get.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// The root directory.
    pub fn root(&self) -> Node {
        let mut node = Node {
            mount: MountId(0),
            inode: self.mounts.first().map_or(InodeNo(0), |m| m.fs.root()),
        };
        while let Some(mount) = self.covered.get(&node) {
            node = self.mount_root(*mount);
        }
        node
    }

    /// The filesystem and the inode of a node.
    ///
    /// # Panics
    /// Never for a node that this tree gave.
    pub fn open_node(&self, node: Node) -> (&FileSystemRef, InodeNo) {
        (self.fs(node), node.inode)
    }

    /// Writes what the filesystems hold in memory to their storages; see [`crate::FileSystem::sync`].
    pub fn sync(&self) -> Result<()> {
        self.mounts
            .iter()
            .filter(|m| m.fs.is_writable())
            .try_for_each(|m| m.fs.sync())
    }

    fn fs(&self, node: Node) -> &FileSystemRef {
        // A node comes from this tree, whose mounts are never taken away.
        &self.mounts[node.mount.0].fs
    }

    fn mount_root(&self, mount: MountId) -> Node {
        Node {
            mount,
            inode: self.mounts[mount.0].fs.root(),
        }
    }

    /// The file that is seen at a node: the root of what is mounted there.
    fn uncover(&self, mut node: Node) -> Node {
        while let Some(mount) = self.covered.get(&node) {
            node = self.mount_root(*mount);
        }
        node
    }

    /// The entry of a directory, through mountpoints.
    pub(crate) fn child(&self, dir: Node, name: &[u8]) -> Result<Node> {
        let inode = self.fs(dir).lookup(dir.inode, name)?;
        Ok(self.uncover(Node { inode, ..dir }))
    }

    /// The directory above, through mountpoints; the root's is the root.
    pub(crate) fn parent(&self, mut dir: Node) -> Result<Node> {
        while dir.inode == self.fs(dir).root() {
            match self.mounts[dir.mount.0].covers {
                Some(covered) => dir = covered,
                None => return Ok(self.root()),
            }
        }
        let inode = self.fs(dir).parent(dir.inode)?;
        Ok(self.uncover(Node { inode, ..dir }))
    }

    /// Whether something is mounted at this node, or it is the root of a filesystem.
    pub(crate) fn is_mountpoint(&self, node: Node) -> bool {
        node.inode == self.fs(node).root() || self.covered.contains_key(&node)
    }

    /// Fails where a filesystem is mounted at or below a directory.
    fn check_no_mount_within(&self, dir: Node, path: &[u8]) -> Result<()> {
        let busy = || Error::NotPermitted {
            path: String::from_utf8_lossy(path).into_owned(),
            reason: "a filesystem is mounted there",
        };
        if self.is_mountpoint(dir) {
            return Err(busy());
        }
        for mut at in self.mounts.iter().filter_map(|m| m.covers) {
            // A damaged filesystem may have a circle of parents: as many steps as any path can have.
            for _ in 0..4096 {
                if at == dir {
                    return Err(busy());
                }
                let above = self.parent(at)?;
                if above == at || above == self.root() {
                    break;
                }
                at = above;
            }
        }
        Ok(())
    }
}
