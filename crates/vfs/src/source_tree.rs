//! Files that are to be put into a new filesystem: everything that is known of them before their contents are read.

mod host;

pub use host::HostSource;

use crate::error::{Error, Result};
use crate::metadata::{FileType, Timestamp};
use std::collections::HashMap;

/// The index of the root directory.
const ROOT: u32 = 0;
/// As many symbolic links are followed on the way to a file.
const MAX_LINKS: usize = 40;
/// As deep a tree may be.
const MAX_DEPTH: usize = 4096;

/// The data of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataRanges {
    /// All of it.
    Whole,
    /// These ranges (byte offset and length), ascending and apart; the rest are holes.
    Parts(Box<[(u64, u64)]>),
}

/// What a file is, beside its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceBody {
    /// A regular file.
    File {
        /// Size in bytes.
        size: u64,
        /// Which of them are data.
        data: DataRanges,
    },
    /// A directory: names and the files that they stand for.
    Directory(Vec<(Box<[u8]>, u32)>),
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A name of an extended attribute and its value, as `getxattr` gives it.
pub type SourceXattr = (Box<[u8]>, Box<[u8]>);

/// A file, whatever names it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInode {
    /// What it is.
    pub body: SourceBody,
    /// Permission bits, 0o7777 at most.
    pub permissions: u16,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Last change of contents.
    pub modified: Timestamp,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<SourceXattr>,
    /// How many names it has; for a directory how many subdirectories.
    pub names: u32,
}

impl SourceInode {
    /// A file without names and attributes.
    pub fn new(body: SourceBody, permissions: u16, owner: (u32, u32), modified: Timestamp) -> Self {
        Self {
            body,
            permissions: permissions & 0o7777,
            uid: owner.0,
            gid: owner.1,
            modified,
            xattrs: Vec::new(),
            names: 0,
        }
    }

    /// Its kind.
    pub fn file_type(&self) -> FileType {
        match self.body {
            SourceBody::File { .. } => FileType::Regular,
            SourceBody::Directory(_) => FileType::Directory,
            SourceBody::Symlink(_) => FileType::Symlink,
            SourceBody::CharDevice(..) => FileType::CharDevice,
            SourceBody::BlockDevice(..) => FileType::BlockDevice,
            SourceBody::Fifo => FileType::Fifo,
            SourceBody::Socket => FileType::Socket,
        }
    }

    /// Names and files of a directory; nothing for other files.
    pub fn entries(&self) -> &[(Box<[u8]>, u32)] {
        match &self.body {
            SourceBody::Directory(entries) => entries,
            _ => &[],
        }
    }

    /// The ranges of a regular file that are data: byte offset and length.
    pub fn data(&self) -> Vec<(u64, u64)> {
        match &self.body {
            SourceBody::File { size: 0, .. } => Vec::new(),
            SourceBody::File {
                size,
                data: DataRanges::Whole,
            } => vec![(0, *size)],
            SourceBody::File {
                data: DataRanges::Parts(parts),
                ..
            } => parts.to_vec(),
            _ => Vec::new(),
        }
    }
}

/// The contents of the files of a [`SourceTree`].
pub trait SourceContents {
    /// Fills `buf` with a file's bytes from `offset`. Whoever writes a filesystem asks for the files in the order of the tree, for
    /// each once and from its start to its end, and only for what is data.
    ///
    /// # Errors
    /// Those of reading; a file that became shorter since the tree was made.
    fn read(&mut self, file: u32, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// The files of a new filesystem, in the order in which their contents come.
#[derive(Debug, Clone)]
pub struct SourceTree {
    inodes: Vec<SourceInode>,
    by_name: HashMap<(u32, Box<[u8]>), u32>,
}

impl SourceTree {
    /// A tree of a root directory alone.
    pub fn new(root: SourceInode) -> Self {
        Self {
            inodes: vec![root],
            by_name: HashMap::new(),
        }
    }

    /// All files; the first is the root directory. Files that lost all their names are among them.
    pub fn inodes(&self) -> &[SourceInode] {
        &self.inodes
    }

    /// A file.
    pub fn inode(&self, index: u32) -> Option<&SourceInode> {
        self.inodes.get(index as usize)
    }

    /// The same file, to be changed; its body stays what it is.
    pub fn inode_mut(&mut self, index: u32) -> Option<&mut SourceInode> {
        self.inodes.get_mut(index as usize)
    }

    /// Whether a file can be reached from the root.
    pub fn is_used(&self, index: u32) -> bool {
        index == ROOT
            || self
                .inode(index)
                .is_some_and(|inode| inode.names > 0 || inode.file_type() == FileType::Directory)
    }

    /// Adds a file without a name yet; gives its index.
    pub fn add(&mut self, inode: SourceInode) -> Result<u32> {
        let index = u32::try_from(self.inodes.len()).map_err(|_| Error::InvalidArgument {
            path: "the tree of files".into(),
            reason: "has more than 2^32 files",
        })?;
        self.inodes.push(inode);
        Ok(index)
    }

    /// Gives a file a name in a directory.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NotADirectory`], [`Error::InvalidName`].
    pub fn link(&mut self, directory: u32, name: &[u8], file: u32) -> Result<()> {
        crate::name::check_name(name)?;
        let path = || String::from_utf8_lossy(name).into_owned();
        let is_dir = self
            .inode(file)
            .is_some_and(|inode| inode.file_type() == FileType::Directory);
        if self.by_name.contains_key(&(directory, name.into())) {
            return Err(Error::Exists { path: path() });
        }
        let Some(parent) = self.inodes.get_mut(directory as usize) else {
            return Err(Error::NotFound { path: path() });
        };
        let SourceBody::Directory(entries) = &mut parent.body else {
            return Err(Error::NotADirectory { path: path() });
        };
        entries.push((name.into(), file));
        if is_dir {
            parent.names = parent.names.saturating_add(1);
        } else if let Some(inode) = self.inodes.get_mut(file as usize) {
            inode.names = inode.names.saturating_add(1);
        }
        self.by_name.insert((directory, name.into()), file);
        Ok(())
    }

    /// The file that has a name in a directory.
    pub fn lookup(&self, directory: u32, name: &[u8]) -> Option<u32> {
        self.by_name.get(&(directory, name.into())).copied()
    }

    /// Takes a name of anything but a directory away.
    pub fn unlink(&mut self, directory: u32, name: &[u8]) {
        let Some(file) = self.by_name.remove(&(directory, name.into())) else {
            return;
        };
        if let Some(SourceInode {
            body: SourceBody::Directory(entries),
            ..
        }) = self.inodes.get_mut(directory as usize)
        {
            entries.retain(|(found, _)| **found != *name);
        }
        if let Some(inode) = self.inodes.get_mut(file as usize) {
            inode.names = inode.names.saturating_sub(1);
        }
    }

    /// The directory and name that a path of an archive means, which never leaves the tree: absolute paths count from the root,
    /// and directories that are symbolic links are followed. Directories that are missing are made, as `missing` gives them. The
    /// root itself is `None`.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for a path with `..`, [`Error::NotADirectory`] where a file is in the way.
    pub fn place(
        &mut self,
        path: &[u8],
        missing: &dyn Fn() -> SourceInode,
    ) -> Result<Option<(u32, Vec<u8>)>> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let mut names: Vec<&[u8]> = Vec::new();
        for name in path.split(|b| *b == b'/').filter(|n| !matches!(*n, b"" | b".")) {
            if name == b".." {
                return Err(Error::InvalidName {
                    path: shown(),
                    reason: "`..` in a path of an archive leads out of it",
                });
            }
            names.push(name);
        }
        if names.len() > MAX_DEPTH {
            return Err(Error::NameTooLong {
                path: shown(),
                limit: MAX_DEPTH,
            });
        }
        let Some((last, parents)) = names.split_last() else {
            return Ok(None);
        };
        let mut at = ROOT;
        for name in parents {
            at = match self.lookup(at, name) {
                None => {
                    let made = self.add(missing())?;
                    self.link(at, name, made)?;
                    made
                }
                Some(found) => self
                    .directory_at(at, found)
                    .ok_or_else(|| Error::NotADirectory { path: shown() })?,
            };
        }
        Ok(Some((at, last.to_vec())))
    }

    /// The directory that a file is, or that it leads to as a symbolic link in `parent`.
    fn directory_at(&self, parent: u32, file: u32) -> Option<u32> {
        let mut left = MAX_LINKS;
        // Directories on the way, so that `..` in a link finds back.
        let mut stack = vec![parent];
        let mut todo: Vec<Vec<u8>> = Vec::new();
        let mut at = file;
        loop {
            match &self.inode(at)?.body {
                SourceBody::Directory(_) => stack.push(at),
                SourceBody::Symlink(target) => {
                    left = left.checked_sub(1)?;
                    if target.first() == Some(&b'/') {
                        stack = vec![ROOT];
                    } else if stack.len() == 1 && target.starts_with(b"..") {
                        stack = self.way_to(parent)?;
                    }
                    todo.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => return None,
            }
            loop {
                match todo.pop() {
                    None => return stack.last().copied(),
                    Some(name) if matches!(name.as_slice(), b"" | b".") => {}
                    Some(name) if name == b".." => {
                        if stack.len() > 1 {
                            stack.pop();
                        }
                    }
                    Some(name) => {
                        at = self.lookup(*stack.last()?, &name)?;
                        break;
                    }
                }
            }
        }
    }

    /// The directories from the root to this one.
    fn way_to(&self, directory: u32) -> Option<Vec<u32>> {
        let mut way = vec![directory];
        while *way.first()? != ROOT {
            let child = *way.first()?;
            let parent = self
                .inodes
                .iter()
                .position(|inode| inode.entries().iter().any(|(_, file)| *file == child))?;
            way.insert(0, u32::try_from(parent).ok()?);
            if way.len() > MAX_DEPTH {
                return None;
            }
        }
        Some(way)
    }

    /// A path of a file, for messages.
    pub fn path(&self, file: u32) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut at = file;
        while at != ROOT && parts.len() < MAX_DEPTH {
            let named = self.inodes.iter().enumerate().find_map(|(parent, inode)| {
                let (name, _) = inode.entries().iter().find(|(_, file)| *file == at)?;
                Some((parent, name))
            });
            let Some((parent, name)) = named else { break };
            parts.push(String::from_utf8_lossy(name).into_owned());
            at = u32::try_from(parent).unwrap_or(ROOT);
        }
        parts.reverse();
        format!("/{}", parts.join("/"))
    }

    /// Ends the building: what is only needed for finding names is given back.
    pub fn finish(&mut self) {
        self.by_name = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> SourceInode {
        SourceInode::new(
            SourceBody::Directory(Vec::new()),
            0o755,
            (0, 0),
            Timestamp::default(),
        )
    }

    fn link(target: &[u8]) -> SourceInode {
        SourceInode::new(
            SourceBody::Symlink(target.into()),
            0o777,
            (0, 0),
            Timestamp::default(),
        )
    }

    #[test]
    fn paths_of_archives_stay_inside() {
        let mut tree = SourceTree::new(directory());
        let (usr, _) = tree.place(b"/usr/lib/", &directory).unwrap().unwrap();
        let lib = tree.add(directory()).unwrap();
        tree.link(usr, b"lib", lib).unwrap();
        for (name, target) in [
            (b"lib", &b"usr/lib"[..]),
            (b"out", b"../../../usr"),
            (b"abs", b"/usr/lib"),
        ] {
            let made = tree.add(link(target)).unwrap();
            tree.link(0, name, made).unwrap();
        }
        for (path, parent) in [
            (&b"./lib/x"[..], lib),
            (b"out/x", usr),
            (b"abs/x", lib),
            (b"usr/lib/x", lib),
        ] {
            assert_eq!(
                tree.place(path, &directory).unwrap(),
                Some((parent, b"x".to_vec()))
            );
        }
        assert_eq!(tree.place(b"./", &directory).unwrap(), None);
        assert!(tree.place(b"a/../../etc/passwd", &directory).is_err());
        let looped = tree.add(link(b"loop")).unwrap();
        tree.link(0, b"loop", looped).unwrap();
        assert!(tree.place(b"loop/x", &directory).is_err());
        assert_eq!(tree.path(lib), "/usr/lib");
    }
}
