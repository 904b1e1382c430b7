//! Looking at files by path.

use super::path_walk::LastLink;
use super::{Node, Tree};
use crate::error::{Error, Result};
use crate::filesystem::DirEntry;
use crate::metadata::{FileType, Metadata};
use crate::name::check_name;
use std::io::Write;

/// The largest file that [`Tree::read`] takes into memory, in bytes.
const READ_LIMIT: u64 = 16 << 20;

/// Bytes moved at a time.
const CHUNK: usize = 1 << 20;

impl Tree {
    /// The file at a path.
    pub fn resolve(&self, path: impl AsRef<[u8]>) -> Result<Node> {
        self.existing(path.as_ref(), LastLink::Follow)
    }

    /// The file at a path; a symbolic link in the last place is the result itself.
    pub fn resolve_no_follow(&self, path: impl AsRef<[u8]>) -> Result<Node> {
        self.existing(path.as_ref(), LastLink::Keep)
    }

    /// Metadata of the file at a path.
    pub fn metadata(&self, path: impl AsRef<[u8]>) -> Result<Metadata> {
        let path = path.as_ref();
        self.node_metadata(self.resolve(path)?)
            .map_err(|e| e.at_path(path))
    }

    /// Metadata of the file or symbolic link at a path.
    pub fn symlink_metadata(&self, path: impl AsRef<[u8]>) -> Result<Metadata> {
        let path = path.as_ref();
        self.node_metadata(self.resolve_no_follow(path)?)
            .map_err(|e| e.at_path(path))
    }

    /// Metadata of a node.
    pub fn node_metadata(&self, node: Node) -> Result<Metadata> {
        self.fs(node).metadata(node.inode)
    }

    /// Whether a path leads to a file of any kind. A way that is broken (a loop, a damaged filesystem) counts as no.
    pub fn exists(&self, path: impl AsRef<[u8]>) -> bool {
        self.resolve(path).is_ok()
    }

    /// Whether a path leads to a directory.
    pub fn is_dir(&self, path: impl AsRef<[u8]>) -> bool {
        self.metadata(path).is_ok_and(|m| m.is_dir())
    }

    /// Whether a path leads to a regular file.
    pub fn is_file(&self, path: impl AsRef<[u8]>) -> bool {
        self.metadata(path).is_ok_and(|m| m.is_file())
    }

    /// Whether there is a symbolic link at a path.
    pub fn is_symlink(&self, path: impl AsRef<[u8]>) -> bool {
        self.symlink_metadata(path).is_ok_and(|m| m.is_symlink())
    }

    /// The contents of a regular file of at most 16 MiB.
    ///
    /// # Errors
    /// [`Error::FileTooLarge`] for a larger one: see [`read_limited`](Self::read_limited) and [`copy_to`](Self::copy_to).
    pub fn read(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        self.read_limited(path, READ_LIMIT)
    }

    /// The contents of a regular file of at most `limit` bytes.
    pub fn read_limited(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let (node, size) = self.regular(path)?;
        if size > limit {
            return Err(Error::FileTooLarge { path: text(path) });
        }
        let mut contents = Vec::new();
        self.stream(node, size, &mut |chunk| {
            contents.extend_from_slice(chunk);
            Ok(())
        })
        .map_err(|e| e.at_path(path))?;
        Ok(contents)
    }

    /// The contents of a regular file of at most 16 MiB as text.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where it is not UTF-8.
    pub fn read_to_string(&self, path: impl AsRef<[u8]>) -> Result<String> {
        let path = path.as_ref();
        String::from_utf8(self.read(path)?).map_err(|_| Error::InvalidArgument {
            path: text(path),
            reason: "not text in UTF-8",
        })
    }

    /// Copies the contents of a regular file of any size to `sink`, 1 MiB at a time; returns how many bytes.
    ///
    /// # Errors
    /// What `sink` says becomes an I/O error that names `sink_name`.
    pub fn copy_to(&self, path: impl AsRef<[u8]>, sink: &mut dyn Write, sink_name: &str) -> Result<u64> {
        let path = path.as_ref();
        let (node, size) = self.regular(path)?;
        let mut copied = 0;
        self.stream(node, size, &mut |chunk| {
            copied += chunk.len() as u64;
            sink.write_all(chunk)
                .map_err(|source| disksmith_storage::Error::io(sink_name, "write", None, source).into())
        })
        .map_err(|e| e.at_path(path))?;
        Ok(copied)
    }

    /// The entries of a directory, sorted by name.
    pub fn read_dir(&self, path: impl AsRef<[u8]>) -> Result<Vec<DirEntry>> {
        let path = path.as_ref();
        let dir = self.resolve_dir(path)?;
        self.node_entries(dir).map_err(|e| e.at_path(path))
    }

    /// The entries of a directory, sorted by name. Inode numbers are those of the directory's own filesystem.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a name that cannot be one, or that is there twice.
    pub fn node_entries(&self, dir: Node) -> Result<Vec<DirEntry>> {
        let fs = self.fs(dir);
        let mut entries = Vec::new();
        fs.read_dir(dir.inode, 0, &mut |entry| {
            entries.push(entry);
            true
        })?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let corrupt = |detail: String| Error::Corrupt {
            filesystem: fs.kind().into(),
            detail,
        };
        for entry in &entries {
            check_name(&entry.name)
                .map_err(|error| corrupt(format!("directory inode {}: {error}", dir.inode)))?;
        }
        for pair in entries.windows(2) {
            if let [a, b] = pair
                && a.name == b.name
            {
                let name = text(&a.name);
                return Err(corrupt(format!(
                    "directory inode {}: two entries are named {name}",
                    dir.inode
                )));
            }
        }
        Ok(entries)
    }

    /// The target of the symbolic link at a path.
    pub fn read_link(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let node = self.resolve_no_follow(path)?;
        let metadata = self.node_metadata(node).map_err(|e| e.at_path(path))?;
        if !metadata.is_symlink() {
            return Err(Error::WrongType {
                path: text(path),
                found: metadata.file_type,
            });
        }
        self.fs(node).read_link(node.inode).map_err(|e| e.at_path(path))
    }

    /// The regular file at a path, and its size.
    pub(super) fn regular(&self, path: &[u8]) -> Result<(Node, u64)> {
        let node = self.resolve(path)?;
        let metadata = self.node_metadata(node).map_err(|e| e.at_path(path))?;
        match metadata.file_type {
            FileType::Regular => Ok((node, metadata.size)),
            FileType::Directory => Err(Error::IsADirectory { path: text(path) }),
            found => Err(Error::WrongType {
                path: text(path),
                found,
            }),
        }
    }

    /// Gives the contents of a regular file piece by piece.
    pub(crate) fn stream(
        &self,
        node: Node,
        size: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let fs = self.fs(node);
        let mut buf = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
        let mut at = 0;
        while at < size {
            let want = buf.len().min(usize::try_from(size - at).unwrap_or(CHUNK));
            let n = fs.read(node.inode, at, buf.get_mut(..want).unwrap_or_default())?;
            if n == 0 {
                break;
            }
            sink(buf.get(..n).unwrap_or_default())?;
            at += n as u64;
        }
        Ok(())
    }
}

pub(super) fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
