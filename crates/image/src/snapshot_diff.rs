//! What differs between two internal snapshots of an image, or one and the disk as it is now.

use crate::error::{Error, Result};
use crate::image::Image;
use crate::open::OpenOptions;
use crate::worker::{Progress, check_cancelled};
use disksmith_qcow2::{Qcow2, SnapshotKey};
use disksmith_storage::{Extent, Storage};
use std::path::Path;
use std::sync::Arc;

/// The unit in which differences are told.
const UNIT: usize = 4096;
/// How much is read at a time.
const PIECE: u64 = 256 << 10;
/// So many ranges are listed at most.
pub const MAX_DIFF_RANGES: usize = 1 << 18;

/// Where two states of a disk differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotDiff {
    /// The size of the first disk in bytes.
    pub from_size: u64,
    /// The size of the second disk in bytes.
    pub to_size: u64,
    /// Offset and length of each range that differs, in order; the first [`MAX_DIFF_RANGES`]. A part that only one disk has is taken
    /// as zeroes of the other.
    pub ranges: Vec<(u64, u64)>,
    /// How many bytes all ranges have, also those that are not listed.
    pub different: u64,
}

/// Compares the disk of a snapshot of the image at `path` with that of another one, or with the disk as it is now.
///
/// # Errors
/// Those of opening and reading; where there is no such snapshot.
pub fn snapshot_diff(
    path: &Path,
    from: SnapshotKey<'_>,
    to: Option<SnapshotKey<'_>>,
    open: &OpenOptions,
    progress: &dyn Progress,
) -> Result<SnapshotDiff> {
    let image = Image::open(path, open)?;
    let a = snapshot_disk(&image, Some(from))?;
    let b = snapshot_disk(&image, to)?;
    let mut diff = SnapshotDiff {
        from_size: a.size(),
        to_size: b.size(),
        ..SnapshotDiff::default()
    };
    let size = diff.from_size.max(diff.to_size);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < size {
        check_cancelled(progress)?;
        progress.advance(at, size);
        let (x, y) = (extent_at(&*a, at, size)?, extent_at(&*b, at, size)?);
        let len = x.len.min(y.len).max(1);
        if is_same(&x, &y) {
            at += len;
            continue;
        }
        let len = len.min(PIECE - at % PIECE) as usize;
        read(&*a, at, len, &mut old)?;
        read(&*b, at, len, &mut new)?;
        for (index, (p, q)) in old.chunks(UNIT).zip(new.chunks(UNIT)).enumerate() {
            if p != q {
                diff.add(at + (index * UNIT) as u64, p.len() as u64);
            }
        }
        at += len as u64;
    }
    progress.advance(size, size);
    Ok(diff)
}

impl SnapshotDiff {
    fn add(&mut self, offset: u64, len: u64) {
        self.different += len;
        let room = self.ranges.len() < MAX_DIFF_RANGES;
        match self.ranges.last_mut() {
            Some((start, length)) if *start + *length == offset => *length += len,
            _ if room => self.ranges.push((offset, len)),
            _ => {}
        }
    }
}

/// The disk as a snapshot holds it, or as it is now.
pub(crate) fn snapshot_disk(image: &Image, key: Option<SnapshotKey<'_>>) -> Result<Arc<Qcow2>> {
    let Some(top) = image.top() else {
        return Err(Error::BadOption("no image".into()));
    };
    let Some(qcow2) = top.as_qcow2() else {
        return Err(Error::NotForFormat {
            path: top.path().into(),
            verb: "a snapshot",
            format: top.format(),
        });
    };
    match key {
        None => Ok(qcow2.clone()),
        Some(key) => Ok(Arc::new(
            qcow2.snapshot_view(key).map_err(Error::qcow2(top.path()))?,
        )),
    }
}

pub(crate) fn extent_at(disk: &dyn Storage, at: u64, size: u64) -> Result<Extent> {
    if at >= disk.size() {
        return Ok(Extent::absent(size - at));
    }
    Ok(disk.extent_at(at, disk.size() - at)?)
}

/// Whether two extents are known to hold the same without reading them.
pub(crate) fn is_same(a: &Extent, b: &Extent) -> bool {
    if a.reads_as_zero() || b.reads_as_zero() {
        return a.reads_as_zero() && b.reads_as_zero();
    }
    a.host.is_some() && a.host == b.host && !a.compressed && !b.compressed
}

fn read(disk: &dyn Storage, at: u64, len: usize, buf: &mut Vec<u8>) -> Result<()> {
    buf.clear();
    buf.resize(len, 0);
    let there = disk.size().saturating_sub(at).min(len as u64) as usize;
    if let Some(part) = buf.get_mut(..there).filter(|part| !part.is_empty()) {
        disk.read_at(at, part)?;
    }
    Ok(())
}
