//! What the upper images of a chain hold, carried into the image below them.

use crate::error::Result;
use crate::worker::{self, Progress, check_cancelled};
use disksmith_storage::{Storage, ZeroMode};
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is moved at a time where clusters are not greater.
const PIECE: u64 = 1 << 20;

/// A range that is to be written.
struct Piece {
    offset: u64,
    len: u64,
    zero: bool,
}

/// Writes everything into `target` that `source` holds in its upper `layers` images. The target is at least as long. Returns how many bytes
/// of data went.
pub(crate) fn carry_down(
    source: &dyn Storage,
    layers: u32,
    target: &dyn Storage,
    threads: usize,
    progress: &dyn Progress,
) -> Result<u64> {
    let size = source.size();
    let piece = PIECE.max(target.alignment().allocation);
    let mut at = 0;
    let written = AtomicU64::new(0);
    let plan = || {
        check_cancelled(progress)?;
        while at < size {
            let offset = at;
            let extent = source.extent_at(offset, size - offset)?;
            let mut len = extent.len.clamp(1, size - offset);
            let zero = extent.reads_as_zero();
            if extent.depth < layers && !zero {
                len = len.min(piece - offset % piece);
            }
            at += len;
            if extent.depth < layers {
                progress.advance(offset, size);
                return Ok(Some(Piece { offset, len, zero }));
            }
        }
        Ok(None)
    };
    worker::run(threads, plan, |piece: Piece, buffer: &mut Vec<u8>| {
        if piece.zero {
            return Ok(target.write_zeroes(piece.offset, piece.len, ZeroMode::Unmap)?);
        }
        progress.moved(piece.len);
        buffer.resize(piece.len as usize, 0);
        source.read_at(piece.offset, buffer)?;
        target.write_at(piece.offset, buffer)?;
        written.fetch_add(piece.len, Ordering::Relaxed);
        Ok(())
    })?;
    progress.advance(size, size);
    Ok(written.into_inner())
}
