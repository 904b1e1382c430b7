//! Which lines of two texts belong together: a shortest way to make one of the other (E. Myers, "An O(ND) Difference Algorithm and Its
//! Variations", 1986), in linear space.

use std::collections::{HashMap, HashSet};

/// Steps from either end after which the best way so far is good enough.
const MAX_COST: usize = 1024;

/// For each line of both texts, whether the other text lacks it.
#[derive(Debug)]
pub(super) struct Matched {
    pub(super) removed: Vec<bool>,
    pub(super) added: Vec<bool>,
}

/// Compares two texts line by line.
pub(super) fn match_lines(old: &[&[u8]], new: &[&[u8]]) -> Matched {
    let mut numbers: HashMap<&[u8], u32> = HashMap::new();
    let mut number = |line| {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(line).or_insert(next)
    };
    let a: Vec<u32> = old.iter().map(|line| number(*line)).collect();
    let b: Vec<u32> = new.iter().map(|line| number(*line)).collect();
    // A line that the other text has nowhere belongs to none of its lines.
    let (kept_a, kept_b) = (also_in(&a, &b), also_in(&b, &a));
    let pick = |lines: &[u32], kept: &[usize]| kept.iter().filter_map(|at| lines.get(*at).copied()).collect();
    let mut matcher = Matcher {
        matched: Matched {
            removed: vec![false; kept_a.len()],
            added: vec![false; kept_b.len()],
        },
        forward: Vec::new(),
        backward: Vec::new(),
        a: pick(&a, &kept_a),
        b: pick(&b, &kept_b),
    };
    matcher.run();
    let mut matched = Matched {
        removed: vec![true; a.len()],
        added: vec![true; b.len()],
    };
    let put_back = |whole: &mut [bool], kept: &[usize], found: &[bool]| {
        for (at, changed) in kept.iter().zip(found) {
            whole[*at] = *changed;
        }
    };
    put_back(&mut matched.removed, &kept_a, &matcher.matched.removed);
    put_back(&mut matched.added, &kept_b, &matcher.matched.added);
    slide(&mut matched.removed, &matched.added, &a);
    slide(&mut matched.added, &matched.removed, &b);
    matched
}

/// The places of lines that the other text has too.
fn also_in(lines: &[u32], other: &[u32]) -> Vec<usize> {
    let other: HashSet<u32> = other.iter().copied().collect();
    let places = lines.iter().enumerate();
    places
        .filter(|(_, line)| other.contains(line))
        .map(|(at, _)| at)
        .collect()
}

struct Matcher {
    a: Vec<u32>,
    b: Vec<u32>,
    matched: Matched,
    /// The furthest place on each diagonal, from the start and from the end.
    forward: Vec<isize>,
    backward: Vec<isize>,
}

/// A part of both texts: from and up to which line.
#[derive(Clone, Copy)]
struct Part {
    a: (usize, usize),
    b: (usize, usize),
}

impl Matcher {
    fn run(&mut self) {
        let mut pending = vec![Part {
            a: (0, self.a.len()),
            b: (0, self.b.len()),
        }];
        while let Some(part) = pending.pop() {
            let part = self.trim(part);
            if part.a.0 == part.a.1 {
                self.matched.added[part.b.0..part.b.1].fill(true);
            } else if part.b.0 == part.b.1 {
                self.matched.removed[part.a.0..part.a.1].fill(true);
            } else {
                let (x, y) = self.middle(part);
                let is_corner = |at: (usize, usize)| (x, y) == at;
                if is_corner((part.a.0, part.b.0)) || is_corner((part.a.1, part.b.1)) {
                    // nothing in common
                    self.matched.removed[part.a.0..part.a.1].fill(true);
                    self.matched.added[part.b.0..part.b.1].fill(true);
                } else {
                    let first = Part {
                        a: (part.a.0, x),
                        b: (part.b.0, y),
                    };
                    let second = Part {
                        a: (x, part.a.1),
                        b: (y, part.b.1),
                    };
                    pending.extend([first, second]);
                }
            }
        }
    }

    /// Without the equal lines at start and end.
    fn trim(&self, mut part: Part) -> Part {
        while part.a.0 < part.a.1 && part.b.0 < part.b.1 && self.a[part.a.0] == self.b[part.b.0] {
            part.a.0 += 1;
            part.b.0 += 1;
        }
        while part.a.0 < part.a.1 && part.b.0 < part.b.1 && self.a[part.a.1 - 1] == self.b[part.b.1 - 1] {
            part.a.1 -= 1;
            part.b.1 -= 1;
        }
        part
    }

    /// A place in the middle of a shortest way: where the ways from both ends meet; after many steps, the furthest place from the start.
    fn middle(&mut self, part: Part) -> (usize, usize) {
        let signed = |n: usize| n.cast_signed();
        let (a, b) = (&self.a[part.a.0..part.a.1], &self.b[part.b.0..part.b.1]);
        let (n, m) = (signed(a.len()), signed(b.len()));
        // A diagonal is x - y.
        let delta = n - m;
        let odd = delta % 2 != 0;
        let most = (n + m + 1) / 2;
        let limit = most.min(signed(MAX_COST));
        let at = |k: isize| (k + limit + 1).cast_unsigned();
        let len = (2 * limit + 3).cast_unsigned();
        for way in [&mut self.forward, &mut self.backward] {
            way.clear();
            way.resize(len, -1);
        }
        self.forward[at(1)] = 0;
        self.backward[at(1)] = 0;
        let mut best = (0, 0);
        for d in 0..=limit {
            for k in (-d..=d).rev().step_by(2) {
                let down = k == -d || (k != d && self.forward[at(k - 1)] < self.forward[at(k + 1)]);
                let mut x = if down {
                    self.forward[at(k + 1)]
                } else {
                    self.forward[at(k - 1)] + 1
                };
                let mut y = x - k;
                while x >= 0 && y >= 0 && x < n && y < m && a[x.cast_unsigned()] == b[y.cast_unsigned()] {
                    x += 1;
                    y += 1;
                }
                self.forward[at(k)] = x;
                if x <= n && y <= m && y >= 0 && x + y > best.0 + best.1 {
                    best = (x, y);
                }
                // The same diagonal, counted from the end.
                let other = delta - k;
                if odd && other.abs() < d && x + self.backward[at(other)] >= n {
                    return self.place(part, x, y);
                }
            }
            for k in (-d..=d).rev().step_by(2) {
                let up = k == -d || (k != d && self.backward[at(k - 1)] < self.backward[at(k + 1)]);
                let mut x = if up {
                    self.backward[at(k + 1)]
                } else {
                    self.backward[at(k - 1)] + 1
                };
                let mut y = x - k;
                while x >= 0
                    && y >= 0
                    && x < n
                    && y < m
                    && a[(n - x - 1).cast_unsigned()] == b[(m - y - 1).cast_unsigned()]
                {
                    x += 1;
                    y += 1;
                }
                self.backward[at(k)] = x;
                let other = delta - k;
                if !odd && other.abs() <= d && x + self.forward[at(other)] >= n {
                    return self.place(part, n - x, m - y);
                }
            }
        }
        self.place(part, best.0, best.1)
    }

    fn place(&self, part: Part, x: isize, y: isize) -> (usize, usize) {
        let inside = |n: isize, len: usize| n.clamp(0, len.cast_signed()).cast_unsigned();
        (
            part.a.0 + inside(x, part.a.1 - part.a.0),
            part.b.0 + inside(y, part.b.1 - part.b.0),
        )
    }
}

/// For each line that both texts have, and for their ends, whether changed lines stand right before it.
fn gaps(changed: &[bool]) -> Vec<bool> {
    let mut gaps = vec![false];
    for changed in changed {
        match gaps.last_mut() {
            Some(gap) if *changed => *gap = true,
            _ => gaps.push(false),
        }
    }
    gaps
}

/// Moves each run of changed lines as far down as it can go, so that it joins runs that follow; and then back to where the other text has
/// a change, if there is one in its way: as diff does, for which of equal lines is the new one is a matter of taste.
fn slide(changed: &mut [bool], other: &[bool], lines: &[u32]) {
    let gaps = gaps(other);
    let meets = |kept: usize| gaps.get(kept) == Some(&true);
    // How many lines that both texts have stand before the run.
    let mut kept = 0;
    let mut at = 0;
    while at < changed.len() {
        if !changed[at] {
            at += 1;
            kept += 1;
            continue;
        }
        let (mut start, mut end) = (at, at);
        while end < changed.len() && changed[end] {
            end += 1;
        }
        let mut back_to = None;
        loop {
            let length = end - start;
            while start > 0 && lines[start - 1] == lines[end - 1] {
                start -= 1;
                end -= 1;
                kept -= 1;
                changed[start] = true;
                changed[end] = false;
                while start > 0 && changed[start - 1] {
                    start -= 1;
                }
            }
            if meets(kept) {
                back_to = Some(end);
            }
            while end < changed.len() && lines[start] == lines[end] {
                changed[start] = false;
                changed[end] = true;
                start += 1;
                end += 1;
                kept += 1;
                while end < changed.len() && changed[end] {
                    end += 1;
                }
                if meets(kept) {
                    back_to = Some(end);
                }
            }
            if end - start == length {
                break;
            }
            back_to = None;
        }
        while back_to.is_some_and(|place| place < end) {
            start -= 1;
            end -= 1;
            kept -= 1;
            changed[start] = true;
            changed[end] = false;
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &[u8]) -> Vec<&[u8]> {
        text.chunks(1).collect()
    }

    fn kept<'a>(lines: &[&'a [u8]], changed: &[bool]) -> Vec<&'a [u8]> {
        let kept = lines.iter().zip(changed).filter(|(_, changed)| !**changed);
        kept.map(|(line, _)| *line).collect()
    }

    #[test]
    fn what_is_kept_is_longest() {
        for (old, new, common) in [
            (&b"abcabba"[..], &b"cbabac"[..], 4),
            (b"", b"abc", 0),
            (b"abc", b"", 0),
            (b"abc", b"xyz", 0),
            (b"abcdef", b"abxdef", 5),
        ] {
            let (old, new) = (lines(old), lines(new));
            let matched = match_lines(&old, &new);
            assert_eq!(kept(&old, &matched.removed).len(), common);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn what_is_kept_of_both_is_the_same_and_longest(
            old in prop::collection::vec(0u8..4, 0..30),
            new in prop::collection::vec(0u8..4, 0..30),
        ) {
            let (a, b) = (lines(&old), lines(&new));
            let matched = match_lines(&a, &b);
            let common = kept(&a, &matched.removed);
            prop_assert_eq!(&common, &kept(&b, &matched.added));
            // the longest common subsequence, by a table
            let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
            for i in 0..a.len() {
                for j in 0..b.len() {
                    table[i + 1][j + 1] = if a[i] == b[j] { table[i][j] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
                }
            }
            prop_assert_eq!(common.len(), table[a.len()][b.len()]);
        }
    }
}
