//! What becomes of a log that is found.

use super::header::{LogHeader, LogState};
use super::log_file::LogFile;
use super::view::LogView;
use super::{SECTOR, apply, index, mark};
use crate::error::{Error, Result};
use crate::host_file::{FileId, HostFile, OpenMode};
use crate::intent;
use crate::lock::LockMode;
use crate::storage::{Storage, StorageRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// There was no log.
    Nothing,
    /// There was a log that was never sealed. It is removed; the image is as it was before the change.
    Discarded,
    /// There was a sealed log. It is applied and removed; the image is as the change makes it.
    Completed,
}

/// Completes or discards a change of a raw image that was interrupted. The image is locked meanwhile.
///
/// # Errors
/// [`Error::ChangedSince`] where somebody wrote to the image after the interruption, [`Error::LogOfAnotherFile`]
/// where another file has the image's name now, [`Error::LogDamaged`]; nothing is changed then.
/// [`Error::Pending`] where the change is a part of a change of several images: recover that.
pub fn recover(image: impl AsRef<Path>, log_dir: Option<&Path>) -> Result<Recovery> {
    let file = HostFile::open(image, OpenMode::Write, LockMode::Lock)?;
    recover_open(&file, log_dir)
}

/// Opens a raw image or block device for a change: locked, and recovered if a change of it was interrupted.
pub fn open_for_change(image: impl AsRef<Path>, log_dir: Option<&Path>) -> Result<HostFile> {
    let file = HostFile::open(image, OpenMode::Write, LockMode::Lock)?;
    match recover_open(&file, log_dir)? {
        Recovery::Nothing => {}
        Recovery::Discarded => log::warn!("{}: an interrupted change was discarded", file.name()),
        Recovery::Completed => log::warn!("{}: an interrupted change was completed", file.name()),
    }
    Ok(file)
}

fn recover_open(file: &HostFile, log_dir: Option<&Path>) -> Result<Recovery> {
    let path = mark::find_log(file, log_dir)?;
    let Some(log) = LogFile::find(&path, OpenMode::Write)? else {
        return Ok(Recovery::Nothing);
    };
    if let Some(intent) = intent::decided(file.path(), file.id(), log_dir)? {
        return Err(Error::Pending {
            image: file.path().to_path_buf(),
            log: intent,
        });
    }
    recover_with(file, Some(file), file.id(), log)
}

/// As [`recover`], for an image and a log in any storage. `host`: the image, where it is a file of the host.
pub(super) fn recover_with(
    image: &dyn Storage,
    host: Option<&HostFile>,
    id: FileId,
    log: LogFile,
) -> Result<Recovery> {
    match read_header(log.storage().as_ref(), log.path())? {
        Some(header) if header.state == LogState::Sealed => {
            complete(image, host, id, log, &header)?;
            Ok(Recovery::Completed)
        }
        _ => {
            log.remove()?;
            Ok(Recovery::Discarded)
        }
    }
}

/// Applies a log that counts, and removes it.
pub(super) fn complete(
    image: &dyn Storage,
    host: Option<&HostFile>,
    id: FileId,
    log: LogFile,
    header: &LogHeader,
) -> Result<()> {
    let index = load_checked(image, id, &log, header)?;
    let storage = log.storage().as_ref();
    apply::verify(image, storage, log.path(), header, &index)?;
    if let Some(host) = host {
        mark::set(host, log.path())?;
    }
    apply::apply(image, storage, header, &index)?;
    if let Some(host) = host {
        mark::clear(host)?;
    }
    log.remove()
}

/// Checks that a log is whole and belongs to the image, and loads its index.
fn load_checked(image: &dyn Storage, id: FileId, log: &LogFile, header: &LogHeader) -> Result<index::Index> {
    // Device numbers may be others after a reboot, so they say nothing; the checksums of all sectors do.
    if header.id.inode != id.inode {
        return Err(Error::LogOfAnotherFile {
            image: image.name(),
            log: log.path().into(),
        });
    }
    let damaged = |field, value| Error::LogDamaged {
        log: log.path().into(),
        field,
        offset: 0,
        value,
    };
    let storage = log.storage().as_ref();
    if storage.size() < header.length {
        return Err(damaged("log: length of the file", storage.size()));
    }
    let digest = apply::digest(storage, header.length)?;
    if digest != header.digest {
        return Err(damaged("log: checksum of its contents", digest));
    }
    index::load(storage, log.path(), header)
}

/// The header of a log; `None` where none was written yet.
pub(super) fn read_header(log: &dyn Storage, path: &Path) -> Result<Option<LogHeader>> {
    if log.size() < SECTOR as u64 {
        return Ok(None);
    }
    let mut sector = [0; SECTOR];
    log.read_at(0, &mut sector)?;
    LogHeader::parse(&sector, path)
}

/// A sealed log that waits to be applied.
#[derive(Debug)]
pub struct PendingLog {
    log: LogFile,
    header: LogHeader,
    id: FileId,
}

/// Looks whether an image that is opened for reading has a sealed log. If so, what is in the image's file is a
/// mixture of the old state and the new one: show [`PendingLog::view`] instead, or refuse.
pub fn pending_log(file: &HostFile, log_dir: Option<&Path>) -> Result<Option<PendingLog>> {
    let path = mark::find_log(file, log_dir)?;
    let Some(log) = LogFile::find(&path, OpenMode::Read)? else {
        return Ok(None);
    };
    let counts = |state| match state {
        LogState::Sealed => Ok(true),
        LogState::Complete => Ok(intent::decided(file.path(), file.id(), log_dir)?.is_some()),
        LogState::Open => Ok(false),
    };
    match read_header(log.storage().as_ref(), &path)? {
        Some(header) if counts(header.state)? => Ok(Some(PendingLog {
            log,
            header,
            id: file.id(),
        })),
        _ => Ok(None),
    }
}

impl PendingLog {
    /// Where the log is.
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// The error for a reader that would rather refuse.
    pub fn refusal(&self, image: &Path) -> Error {
        Error::Pending {
            image: image.into(),
            log: PathBuf::from(self.path()),
        }
    }

    /// The new state: `image`, read through the log.
    pub fn view(self, image: StorageRef) -> Result<LogView> {
        let index = load_checked(image.as_ref(), self.id, &self.log, &self.header)?;
        let log = Arc::clone(self.log.storage());
        Ok(LogView::new(image, log, index, self.header.new_size))
    }
}
