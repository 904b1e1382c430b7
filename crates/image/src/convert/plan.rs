//! What of the source is to be read, and in which pieces.

use crate::error::Result;
use disksmith_storage::Storage;

/// The largest piece in bytes; a multiple of every cluster size.
pub(crate) const PIECE: u64 = 2 << 20;
/// The usual piece: large enough that threads seldom meet at the target's lock and that the page cache gets large folios,
/// small enough to stay in a processor's cache between being read and being written.
const USUAL_PIECE: u64 = 1 << 20;

/// A range of the target, and what belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Holds data somewhere in it: to be read.
    Data {
        /// Byte offset.
        offset: u64,
        /// Length in bytes, at most [`PIECE`].
        len: u64,
    },
    /// Reads as zeroes.
    Zero {
        /// Byte offset.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
}

/// How a run of the source concerns the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Zero,
    /// The target's backing file has it already.
    Below,
}

/// Walks through the extents of a source and cuts them into pieces that start and end at multiples of a granule, so that no
/// cluster of the target is written twice.
pub(crate) struct Planner<'a> {
    source: &'a dyn Storage,
    granule: u64,
    /// Only what the top layer of the source holds is wanted.
    top_only: bool,
    size: u64,
    at: u64,
    run: Option<(u64, u64, Kind)>,
}

impl<'a> Planner<'a> {
    /// Plans up to `size`, which may be beyond the source's end (zeroes there) or before it. `granule` divides [`PIECE`].
    pub(crate) fn new(source: &'a dyn Storage, size: u64, granule: u64, top_only: bool) -> Self {
        Self {
            source,
            granule,
            top_only,
            size,
            at: 0,
            run: None,
        }
    }

    /// How far the plan has come, in bytes.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The kind of the bytes at `at`, and where it ends.
    fn run_at(&mut self, at: u64) -> Result<(Kind, u64)> {
        if let Some((start, end, kind)) = self.run
            && (start..end).contains(&at)
        {
            return Ok((kind, end));
        }
        let source_size = self.source.size();
        let (kind, end) = if at >= source_size {
            (Kind::Zero, self.size)
        } else {
            let extent = self.source.extent_at(at, source_size - at)?;
            // What no layer holds, and no layer below could, reads as zeroes whatever the target stands on.
            let kind = if self.top_only && extent.depth > 0 {
                Kind::Below
            } else if extent.reads_as_zero() {
                Kind::Zero
            } else {
                Kind::Data
            };
            (kind, at.saturating_add(extent.len.max(1)).min(source_size))
        };
        self.run = Some((at, end, kind));
        Ok((kind, end))
    }

    /// The next piece; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>> {
        while self.at < self.size {
            let start = self.at;
            let (kind, end) = self.uniform_from(start)?;
            if kind != Kind::Data {
                // Whole granules of it; what is left over belongs to a granule with something else in it.
                let whole = if end >= self.size {
                    self.size
                } else {
                    end - end % self.granule
                };
                if whole > start {
                    self.at = whole;
                    if kind == Kind::Below {
                        continue;
                    }
                    return Ok(Some(Piece::Zero {
                        offset: start,
                        len: whole - start,
                    }));
                }
            }
            let piece = self.granule.max(USUAL_PIECE);
            let cut = (start - start % piece).saturating_add(piece).min(self.size);
            let stop = self.data_end(start, cut)?;
            self.at = stop;
            return Ok(Some(Piece::Data {
                offset: start,
                len: stop - start,
            }));
        }
        Ok(None)
    }

    /// The kind at `start`, and how far it goes over all extents that follow.
    fn uniform_from(&mut self, start: u64) -> Result<(Kind, u64)> {
        let (kind, mut end) = self.run_at(start)?;
        while kind != Kind::Data && end < self.size {
            let (next, next_end) = self.run_at(end)?;
            if next != kind {
                break;
            }
            end = next_end;
        }
        // The run of data that starts here must be found again.
        Ok((kind, end.min(self.size)))
    }

    /// The end of the piece of data that starts at `start`, at most `cut`: before the first whole granule without data.
    fn data_end(&mut self, start: u64, cut: u64) -> Result<u64> {
        let mut at = start;
        while at < cut {
            let granule_end = (at - at % self.granule).saturating_add(self.granule).min(cut);
            let (kind, end) = self.run_at(at)?;
            if kind == Kind::Data {
                at = end.next_multiple_of(self.granule).clamp(granule_end, cut);
            } else if at > start && end >= granule_end {
                break;
            } else {
                at = granule_end;
            }
        }
        Ok(at.min(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_storage::{Extent, Result as StorageResult};
    use proptest::prelude::*;

    /// A source of which only the extents matter.
    #[derive(Debug)]
    struct Layout(Vec<(u64, bool, u32)>);

    impl Storage for Layout {
        fn size(&self) -> u64 {
            self.0.iter().map(|r| r.0).sum()
        }
        fn name(&self) -> String {
            "layout".into()
        }
        fn is_writable(&self) -> bool {
            false
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> StorageResult<()> {
            Ok(())
        }
        fn write_at(&self, _: u64, _: &[u8]) -> StorageResult<()> {
            Ok(())
        }
        fn flush(&self) -> StorageResult<()> {
            Ok(())
        }
        fn extent_at(&self, offset: u64, limit: u64) -> StorageResult<Extent> {
            self.check_range(offset, 1)?;
            let mut start = 0;
            for (len, data, depth) in &self.0 {
                if offset < start + len {
                    let left = (start + len - offset).min(limit);
                    let extent = if *data {
                        Extent::data(left)
                    } else {
                        Extent::zero(left)
                    };
                    return Ok(Extent {
                        depth: *depth,
                        ..extent
                    });
                }
                start += len;
            }
            unreachable!()
        }
    }

    proptest! {
        #[test]
        fn pieces_cover_everything_once(
            runs in prop::collection::vec((1u64..300_000, any::<bool>(), 0u32..2), 1..60),
            granule_bits in 9u32..=21,
            top_only in any::<bool>(),
            more in 0u64..100_000,
        ) {
            let layout = Layout(runs);
            let granule = 1u64 << granule_bits;
            let size = layout.size() + more;
            let mut planner = Planner::new(&layout, size, granule, top_only);
            let mut covered = 0;
            while let Some(piece) = planner.next().unwrap() {
                let (offset, len, is_data) = match piece {
                    Piece::Data { offset, len } => (offset, len, true),
                    Piece::Zero { offset, len } => (offset, len, false),
                };
                prop_assert!(len > 0 && offset >= covered);
                prop_assert_eq!(offset % granule, 0);
                prop_assert!((offset + len) % granule == 0 || offset + len == size);
                if is_data {
                    prop_assert!(len <= PIECE);
                    prop_assert_eq!(offset / PIECE, (offset + len - 1) / PIECE);
                }
                // What was left out is held below only.
                check(&layout, covered, offset, |e| top_only && e.depth > 0);
                if !is_data {
                    check(&layout, offset, offset + len, |e| e.reads_as_zero() && !(top_only && e.depth > 0));
                }
                covered = offset + len;
            }
            if covered < size {
                prop_assert!(top_only);
                check(&layout, covered, size, |e| e.depth > 0);
            }
        }
    }

    fn check(layout: &Layout, from: u64, to: u64, holds: impl Fn(&Extent) -> bool) {
        let mut at = from;
        while at < to.min(layout.size()) {
            let extent = layout.extent_at(at, u64::MAX).unwrap();
            assert!(holds(&extent), "{extent:?} at {at}");
            at += extent.len;
        }
    }
}
