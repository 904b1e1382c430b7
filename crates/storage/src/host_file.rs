//! Files and block devices of the host.

mod loop_device;
mod system;

use crate::error::{Error, Result};
use crate::extent::{Extent, ExtentState, HostLocation};
use crate::lock::{self, LockMode};
use crate::storage::{Alignment, HostSpan, Storage, ZeroMode};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Below this, zeroes are written out: changing the file's extent map would cost more.
const SMALL_ZEROES: u64 = 4096;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// Which file this is, whatever its name: device and inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Number of the device that holds it (for a block device: its own number).
    pub device: u64,
    /// Inode number on that device; 0 for a block device.
    pub inode: u64,
}

impl FileId {
    /// The file that has this name, through links.
    pub fn of_path(path: &Path) -> Result<Self> {
        let fail = |source| Error::io(path.display().to_string(), "examine", None, source);
        Ok(Self::of(&std::fs::metadata(path).map_err(fail)?))
    }

    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        if metadata.file_type().is_block_device() {
            // The node in /dev may be made anew at each boot; the device number is what stays.
            Self {
                device: metadata.rdev(),
                inode: 0,
            }
        } else {
            Self {
                device: metadata.dev(),
                inode: metadata.ino(),
            }
        }
    }
}

/// A regular file or block device of the host, opened with QEMU's locks on it.
///
/// Writes inside the size go straight to the page cache; [`Storage::flush`] makes them durable.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    path: Arc<Path>,
    id: FileId,
    size: AtomicU64,
    writable: bool,
    block_device: bool,
    lock: LockMode,
    punches: AtomicBool,
    zeroes: AtomicBool,
}

impl HostFile {
    /// Opens a file or block device.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process uses it in a way that excludes this use; [`Error::Attached`] where a loop device
    /// stands on a file that would be written; [`Error::Unsupported`]
    /// for a directory, pipe, socket or character device.
    pub fn open(path: impl AsRef<Path>, mode: OpenMode, lock: LockMode) -> Result<Self> {
        let path = path.as_ref();
        if mode == OpenMode::Write && lock == LockMode::ForceShare {
            return Err(Error::Unsupported {
                object: path.display().to_string(),
                operation: "sharing with a process that writes, while writing",
            });
        }
        let fail = |source| Error::io(path.display().to_string(), "open", None, source);
        // Looked at before it is opened: opening a pipe would wait, opening a tape would wind it.
        check_kind(path, &std::fs::metadata(path).map_err(fail)?)?;
        let mut options = OpenOptions::new();
        options.read(true).write(mode == OpenMode::Write);
        let mut flags = libc::O_NONBLOCK;
        if std::fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device()) {
            // For a block device this means: fail if it is mounted, or part of something that is.
            flags = if mode == OpenMode::Write && lock == LockMode::Lock {
                libc::O_EXCL
            } else {
                0
            };
        }
        let file = match options.custom_flags(flags).open(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                return Err(Error::Locked {
                    path: path.into(),
                    holders: Vec::new(),
                });
            }
            other => other.map_err(fail)?,
        };
        let file = Self::adopt(file, path, mode, lock)?;
        if mode == OpenMode::Write && lock == LockMode::Lock {
            loop_device::refuse_attached(path, file.id)?;
        }
        Ok(file)
    }

    /// Makes a file that must not exist yet, empty, open for reading and writing and locked. It stays if it is not
    /// wanted after all; see [`crate::NewFile`] for one that does not.
    pub fn create_new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| Error::io(path.display().to_string(), "create", None, source))?;
        Self::adopt(file, path, OpenMode::Write, LockMode::Lock)
    }

    /// The open file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Takes over a file that is open already, under the name `path`.
    pub(crate) fn adopt(file: File, path: &Path, mode: OpenMode, lock: LockMode) -> Result<Self> {
        let fail = |source| Error::io(path.display().to_string(), "open", None, source);
        let metadata = file.metadata().map_err(fail)?;
        check_kind(path, &metadata)?;
        lock::take(&file, path, mode, lock)?;
        let block_device = metadata.file_type().is_block_device();
        // Asked after the lock was taken: whoever had it may have changed the size.
        let size = system::length(&file).map_err(fail)?;
        Ok(Self {
            file,
            path: path.into(),
            id: FileId::of(&metadata),
            size: AtomicU64::new(size),
            writable: mode == OpenMode::Write,
            block_device,
            lock,
            punches: AtomicBool::new(true),
            zeroes: AtomicBool::new(true),
        })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Whether it is a block device.
    pub fn is_block_device(&self) -> bool {
        self.block_device
    }

    /// How it was locked when it was opened.
    pub fn lock_mode(&self) -> LockMode {
        self.lock
    }

    /// How many bytes of the host's disk it takes; its size for a block device.
    pub fn allocated(&self) -> Result<u64> {
        if self.block_device {
            return Ok(self.size());
        }
        let metadata = self.file.metadata().map_err(|e| self.error("examine", None, e))?;
        Ok(metadata.blocks().saturating_mul(512))
    }

    /// The file's metadata as it is now.
    pub fn metadata(&self) -> Result<std::fs::Metadata> {
        self.file.metadata().map_err(|e| self.error("examine", None, e))
    }

    /// Takes space for a range, whose contents stay as they are: writes to it do not run out of space afterwards
    /// (on filesystems that write in place). A hole stays one as far as its contents go.
    pub fn preallocate(&self, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        self.check_range(offset, len)?;
        if self.block_device {
            return Ok(());
        }
        match system::allocate(&self.file, offset, len) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return Err(self.error("take space in", Some(offset), error)),
        }
        // No such call here: fill the holes, which changes nothing that anybody can see.
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let extent = self.extent_at(at, end - at)?;
            if extent.state == ExtentState::Zero {
                self.write_out_zeroes(at, extent.len)?;
            }
            at += extent.len;
        }
        Ok(())
    }

    /// Takes space for a range that may reach beyond the end, which does not move. Where the filesystem cannot do
    /// that, holes inside the size are filled, and nothing is done beyond it.
    pub(crate) fn preallocate_beyond(&self, offset: u64, len: u64) -> Result<()> {
        match system::allocate(&self.file, offset, len) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let inside = self.size().saturating_sub(offset).min(len);
                if inside == 0 {
                    Ok(())
                } else {
                    self.preallocate(offset, inside)
                }
            }
            Err(error) => Err(self.error("take space in", Some(offset), error)),
        }
    }

    /// Gives space back that [`preallocate_beyond`](Self::preallocate_beyond) took and that was not used.
    pub(crate) fn release(&self, offset: u64, len: u64) -> Result<()> {
        if offset.saturating_add(len) > self.size() {
            // Cutting a file at its own end frees what lies beyond.
            self.file
                .set_len(self.size())
                .map_err(|e| self.error("give back space of", None, e))?;
        }
        self.punch(offset, len).map(drop)
    }

    /// Makes the whole of this file a copy of `source` that shares its blocks. `false`, and nothing done, where
    /// the filesystem cannot do that.
    pub fn reflink_from(&self, source: &HostFile) -> Result<bool> {
        self.check_writable()?;
        let done =
            system::reflink(&source.file, &self.file).map_err(|e| self.error("clone into", None, e))?;
        if done {
            let size = system::length(&self.file).map_err(|e| self.error("examine", None, e))?;
            self.size.store(size, Ordering::Release);
        }
        Ok(done)
    }

    /// Makes everything durable, with the file's times and mode too.
    pub fn sync_all(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| self.error("flush", None, e))
    }

    fn error(&self, operation: &'static str, offset: Option<u64>, source: io::Error) -> Error {
        Error::io(self.name(), operation, offset, source)
    }

    fn check_writable(&self) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(Error::ReadOnly { object: self.name() })
    }

    fn write_out_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        const BLOCK: usize = 64 * 1024;
        static ZEROES: [u8; BLOCK] = [0; BLOCK];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(BLOCK as u64);
            self.file
                .write_all_at(ZEROES.get(..n as usize).unwrap_or(&ZEROES), offset + done)
                .map_err(|e| self.error("write", Some(offset + done), e))?;
            done += n;
        }
        Ok(())
    }

    /// Makes a range a hole; `false` where that cannot be done here.
    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        if !self.punches.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let done = system::punch_hole(&self.file, offset, len)
            .map_err(|e| self.error("punch a hole in", Some(offset), e))?;
        // A block device refuses ranges that are not whole sectors; the next range may be fine.
        if !done && !self.block_device {
            self.punches.store(false, Ordering::Relaxed);
        }
        Ok(done)
    }

    /// Zeroes a range and keeps its space; `false` where that cannot be done here.
    fn zero(&self, offset: u64, len: u64) -> Result<bool> {
        if self.zeroes.load(Ordering::Relaxed) {
            let done = system::zero_range(&self.file, offset, len)
                .map_err(|e| self.error("zero a range of", Some(offset), e))?;
            if done {
                return Ok(true);
            }
            if !self.block_device {
                self.zeroes.store(false, Ordering::Relaxed);
            }
        }
        if self.block_device {
            return Ok(false);
        }
        // tmpfs has no zero-range, but can punch and take space anew.
        Ok(self.punch(offset, len)?
            && system::allocate(&self.file, offset, len)
                .map_err(|e| self.error("take space in", Some(offset), e))?)
    }
}

/// Whether this is Linux's `/dev/null` or `/dev/zero`: as a disk, one without content.
fn is_null(metadata: &std::fs::Metadata) -> bool {
    metadata.file_type().is_char_device()
        && rustix::fs::major(metadata.rdev()) == 1
        && [3, 5].contains(&rustix::fs::minor(metadata.rdev()))
}

fn check_kind(path: &Path, metadata: &std::fs::Metadata) -> Result<()> {
    let kind = metadata.file_type();
    let operation = if kind.is_file() || kind.is_block_device() || is_null(metadata) {
        return Ok(());
    } else if kind.is_dir() {
        "opening a directory as a disk image"
    } else {
        "opening a pipe, socket or character device as a disk image"
    };
    Err(Error::Unsupported {
        object: path.display().to_string(),
        operation,
    })
}

impl Storage for HostFile {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        self.file
            .read_exact_at(buf, offset)
            .map_err(|e| self.error("read", Some(offset), e))
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.check_range(offset, buf.len() as u64)?;
        self.file
            .write_all_at(buf, offset)
            .map_err(|e| self.error("write", Some(offset), e))
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.check_writable()?;
        self.check_range(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let done = len >= SMALL_ZEROES
            && match mode {
                ZeroMode::Unmap => self.punch(offset, len)? || self.zero(offset, len)?,
                ZeroMode::Keep => self.zero(offset, len)?,
            };
        if done {
            Ok(())
        } else {
            self.write_out_zeroes(offset, len)
        }
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        self.check_range(offset, len)?;
        if len > 0 {
            self.punch(offset, len)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        if !self.writable {
            return Ok(());
        }
        self.file.sync_data().map_err(|e| self.error("flush", None, e))
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.check_writable()?;
        if self.block_device {
            return Err(Error::Unsupported {
                object: self.name(),
                operation: "changing the size of a block device",
            });
        }
        // Cutting an empty file to nothing is no idle call: it has ext4 write the whole file out when it is closed.
        let resized = match self.file.metadata() {
            Ok(metadata) if metadata.len() == size => Ok(()),
            _ => self.file.set_len(size),
        };
        resized.map_err(|e| self.error("change the size of", None, e))?;
        self.size.store(size, Ordering::Release);
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let limit = limit.max(1).min(self.size() - offset);
        let run = if self.block_device {
            system::Run::Data(u64::MAX)
        } else {
            system::run_at(&self.file, offset).map_err(|e| self.error("map", Some(offset), e))?
        };
        let (state, end) = match run {
            system::Run::Data(end) => (ExtentState::Data, end),
            system::Run::Hole(end) => (ExtentState::Zero, end),
        };
        Ok(Extent {
            len: limit.min(end.saturating_sub(offset)).max(1),
            state,
            depth: 0,
            compressed: false,
            host: Some(HostLocation {
                file: Arc::clone(&self.path),
                offset,
            }),
        })
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: if self.block_device { 512 } else { 1 },
            allocation: 4096,
        }
    }

    fn copy_range(&self, offset: u64, source: &dyn Storage, source_offset: u64, len: u64) -> Result<u64> {
        self.check_writable()?;
        self.check_range(offset, len)?;
        source.check_range(source_offset, len)?;
        let mut done = 0;
        while done < len {
            let Some(span) = source.host_span(source_offset + done, len - done) else {
                break;
            };
            let n = span.len.min(len - done);
            let copied = system::copy_range(&span.file.file, span.offset, &self.file, offset + done, n)
                .map_err(|e| self.error("write", Some(offset + done), e))?;
            done += copied;
            if copied < n {
                break;
            }
        }
        Ok(done)
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        if len == 0 || self.check_range(offset, 1).is_err() {
            return None;
        }
        Some(HostSpan {
            file: self,
            offset,
            len: len.min(self.size() - offset),
        })
    }
}

#[cfg(test)]
mod tests;
