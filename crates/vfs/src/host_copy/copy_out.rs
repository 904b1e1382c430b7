//! Copying files of a tree to the host.

use super::host_directory::{HostDirectory, NO_FOLLOW, OpenDirectory, is_root};
use super::report::{CopyReport, Skipped};
use super::{CHUNK, host_error};
use crate::error::{Error, Result};
use crate::metadata::{FileType, Metadata, Timestamp};
use crate::name::check_name;
use crate::tree::{LastLink, Node, Tree, join};
use rustix::fs::{FileType as HostType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How files are copied out. Permission bits, times, holes, symbolic links and hard links are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyOutOptions {
    /// Whether the copies get the owners that the files have, which only root may do. Without, they belong to who copies them,
    /// and lose set-uid, set-gid and sticky bits.
    pub owner: bool,
    /// Whether extended attributes are copied.
    pub xattrs: bool,
    /// Whether devices, pipes and sockets are made on the host. Otherwise they are left out, and the report says so.
    pub special_files: bool,
}

impl Default for CopyOutOptions {
    /// Owners where the process may set them; neither extended attributes nor special files.
    fn default() -> Self {
        Self {
            owner: is_root(),
            xattrs: false,
            special_files: false,
        }
    }
}

enum Task {
    /// A directory of the host that is to take the contents of one of the tree.
    Fill {
        node: Node,
        names: Vec<Vec<u8>>,
        path: Vec<u8>,
    },
    /// A directory that has its contents, whether it was made or there before.
    Finish {
        node: Node,
        names: Vec<Vec<u8>>,
        path: Vec<u8>,
        is_new: bool,
    },
}

struct CopyOut<'a> {
    tree: &'a Tree,
    destination: HostDirectory,
    options: CopyOutOptions,
    report: CopyReport,
    /// Files with several names, and where the first one lies.
    linked: HashMap<Node, Vec<Vec<u8>>>,
    seen: HashSet<Node>,
    tasks: Vec<Task>,
}

impl Tree {
    /// Copies a file of the tree, or a directory with everything in it, into a directory of the host under its own name; the
    /// contents of the root, and of a path that ends in `.` or `..`, go into the directory itself. A symbolic link is
    /// copied as a link.
    ///
    /// Nothing is written outside the directory, whatever names and links the tree has or the directory holds: no link in it is
    /// followed. A file that is there is replaced, in one step when its copy is complete, but not one that is open as an image; a
    /// directory that is there keeps its mode and owner.
    pub fn copy_out(
        &self,
        path: impl AsRef<[u8]>,
        host_dir: &Path,
        options: CopyOutOptions,
    ) -> Result<CopyReport> {
        let path = path.as_ref();
        let place = self.walk_path(path, LastLink::Keep)?;
        let mut name = place.name;
        if name.is_empty() && path.ends_with(b"/") {
            // A slash after a name means the directory, under that name.
            name = self.entry(path).map(|entry| entry.name).unwrap_or_default();
        }
        let node = place.node.ok_or_else(|| Error::NotFound {
            path: String::from_utf8_lossy(path).into_owned(),
        })?;
        self.copy_out_node(node, path, (!name.is_empty()).then_some(name), host_dir, options)
    }

    /// Copies a file of the tree, or a directory with everything in it, to a path of the host whose directory exists. Otherwise as
    /// [`copy_out`](Self::copy_out).
    pub fn copy_out_as(
        &self,
        path: impl AsRef<[u8]>,
        host: &Path,
        options: CopyOutOptions,
    ) -> Result<CopyReport> {
        let path = path.as_ref();
        let node = self.existing(path, LastLink::Keep)?;
        let name = host
            .file_name()
            .ok_or_else(|| host_error(host, "create", Errno::INVAL))?;
        let dir = match host.parent() {
            Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
            Some(dir) => dir,
            None => Path::new("/"),
        };
        self.copy_out_node(node, path, Some(name.as_bytes().to_vec()), dir, options)
    }

    fn copy_out_node(
        &self,
        node: Node,
        path: &[u8],
        name: Option<Vec<u8>>,
        host_dir: &Path,
        options: CopyOutOptions,
    ) -> Result<CopyReport> {
        let mut copy = CopyOut {
            tree: self,
            destination: HostDirectory::open(host_dir)?,
            options,
            report: CopyReport::default(),
            linked: HashMap::new(),
            seen: HashSet::new(),
            tasks: Vec::new(),
        };
        match name {
            Some(name) => {
                let dir = copy.destination.descend(&[])?;
                copy.copy(&dir, &[], &name, node, path.to_vec())?;
            }
            None => copy.fill(node, Vec::new(), path)?,
        }
        while let Some(task) = copy.tasks.pop() {
            match task {
                Task::Fill { node, names, path } => copy.fill(node, names, &path)?,
                Task::Finish {
                    node,
                    names,
                    path,
                    is_new,
                } => copy.finish_directory(node, &names, &path, is_new)?,
            }
        }
        Ok(copy.report)
    }
}

impl CopyOut<'_> {
    /// Copies everything that a directory of the tree holds.
    fn fill(&mut self, node: Node, names: Vec<Vec<u8>>, path: &[u8]) -> Result<()> {
        let children = self.tree.children(node).map_err(|e| e.at_path(path))?;
        let dir = self.destination.descend(&names)?;
        for (name, child) in children {
            self.copy(&dir, &names, &name, child, join(path, &name))?;
        }
        Ok(())
    }

    /// Copies one entry; a directory's contents come later.
    fn copy(
        &mut self,
        dir: &OpenDirectory,
        above: &[Vec<u8>],
        name: &[u8],
        node: Node,
        path: Vec<u8>,
    ) -> Result<()> {
        check_name(name).map_err(|e| e.at_path(&path))?;
        let metadata = self.tree.node_metadata(node).map_err(|e| e.at_path(&path))?;
        let mut names = above.to_vec();
        names.push(name.to_vec());
        if metadata.is_dir() {
            if !self.seen.insert(node) {
                return Err(self.tree.reached_twice(node));
            }
            let is_new = dir.make_directory(name)?;
            self.report.directories += u64::from(is_new);
            self.tasks.push(Task::Finish {
                node,
                names: names.clone(),
                path: path.clone(),
                is_new,
            });
            self.tasks.push(Task::Fill { node, names, path });
            return Ok(());
        }
        if metadata.links > 1 {
            if let Some(first) = self.linked.get(&node) {
                return self.link(dir, name, first.clone());
            }
            self.linked.insert(node, names);
        }
        match metadata.file_type {
            FileType::Regular => self
                .copy_file(dir, name, node, &metadata)
                .map_err(|e| e.at_path(&path)),
            FileType::Symlink => {
                let (fs, inode) = self.tree.open_node(node);
                let target = fs.read_link(inode).map_err(|e| e.at_path(&path))?;
                dir.put(name, |n| {
                    rustix::fs::symlinkat(OsStr::from_bytes(&target), &dir.fd, n)
                })?;
                self.finish_other(dir, name, &metadata)
            }
            _ if self.options.special_files => {
                let kind = match metadata.file_type {
                    FileType::CharDevice => HostType::CharacterDevice,
                    FileType::BlockDevice => HostType::BlockDevice,
                    FileType::Fifo => HostType::Fifo,
                    _ => HostType::Socket,
                };
                let device = rustix::fs::makedev(metadata.device.0, metadata.device.1);
                let mode = Mode::RUSR | Mode::WUSR;
                dir.put(name, |n| rustix::fs::mknodat(&dir.fd, n, kind, mode, device))?;
                self.finish_other(dir, name, &metadata)
            }
            file_type => {
                self.report.skipped.push(Skipped { path, file_type });
                Ok(())
            }
        }
    }

    /// Gives a file that was copied a further name.
    fn link(&mut self, dir: &OpenDirectory, name: &[u8], first: Vec<Vec<u8>>) -> Result<()> {
        let Some((first_name, first_dir)) = first.split_last() else {
            return Ok(());
        };
        let first_dir = self.destination.descend(first_dir)?;
        let from = OsStr::from_bytes(first_name);
        dir.put(name, |n| {
            rustix::fs::linkat(&first_dir.fd, from, &dir.fd, n, rustix::fs::AtFlags::empty())
        })?;
        self.report.links += 1;
        Ok(())
    }

    fn copy_file(&mut self, dir: &OpenDirectory, name: &[u8], node: Node, metadata: &Metadata) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (file, entry) = dir.start(name, |n| {
            rustix::fs::openat(&dir.fd, n, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let (fs, inode) = self.tree.open_node(node);
        let mut buf = vec![0; CHUNK.min(usize::try_from(metadata.size).unwrap_or(CHUNK))];
        let mut at = 0;
        while at < metadata.size {
            let Some((start, len)) = fs.next_data(inode, at)? else {
                break;
            };
            let end = start.saturating_add(len).min(metadata.size);
            if end <= at {
                break;
            }
            at = start.max(at);
            while at < end {
                let want = buf.len().min(usize::try_from(end - at).unwrap_or(CHUNK));
                let n = fs.read(inode, at, buf.get_mut(..want).unwrap_or_default())?;
                let mut rest = buf.get(..n).unwrap_or_default();
                if n == 0 {
                    break;
                }
                while !rest.is_empty() {
                    let written =
                        rustix::io::pwrite(&file, rest, at).map_err(|e| dir.error(name, "write", e))?;
                    rest = rest.get(written..).unwrap_or_default();
                    at += written as u64;
                    self.report.bytes += written as u64;
                }
            }
        }
        rustix::fs::ftruncate(&file, metadata.size).map_err(|e| dir.error(name, "write", e))?;
        self.finish(&file, node, metadata)
            .map_err(|source| source.at(&dir.path_of(name)))?;
        self.report.files += 1;
        entry.commit()
    }

    /// A directory that was there before gets the times only.
    fn finish_directory(&self, node: Node, names: &[Vec<u8>], path: &[u8], is_new: bool) -> Result<()> {
        let metadata = self.tree.node_metadata(node).map_err(|e| e.at_path(path))?;
        let dir = self.destination.descend(names)?;
        if !is_new {
            // Who does not own it may write into it all the same.
            let _ = rustix::fs::futimens(&dir.fd, &timestamps(&metadata));
            return Ok(());
        }
        self.finish(&dir.fd, node, &metadata)
            .map_err(|source| source.at(&dir.path_of(b".")))
    }

    /// Extended attributes, owner, mode and times, in the order in which one does not undo the other.
    fn finish(
        &self,
        file: &OwnedFd,
        node: Node,
        metadata: &Metadata,
    ) -> std::result::Result<(), FinishError> {
        if self.options.xattrs {
            let (fs, inode) = self.tree.open_node(node);
            for name in fs.list_xattrs(inode)? {
                if let Some(value) = fs.xattr(inode, &name)? {
                    rustix::fs::fsetxattr(file, OsStr::from_bytes(&name), &value, XattrFlags::empty())?;
                }
            }
        }
        if self.options.owner {
            rustix::fs::fchown(
                file,
                Some(Uid::from_raw(metadata.uid)),
                Some(Gid::from_raw(metadata.gid)),
            )?;
        }
        rustix::fs::fchmod(file, self.mode(metadata))?;
        rustix::fs::futimens(file, &timestamps(metadata))?;
        Ok(())
    }

    /// The same for what cannot be opened.
    fn finish_other(&mut self, dir: &OpenDirectory, name: &[u8], metadata: &Metadata) -> Result<()> {
        let host_name = OsStr::from_bytes(name);
        let error = |e| dir.error(name, "set the attributes of", e);
        self.report.others += 1;
        if self.options.owner {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            rustix::fs::chownat(&dir.fd, host_name, Some(uid), Some(gid), NO_FOLLOW).map_err(error)?;
        }
        if !metadata.is_symlink() {
            rustix::fs::chmodat(
                &dir.fd,
                host_name,
                self.mode(metadata),
                rustix::fs::AtFlags::empty(),
            )
            .map_err(error)?;
        }
        rustix::fs::utimensat(&dir.fd, host_name, &timestamps(metadata), NO_FOLLOW).map_err(error)
    }

    fn mode(&self, metadata: &Metadata) -> Mode {
        let mask = if self.options.owner { 0o7777 } else { 0o777 };
        Mode::from_raw_mode(u32::from(metadata.permissions & mask))
    }
}

/// What went wrong with the last touches: in the tree, or on the host.
enum FinishError {
    Tree(Error),
    Host(Errno),
}

impl FinishError {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Tree(error) => error,
            Self::Host(errno) => host_error(path, "set the attributes of", errno),
        }
    }
}

impl From<Error> for FinishError {
    fn from(error: Error) -> Self {
        Self::Tree(error)
    }
}

impl From<Errno> for FinishError {
    fn from(errno: Errno) -> Self {
        Self::Host(errno)
    }
}

/// Nanoseconds from an image may be anything; some values would mean "now" to the host.
fn timestamps(metadata: &Metadata) -> Timestamps {
    let spec = |time: Timestamp| Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.min(999_999_999).into(),
    };
    Timestamps {
        last_access: spec(metadata.accessed),
        last_modification: spec(metadata.modified),
    }
}
