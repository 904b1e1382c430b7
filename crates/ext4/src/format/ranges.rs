//! The blocks that are taken, as ranges: a new filesystem has few of them, however large it is.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    /// Start of each range and its end; ranges neither touch nor overlap.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Takes `len` blocks from `start`.
    pub(super) fn take(&mut self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        let (mut start, mut end) = (start, start.saturating_add(len));
        let touching: Vec<(u64, u64)> = self
            .ends
            .range(..=end)
            .rev()
            .take_while(|(_, e)| **e >= start)
            .map(|(s, e)| (*s, *e))
            .collect();
        for (s, e) in touching {
            self.ends.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.ends.insert(start, end);
    }

    /// The end of the taken range that `block` is in.
    fn taken_until(&self, block: u64) -> Option<u64> {
        let (_, end) = self.ends.range(..=block).next_back()?;
        (*end > block).then_some(*end)
    }

    /// The first free block at or after `block`.
    pub(super) fn first_free(&self, block: u64) -> u64 {
        self.taken_until(block).unwrap_or(block)
    }

    /// The first taken block at or after `block`.
    pub(super) fn first_taken(&self, block: u64) -> Option<u64> {
        if self.taken_until(block).is_some() {
            return Some(block);
        }
        self.ends.range(block..).next().map(|(start, _)| *start)
    }

    /// Whether `len` blocks from `start` are free.
    pub(super) fn is_free(&self, start: u64, len: u64) -> bool {
        self.first_taken(start)
            .is_none_or(|taken| taken >= start.saturating_add(len))
    }

    /// The first `len` free blocks in a row that start in `from..to` and end before `limit`.
    pub(super) fn find(&self, from: u64, to: u64, len: u64, limit: u64) -> Option<u64> {
        let mut at = from;
        loop {
            at = self.first_free(at);
            if at >= to || at.checked_add(len)? > limit {
                return None;
            }
            match self.first_taken(at) {
                Some(taken) if taken < at.saturating_add(len) => at = taken,
                _ => return Some(at),
            }
        }
    }

    /// The parts of `range` that are taken.
    pub(super) fn within(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        let mut at = range.start;
        while let Some(start) = self.first_taken(at).filter(|start| *start < range.end) {
            let end = self.first_free(start).min(range.end);
            parts.push(start..end);
            at = end;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_gaps_are_found() {
        let mut taken = Ranges::default();
        taken.take(10, 5);
        taken.take(20, 5);
        assert_eq!(taken.find(0, 100, 10, 100), Some(0));
        assert_eq!(taken.find(1, 100, 10, 100), Some(25));
        assert_eq!(taken.find(12, 20, 5, 100), Some(15));
        assert_eq!(taken.find(12, 15, 5, 100), None);
        taken.take(15, 5);
        assert_eq!(taken.ends.len(), 1);
        assert_eq!(taken.within(0..22), vec![10..22]);
        assert!(taken.is_free(25, 1) && !taken.is_free(24, 1));
    }
}
