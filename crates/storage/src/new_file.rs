//! Files that appear under their name only when they are complete.

use crate::error::{Error, Result};
use crate::host_file::{HostFile, OpenMode};
use crate::lock::LockMode;
use crate::storage::Storage;
use rustix::fs::{AtFlags, RenameFlags};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What happens when the name of a new file is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// An error, and the file there stays.
    Refuse,
    /// The new file takes its place, in one step.
    Replace,
}

/// How far a new file is made durable when it gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Contents and name are on the disk on return.
    Sync,
    /// Left to the operating system, or to a [`sync_directory`] and `syncfs` after many files.
    Deferred,
}

/// A file that is being made. It has no name, or where the filesystem does not allow that a hidden one beside its target, and is
/// gone again unless [`commit`](Self::commit) gives it its own.
#[derive(Debug)]
pub struct NewFile {
    file: Arc<HostFile>,
    temporary: Option<PathBuf>,
    target: PathBuf,
}

impl NewFile {
    /// Starts a file that shall be called `target`, empty, open for reading and writing, and locked. Where `target`
    /// is a symbolic link, the file is meant that it leads to, be it there or not. A file that takes another's place gets its permissions.
    ///
    /// # Errors
    /// [`Error::Locked`] where somebody writes to the file that would be replaced; those of creating a file.
    pub fn create(target: impl AsRef<Path>, existing: Existing) -> Result<Self> {
        let named = target.as_ref();
        let fail = |source| Error::io(named.display().to_string(), "create", None, source);
        if existing == Existing::Refuse && named.symlink_metadata().is_ok() {
            return Err(fail(io::ErrorKind::AlreadyExists.into()));
        }
        let target = std::fs::canonicalize(named).unwrap_or_else(|_| behind_links(named));
        let Some(file_name) = target.file_name() else {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        };
        if target.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        if existing == Existing::Replace {
            refuse_special(named, &target)?;
            refuse_in_use(&target)?;
        }
        let directory = directory_of(&target);
        let (file, temporary) = match open_nameless(directory) {
            Some(file) => (file, None),
            None => {
                let (file, temporary) = with_free_name(&target, file_name, |temporary| {
                    OpenOptions::new()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(temporary)
                })
                .map_err(fail)?;
                (file, Some(temporary))
            }
        };
        if let Ok(old) = std::fs::metadata(&target) {
            // The owner may be another one; then the new file is as new files are.
            let _ = file.set_permissions(old.permissions());
        }
        let file = HostFile::adopt(file, named, OpenMode::Write, LockMode::Lock).inspect_err(|_| {
            if let Some(temporary) = &temporary {
                let _ = std::fs::remove_file(temporary);
            }
        })?;
        Ok(Self {
            file: Arc::new(file),
            temporary,
            target,
        })
    }

    /// The file, to be written.
    pub fn file(&self) -> &Arc<HostFile> {
        &self.file
    }

    /// Gives the file its name. On an error the file is removed, and what had the name before still has it.
    pub fn commit(mut self, existing: Existing, durability: Durability) -> Result<Arc<HostFile>> {
        let fail = |source| Error::io(self.file.name(), "create", None, source);
        if durability == Durability::Sync {
            self.file.sync_all()?;
        }
        match (self.temporary.clone(), existing) {
            (None, Existing::Refuse) => give_name(self.file.file(), &self.target).map_err(fail)?,
            // Mostly nothing is there: then a kill leaves nothing behind.
            (None, Existing::Replace) if give_name(self.file.file(), &self.target).is_ok() => {}
            (None, Existing::Replace) => {
                let name = self.target.file_name().unwrap_or_default().to_owned();
                let named = with_free_name(&self.target, &name, |temporary| {
                    give_name(self.file.file(), temporary)
                });
                let ((), temporary) = named.map_err(fail)?;
                self.temporary = Some(temporary.clone());
                std::fs::rename(&temporary, &self.target).map_err(fail)?;
            }
            (Some(temporary), Existing::Replace) => {
                std::fs::rename(&temporary, &self.target).map_err(fail)?;
            }
            (Some(temporary), Existing::Refuse) => {
                rename_to_free_name(&temporary, &self.target).map_err(fail)?;
            }
        }
        self.temporary = None;
        if durability == Durability::Sync {
            sync_directory(&self.target)?;
        }
        Ok(Arc::clone(&self.file))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary
            && let Err(error) = std::fs::remove_file(path)
        {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Refuses to take the place of a device, a pipe or a socket: whoever names one means what is behind it.
fn refuse_special(named: &Path, target: &Path) -> Result<()> {
    match std::fs::metadata(target) {
        Ok(there) if !there.is_file() => Err(Error::Unsupported {
            object: named.display().to_string(),
            operation: "putting a regular file in the place of a special one",
        }),
        _ => Ok(()),
    }
}

/// Refuses to take the place of a file that somebody writes to: he would go on with a file that has no name any more.
fn refuse_in_use(target: &Path) -> Result<()> {
    if !target.is_file() {
        return Ok(());
    }
    match HostFile::open(target, OpenMode::Read, LockMode::Lock) {
        Err(error @ Error::Locked { .. }) => Err(error),
        // Whoever may not read it may replace it all the same.
        _ => Ok(()),
    }
}

/// The file that a symbolic link leads to which is not there. Links that lead nowhere but to each other stay what they are.
fn behind_links(named: &Path) -> PathBuf {
    /// As many as the kernel follows.
    const MOST: usize = 40;
    let mut path = named.to_owned();
    for _ in 0..MOST {
        match std::fs::read_link(&path) {
            Ok(next) => path = directory_of(&path).join(next),
            Err(_) => return path,
        }
    }
    named.to_owned()
}

/// The directory that a file lies in.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file without a name in this directory, which is gone by itself when the process ends, however it ends. `None` where the
/// filesystem, or the missing `/proc`, does not allow it.
fn open_nameless(directory: &Path) -> Option<File> {
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_TMPFILE);
    options.open(directory).ok()
}

/// Gives a file without a name its first one, which must be free (open(2), `O_TMPFILE`).
fn give_name(file: &File, path: &Path) -> io::Result<()> {
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(
        rustix::fs::CWD,
        descriptor,
        rustix::fs::CWD,
        path,
        AtFlags::SYMLINK_FOLLOW,
    )?;
    Ok(())
}

/// Tries hidden names beside the target until one is free.
fn with_free_name<T>(
    target: &Path,
    file_name: &std::ffi::OsStr,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = target.with_file_name(hidden_name(file_name, count));
        match make(&temporary) {
            Ok(made) => return Ok((made, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn hidden_name(name: &std::ffi::OsStr, count: u32) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{count}.part", std::process::id()));
    hidden
}

/// Renames in one step, and only if nothing has the new name.
fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            // A filesystem without that call: a second name can be given only where none is.
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the entry of `path` in its directory durable, after it was made, renamed or removed.
pub fn sync_directory(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .or_else(|error| match error.raw_os_error() {
            // Some network filesystems have no such call; their directories are written through.
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Ok(()),
            _ => Err(error),
        })
        .map_err(|source| Error::io(directory.display().to_string(), "flush", None, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn appears_when_complete() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk.raw");
        let new = NewFile::create(&target, Existing::Refuse).unwrap();
        new.file().set_size(3).unwrap();
        new.file().write_at(0, b"abc").unwrap();
        assert!(!target.exists());
        let file = new.commit(Existing::Refuse, Durability::Sync).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"abc");
        assert_eq!(file.name(), target.display().to_string());
        assert_eq!(entries(directory.path()), ["disk.raw"]);
    }

    #[test]
    fn is_made_where_a_link_leads_that_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("sub")).unwrap();
        std::os::unix::fs::symlink("second", path("first")).unwrap();
        std::os::unix::fs::symlink("sub/there", path("second")).unwrap();
        let new = NewFile::create(path("first"), Existing::Replace).unwrap();
        new.file().set_size(3).unwrap();
        new.commit(Existing::Replace, Durability::Deferred).unwrap();
        assert_eq!(std::fs::metadata(path("sub/there")).unwrap().len(), 3);
        assert!(path("first").is_symlink() && path("second").is_symlink());
        assert!(NewFile::create(path("first"), Existing::Refuse).is_err());
        std::os::unix::fs::symlink("missing/there", path("third")).unwrap();
        assert!(NewFile::create(path("third"), Existing::Replace).is_err());
        assert!(path("third").is_symlink());
    }

    #[test]
    fn leaves_nothing_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let new = NewFile::create(directory.path().join("x"), Existing::Refuse).unwrap();
        drop(new);
        assert!(entries(directory.path()).is_empty());
    }

    #[test]
    fn keeps_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x");
        let new = NewFile::create(&target, Existing::Refuse).unwrap();
        std::fs::write(&target, "old").unwrap();
        assert!(NewFile::create(&target, Existing::Refuse).is_err());
        assert!(new.commit(Existing::Refuse, Durability::Sync).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(entries(directory.path()), ["x"]);
        let new = NewFile::create(&target, Existing::Replace).unwrap();
        new.commit(Existing::Replace, Durability::Deferred).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"");
    }

    #[test]
    fn follows_a_link_to_what_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        let link = directory.path().join("link");
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        std::fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        let new = NewFile::create(&link, Existing::Replace).unwrap();
        new.commit(Existing::Replace, Durability::Sync).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&real.metadata().unwrap().permissions()) & 0o777,
            0o640
        );
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&real).unwrap(), b"");
    }
}
