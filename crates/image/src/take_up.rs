//! What an image has only from below, copied into it before something else lies below.

use crate::error::{Error, Result};
use crate::worker::{self, Progress, check_cancelled};
use disksmith_qcow2::{GuestCluster, Qcow2Shadow};
use disksmith_storage::{Extent, Storage, StorageRef, ZeroMode, is_zero};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is compared at a time where clusters are not greater.
const PIECE: u64 = 1 << 20;

/// The work.
pub(crate) struct TakeUp {
    /// The image as the guest reads it now.
    pub(crate) view: StorageRef,
    /// The unit in which it holds things: a cluster, or a subcluster.
    pub(crate) granule: u64,
    /// How long its backing file is; zeroes follow.
    pub(crate) old_size: u64,
    /// What will lie below.
    pub(crate) new: Option<StorageRef>,
    /// What is held by the layers from this depth on will lie below too, unchanged.
    pub(crate) same_from: Option<u32>,
    /// Copies only what differs from what will lie below.
    pub(crate) compare: bool,
    /// Zeroes that the old backing file holds take space.
    pub(crate) write_out_zeroes: bool,
}

/// A range that the image does not hold itself.
struct Piece {
    offset: u64,
    len: u64,
    old_zero: bool,
    new_zero: bool,
}

#[derive(Default)]
struct Buffers {
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Where what is copied goes.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The image, or a change set of it.
    pub(crate) storage: &'a dyn Storage,
    /// The change set, where clusters are to be compressed.
    pub(crate) compressed: Option<&'a Qcow2Shadow>,
}

/// Copies into the image. Returns how many bytes of data went into it.
pub(crate) fn take_up(
    work: &TakeUp,
    target: Target<'_>,
    path: &Path,
    threads: usize,
    progress: &dyn Progress,
) -> Result<u64> {
    let size = work.view.size();
    let written = AtomicU64::new(0);
    // What is compressed is so in whole clusters.
    let granule = match target.compressed {
        Some(_) => target.storage.alignment().allocation,
        None => work.granule,
    };
    let mut planner = Planner {
        work,
        granule,
        piece: PIECE.max(granule),
        at: 0,
        size,
        new: None,
    };
    worker::run(
        threads,
        || {
            check_cancelled(progress)?;
            progress.advance(planner.at, size);
            planner.next()
        },
        |piece, buffers: &mut Buffers| {
            let n = work.carry(&piece, target, granule, path, buffers)?;
            progress.moved(n);
            written.fetch_add(n, Ordering::Relaxed);
            Ok(())
        },
    )?;
    progress.advance(size, size);
    Ok(written.into_inner())
}

struct Planner<'a> {
    work: &'a TakeUp,
    granule: u64,
    piece: u64,
    at: u64,
    size: u64,
    /// The run of the new backing file that the plan stands in: its start and what it is.
    new: Option<(u64, Extent)>,
}

impl Planner<'_> {
    /// The next range that may have to be copied.
    fn next(&mut self) -> Result<Option<Piece>> {
        while self.at < self.size {
            let offset = self.at;
            let left = self.size - offset;
            let old = self.work.view.extent_at(offset, left)?;
            let old_len = old.len.clamp(1, left);
            if old.depth == 0 {
                self.at += old_len;
                continue;
            }
            let (new, new_len) = self.new_at(offset, left)?;
            // Clusters in which several kinds meet are read as a whole.
            let whole = |len: u64| {
                let end = offset + len;
                if end >= self.size {
                    len
                } else {
                    len.saturating_sub(end % self.granule)
                }
            };
            let same_old = whole(old_len);
            let skip = self.work.same_from.is_some_and(|depth| old.depth >= depth);
            if same_old > 0 && offset.is_multiple_of(self.granule) && skip {
                self.at += same_old;
                continue;
            }
            let uniform = whole(old_len.min(new_len));
            if uniform == 0 || !offset.is_multiple_of(self.granule) {
                let end = (offset - offset % self.granule)
                    .saturating_add(self.granule)
                    .min(self.size);
                self.at = end;
                return Ok(Some(Piece {
                    offset,
                    len: end - offset,
                    old_zero: false,
                    new_zero: false,
                }));
            }
            let new_zero = new.reads_as_zero();
            let old_zero = old.reads_as_zero();
            let equal = old.host.is_some()
                && old.host == new.host
                && old.state == new.state
                && !old.compressed
                && !new.compressed;
            if old_zero && new_zero || equal && self.work.compare {
                self.at += uniform;
                continue;
            }
            let len = match old_zero && !self.work.compare {
                true => uniform,
                false => uniform.min(self.piece - offset % self.piece),
            };
            self.at += len;
            return Ok(Some(Piece {
                offset,
                len,
                old_zero,
                new_zero,
            }));
        }
        Ok(None)
    }

    /// How the new backing file holds the bytes at `offset`, and for how long.
    fn new_at(&mut self, offset: u64, limit: u64) -> Result<(Extent, u64)> {
        let new = self.work.new.as_ref().filter(|new| offset < new.size());
        let Some(new) = new else {
            return Ok((Extent::absent(limit), limit));
        };
        if let Some((start, extent)) = &self.new
            && offset >= *start
            && offset - start < extent.len
        {
            let behind = offset - start;
            let mut rest = extent.clone();
            rest.len = (extent.len - behind).min(limit);
            if let Some(host) = &mut rest.host {
                host.offset = host.offset.saturating_add(behind);
            }
            let len = rest.len;
            return Ok((rest, len));
        }
        let mut extent = new.extent_at(offset, new.size() - offset)?;
        extent.len = extent.len.max(1);
        self.new = Some((offset, extent.clone()));
        extent.len = extent.len.min(limit);
        let len = extent.len;
        Ok((extent, len))
    }
}

impl TakeUp {
    /// Copies a range, or what of it differs. Gives how many bytes of data went.
    fn carry(
        &self,
        piece: &Piece,
        target: Target<'_>,
        cluster: u64,
        path: &Path,
        buffers: &mut Buffers,
    ) -> Result<u64> {
        let len = piece.len as usize;
        if piece.old_zero && !self.compare {
            target
                .storage
                .write_zeroes(piece.offset, piece.len, ZeroMode::Unmap)?;
            return Ok(0);
        }
        buffers.old.clear();
        buffers.old.resize(len, 0);
        if !piece.old_zero {
            self.view.read_at(piece.offset, &mut buffers.old)?;
        }
        buffers.new.clear();
        if self.compare {
            buffers.new.resize(len, 0);
            if !piece.new_zero {
                self.read_new(piece.offset, &mut buffers.new)?;
            }
        }
        let mut done = 0;
        let mut written = 0;
        while done < len {
            // Runs of whole clusters that go, in one write.
            let start = done;
            let mut kind = None;
            while done < len {
                let end = (done + cluster as usize).min(len);
                let old = buffers.old.get(done..end).unwrap_or_default();
                let new = buffers.new.get(done..end);
                let this = self.kind(old, new, piece, piece.offset + done as u64);
                if *kind.get_or_insert(this) != this {
                    break;
                }
                done = end;
            }
            let offset = piece.offset + start as u64;
            let bytes = buffers.old.get(start..done).unwrap_or_default();
            match kind {
                Some(Kind::Data) => {
                    self.write(target, offset, bytes, cluster, path)?;
                    written += bytes.len() as u64;
                }
                Some(Kind::Zero) => {
                    target
                        .storage
                        .write_zeroes(offset, bytes.len() as u64, ZeroMode::Unmap)?;
                }
                Some(Kind::Same) | None => {}
            }
        }
        Ok(written)
    }

    fn kind(&self, old: &[u8], new: Option<&[u8]>, piece: &Piece, offset: u64) -> Kind {
        if self.compare && new == Some(old) {
            return Kind::Same;
        }
        let beyond = offset >= self.old_size;
        let zero = piece.old_zero || ((beyond || !self.write_out_zeroes) && is_zero(old));
        match zero {
            true if self.write_out_zeroes && !beyond => Kind::Data,
            true if !self.compare && (self.new.is_none() || piece.new_zero) => Kind::Same,
            true => Kind::Zero,
            false => Kind::Data,
        }
    }

    fn read_new(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let there = self.new.as_ref().map_or(0, |new| new.size());
        let present = there.saturating_sub(offset).min(buf.len() as u64) as usize;
        if let (Some(new), Some(part)) = (&self.new, buf.get_mut(..present))
            && present > 0
        {
            new.read_at(offset, part)?;
        }
        Ok(())
    }

    fn write(&self, target: Target<'_>, offset: u64, bytes: &[u8], cluster: u64, path: &Path) -> Result<()> {
        let Some(change_set) = target.compressed.filter(|_| offset.is_multiple_of(cluster)) else {
            return Ok(target.storage.write_at(offset, bytes)?);
        };
        let mut at = offset;
        for data in bytes.chunks(cluster as usize) {
            let whole = data.len() as u64 == cluster || at + data.len() as u64 == self.view.size();
            if whole {
                change_set
                    .write_compressed(GuestCluster(at / cluster), data, None)
                    .map_err(Error::qcow2(path))?;
            } else {
                target.storage.write_at(at, data)?;
            }
            at += data.len() as u64;
        }
        Ok(())
    }
}

/// What becomes of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Data,
    Zero,
}
