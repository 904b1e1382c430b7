//! A set of numbers as ranges in ascending order.

use std::ops::Range;

/// Ranges that neither touch nor overlap, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BlockSet(Vec<Range<u64>>);

impl BlockSet {
    /// From ranges in any order.
    pub(super) fn new(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.retain(|r| r.start < r.end);
        ranges.sort_unstable_by_key(|r| r.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// The parts of `range` that are not in the set.
    pub(super) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut at = range.start;
        let first = self.0.partition_point(|r| r.end <= range.start);
        let mut gaps = Vec::new();
        for taken in self.0.get(first..).unwrap_or(&[]) {
            if taken.start >= range.end {
                break;
            }
            if at < taken.start {
                gaps.push(at..taken.start);
            }
            at = at.max(taken.end);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// What is in this set and not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .flat_map(|range| other.gaps(range.clone()))
                .collect(),
        )
    }

    /// Whether a part of `range` is in the set.
    pub(super) fn meets(&self, range: &Range<u64>) -> bool {
        let first = self.0.partition_point(|r| r.end <= range.start);
        self.0.get(first).is_some_and(|r| r.start < range.end) && range.start < range.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_subtracted() {
        let a = BlockSet::new(vec![10..20, 0..5, 18..30]);
        assert_eq!(a.ranges(), [0..5, 10..30]);
        let b = BlockSet::new(vec![3..12, 15..16]);
        assert_eq!(a.without(&b).ranges(), [0..3, 12..15, 16..30]);
        assert!(a.meets(&(4..10)) && !a.meets(&(5..10)) && !a.meets(&(30..40)));
    }
}
