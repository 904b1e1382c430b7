//! Reading a file of the host.

use super::{CHUNK, host_error};
use crate::error::Result;
use crate::metadata::{FileType, Timestamp};
use rustix::fs::{AtFlags, CWD, FileType as HostType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What `lstat` tells.
pub(super) fn stat(path: &Path) -> Result<Stat> {
    rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| host_error(path, "read", e))
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    match HostType::from_raw_mode(stat.st_mode) {
        HostType::Directory => FileType::Directory,
        HostType::Symlink => FileType::Symlink,
        HostType::CharacterDevice => FileType::CharDevice,
        HostType::BlockDevice => FileType::BlockDevice,
        HostType::Fifo => FileType::Fifo,
        HostType::Socket => FileType::Socket,
        _ => FileType::Regular,
    }
}

pub(super) fn times(stat: &Stat) -> (Timestamp, Timestamp) {
    let time = |seconds: i64, nanoseconds: u64| Timestamp {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    };
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    (
        time(i64::from(stat.st_atime), stat.st_atime_nsec as u64),
        time(i64::from(stat.st_mtime), stat.st_mtime_nsec as u64),
    )
}

pub(super) fn read_link(path: &Path) -> Result<Vec<u8>> {
    let target = rustix::fs::readlinkat(CWD, path, Vec::new()).map_err(|e| host_error(path, "read", e))?;
    Ok(target.into_bytes())
}

/// The names in a directory, sorted.
pub(super) fn names(path: &Path) -> Result<Vec<std::ffi::OsString>> {
    let error = |source| disksmith_storage::Error::io(path.display().to_string(), "read", None, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        names.push(entry.map_err(error)?.file_name());
    }
    names.sort();
    Ok(names)
}

/// Extended attributes: names and values. None where the host's filesystem has none.
pub(super) fn xattrs(path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let error = |e| host_error(path, "read the extended attributes of", e);
    let mut names = vec![0u8; 65_536];
    let len = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        other => other.map_err(error)?,
    };
    let mut found = Vec::new();
    for name in names
        .get(..len)
        .unwrap_or_default()
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0u8; 65_536];
        let len =
            rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..]).map_err(error)?;
        value.truncate(len);
        found.push((name.to_vec(), value));
    }
    Ok(found)
}

/// Opens a regular file, and nothing else: no link that was put in its place since.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| host_error(path, "open", e))
}

/// Gives the contents piece by piece with their offsets, holes left out; returns the size.
pub(super) fn stream(
    path: &Path,
    file: &OwnedFd,
    sink: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<u64> {
    let error = |e| host_error(path, "read", e);
    let size = u64::try_from(rustix::fs::fstat(file).map_err(error)?.st_size).unwrap_or(0);
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    while at < size {
        // A filesystem that knows no holes says EINVAL; everything is data then.
        let (start, end) = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => (
                start,
                rustix::fs::seek(file, SeekFrom::Hole(start))
                    .map_err(error)?
                    .min(size),
            ),
            Err(Errno::NXIO) => break,
            Err(_) => (at, size),
        };
        at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let n = rustix::io::pread(file, buf.get_mut(..want).unwrap_or_default(), at).map_err(error)?;
            if n == 0 {
                return Ok(size);
            }
            sink(at, buf.get(..n).unwrap_or_default())?;
            at += n as u64;
        }
    }
    Ok(size)
}
