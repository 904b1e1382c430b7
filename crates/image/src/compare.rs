//! `compare`: whether two images hold the same, as qemu-img tells it.

use crate::error::Result;
use crate::worker::{self, Progress, check_cancelled};
use disksmith_storage::{Extent, ExtentState, Storage, is_zero};
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is read and compared at a time: little enough to stay in a processor's cache.
const PIECE: u64 = 256 << 10;
/// The unit in which a difference is located.
const SECTOR: usize = 512;

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The contents are the same; one may be longer, with nothing but zeroes there.
    Identical {
        /// Whether the sizes differ.
        sizes_differ: bool,
    },
    /// The sizes differ, which a strict comparison does not allow.
    SizeMismatch,
    /// A range is held in different ways (data, zero, absent), which a strict comparison does not allow.
    StatusMismatch {
        /// Byte offset of the range.
        offset: u64,
    },
    /// The contents differ.
    ContentMismatch {
        /// Byte offset of the first sector that differs.
        offset: u64,
        /// Whether this lies in the part that only the longer image has.
        beyond_shorter: bool,
    },
}

impl Comparison {
    /// The exit status of `qemu-img compare`: 0 the same, 1 not.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        u8::from(!matches!(self, Self::Identical { .. }))
    }

    /// The text that `qemu-img compare` prints.
    #[must_use]
    pub fn to_human(self) -> String {
        const WARNING: &str = "Warning: Image size mismatch!\n";
        match self {
            Self::Identical { sizes_differ } => {
                format!(
                    "{}Images are identical.\n",
                    if sizes_differ { WARNING } else { "" }
                )
            }
            Self::SizeMismatch => "Strict mode: Image size mismatch!\n".into(),
            Self::StatusMismatch { offset } => {
                format!("Strict mode: Offset {offset} block status mismatch!\n")
            }
            Self::ContentMismatch {
                offset,
                beyond_shorter,
            } => {
                let warning = if beyond_shorter { WARNING } else { "" };
                format!("{warning}Content mismatch at offset {offset}!\n")
            }
        }
    }
}

/// Compares two images. Where one is longer, the rest must read as zeroes; with `strict`, sizes and the way in which each
/// range is held must agree too.
///
/// # Errors
/// Those of reading, and [`crate::Error::Cancelled`].
pub fn compare(
    a: &dyn Storage,
    b: &dyn Storage,
    strict: bool,
    progress: &dyn Progress,
) -> Result<Comparison> {
    let (size_a, size_b) = (a.size(), b.size());
    if strict && size_a != size_b {
        return Ok(Comparison::SizeMismatch);
    }
    let (common, total) = (size_a.min(size_b), size_a.max(size_b));
    let found = Found {
        content: AtomicU64::new(u64::MAX),
        status: AtomicU64::new(u64::MAX),
    };
    let mut planner = Planner {
        a: Side::new(a),
        b: Side::new(b),
        at: 0,
        size: total,
        strict,
    };
    worker::run(
        worker::default_threads(),
        || {
            check_cancelled(progress)?;
            let piece = planner.next(&found)?;
            progress.advance(planner.at, total);
            Ok(piece)
        },
        |piece, buffers: &mut Buffers| piece.compare(a, b, buffers, &found),
    )?;
    let content = found.content.into_inner();
    let status = found.status.into_inner();
    Ok(if status != u64::MAX && status <= content {
        Comparison::StatusMismatch { offset: status }
    } else if content != u64::MAX {
        Comparison::ContentMismatch {
            offset: content,
            beyond_shorter: content >= common,
        }
    } else {
        Comparison::Identical {
            sizes_differ: size_a != size_b,
        }
    })
}

/// The first differences known so far; `u64::MAX` while there is none.
struct Found {
    content: AtomicU64,
    status: AtomicU64,
}

impl Found {
    fn first(&self) -> u64 {
        self.content
            .load(Ordering::Relaxed)
            .min(self.status.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Buffers {
    a: Vec<u8>,
    b: Vec<u8>,
}

/// One of the images, with the extent that the planner stands in.
struct Side<'a> {
    storage: &'a dyn Storage,
    extent: Option<(u64, Extent)>,
}

impl<'a> Side<'a> {
    fn new(storage: &'a dyn Storage) -> Self {
        Self {
            storage,
            extent: None,
        }
    }

    /// The extent at `at`, and how far it goes from there; `None` beyond the end.
    fn extent_at(&mut self, at: u64) -> Result<Option<(&Extent, u64)>> {
        if at >= self.storage.size() {
            return Ok(None);
        }
        if self
            .extent
            .as_ref()
            .is_none_or(|(start, e)| at >= start.saturating_add(e.len))
        {
            let mut extent = self.storage.extent_at(at, u64::MAX)?;
            extent.len = extent.len.max(1);
            self.extent = Some((at, extent));
        }
        Ok(self
            .extent
            .as_ref()
            .map(|(start, e)| (e, start.saturating_add(e.len) - at)))
    }
}

struct Planner<'a> {
    a: Side<'a>,
    b: Side<'a>,
    at: u64,
    /// The size of both, for a strict comparison.
    size: u64,
    strict: bool,
}

/// What must agree in a strict comparison. That a run reaches the end of the image is a part of its status in QEMU.
fn status(extent: &Extent, at_end: bool) -> (ExtentState, bool, bool, bool) {
    (extent.state, extent.compressed, extent.host.is_some(), at_end)
}

impl Planner<'_> {
    /// The next range that has to be read on one side at least.
    fn next(&mut self, found: &Found) -> Result<Option<Piece>> {
        loop {
            let offset = self.at;
            if offset > found.first() {
                return Ok(None);
            }
            let a = self.a.extent_at(offset)?;
            let b = self.b.extent_at(offset)?;
            if let (true, Some((x, n)), Some((y, m))) = (self.strict, a, b)
                && status(x, offset + n == self.size) != status(y, offset + m == self.size)
            {
                found.status.fetch_min(offset, Ordering::Relaxed);
                return Ok(None);
            }
            let (Some(len), read_a, read_b) = (match (a, b) {
                (None, None) => return Ok(None),
                (Some((x, n)), None) => (Some(n), !x.reads_as_zero(), false),
                (None, Some((y, n))) => (Some(n), false, !y.reads_as_zero()),
                (Some((x, n)), Some((y, m))) => (Some(n.min(m)), !x.reads_as_zero(), !y.reads_as_zero()),
            }) else {
                return Ok(None);
            };
            if !read_a && !read_b {
                self.at = offset.saturating_add(len);
                continue;
            }
            // Pieces end at multiples of their size, which suits clusters and the page cache.
            let len = len.min(PIECE - offset % PIECE);
            self.at = offset.saturating_add(len);
            return Ok(Some(Piece {
                offset,
                len: len as usize,
                read_a,
                read_b,
            }));
        }
    }
}

/// A range to be compared; a side that is not read is zeroes there.
struct Piece {
    offset: u64,
    len: usize,
    read_a: bool,
    read_b: bool,
}

impl Piece {
    fn compare(self, a: &dyn Storage, b: &dyn Storage, buffers: &mut Buffers, found: &Found) -> Result<()> {
        if self.offset > found.first() {
            return Ok(());
        }
        let read = |storage: &dyn Storage, wanted: bool, buffer: &mut Vec<u8>| -> Result<()> {
            buffer.resize(self.len, 0);
            if wanted {
                storage.read_at(self.offset, buffer)?;
            }
            Ok(())
        };
        read(a, self.read_a, &mut buffers.a)?;
        read(b, self.read_b, &mut buffers.b)?;
        let same = match (self.read_a, self.read_b) {
            (true, true) => buffers.a == buffers.b,
            (true, false) => is_zero(&buffers.a),
            _ => is_zero(&buffers.b),
        };
        if same {
            return Ok(());
        }
        let differs = match (self.read_a, self.read_b) {
            (true, true) => buffers
                .a
                .chunks(SECTOR)
                .zip(buffers.b.chunks(SECTOR))
                .position(|(x, y)| x != y),
            (true, false) => buffers.a.chunks(SECTOR).position(|x| !is_zero(x)),
            _ => buffers.b.chunks(SECTOR).position(|x| !is_zero(x)),
        };
        if let Some(sector) = differs {
            found
                .content
                .fetch_min(self.offset + (sector * SECTOR) as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
