//! The file that a log is written to.

use crate::error::{Error, Result};
use crate::host_file::{HostFile, OpenMode};
use crate::lock::LockMode;
use crate::new_file::sync_directory;
use crate::storage::StorageRef;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// By how much a log's file grows at once.
const STEP: u64 = 1 << 20;

/// A log's file. Removed when it is dropped, until [`keep`](Self::keep) was called.
#[derive(Debug)]
pub(super) struct LogFile {
    storage: StorageRef,
    path: PathBuf,
    /// Whether there is a file by that name; in tests a log may lie in any storage.
    is_file: bool,
    keep: bool,
}

impl LogFile {
    /// Makes the file, empty, for nobody to read but who owns the image. There must be none.
    pub(super) fn create(path: &Path, image: &Path) -> Result<Self> {
        let file = HostFile::create_new(path).map_err(|error| match error {
            Error::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::AlreadyExists => Error::Pending {
                    image: image.into(),
                    log: path.into(),
                },
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Error::io(path.display().to_string(), "create", None, source)
                }
                _ => Error::NoPlaceForLog {
                    image: image.into(),
                    reason: format!("cannot create {}: {source}", path.display()),
                },
            },
            other => other,
        })?;
        // Whoever owns the image must be able to complete the change; only root can make the log his.
        if let Ok(owner) = image.metadata()
            && let Err(error) = std::os::unix::fs::fchown(file.file(), Some(owner.uid()), Some(owner.gid()))
        {
            log::debug!("{}: {error}", path.display());
        }
        Ok(Self {
            storage: Arc::new(file),
            path: path.into(),
            is_file: true,
            keep: false,
        })
    }

    /// Opens a log that was found; `None` where there is none.
    pub(super) fn find(path: &Path, mode: OpenMode) -> Result<Option<Self>> {
        match HostFile::open(path, mode, LockMode::None) {
            Ok(file) => Ok(Some(Self {
                storage: Arc::new(file),
                path: path.into(),
                is_file: true,
                keep: true,
            })),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// For tests: a log in any storage. Removing it is making it empty.
    #[cfg(test)]
    pub(super) fn over(storage: StorageRef, keep: bool) -> Self {
        Self {
            storage,
            path: "log".into(),
            is_file: false,
            keep,
        }
    }

    pub(super) fn storage(&self) -> &StorageRef {
        &self.storage
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on the file stays, whatever happens.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Makes the file's name durable.
    pub(super) fn sync_name(&self) -> Result<()> {
        if self.is_file {
            sync_directory(&self.path)
        } else {
            Ok(())
        }
    }

    /// Writes at the end or before it.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.storage.size() {
            self.storage.set_size(end.div_ceil(STEP).saturating_mul(STEP))?;
        }
        self.storage.write_at(offset, bytes)
    }

    /// Removes the file, durably where that is possible.
    pub(super) fn remove(mut self) -> Result<()> {
        self.keep = true;
        if !self.is_file {
            self.storage.set_size(0)?;
            return self.storage.flush();
        }
        std::fs::remove_file(&self.path)
            .map_err(|e| Error::io(self.path.display().to_string(), "remove", None, e))?;
        // A log that a power cut brings back is applied once more, which changes nothing.
        if let Err(error) = sync_directory(&self.path) {
            log::warn!("{error}");
        }
        Ok(())
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let removed = if self.is_file {
            std::fs::remove_file(&self.path).map_err(|error| error.to_string())
        } else {
            self.storage.set_size(0).map_err(|error| error.to_string())
        };
        if let Err(error) = removed {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}
