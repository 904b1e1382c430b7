//! The mark on an image whose log is sealed: it names the log, whatever name or folder the image goes to meanwhile.
//!
//! It is the extended attribute `user.disksmith.log` of the image's file. Filesystems that have no such attributes, and block
//! devices, go without: there the log is only looked for where it belongs.

use super::place;
use crate::error::{Error, Result};
use crate::host_file::HostFile;
use crate::storage::Storage;
use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const NAME: &str = "user.disksmith.log";
/// The longest path that Linux knows.
const LONGEST: usize = 4096;

/// Marks the image, durably, before the first byte of it is changed.
pub(super) fn set(image: &HostFile, log: &Path) -> Result<()> {
    match fsetxattr(
        image.file(),
        NAME,
        log.as_os_str().as_bytes(),
        XattrFlags::empty(),
    ) {
        Ok(()) => image.flush(),
        // Without room for it, or leave to set it, the log is where it belongs all the same.
        Err(error) => {
            log::debug!("{}: not marked: {error}", image.name());
            Ok(())
        }
    }
}

/// Takes the mark away, once the image holds all of the change. The log goes after it.
pub(super) fn clear(image: &HostFile) -> Result<()> {
    match fremovexattr(image.file(), NAME) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => Ok(()),
        Err(error) => Err(Error::io(image.name(), "unmark", None, error.into())),
    }
}

/// Where the log of an image is looked for: where it belongs, unless the image is marked and its log is elsewhere.
///
/// # Errors
/// [`Error::LogMissing`] where the image is marked and there is no log at either place: half of a change is in it.
/// [`Error::LogDamaged`] where the log is somebody else's.
pub(super) fn find_log(image: &HostFile, log_dir: Option<&Path>) -> Result<PathBuf> {
    let found = find_named(image, log_dir)?;
    if let (Ok(log), Ok(owner)) = (found.symlink_metadata(), image.file().metadata())
        && !place::is_trusted(log.uid(), owner.uid())
    {
        return Err(Error::LogDamaged {
            log: found,
            field: "owner of the log (user id)",
            offset: 0,
            value: log.uid().into(),
        });
    }
    Ok(found)
}

fn find_named(image: &HostFile, log_dir: Option<&Path>) -> Result<PathBuf> {
    let usual = place::log_path(image.path(), image.id(), log_dir)?;
    let mut value = [0; LONGEST];
    let Ok(len) = fgetxattr(image.file(), NAME, &mut value[..]) else {
        return Ok(usual);
    };
    let named = PathBuf::from(OsStr::from_bytes(value.get(..len).unwrap_or_default()));
    for path in [&named, &usual] {
        if path.symlink_metadata().is_ok() {
            return Ok(path.clone());
        }
    }
    Err(Error::LogMissing {
        image: image.path().to_path_buf(),
        log: named,
    })
}
