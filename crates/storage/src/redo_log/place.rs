//! Where the log of an image lies.

use crate::error::{Error, Result};
use crate::host_file::FileId;
use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The name that files kept for an image have: in the image's folder `.NAME.SUFFIX`; in another folder, where
/// images of several folders may meet, the inode number stands in it too.
pub(crate) fn companion(image: &Path, id: FileId, directory: Option<&Path>, suffix: &str) -> Result<PathBuf> {
    let fail = |source| Error::io(image.display().to_string(), "find", None, source);
    // The file's own folder, not that of a link to it.
    let real = std::fs::canonicalize(image).map_err(fail)?;
    let name = real.file_name().unwrap_or(real.as_os_str());
    let mut companion = OsString::new();
    Ok(match directory {
        None => {
            companion.push(".");
            companion.push(name);
            companion.push(format!(".{suffix}"));
            real.with_file_name(companion)
        }
        Some(directory) => {
            companion.push(name);
            companion.push(format!("-{:x}.{suffix}", id.inode));
            std::path::absolute(directory).map_err(fail)?.join(companion)
        }
    })
}

/// Where the redo log of an image lies.
pub(super) fn log_path(image: &Path, id: FileId, directory: Option<&Path>) -> Result<PathBuf> {
    let device = std::fs::metadata(image).is_ok_and(|m| m.file_type().is_block_device());
    let directory = directory.or(device.then_some(Path::new(DEVICE_LOGS)));
    companion(image, id, directory, "disksmith-log")
}

/// Where the logs of block devices lie that nobody named a folder for: `/dev` does not outlast a power cut.
const DEVICE_LOGS: &str = "/var/lib/disksmith";

/// Sees that there is a folder for the logs of block devices, which nobody but its owner can put files into.
///
/// # Errors
/// [`Error::NoPlaceForLog`].
pub(super) fn prepare_device_logs(image: &Path) -> Result<()> {
    let fail = |reason| Error::NoPlaceForLog {
        image: image.into(),
        reason,
    };
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(DEVICE_LOGS)
        .and_then(|()| std::fs::metadata(DEVICE_LOGS));
    match made {
        Err(error) => Err(fail(format!(
            "it is a block device, and {DEVICE_LOGS} cannot be made: {error}"
        ))),
        Ok(folder) if folder.mode() & 0o022 != 0 || !is_trusted(folder.uid(), 0) => {
            Err(fail(format!("others can write to {DEVICE_LOGS}")))
        }
        Ok(_) => Ok(()),
    }
}

/// Whether a log of this owner counts for an image of that one: anybody can put a file into some folders.
pub(super) fn is_trusted(log_owner: u32, image_owner: u32) -> bool {
    [0, image_owner, rustix::process::geteuid().as_raw()].contains(&log_owner)
}
