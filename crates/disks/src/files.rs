//! The files that a new filesystem is made of: a directory of the host, or an archive.

use crate::error::{Error, Result};
use crate::tar_source::TarSource;
use disksmith_vfs::{HostSource, SourceContents, SourceTree};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files, and where their contents come from.
#[allow(
    missing_debug_implementations,
    reason = "contents are read once, there is nothing to show"
)]
pub struct Files {
    pub(crate) tree: SourceTree,
    pub(crate) contents: Box<dyn SourceContents>,
}

impl Files {
    /// Those of a directory, or of a tar archive, which may be compressed with gzip, bzip2, xz or zstd.
    ///
    /// # Errors
    /// Those of reading; [`Error::Archive`] for one that is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let host = |source| Error::Host {
            operation: "open",
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(host)?.is_dir() {
            let (tree, contents) = HostSource::scan(path)?;
            return Ok(Self {
                tree,
                contents: Box::new(contents),
            });
        }
        Self::archive(File::open(path).map_err(host)?, path)
    }

    /// Those of an archive that can only be read once: it is kept in a temporary file in `directory` that has no name.
    ///
    /// # Errors
    /// As [`open`](Self::open), and those of writing the temporary file.
    pub fn from_stream(stream: &mut dyn Read, name: &str, directory: &Path) -> Result<Self> {
        let host = |operation| {
            move |source| Error::Host {
                operation,
                path: directory.to_owned(),
                source,
            }
        };
        let mut file = nameless_file(directory).map_err(host("make a temporary file in"))?;
        std::io::copy(stream, &mut file).map_err(host("keep the archive in"))?;
        Self::archive(file, Path::new(name))
    }

    fn archive(file: File, path: &Path) -> Result<Self> {
        let (tree, contents) = TarSource::scan(file, path)?;
        Ok(Self {
            tree,
            contents: Box::new(contents),
        })
    }

    /// What is known of the files.
    pub fn tree(&self) -> &SourceTree {
        &self.tree
    }

    /// The files, and where their contents come from.
    pub fn parts(&mut self) -> (&SourceTree, &mut dyn SourceContents) {
        (&self.tree, &mut *self.contents)
    }

    /// Makes all files belong to one owner.
    pub fn set_owner(&mut self, uid: u32, gid: u32) {
        for index in 0..self.tree.inodes().len() {
            if let Some(inode) = u32::try_from(index).ok().and_then(|i| self.tree.inode_mut(i)) {
                (inode.uid, inode.gid) = (uid, gid);
            }
        }
    }

    /// Leaves out all extended attributes.
    pub fn clear_xattrs(&mut self) {
        for index in 0..self.tree.inodes().len() {
            if let Some(inode) = u32::try_from(index).ok().and_then(|i| self.tree.inode_mut(i)) {
                inode.xattrs.clear();
            }
        }
    }

    /// Changes the root directory.
    pub fn set_root(&mut self, permissions: u16, owner: (u32, u32)) {
        if let Some(root) = self.tree.inode_mut(0) {
            root.permissions = permissions & 0o7777;
            (root.uid, root.gid) = owner;
        }
    }

    /// Makes no file's time later than this: with a fixed time, what was written during the build is the same every time.
    pub fn clamp_times(&mut self, latest: i64) {
        for index in 0..self.tree.inodes().len() {
            if let Some(inode) = u32::try_from(index).ok().and_then(|i| self.tree.inode_mut(i))
                && inode.modified.seconds >= latest
            {
                inode.modified = disksmith_vfs::Timestamp {
                    seconds: latest,
                    nanoseconds: 0,
                };
            }
        }
    }
}

fn nameless_file(directory: &Path) -> std::io::Result<File> {
    let path: PathBuf = directory.join(format!(".disksmith-{}.tar.tmp", std::process::id()));
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
