//! How often each cluster is referenced, counted afresh.

use std::collections::HashMap;

/// Clusters per chunk.
const CHUNK: u64 = 4096;
const WORDS: usize = CHUNK as usize / 64;
/// Stands for a count that is kept in [`Counts::large`].
const LARGE: u8 = 15;

/// The counts of [`CHUNK`] clusters that follow each other. What is in use is mostly in use throughout, and as often:
/// such a chunk needs no memory of its own, and one in which counts differ by one a bit a cluster.
#[derive(Debug, Clone, Default)]
enum Chunk {
    /// Nothing is referenced.
    #[default]
    Empty,
    /// All counts are the same.
    Flat(u8),
    /// The counts are `base`, and one more where the bit is set; `set` bits are.
    Bits {
        base: u8,
        set: u16,
        bits: Box<[u64; WORDS]>,
    },
    /// Four bits a cluster.
    Nibbles(Box<[u8]>),
}

impl Chunk {
    fn get(&self, at: usize) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Flat(count) => *count,
            Self::Bits { base, bits, .. } => {
                base + u8::from(bits.get(at / 64).is_some_and(|w| w >> (at % 64) & 1 != 0))
            }
            Self::Nibbles(list) => list.get(at / 2).map_or(0, |b| b >> (4 * (at % 2)) & 15),
        }
    }

    fn set_nibble(list: &mut [u8], at: usize, count: u8) {
        if let Some(byte) = list.get_mut(at / 2) {
            let shift = 4 * (at % 2);
            *byte = (*byte & !(15 << shift)) | (count & 15) << shift;
        }
    }

    /// Sets a count that is greater by one than it was, at most [`LARGE`].
    fn raise(&mut self, at: usize, count: u8) {
        if let Self::Empty | Self::Flat(_) = self {
            let base = self.get(at);
            *self = Self::Bits {
                base,
                set: 0,
                bits: Box::new([0; WORDS]),
            };
        }
        match self {
            Self::Bits { base, set, bits } if count == *base + 1 && count < LARGE => {
                if let Some(word) = bits.get_mut(at / 64) {
                    *word |= 1 << (at % 64);
                }
                *set += 1;
                if u64::from(*set) == CHUNK {
                    *self = Self::Flat(count);
                }
            }
            Self::Nibbles(list) => Self::set_nibble(list, at, count),
            _ => {
                let mut list = vec![0; CHUNK as usize / 2];
                for i in 0..CHUNK as usize {
                    Self::set_nibble(&mut list, i, self.get(i));
                }
                Self::set_nibble(&mut list, at, count);
                *self = Self::Nibbles(list.into());
            }
        }
    }
}

/// Counters that take memory for what is referenced. Those that four bits cannot hold are rare and kept aside.
#[derive(Debug)]
pub(crate) struct Counts {
    max: u64,
    chunks: Vec<Chunk>,
    large: HashMap<u64, u64>,
}

impl Counts {
    /// No references; counters stop at `max`.
    pub(crate) fn new(max: u64) -> Self {
        Self {
            max,
            chunks: Vec::new(),
            large: HashMap::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.large.clear();
    }

    pub(crate) fn get(&self, cluster: u64) -> u64 {
        let chunk = self.chunks.get((cluster / CHUNK) as usize);
        match chunk.map_or(0, |c| c.get((cluster % CHUNK) as usize)) {
            LARGE => self.large.get(&cluster).copied().unwrap_or(LARGE.into()),
            count => count.into(),
        }
    }

    /// Counts one more reference; false when the counter cannot hold it.
    pub(crate) fn add(&mut self, cluster: u64) -> bool {
        let index = (cluster / CHUNK) as usize;
        if index >= self.chunks.len() {
            self.chunks.resize(index + 1, Chunk::Empty);
        }
        let count = self.get(cluster);
        if count >= self.max {
            return false;
        }
        let Some(chunk) = self.chunks.get_mut(index) else {
            return false;
        };
        if count < LARGE.into() {
            chunk.raise((cluster % CHUNK) as usize, count as u8 + 1);
        } else {
            self.large.insert(cluster, count + 1);
        }
        true
    }

    /// The first cluster from `from` on, and before `end`, that is referenced.
    pub(crate) fn next_used(&self, from: u64, end: u64) -> Option<u64> {
        let mut cluster = from;
        while cluster < end {
            match self.chunks.get((cluster / CHUNK) as usize)? {
                Chunk::Empty | Chunk::Flat(0) => cluster = (cluster / CHUNK + 1) * CHUNK,
                chunk => {
                    if chunk.get((cluster % CHUNK) as usize) != 0 {
                        return Some(cluster);
                    }
                    cluster += 1;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_beyond_four_bits() {
        let mut counts = Counts::new(600);
        for expected in 1..=600 {
            assert!(counts.add(7) && counts.get(7) == expected);
        }
        assert!(!counts.add(7) && counts.get(7) == 600 && counts.get(8) == 0);
        assert_eq!(counts.next_used(0, 100_000), Some(7));
        assert_eq!(counts.next_used(8, 100_000), None);
    }

    #[test]
    fn counts_agree_with_a_plain_list_and_take_no_memory_where_all_are_the_same() {
        let mut counts = Counts::new(u64::MAX);
        let mut plain = vec![0u64; 3 * CHUNK as usize];
        let mut seed = 7u64;
        for round in 0..40_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = if round < 20_000 {
                round / 2
            } else {
                (seed >> 33) % (3 * CHUNK)
            };
            assert!(counts.add(at));
            plain[at as usize] += 1;
        }
        for (at, count) in plain.iter().enumerate() {
            assert_eq!(counts.get(at as u64), *count, "{at}");
        }
        let mut even = Counts::new(u64::MAX);
        for _ in 0..3 {
            (0..2 * CHUNK).for_each(|c| assert!(even.add(c)));
        }
        assert!(even.chunks.iter().all(|c| matches!(c, Chunk::Flat(3))));
    }
}
