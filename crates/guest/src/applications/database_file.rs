//! A database in a guest, read piece by piece: it may be larger than memory allows.

use crate::error::{Error, Result};
use disksmith_vfs::{FileSystemRef, InodeNo, Tree};

/// A regular file of a guest that is read at offsets.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: String,
    fs: FileSystemRef,
    inode: InodeNo,
    size: u64,
}

impl DatabaseFile {
    /// Opens the file at a path; `None` where there is no regular file.
    pub(super) fn open(tree: &Tree, path: &str) -> Result<Option<Self>> {
        if !tree.is_file(path) {
            return Ok(None);
        }
        let node = tree.resolve(path)?;
        let size = tree.node_metadata(node)?.size;
        let (fs, inode) = tree.open_node(node);
        Ok(Some(Self {
            path: path.to_owned(),
            fs: fs.clone(),
            inode,
            size,
        }))
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes at an offset.
    ///
    /// # Errors
    /// Where the file ends before them.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(self.corrupt(format!(
                "{len} bytes at {offset} are asked for, but it has {} bytes",
                self.size
            )));
        }
        let mut bytes = vec![0; len];
        let read = self.fs.read(self.inode, offset, &mut bytes)?;
        if read != len {
            return Err(self.corrupt(format!("only {read} of {len} bytes at {offset} can be read")));
        }
        Ok(bytes)
    }

    /// The error for a database that contradicts itself.
    pub(super) fn corrupt(&self, detail: impl Into<String>) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            detail: detail.into(),
        }
    }
}

/// The number at a place, little-endian; `None` beyond the end.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The number at a place, big-endian; `None` beyond the end.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// The number at a place, big-endian; `None` beyond the end.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}
