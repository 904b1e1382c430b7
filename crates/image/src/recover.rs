//! Completing, or discarding, an edit that was interrupted.

use crate::error::{Error, Result};
use crate::format::{Detected, Format, detect_in};
use disksmith_storage::{HostFile, Intent, LockMode, OpenMode, Recovery};
use std::path::Path;

/// What [`recover`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// No edit of the image was interrupted.
    Nothing,
    /// An edit had not come to the point where it counts. What it left was removed; the image holds the old state.
    Discarded,
    /// An edit that counts was completed; the image holds the new state.
    Completed {
        /// How many images the edit changed.
        images: usize,
    },
}

/// Completes or discards what an interrupted edit of the image at `path` left, for all images of that edit. `log_dir` is
/// where the edit kept its logs, if not beside the images.
///
/// # Errors
/// Where somebody changed an image since, or another file has its name: nothing is touched then, and the error says so.
/// Where an image is in use.
pub fn recover(path: &Path, log_dir: Option<&Path>) -> Result<Recovered> {
    let file = HostFile::open(path, OpenMode::Write, LockMode::Lock)?;
    let intent = Intent::find(path, file.id(), log_dir)?;
    let is_raw = detect_in(&file)? != Detected::Known(Format::Qcow2);
    // Recovery locks each image itself.
    drop(file);
    if let Some(intent) = intent {
        let images = intent.members().len();
        intent.complete(|member| match member.format.as_str() {
            "qcow2" => {
                let file = HostFile::open(&member.image, OpenMode::Write, LockMode::Lock)?;
                let done = disksmith_qcow2::recover_switch(&file, &member.record)
                    .map_err(disksmith_storage::Error::from)?;
                log::info!("{}: {done:?}", member.image.display());
                Ok(())
            }
            _ => disksmith_storage::finish_prepared(&member.record),
        })?;
        return Ok(Recovered::Completed { images });
    }
    // A raw image whose change was cut off may look like anything; a qcow2 image has no log.
    let done = if is_raw {
        disksmith_storage::recover(path, log_dir)?
    } else {
        Recovery::Nothing
    };
    Ok(match done {
        Recovery::Nothing => Recovered::Nothing,
        Recovery::Discarded => Recovered::Discarded,
        Recovery::Completed => Recovered::Completed { images: 1 },
    })
}

/// Opens an image's file for writing, recovered.
pub(crate) fn open_recovered(
    path: &Path,
    lock: LockMode,
    log_dir: Option<&Path>,
    format: Option<Format>,
) -> Result<HostFile> {
    let file = HostFile::open(path, OpenMode::Write, lock)?;
    if Intent::find(path, file.id(), log_dir)?.is_some() {
        drop(file);
        recover(path, log_dir)?;
        return open_recovered(path, lock, log_dir, format);
    }
    let raw = match format {
        Some(format) => format != Format::Qcow2,
        None => matches!(detect_in(&file)?, Detected::Known(Format::Raw | Format::Luks)),
    };
    if !raw || lock != LockMode::Lock {
        return Ok(file);
    }
    drop(file);
    disksmith_storage::open_for_change(path, log_dir).map_err(Error::from)
}
