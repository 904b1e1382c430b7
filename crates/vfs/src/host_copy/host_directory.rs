//! A directory of the host outside of which nothing is written.

use super::host_error;
use crate::error::Result;
use crate::name::check_name;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The destination of a copy. What lies in it is reached name by name from its descriptor, and no symbolic link in it is followed,
/// whoever put it there.
#[derive(Debug)]
pub(super) struct HostDirectory {
    root: OwnedFd,
    path: PathBuf,
}

/// An open directory below the destination.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) fd: OwnedFd,
    /// For messages.
    path: PathBuf,
}

impl HostDirectory {
    /// Opens the destination, which the user named: links on the way to it are followed.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| host_error(path, "open", e))?;
        Ok(Self {
            root,
            path: path.to_owned(),
        })
    }

    /// Opens a directory below by the names that lead to it.
    pub(super) fn descend(&self, names: &[Vec<u8>]) -> Result<OpenDirectory> {
        let mut path = self.path.clone();
        let mut fd = rustix::fs::openat(&self.root, ".", DIRECTORY, Mode::empty())
            .map_err(|e| host_error(&path, "open", e))?;
        for name in names {
            check_name(name)?;
            path.push(OsStr::from_bytes(name));
            fd = rustix::fs::openat(&fd, OsStr::from_bytes(name), DIRECTORY, Mode::empty())
                .map_err(|e| host_error(&path, "open", e))?;
        }
        Ok(OpenDirectory { fd, path })
    }
}

impl OpenDirectory {
    /// The path of an entry, for messages.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    /// Wraps what the host said about an entry.
    pub(super) fn error(&self, name: &[u8], operation: &'static str, errno: Errno) -> crate::Error {
        host_error(&self.path_of(name), operation, errno)
    }

    /// Makes a directory that only its owner may enter; `false` where there is one already. A link to one is no directory.
    pub(super) fn make_directory(&self, name: &[u8]) -> Result<bool> {
        check_name(name)?;
        match rustix::fs::mkdirat(&self.fd, OsStr::from_bytes(name), Mode::RWXU) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => {
                rustix::fs::openat(&self.fd, OsStr::from_bytes(name), DIRECTORY, Mode::empty())
                    .map_err(|e| self.error(name, "use as a directory", e))?;
                Ok(false)
            }
            Err(errno) => Err(self.error(name, "create", errno)),
        }
    }

    /// Makes an entry by `make`, which fails where the name is taken; what takes it is removed then, but a directory.
    pub(super) fn put<T>(&self, name: &[u8], make: impl Fn(&OsStr) -> rustix::io::Result<T>) -> Result<T> {
        check_name(name)?;
        let host_name = OsStr::from_bytes(name);
        let made = match make(host_name) {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(&self.fd, host_name, AtFlags::empty())
                    .map_err(|e| self.error(name, "replace", e))?;
                make(host_name)
            }
            other => other,
        };
        made.map_err(|e| self.error(name, "create", e))
    }
}

/// Whether the process may give files to others.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A link in the last place is meant itself.
pub(super) const NO_FOLLOW: AtFlags = AtFlags::SYMLINK_NOFOLLOW;
