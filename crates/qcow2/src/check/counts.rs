//! How often each cluster is referenced, counted afresh.

use std::collections::HashMap;

const CHUNK: u64 = 1024;

/// Sparse counters: memory follows what is referenced, not what the file claims.
#[derive(Debug)]
pub(crate) struct Counts {
    max: u64,
    chunks: HashMap<u64, Box<[u32]>>,
}

impl Counts {
    /// No references; counters stop at `max`.
    pub(crate) fn new(max: u64) -> Self {
        Self {
            max: max.min(u32::MAX.into()),
            chunks: HashMap::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
    }

    pub(crate) fn get(&self, cluster: u64) -> u64 {
        let chunk = self.chunks.get(&(cluster / CHUNK));
        chunk
            .and_then(|c| c.get((cluster % CHUNK) as usize))
            .copied()
            .unwrap_or(0)
            .into()
    }

    /// Counts one more reference; false when the counter cannot hold it.
    pub(crate) fn add(&mut self, cluster: u64) -> bool {
        let chunk = self
            .chunks
            .entry(cluster / CHUNK)
            .or_insert_with(|| vec![0; CHUNK as usize].into());
        match chunk.get_mut((cluster % CHUNK) as usize) {
            Some(count) if u64::from(*count) < self.max => {
                *count += 1;
                true
            }
            _ => false,
        }
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
