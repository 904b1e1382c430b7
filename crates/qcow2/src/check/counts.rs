//! How often each cluster is referenced, counted afresh.

use std::collections::HashMap;

const CHUNK: u64 = 1024;
/// Stands for a count that is kept in [`Counts::large`].
const LARGE: u8 = u8::MAX;

/// Sparse counters: memory follows what is referenced, a byte a cluster, not what the file claims. Counts that a byte cannot
/// hold are rare and kept aside.
#[derive(Debug)]
pub(crate) struct Counts {
    max: u64,
    chunks: HashMap<u64, Box<[u8]>>,
    large: HashMap<u64, u64>,
}

impl Counts {
    /// No references; counters stop at `max`.
    pub(crate) fn new(max: u64) -> Self {
        Self {
            max,
            chunks: HashMap::new(),
            large: HashMap::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.large.clear();
    }

    pub(crate) fn get(&self, cluster: u64) -> u64 {
        let chunk = self.chunks.get(&(cluster / CHUNK));
        match chunk
            .and_then(|c| c.get((cluster % CHUNK) as usize))
            .copied()
            .unwrap_or(0)
        {
            LARGE => self.large.get(&cluster).copied().unwrap_or(0),
            count => count.into(),
        }
    }

    /// Counts one more reference; false when the counter cannot hold it.
    pub(crate) fn add(&mut self, cluster: u64) -> bool {
        let chunk = self
            .chunks
            .entry(cluster / CHUNK)
            .or_insert_with(|| vec![0; CHUNK as usize].into());
        let Some(small) = chunk.get_mut((cluster % CHUNK) as usize) else {
            return false;
        };
        let count = match *small {
            LARGE => self.large.get(&cluster).copied().unwrap_or(0),
            count => count.into(),
        };
        if count >= self.max {
            return false;
        }
        let count = count + 1;
        match u8::try_from(count) {
            Ok(count) if count < LARGE => *small = count,
            _ => {
                *small = LARGE;
                self.large.insert(cluster, count);
            }
        }
        true
    }

    /// Whether any cluster of a range may be referenced.
    pub(crate) fn any(&self, first: u64, end: u64) -> bool {
        if (end - first) / CHUNK > self.chunks.len() as u64 {
            return self
                .chunks
                .keys()
                .any(|c| *c >= first / CHUNK && *c <= (end - 1) / CHUNK);
        }
        (first / CHUNK..=(end - 1) / CHUNK).any(|c| self.chunks.contains_key(&c))
    }

    /// The highest cluster that is referenced.
    pub(crate) fn highest(&self) -> Option<u64> {
        let chunk = self
            .chunks
            .iter()
            .filter(|(_, c)| c.iter().any(|n| *n != 0))
            .map(|(i, _)| *i)
            .max()?;
        let within = self.chunks.get(&chunk)?.iter().rposition(|n| *n != 0)?;
        Some(chunk * CHUNK + within as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_beyond_a_byte() {
        let mut counts = Counts::new(600);
        for expected in 1..=600 {
            assert!(counts.add(7) && counts.get(7) == expected);
        }
        assert!(!counts.add(7) && counts.get(7) == 600 && counts.get(8) == 0);
        assert_eq!(counts.highest(), Some(7));
    }
}
