//! A map from numbers to values that keeps runs, not single numbers.

use std::collections::BTreeMap;

/// A value of a run: what it is at the run's first number tells what it is at each one after.
pub(crate) trait RunValue: Copy + PartialEq {
    /// The value `by` numbers further on in the run.
    fn advance(self, by: u64) -> Self;
}

/// Disjoint runs of numbers, each with a value. Runs that continue each other are one.
#[derive(Debug, Clone)]
pub(crate) struct RunMap<V> {
    /// Start of a run to its end (exclusive) and the value at its start.
    runs: BTreeMap<u64, (u64, V)>,
}

/// A run, or the part of one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<V> {
    /// First number.
    pub(crate) start: u64,
    /// The number after the last one.
    pub(crate) end: u64,
    /// The value at `start`.
    pub(crate) value: V,
}

impl<V: RunValue> RunMap<V> {
    pub(crate) const fn new() -> Self {
        Self {
            runs: BTreeMap::new(),
        }
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The value at `at` and the end of its run.
    pub(crate) fn get(&self, at: u64) -> Option<(V, u64)> {
        let (start, (end, value)) = self.runs.range(..=at).next_back()?;
        (at < *end).then(|| (value.advance(at - start), *end))
    }

    /// Where the next run starts, at `at` or after it.
    pub(crate) fn next_start(&self, at: u64) -> Option<u64> {
        self.runs.range(at..).next().map(|(start, _)| *start)
    }

    /// The first run, or part of one, at or after `at`.
    pub(crate) fn first_from(&self, at: u64) -> Option<Run<V>> {
        if let Some((value, end)) = self.get(at) {
            return Some(Run {
                start: at,
                end,
                value,
            });
        }
        let (start, (end, value)) = self.runs.range(at..).next()?;
        Some(Run {
            start: *start,
            end: *end,
            value: *value,
        })
    }

    /// All runs in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Run<V>> + '_ {
        self.runs.iter().map(|(start, (end, value))| Run {
            start: *start,
            end: *end,
            value: *value,
        })
    }

    /// The runs in a range, cut to it.
    pub(crate) fn within(&self, start: u64, end: u64) -> Vec<Run<V>> {
        let mut found = Vec::new();
        let mut at = start;
        while at < end {
            let Some(run) = self.first_from(at).filter(|run| run.start < end) else {
                break;
            };
            found.push(Run {
                end: run.end.min(end),
                ..run
            });
            at = run.end;
        }
        found
    }

    /// Takes a range out.
    pub(crate) fn clear(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if let Some((first, (first_end, value))) = self.runs.range(..start).next_back().map(|(s, r)| (*s, *r))
            && first_end > start
        {
            self.runs.insert(first, (start, value));
            if first_end > end {
                self.runs.insert(end, (first_end, value.advance(end - first)));
                return;
            }
        }
        while let Some((next, (next_end, value))) = self.runs.range(start..end).next().map(|(s, r)| (*s, *r))
        {
            self.runs.remove(&next);
            if next_end > end {
                self.runs.insert(end, (next_end, value.advance(end - next)));
            }
        }
    }

    /// Gives a range a value, whatever was there.
    pub(crate) fn set(&mut self, start: u64, end: u64, value: V) {
        if start >= end {
            return;
        }
        self.clear(start, end);
        let (mut start, mut end, mut value) = (start, end, value);
        if let Some((before, (before_end, before_value))) =
            self.runs.range(..start).next_back().map(|(s, r)| (*s, *r))
            && before_end == start
            && before_value.advance(start - before) == value
        {
            self.runs.remove(&before);
            (start, value) = (before, before_value);
        }
        if let Some((after_end, after_value)) = self.runs.get(&end).copied()
            && value.advance(end - start) == after_value
        {
            self.runs.remove(&end);
            end = after_end;
        }
        self.runs.insert(start, (end, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Value {
        Fixed(u8),
        Counting(u64),
    }

    impl RunValue for Value {
        fn advance(self, by: u64) -> Self {
            match self {
                Self::Fixed(_) => self,
                Self::Counting(n) => Self::Counting(n + by),
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_array(ops in proptest::collection::vec((0u8..3, 0u64..60, 0u64..30, 0u8..3), 0..60)) {
            let mut map = RunMap::new();
            let mut model = vec![None; 100];
            for (op, start, len, value) in ops {
                let end = start + len;
                match op {
                    0 => {
                        map.clear(start, end);
                        model[start as usize..end as usize].fill(None);
                    }
                    1 => {
                        map.set(start, end, Value::Fixed(value));
                        model[start as usize..end as usize].fill(Some(Value::Fixed(value)));
                    }
                    _ => {
                        let first = start + 100 * u64::from(value);
                        map.set(start, end, Value::Counting(first));
                        for i in start..end {
                            model[i as usize] = Some(Value::Counting(first + i - start));
                        }
                    }
                }
                for (at, expected) in model.iter().enumerate() {
                    prop_assert_eq!(map.get(at as u64).map(|(v, _)| v), *expected);
                }
            }
            // Runs that continue each other are one.
            let runs: Vec<_> = map.iter().collect();
            for pair in runs.windows(2) {
                let (a, b) = (pair[0], pair[1]);
                prop_assert!(a.end < b.start || a.value.advance(a.end - a.start) != b.value);
            }
            let expected = model[10..50].iter().filter(|v| v.is_some()).count() as u64;
            let runs = map.within(10, 50);
            prop_assert_eq!(runs.iter().map(|r| r.end - r.start).sum::<u64>(), expected);
            for run in runs {
                prop_assert_eq!(Some(run.value), model[run.start as usize]);
            }
        }
    }
}
