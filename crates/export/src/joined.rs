//! The filesystems of a guest as one, with one number for each inode of all of them.

use disksmith_storage::StorageRef;
use disksmith_vfs::{FileSystemRef, InodeNo, Node, Tree};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// The number of the root directory towards the kernel.
pub(crate) const ROOT: u64 = 1;
/// Bits of a number that are the filesystem's own; those above say which filesystem.
const OWN_BITS: u32 = 56;
/// From here on stand numbers that could not be used as they are: too large, or 1 without being the root.
const ODD: u64 = 1 << (OWN_BITS - 1);

/// A file: which filesystem, and which inode of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct File {
    pub(crate) mount: usize,
    pub(crate) inode: InodeNo,
}

#[derive(Debug)]
struct Mount {
    fs: RwLock<FileSystemRef>,
    /// Its bytes, to open it again.
    slice: Option<StorageRef>,
    root: InodeNo,
    writable: bool,
    block_size: u32,
    max_name: usize,
}

/// The filesystems of a guest.
#[derive(Debug)]
pub(crate) struct Joined {
    mounts: Vec<Mount>,
    covered: HashMap<File, usize>,
    /// The root that is seen: that of a filesystem over the root, if there is one.
    root: File,
    odd: Mutex<Odd>,
}

/// Inodes whose numbers could not be used as they are, in the order in which they were met.
#[derive(Debug, Default)]
struct Odd {
    places: HashMap<File, u64>,
    files: Vec<File>,
}

impl Joined {
    /// Takes the filesystems of a tree. `slice_of` gives the bytes of one, where they are known.
    pub(crate) fn new(tree: &Tree, slice_of: impl Fn(&FileSystemRef) -> Option<StorageRef>) -> Self {
        let mut mounts = Vec::new();
        let mut covered = HashMap::new();
        for (index, (covers, fs)) in tree.mount_places().enumerate() {
            let sizes = fs.stat_fs().unwrap_or_default();
            mounts.push(Mount {
                slice: slice_of(fs),
                root: fs.root(),
                writable: fs.is_writable(),
                block_size: match sizes.block_size {
                    0 => 4096,
                    size => size.clamp(512, 1 << 16) as u32,
                },
                max_name: match sizes.max_name_len {
                    0 => 255,
                    len => len as usize,
                },
                fs: RwLock::new(fs.clone()),
            });
            if let Some(covers) = covers {
                covered.insert(file_of(covers), index);
            }
        }
        Self {
            mounts,
            covered,
            root: file_of(tree.root()),
            odd: Mutex::default(),
        }
    }

    /// Whether one of them can be written.
    pub(crate) fn is_writable(&self) -> bool {
        self.mounts.iter().any(|m| m.writable)
    }

    /// A filesystem. There is none for numbers that were never given out.
    pub(crate) fn fs(&self, mount: usize) -> Option<FileSystemRef> {
        let mount = self.mounts.get(mount)?;
        Some(mount.fs.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The filesystems that can be written.
    pub(crate) fn writable(&self) -> impl Iterator<Item = FileSystemRef> + '_ {
        (0..self.mounts.len())
            .filter(|m| self.mounts.get(*m).is_some_and(|m| m.writable))
            .filter_map(|m| self.fs(m))
    }

    /// Puts other open filesystems in the place of those that can be written: what their bytes hold now.
    pub(crate) fn replace(&self, open: impl Fn(&StorageRef) -> Option<FileSystemRef>) {
        for mount in self.mounts.iter().filter(|m| m.writable) {
            if let Some(fs) = mount.slice.as_ref().and_then(&open) {
                *mount.fs.write().unwrap_or_else(PoisonError::into_inner) = fs;
            }
        }
    }

    /// Block size, for `stat`.
    pub(crate) fn block_size(&self, mount: usize) -> u32 {
        self.mounts.get(mount).map_or(4096, |m| m.block_size)
    }

    /// Longest name in bytes.
    pub(crate) fn max_name(&self, mount: usize) -> usize {
        self.mounts.get(mount).map_or(255, |m| m.max_name)
    }

    /// The number of a file towards the kernel.
    pub(crate) fn number(&self, file: File) -> u64 {
        if file == self.root {
            return ROOT;
        }
        let own = match file.inode.0 {
            own if own < ODD && (own, file.mount) != (1, 0) => own,
            _ => ODD + self.place_of_odd(file),
        };
        (file.mount as u64) << OWN_BITS | own
    }

    fn odd(&self) -> MutexGuard<'_, Odd> {
        self.odd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place_of_odd(&self, file: File) -> u64 {
        let mut odd = self.odd();
        let next = odd.files.len() as u64;
        let place = *odd.places.entry(file).or_insert(next);
        if place == next {
            odd.files.push(file);
        }
        place
    }

    /// The file of a number.
    pub(crate) fn file(&self, number: u64) -> File {
        if number == ROOT {
            return self.root;
        }
        let own = number & ((1 << OWN_BITS) - 1);
        if own >= ODD
            && let Some(file) = self.odd().files.get((own - ODD) as usize)
        {
            return *file;
        }
        File {
            mount: (number >> OWN_BITS) as usize,
            inode: InodeNo(own),
        }
    }

    /// What is seen at a file: the root of what is mounted there.
    pub(crate) fn uncover(&self, mut file: File) -> File {
        // As many steps as there are filesystems.
        for _ in 0..self.mounts.len() {
            let Some(mount) = self.covered.get(&file) else {
                break;
            };
            let Some(root) = self.mounts.get(*mount).map(|m| m.root) else {
                break;
            };
            file = File {
                mount: *mount,
                inode: root,
            };
        }
        file
    }

    /// Whether a filesystem is mounted at a file.
    pub(crate) fn is_covered(&self, file: File) -> bool {
        self.covered.contains_key(&file)
    }

    /// The directory above, for `..` in listings.
    pub(crate) fn parent(&self, mut dir: File) -> Option<File> {
        for _ in 0..=self.mounts.len() {
            if dir == self.root {
                return Some(dir);
            }
            if self.mounts.get(dir.mount)?.root != dir.inode {
                let inode = self.fs(dir.mount)?.parent(dir.inode).ok()?;
                return Some(self.uncover(File { inode, ..dir }));
            }
            dir = *self.covered.iter().find(|(_, mount)| **mount == dir.mount)?.0;
        }
        None
    }
}

fn file_of(node: Node) -> File {
    File {
        mount: node.mount.index(),
        inode: node.inode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_vfs::{MemoryFs, Timestamp};
    use std::sync::Arc;

    #[test]
    fn numbers_come_back() {
        let clock = Timestamp::default();
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        let joined = Joined::new(&tree, |_| None);
        let root = tree.root();
        assert_eq!(joined.number(file_of(root)), ROOT);
        let mut seen = std::collections::HashSet::from([ROOT]);
        for mount in 0..3 {
            for inode in [0, 1, 2, 12, 1 << 32, ODD - 1, ODD, ODD + 1, 1 << 60, u64::MAX] {
                let file = File {
                    mount,
                    inode: InodeNo(inode),
                };
                if file == file_of(root) {
                    continue;
                }
                let number = joined.number(file);
                assert!(seen.insert(number), "{file:?}");
                assert_eq!(joined.file(number), file);
                assert_eq!(joined.number(file), number);
            }
        }
    }
}
