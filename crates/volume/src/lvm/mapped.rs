//! The bytes of a logical volume, wherever its extents lie.

use disksmith_storage::{Alignment, Extent, HostSpan, Result, Storage, StorageRef, Window, ZeroMode};

/// A run of extents.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where it begins in the logical volume, in bytes.
    pub(super) start: u64,
    pub(super) len: u64,
    /// Bytes that lie on one stripe before the next one's turn; not used with one stripe.
    pub(super) stripe_size: u64,
    /// Each of `len / stripes.len()` bytes.
    pub(super) stripes: Vec<Window>,
}

/// A logical volume of pieces that follow each other without a gap.
#[derive(Debug)]
pub(super) struct Mapped {
    name: String,
    size: u64,
    writable: bool,
    alignment: Alignment,
    /// Not empty, the first one at 0.
    pieces: Vec<Piece>,
}

/// Where a run of bytes lies.
struct Place<'m> {
    stripe: &'m Window,
    offset: u64,
    /// How many bytes from there on lie in one piece; at least 1.
    len: u64,
}

impl Piece {
    /// Where the byte at an offset in this piece lies.
    fn place(&self, offset: u64) -> Option<Place<'_>> {
        if let [only] = self.stripes.as_slice() {
            return Some(Place {
                stripe: only,
                offset,
                len: self.len.checked_sub(offset)?,
            });
        }
        let count = self.stripes.len() as u64;
        let chunk = offset.checked_div(self.stripe_size)?;
        let inside = offset.checked_rem(self.stripe_size)?;
        let stripe = self
            .stripes
            .get(usize::try_from(chunk.checked_rem(count)?).ok()?)?;
        let row = chunk.checked_div(count)?;
        Some(Place {
            stripe,
            offset: row.checked_mul(self.stripe_size)?.checked_add(inside)?,
            len: (self.stripe_size - inside).min(self.len.checked_sub(offset)?),
        })
    }
}

impl Mapped {
    /// Pieces that follow each other without a gap, the first one at 0.
    pub(super) fn new(name: String, size: u64, writable: bool, pieces: Vec<Piece>) -> Self {
        let writable = writable && pieces.iter().flat_map(|p| &p.stripes).all(Storage::is_writable);
        let alignment = common_alignment(&pieces);
        Self {
            name,
            size,
            writable,
            alignment,
            pieces,
        }
    }

    /// Where a byte lies. The offset is inside the volume.
    fn place(&self, offset: u64) -> Result<Place<'_>> {
        let next = self.pieces.partition_point(|piece| piece.start <= offset);
        let piece = next.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece
            .and_then(|piece| piece.place(offset - piece.start))
            .filter(|place| place.len > 0)
            .ok_or_else(|| disksmith_storage::Error::OutOfBounds {
                object: self.name.clone(),
                offset,
                len: 1,
                size: self.size,
            })
    }

    /// Goes through a range, one run at a time: (place, how far into the range, length).
    fn each(
        &self,
        offset: u64,
        len: u64,
        mut work: impl FnMut(&Place<'_>, u64, u64) -> Result<()>,
    ) -> Result<()> {
        self.check_range(offset, len)?;
        let mut done = 0;
        while done < len {
            let place = self.place(offset + done)?;
            let run = place.len.min(len - done);
            work(&place, done, run)?;
            done += run;
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<()> {
        if self.writable {
            return Ok(());
        }
        Err(disksmith_storage::Error::Unsupported {
            object: self.name.clone(),
            operation: "writing",
        })
    }

    fn stripes(&self) -> impl Iterator<Item = &Window> {
        self.pieces.iter().flat_map(|piece| &piece.stripes)
    }
}

impl Storage for Mapped {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_writable(&self) -> bool {
        self.writable
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.each(offset, buf.len() as u64, |place, done, run| {
            let part = buf.get_mut(done as usize..(done + run) as usize);
            place.stripe.read_at(place.offset, part.unwrap_or_default())
        })
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.each(offset, buf.len() as u64, |place, done, run| {
            let part = buf.get(done as usize..(done + run) as usize);
            place.stripe.write_at(place.offset, part.unwrap_or_default())
        })
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        self.check_writable()?;
        self.each(offset, len, |place, _, run| {
            place.stripe.write_zeroes(place.offset, run, mode)
        })
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        self.each(offset, len, |place, _, run| {
            place.stripe.discard(place.offset, run)
        })
    }

    fn flush(&self) -> Result<()> {
        // Windows of one disk flush the same disk; a disk is flushed once.
        let mut seen: Vec<*const ()> = Vec::new();
        for stripe in self.stripes() {
            let below: *const () = std::sync::Arc::as_ptr(stripe.inner()).cast();
            if !seen.contains(&below) {
                stripe.flush()?;
                seen.push(below);
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let place = self.place(offset)?;
        place.stripe.extent_at(place.offset, limit.max(1).min(place.len))
    }

    fn alignment(&self) -> Alignment {
        self.alignment
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        self.check_range(offset, len).ok()?;
        let place = self.place(offset).ok()?;
        place.stripe.host_span(place.offset, len.min(place.len))
    }
}

/// The granularities that all pieces keep.
fn common_alignment(pieces: &[Piece]) -> Alignment {
    let mut whole: Option<Alignment> = None;
    let mut narrow = |own: Alignment| {
        let known = whole.unwrap_or(own);
        whole = Some(Alignment {
            io: known.io.min(own.io),
            allocation: known.allocation.min(own.allocation),
        });
    };
    for piece in pieces {
        piece.stripes.iter().for_each(|stripe| narrow(stripe.alignment()));
        if piece.stripes.len() > 1 {
            // A power of two, as it is checked to be.
            narrow(Alignment {
                io: piece.stripe_size,
                allocation: piece.stripe_size,
            });
        }
    }
    whole.unwrap_or(Alignment { io: 1, allocation: 1 })
}

/// A window on a storage, for a stripe.
pub(super) fn stripe(storage: &StorageRef, offset: u64, len: u64, name: &str) -> Result<Window> {
    Window::new(storage.clone(), offset, len, name)
}
