//! Copying files of the host into a tree.

use super::report::CopyReport;
use super::{host_error, host_file};
use crate::error::{Error, Result};
use crate::filesystem::{NewNode, XattrMode};
use crate::made_file::MadeFile;
use crate::metadata::{FileType, MetadataChange};
use crate::tree::{Entry, LastLink, Node, Owner, Tree, join};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Who owns what is copied in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerPolicy {
    /// Whoever owns it on the host, by number.
    #[default]
    Host,
    /// Root.
    Root,
    /// A certain owner.
    Fixed(Owner),
}

/// How files are copied in. Modes, times of contents, holes, symbolic links and hard links are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopyInOptions {
    /// Who owns the copies.
    pub owner: OwnerPolicy,
    /// Whether extended attributes are copied too, but SELinux labels: those of the host mean something else elsewhere.
    pub xattrs: bool,
}

enum Task {
    /// A directory, and the names in it that are still to come. Only these are kept: directories may be large.
    Fill {
        host: PathBuf,
        node: Node,
        path: Vec<u8>,
        names: std::vec::IntoIter<OsString>,
    },
    /// A new directory whose contents are all there.
    Finish {
        node: Node,
        stat: Box<Stat>,
        path: Vec<u8>,
    },
}

struct CopyIn<'a, 'w> {
    tree: &'a Tree,
    watch: &'w mut dyn FnMut(MadeFile<'_>) -> Result<()>,
    options: CopyInOptions,
    report: CopyReport,
    /// Files with several names, by device and inode on the host.
    linked: HashMap<(u64, u64), Node>,
    tasks: Vec<Task>,
}

impl Tree {
    /// Copies a file of the host, or a directory with everything in it, into a directory of the tree under its own name.
    ///
    /// A directory that is there already takes the contents in, and keeps its own mode and owner; a symbolic link that leads to
    /// a directory inside the tree counts as one. Any other file that is there is replaced.
    ///
    /// # Errors
    /// [`Error::IsADirectory`] and [`Error::NotADirectory`] where a file would replace a directory, or the other way round.
    pub fn copy_in(&self, host: &Path, dir: impl AsRef<[u8]>, options: CopyInOptions) -> Result<CopyReport> {
        self.copy_in_watched(host, dir, options, &mut |_| Ok(()))
    }

    /// As [`copy_in`](Self::copy_in); `watch` is told of each file that was made.
    ///
    /// # Errors
    /// Those of [`copy_in`](Self::copy_in), and those of `watch`.
    pub fn copy_in_watched(
        &self,
        host: &Path,
        dir: impl AsRef<[u8]>,
        options: CopyInOptions,
        watch: &mut dyn FnMut(MadeFile<'_>) -> Result<()>,
    ) -> Result<CopyReport> {
        let dir = dir.as_ref();
        let named = match host.file_name() {
            Some(name) => name.to_owned(),
            None => {
                let whole = host.canonicalize().map_err(|source| {
                    disksmith_storage::Error::io(host.display().to_string(), "read", None, source)
                })?;
                let name = whole.file_name().map(std::ffi::OsStr::to_owned);
                name.ok_or_else(|| host_error(host, "take the name of", Errno::INVAL))?
            }
        };
        let node = self.resolve_dir(dir)?;
        self.copy_in_entry(
            host,
            node,
            named.as_bytes().to_vec(),
            join(dir, named.as_bytes()),
            options,
            watch,
        )
    }

    /// Copies a file of the host, or a directory with everything in it, to a path of the tree, whose directory exists. Otherwise as
    /// [`copy_in`](Self::copy_in).
    pub fn copy_in_as(
        &self,
        host: &Path,
        path: impl AsRef<[u8]>,
        options: CopyInOptions,
    ) -> Result<CopyReport> {
        let path = path.as_ref();
        let Entry { dir, name, .. } = self.entry(path)?;
        self.copy_in_entry(host, dir, name, path.to_vec(), options, &mut |_| Ok(()))
    }

    fn copy_in_entry(
        &self,
        host: &Path,
        dir: Node,
        name: Vec<u8>,
        path: Vec<u8>,
        options: CopyInOptions,
        watch: &mut dyn FnMut(MadeFile<'_>) -> Result<()>,
    ) -> Result<CopyReport> {
        let mut copy = CopyIn {
            tree: self,
            watch,
            options,
            report: CopyReport::default(),
            linked: HashMap::new(),
            tasks: Vec::new(),
        };
        copy.copy(host, dir, &name, &path).map_err(|e| e.at_path(&path))?;
        while let Some(task) = copy.tasks.pop() {
            match task {
                Task::Fill {
                    host,
                    node,
                    path,
                    mut names,
                } => {
                    let Some(name) = names.next() else { continue };
                    let below = (host.join(&name), join(&path, name.as_bytes()));
                    copy.tasks.push(Task::Fill {
                        host,
                        node,
                        path,
                        names,
                    });
                    copy.copy(&below.0, node, name.as_bytes(), &below.1)
                        .map_err(|e| e.at_path(&below.1))?;
                }
                Task::Finish { node, stat, path } => {
                    copy.set_times(node, &stat).map_err(|e| e.at_path(&path))?;
                }
            }
        }
        Ok(copy.report)
    }
}

impl CopyIn<'_, '_> {
    fn copy(&mut self, host: &Path, dir: Node, name: &[u8], path: &[u8]) -> Result<()> {
        let stat = host_file::stat(host)?;
        let kind = host_file::file_type(&stat);
        let existing = match self.tree.child(dir, name) {
            Ok(node) => Some(node),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if kind == FileType::Directory {
            return self.copy_directory(host, &stat, dir, name, path, existing);
        }
        if let Some(existing) = existing {
            if self.tree.node_metadata(existing)?.is_dir() {
                return Err(Error::IsADirectory { path: String::new() });
            }
            self.tree.open_node(dir).0.unlink(dir.inode, name)?;
        }
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let identity = (stat.st_dev as u64, stat.st_ino as u64);
        if stat.st_nlink > 1
            && let Some(first) = self.linked.get(&identity)
            && first.mount == dir.mount
        {
            let (fs, inode) = self.tree.open_node(*first);
            // What was copied may have been replaced since, by a name of the same tree; then it is copied again.
            if fs.link(inode, dir.inode, name).is_ok() {
                self.report.links += 1;
                return Ok(());
            }
        }
        let file = match kind {
            FileType::Regular => Some(host_file::open(host)?),
            _ => None,
        };
        let target = match kind {
            FileType::Symlink => host_file::read_link(host)?,
            _ => Vec::new(),
        };
        let node = self.tree.make(dir, name, &self.new_node(kind, &stat, &target))?;
        match file {
            Some(file) => {
                let (fs, inode) = self.tree.open_node(node);
                let mut written = 0;
                let size = host_file::stream(host, &file, &mut |at, bytes| {
                    written += bytes.len() as u64;
                    fs.write(inode, at, bytes)
                })?;
                fs.set_size(inode, size)?;
                self.report.files += 1;
                self.report.bytes += written;
            }
            None => self.report.others += 1,
        }
        self.copy_xattrs(host, node)?;
        (self.watch)(MadeFile {
            dir,
            name,
            node,
            file_type: kind,
        })?;
        self.set_times(node, &stat)?;
        if stat.st_nlink > 1 {
            self.linked.insert(identity, node);
        }
        Ok(())
    }

    fn copy_directory(
        &mut self,
        host: &Path,
        stat: &Stat,
        dir: Node,
        name: &[u8],
        path: &[u8],
        existing: Option<Node>,
    ) -> Result<()> {
        let node = match existing {
            // Through a link, if it leads to a directory.
            Some(_) => {
                let node = self.tree.existing(path, LastLink::Follow)?;
                if !self.tree.node_metadata(node)?.is_dir() {
                    return Err(Error::NotADirectory { path: String::new() });
                }
                node
            }
            None => {
                let node = self
                    .tree
                    .make(dir, name, &self.new_node(FileType::Directory, stat, b""))?;
                self.copy_xattrs(host, node)?;
                (self.watch)(MadeFile {
                    dir,
                    name,
                    node,
                    file_type: FileType::Directory,
                })?;
                self.report.directories += 1;
                self.tasks.push(Task::Finish {
                    node,
                    stat: Box::new(*stat),
                    path: path.to_vec(),
                });
                node
            }
        };
        self.tasks.push(Task::Fill {
            host: host.to_owned(),
            node,
            path: path.to_vec(),
            names: host_file::names(host)?.into_iter(),
        });
        Ok(())
    }

    fn new_node<'a>(&self, file_type: FileType, stat: &Stat, target: &'a [u8]) -> NewNode<'a> {
        let owner = match self.options.owner {
            OwnerPolicy::Host => Owner {
                uid: stat.st_uid,
                gid: stat.st_gid,
            },
            OwnerPolicy::Root => Owner::ROOT,
            OwnerPolicy::Fixed(owner) => owner,
        };
        let mut node = self
            .tree
            .new_node(file_type, owner, (stat.st_mode & 0o7777) as u16, target);
        if matches!(file_type, FileType::CharDevice | FileType::BlockDevice) {
            node.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        }
        node
    }

    fn copy_xattrs(&self, host: &Path, node: Node) -> Result<()> {
        if self.options.xattrs {
            let (fs, inode) = self.tree.open_node(node);
            for (name, value) in host_file::xattrs(host)? {
                if name == b"security.selinux" {
                    continue;
                }
                fs.set_xattr(inode, &name, &value, XattrMode::Set)?;
            }
        }
        Ok(())
    }

    fn set_times(&self, node: Node, stat: &Stat) -> Result<()> {
        let (accessed, modified) = host_file::times(stat);
        let change = MetadataChange {
            accessed: Some(accessed),
            modified: Some(modified),
            changed: Some(self.tree.clock()),
            ..MetadataChange::default()
        };
        let (fs, inode) = self.tree.open_node(node);
        fs.set_metadata(inode, &change)
    }
}
