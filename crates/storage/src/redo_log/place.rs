//! Where the log of an image lies.

use crate::error::{Error, Result};
use crate::host_file::FileId;
use std::ffi::OsString;
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
    companion(image, id, directory, "disksmith-log")
}
