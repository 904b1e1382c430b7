//! What the operating system offers for files beyond reading and writing. A port to another system starts here.

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// Whether a run of a file is data or a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Data up to this offset.
    Data(u64),
    /// A hole up to this offset; `u64::MAX` where it reaches the end of the file.
    Hole(u64),
}

/// How the byte at `offset` is held, and how far that goes. Data without end where the filesystem cannot tell.
pub(super) fn run_at(file: &File, offset: u64) -> io::Result<Run> {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) if data > offset => return Ok(Run::Hole(data)),
        Ok(_) => {}
        Err(Errno::NXIO) => return Ok(Run::Hole(u64::MAX)),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Run::Data(u64::MAX)),
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::seek(file, SeekFrom::Hole(offset)) {
        // A hole that appeared just now, under somebody else's hand: one byte of data is always a true answer.
        Ok(hole) => Ok(Run::Data(hole.max(offset.saturating_add(1)))),
        Err(Errno::NXIO) => Ok(Run::Hole(u64::MAX)),
        Err(error) => Err(error.into()),
    }
}

/// Length of a file or block device.
pub(super) fn length(file: &File) -> io::Result<u64> {
    Ok(rustix::fs::seek(file, SeekFrom::End(0))?)
}

fn fallocate(file: &File, flags: FallocateFlags, offset: u64, len: u64) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    loop {
        match rustix::fs::fallocate(file, flags, offset, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes a range a hole. `false`: this file cannot.
pub(super) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    fallocate(
        file,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        offset,
        len,
    )
}

/// Makes a range read as zeroes and keeps its space. `false`: this file cannot.
pub(super) fn zero_range(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    fallocate(
        file,
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        offset,
        len,
    )
}

/// Takes space for a range, which keeps what it holds. `false`: this file cannot.
pub(super) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    fallocate(file, FallocateFlags::KEEP_SIZE, offset, len)
}

/// Copies a range between files inside the kernel; returns how much was copied, 0 where it cannot be done.
pub(super) fn copy_range(
    from: &File,
    from_offset: u64,
    to: &File,
    to_offset: u64,
    len: u64,
) -> io::Result<u64> {
    let (mut source, mut target) = (from_offset, to_offset);
    let mut done = 0;
    while done < len {
        // One call's length is bounded, so that it stays interruptible.
        let n = (len - done).min(1 << 30) as usize;
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), n) {
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(Errno::INTR) => {}
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => return Err(error.into()),
            // Anything else (other filesystem, no such call, overlap): the plain way will do, or tell why not.
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Makes all of `to` share the blocks of `from`. `false`: this filesystem cannot.
pub(super) fn reflink(from: &File, to: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::XDEV | Errno::NOTTY | Errno::PERM) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
