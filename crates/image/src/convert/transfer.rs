//! Carries the pieces of a plan from the source to the target, on several threads.

use crate::convert::plan::{PIECE, Piece, Planner};
use crate::error::{Error, Result};
use crate::worker::{self, Progress, check_cancelled};
use disksmith_qcow2::{GuestCluster, Qcow2};
use disksmith_storage::{Storage, StorageRef, ZeroMode, is_zero};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the data goes, and how.
pub(crate) struct Target<'a> {
    pub(crate) path: &'a Path,
    pub(crate) storage: StorageRef,
    /// The qcow2 image to write compressed clusters to.
    pub(crate) compressed: Option<Arc<Qcow2>>,
    /// From this offset on the target reads as zeroes.
    pub(crate) zero_from: u64,
    /// Zeroes are looked for in units of so many bytes; `None` writes zeroes as if they were data.
    pub(crate) detect: Option<u64>,
    /// The unit in which the target allocates.
    pub(crate) granule: u64,
    /// Only what the source's top layer holds goes over.
    pub(crate) top_only: bool,
    /// Try to have the operating system copy.
    pub(crate) copy_range: bool,
}

/// Carries over `size` bytes. Returns how many bytes of data were written.
pub(crate) fn transfer(
    source: &dyn Storage,
    target: &Target<'_>,
    size: u64,
    threads: usize,
    progress: &dyn Progress,
) -> Result<u64> {
    let mut planner = Planner::new(source, size, target.granule, target.top_only);
    let written = AtomicU64::new(0);
    worker::run(
        threads,
        || {
            check_cancelled(progress)?;
            progress.advance(planner.position(), size);
            planner.next()
        },
        |piece, buffer: &mut Vec<u8>| {
            let n = match piece {
                Piece::Zero { offset, len } => target.zero(offset, len, buffer, progress)?,
                Piece::Data { offset, len } => target.data(source, offset, len, buffer)?,
            };
            written.fetch_add(n, Ordering::Relaxed);
            Ok(())
        },
    )?;
    progress.advance(size, size);
    Ok(written.into_inner())
}

impl Target<'_> {
    /// Makes a range read as zeroes.
    fn zero(&self, offset: u64, len: u64, buffer: &mut Vec<u8>, progress: &dyn Progress) -> Result<u64> {
        if self.detect.is_some() {
            self.write_zeroes(offset, len)?;
            return Ok(0);
        }
        // Zeroes shall take space like data.
        buffer.clear();
        buffer.resize(len.min(PIECE) as usize, 0);
        let mut done = 0;
        while done < len {
            check_cancelled(progress)?;
            let n = (len - done).min(buffer.len() as u64);
            self.write(offset + done, buffer.get(..n as usize).unwrap_or_default())?;
            done += n;
        }
        Ok(len)
    }

    /// Copies a range that holds data.
    fn data(&self, source: &dyn Storage, offset: u64, len: u64, buffer: &mut Vec<u8>) -> Result<u64> {
        if self.copy_range && self.compressed.is_none() {
            let copied = self.storage.copy_range(offset, source, offset, len)?;
            if copied == len {
                return Ok(len);
            }
        }
        let present = source.size().saturating_sub(offset).min(len) as usize;
        buffer.resize(len as usize, 0);
        let (data, rest) = buffer.split_at_mut(present);
        source.read_at(offset, data).map_err(at(false, offset))?;
        rest.fill(0);
        let Some(unit) = self.detect else {
            self.write(offset, buffer)?;
            return Ok(len);
        };
        let mut written = 0;
        for run in Runs::new(buffer, unit as usize) {
            let at = offset + run.start as u64;
            let bytes = buffer.get(run.start..run.end).unwrap_or_default();
            if !run.zero {
                self.write(at, bytes)?;
                written += bytes.len() as u64;
            } else {
                self.write_zeroes(at, bytes.len() as u64)?;
            }
        }
        Ok(written)
    }

    /// Makes a range read as zeroes where it does not yet.
    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        let len = len.min(self.zero_from.saturating_sub(offset));
        if len > 0 {
            self.storage
                .write_zeroes(offset, len, ZeroMode::Unmap)
                .map_err(at(true, offset))?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(image) = &self.compressed else {
            return self.storage.write_at(offset, bytes).map_err(at(true, offset));
        };
        let mut at_byte = offset;
        for cluster in bytes.chunks(self.granule as usize) {
            let index = GuestCluster(at_byte / self.granule);
            image
                .write_compressed(index, cluster, None)
                .map_err(|error| at(true, at_byte)(Error::qcow2(self.path)(error)))?;
            at_byte += cluster.len() as u64;
        }
        Ok(())
    }
}

/// Adds to an error what was tried, and where.
fn at<E: Into<Error>>(writing: bool, offset: u64) -> impl FnOnce(E) -> Error {
    move |source| Error::Transfer {
        writing,
        offset,
        source: Box::new(source.into()),
    }
}

/// A part of a buffer that is all zeroes, or in which no unit is.
struct Run {
    start: usize,
    end: usize,
    zero: bool,
}

/// Cuts a buffer into runs by units.
struct Runs<'a> {
    buffer: &'a [u8],
    unit: usize,
    at: usize,
}

impl<'a> Runs<'a> {
    fn new(buffer: &'a [u8], unit: usize) -> Self {
        Self {
            buffer,
            unit: unit.max(512),
            at: 0,
        }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let start = self.at;
        let rest = self.buffer.get(start..).filter(|r| !r.is_empty())?;
        let mut units = rest.chunks(self.unit);
        let first = units.next()?;
        let zero = is_zero(first);
        let mut end = start + first.len();
        for unit in units {
            if is_zero(unit) != zero {
                break;
            }
            end += unit.len();
        }
        self.at = end;
        Some(Run { start, end, zero })
    }
}
