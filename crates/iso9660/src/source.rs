//! Where the bytes of a file come from.

use crate::error::{Error, Result};
use disksmith_storage::StorageRef;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the bytes of a file come from. Its size is known before any byte is read.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) kind: SourceKind,
}

#[derive(Debug, Clone)]
pub(crate) enum SourceKind {
    Bytes(Arc<[u8]>),
    HostFile {
        path: Box<PathBuf>,
        size: u64,
    },
    Storage {
        storage: StorageRef,
        offset: u64,
        len: u64,
    },
    /// The boot catalogue, whose contents the layout decides.
    BootCatalog {
        len: u64,
    },
}

impl Source {
    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            kind: SourceKind::Bytes(bytes.into()),
        }
    }

    /// A regular file of the host, which is opened only when its bytes are written. `size` is what its metadata says now;
    /// another size later is an error.
    pub fn host_file(path: impl Into<PathBuf>, size: u64) -> Self {
        Self {
            kind: SourceKind::HostFile {
                path: Box::new(path.into()),
                size,
            },
        }
    }

    /// `len` bytes of a storage from `offset`.
    ///
    /// # Errors
    /// When the range lies beyond the storage.
    pub fn storage(storage: StorageRef, offset: u64, len: u64) -> Result<Self> {
        storage.check_range(offset, len)?;
        Ok(Self {
            kind: SourceKind::Storage { storage, offset, len },
        })
    }

    pub(crate) fn boot_catalog(len: u64) -> Self {
        Self {
            kind: SourceKind::BootCatalog { len },
        }
    }

    pub(crate) fn is_boot_catalog(&self) -> bool {
        matches!(self.kind, SourceKind::BootCatalog { .. })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match &self.kind {
            SourceKind::Bytes(bytes) => bytes.len() as u64,
            SourceKind::HostFile { size, .. } => *size,
            SourceKind::Storage { len, .. } | SourceKind::BootCatalog { len } => *len,
        }
    }

    /// Reads the first bytes, at most `len`.
    pub(crate) fn read_start(&self, len: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.kind {
            SourceKind::Bytes(bytes) => out.extend_from_slice(bytes.get(..len).unwrap_or(bytes)),
            SourceKind::HostFile { path, .. } => {
                let file = File::open(path.as_path());
                file.and_then(|file| file.take(len as u64).read_to_end(out))
                    .map_err(|e| Error::io(path.display().to_string(), "read", e))?;
            }
            SourceKind::Storage {
                storage,
                offset,
                len: all,
            } => {
                out.resize(usize::try_from(*all).unwrap_or(len).min(len), 0);
                storage.read_at(*offset, out)?;
            }
            SourceKind::BootCatalog { .. } => {}
        }
        Ok(())
    }

    /// Reads all bytes in pieces of at most `buf.len()` bytes, in order.
    pub(crate) fn stream(&self, buf: &mut [u8], sink: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
        match &self.kind {
            SourceKind::Bytes(bytes) => {
                for piece in bytes.chunks(buf.len().max(1)) {
                    if let Some(part) = buf.get_mut(..piece.len()) {
                        part.copy_from_slice(piece);
                        sink(part)?;
                    }
                }
                Ok(())
            }
            SourceKind::HostFile { path, size } => {
                let name = path.display().to_string();
                let mut file = File::open(path.as_path()).map_err(|e| Error::io(&name, "open", e))?;
                let mut left = *size;
                while left > 0 {
                    let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                    let Some(part) = buf.get_mut(..want) else { break };
                    let got = file.read(part).map_err(|e| Error::io(&name, "read", e))?;
                    if got == 0 {
                        let found = size.saturating_sub(left);
                        return Err(Error::SourceChanged {
                            object: name,
                            expected: *size,
                            found,
                        });
                    }
                    if let Some(part) = buf.get_mut(..got) {
                        sink(part)?;
                    }
                    left = left.saturating_sub(got as u64);
                }
                let found = file.metadata().map_err(|e| Error::io(&name, "look at", e))?.len();
                if found != *size {
                    return Err(Error::SourceChanged {
                        object: name,
                        expected: *size,
                        found,
                    });
                }
                Ok(())
            }
            SourceKind::Storage { storage, offset, len } => {
                let (mut at, mut left) = (*offset, *len);
                while left > 0 {
                    let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                    let Some(part) = buf.get_mut(..want) else { break };
                    storage.read_at(at, part)?;
                    sink(part)?;
                    at = at.saturating_add(want as u64);
                    left = left.saturating_sub(want as u64);
                }
                Ok(())
            }
            SourceKind::BootCatalog { .. } => Ok(()),
        }
    }
}
