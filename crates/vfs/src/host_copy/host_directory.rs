//! A directory of the host outside of which nothing is written.

use super::host_error;
use crate::error::Result;
use crate::name::check_name;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
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

    /// Makes an entry by `make`, which fails where the name is taken; then it takes the place of what is there in one step, but
    /// never that of a directory, nor that of an image which is open.
    pub(super) fn put<T>(&self, name: &[u8], make: impl Fn(&OsStr) -> rustix::io::Result<T>) -> Result<T> {
        let (made, entry) = self.start(name, make)?;
        entry.commit()?;
        Ok(made)
    }

    /// Makes an entry as [`put`](Self::put) does, which has its name only when it is committed. One that is not committed is gone
    /// again, and what had the name before still has it.
    pub(super) fn start<T>(
        &self,
        name: &[u8],
        make: impl Fn(&OsStr) -> rustix::io::Result<T>,
    ) -> Result<(T, NewEntry<'_>)> {
        check_name(name)?;
        let host_name = OsStr::from_bytes(name);
        let entry = |made_as: &OsStr| NewEntry {
            directory: self,
            made_as: Some(made_as.to_owned()),
            name: host_name.to_owned(),
        };
        match make(host_name) {
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.error(name, "create", errno)),
            Ok(made) => return Ok((made, entry(host_name))),
        }
        let there = rustix::fs::statat(&self.fd, host_name, NO_FOLLOW);
        let there = there.map_err(|e| self.error(name, "replace", e))?;
        match FileType::from_raw_mode(there.st_mode) {
            FileType::Directory => return Err(self.error(name, "replace", Errno::ISDIR)),
            FileType::RegularFile | FileType::BlockDevice => {
                disksmith_storage::check_replaceable(&self.path_of(name))?;
            }
            _ => {}
        }
        for count in 0..10_000 {
            let hidden = format!(".{}-{count}.part", std::process::id());
            match make(OsStr::new(&hidden)) {
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.error(name, "replace", errno)),
                Ok(made) => return Ok((made, entry(OsStr::new(&hidden)))),
            }
        }
        Err(self.error(name, "replace", Errno::EXIST))
    }
}

/// An entry of a directory that is being made.
#[derive(Debug)]
pub(super) struct NewEntry<'a> {
    directory: &'a OpenDirectory,
    /// The name that it has meanwhile; `None` when there is nothing to remove.
    made_as: Option<OsString>,
    name: OsString,
}

impl NewEntry<'_> {
    /// Gives the entry its name.
    pub(super) fn commit(mut self) -> Result<()> {
        let fd = &self.directory.fd;
        if let Some(made_as) = self.made_as.as_ref().filter(|made_as| **made_as != self.name) {
            rustix::fs::renameat(fd, made_as, fd, &self.name)
                .map_err(|e| self.directory.error(self.name.as_bytes(), "replace", e))?;
            // Two names of one file are left as they are by a rename.
            let _ = rustix::fs::unlinkat(fd, made_as, AtFlags::empty());
        }
        self.made_as = None;
        Ok(())
    }
}

impl Drop for NewEntry<'_> {
    fn drop(&mut self) {
        if let Some(made_as) = &self.made_as {
            let _ = rustix::fs::unlinkat(&self.directory.fd, made_as, AtFlags::empty());
        }
    }
}

/// Whether the process may give files to others.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A link in the last place is meant itself.
pub(super) const NO_FOLLOW: AtFlags = AtFlags::SYMLINK_NOFOLLOW;
