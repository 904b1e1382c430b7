//! The trait that every layer of bytes implements, and the few operations defined over all of them.

use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::host_file::HostFile;
use std::fmt::Debug;
use std::sync::Arc;

/// A storage that several owners share.
pub type StorageRef = Arc<dyn Storage>;

/// What a caller wants of a range that shall read as zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroMode {
    /// Give the space back where that is possible.
    Unmap,
    /// Keep the space allocated where that is possible.
    Keep,
}

/// Granularities, in bytes; each a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alignment {
    /// Requests that are not multiples of this cost an extra read, or bounce, inside.
    pub io: u64,
    /// The unit in which space is allocated (a qcow2 cluster).
    pub allocation: u64,
}

/// A range of a storage that lies, plainly and in one piece, in an open host file.
#[derive(Debug, Clone, Copy)]
pub struct HostSpan<'a> {
    /// The open file.
    pub file: &'a HostFile,
    /// Byte offset of the range in the file.
    pub offset: u64,
    /// How many bytes of the range asked for lie there; at least 1.
    pub len: u64,
}

/// Bytes at an offset.
///
/// Offsets and lengths are bytes. All calls are exact: they do the whole range or fail. A failed write may
/// have changed a part of its range. A range that reaches beyond [`size`](Self::size) is
/// [`Error::OutOfBounds`], and nothing was done. Ranges of length 0 are no error.
pub trait Storage: Send + Sync + Debug {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// How this storage is named in messages: the path as the user gave it, with the part of it meant.
    fn name(&self) -> String;

    /// Whether it was opened for writing.
    fn is_writable(&self) -> bool;

    /// Fills `buf` from `offset`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `buf` at `offset`. Does not extend the storage.
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()>;

    /// Makes a range read as zeroes.
    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        let _ = mode;
        let zeroes = vec![0u8; len.min(64 * 1024) as usize];
        let (mut at, mut left) = (offset, len);
        while left > 0 {
            let n = left.min(zeroes.len() as u64);
            self.write_at(at, zeroes.get(..n as usize).unwrap_or(&[]))?;
            at = at.saturating_add(n);
            left -= n;
        }
        Ok(())
    }

    /// Says that the contents of a range no longer matter. A hint: afterwards each byte reads as zero or as before.
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Makes everything written so far durable.
    fn flush(&self) -> Result<()>;

    /// Changes the size; a part that is new reads as zeroes.
    fn set_size(&self, size: u64) -> Result<()> {
        let _ = size;
        Err(Error::Unsupported {
            object: self.name(),
            operation: "changing the size",
        })
    }

    /// How the bytes at `offset` are held, for the longest run of one kind but at most `limit` bytes (at least 1).
    /// May say [`crate::ExtentState::Data`] where it does not know better.
    ///
    /// # Errors
    /// `offset` at or beyond the end is [`Error::OutOfBounds`].
    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        Ok(Extent::data(limit.max(1).min(self.size().saturating_sub(offset))))
    }

    /// The granularities of this storage.
    fn alignment(&self) -> Alignment {
        Alignment { io: 1, allocation: 1 }
    }

    /// Copies `len` bytes of `source` from `source_offset` to `offset` inside the operating system (reflink or
    /// `copy_file_range`), where both ends lie plainly in host files. Returns how many bytes were copied from the
    /// start of the range: fewer, or 0, where it is not possible; the caller then reads and writes.
    fn copy_range(&self, offset: u64, source: &dyn Storage, source_offset: u64, len: u64) -> Result<u64> {
        let _ = (offset, source, source_offset, len);
        Ok(0)
    }

    /// Where a range lies in an open host file, if it lies there plainly (not compressed, encrypted or staged
    /// elsewhere): the longest piece from `offset` that does, at most `len` bytes. `None` where it does not, or
    /// where that is not known.
    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        let _ = (offset, len);
        None
    }

    /// Checks that a range lies inside the storage.
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        let size = self.size();
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(()),
            _ => Err(Error::OutOfBounds {
                object: self.name(),
                offset,
                len,
                size,
            }),
        }
    }
}

/// Reads `len` bytes at `offset` into a new vector. The length is checked against the size before memory is taken.
pub fn read_vec(storage: &dyn Storage, offset: u64, len: usize) -> Result<Vec<u8>> {
    storage.check_range(offset, len as u64)?;
    let mut buf = vec![0; len];
    storage.read_at(offset, &mut buf)?;
    Ok(buf)
}

/// Copies a range from one storage to another, inside the operating system where that can be done, skipping what is known to read as zeroes when
/// `target_is_zero` says that the target range reads as zeroes already.
pub fn copy(
    source: &dyn Storage,
    source_offset: u64,
    target: &dyn Storage,
    target_offset: u64,
    len: u64,
    target_is_zero: bool,
) -> Result<()> {
    source.check_range(source_offset, len)?;
    target.check_range(target_offset, len)?;
    let mut buf = Vec::new();
    let mut done = 0;
    while done < len {
        let extent = source.extent_at(source_offset + done, len - done)?;
        let run = extent.len.min(len - done);
        if extent.reads_as_zero() {
            if !target_is_zero {
                target.write_zeroes(target_offset + done, run, ZeroMode::Unmap)?;
            }
            done += run;
            continue;
        }
        let copied = target
            .copy_range(target_offset + done, source, source_offset + done, run)?
            .min(run);
        done += copied;
        let mut left = run - copied;
        while left > 0 {
            let n = left.min(1 << 20) as usize;
            buf.resize(n, 0);
            source.read_at(source_offset + done, &mut buf)?;
            target.write_at(target_offset + done, &buf)?;
            done += n as u64;
            left -= n as u64;
        }
    }
    Ok(())
}

/// Writes the first 4096 bytes out as zeroes (512, where there are fewer), so that they take space, as QEMU does where a raw
/// image gets its size: programs learn from reading an allocated block at the start how direct reads must be aligned.
///
/// # Errors
/// Those of writing.
pub fn fill_first_block(storage: &dyn Storage) -> Result<()> {
    let zeroes = [0; 4096];
    let len = match storage.size() {
        4096.. => 4096,
        size => size.min(512) as usize,
    };
    storage.write_at(0, zeroes.get(..len).unwrap_or_default())
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks_exact(128);
    for block in &mut blocks {
        if block.iter().fold(0u8, |acc, b| acc | b) != 0 {
            return false;
        }
    }
    blocks.remainder().iter().all(|b| *b == 0)
}
