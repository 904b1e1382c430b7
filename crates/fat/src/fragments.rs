//! Where the clusters of a file lie.

use crate::boot_sector::{BootSector, corrupt};
use crate::chain::Chain;
use disksmith_vfs::{Error, Result};

/// Fragments that a file may have: far more than any has, and 16 MiB of memory.
const MAX_FRAGMENTS: usize = 1 << 20;

/// Runs of clusters that follow each other on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Fragments {
    /// Index of the run's first cluster in the file, and that cluster.
    runs: Vec<(u32, u32)>,
    /// How many clusters there are in all.
    clusters: u32,
}

impl Fragments {
    /// A file without clusters.
    pub(crate) fn none() -> Self {
        Self {
            runs: Vec::new(),
            clusters: 0,
        }
    }

    /// Gathers a whole chain.
    pub(crate) fn gather(mut chain: Chain<'_>) -> Result<Self> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut clusters = 0;
        let mut expected = None;
        while let Some(cluster) = chain.next_cluster()? {
            if expected != Some(cluster) {
                if runs.len() >= MAX_FRAGMENTS {
                    return Err(Error::Unsupported {
                        filesystem: "vfat".into(),
                        operation: format!("a file in more than {MAX_FRAGMENTS} pieces"),
                    });
                }
                runs.push((clusters, cluster));
            }
            clusters += 1;
            expected = Some(cluster + 1);
        }
        Ok(Self { runs, clusters })
    }

    /// Adds a cluster at the end.
    pub(crate) fn push(&mut self, cluster: u32) {
        if self.last().and_then(|last| last.checked_add(1)) != Some(cluster) {
            self.runs.push((self.clusters, cluster));
        }
        self.clusters += 1;
    }

    /// The last cluster.
    pub(crate) fn last(&self) -> Option<u32> {
        let (first, cluster) = self.runs.last()?;
        Some(cluster + (self.clusters - first - 1))
    }

    /// All clusters from an index on.
    pub(crate) fn from(&self, index: u32) -> impl Iterator<Item = u32> + '_ {
        let ends = self
            .runs
            .iter()
            .skip(1)
            .map(|(first, _)| *first)
            .chain([self.clusters]);
        self.runs
            .iter()
            .zip(ends)
            .flat_map(|((first, cluster), end)| (*first..end).zip(*cluster..))
            .filter(move |(at, _)| *at >= index)
            .map(|(_, cluster)| cluster)
    }

    /// Keeps that many clusters.
    pub(crate) fn truncate(&mut self, clusters: u32) {
        self.runs.retain(|(first, _)| *first < clusters);
        self.clusters = self.clusters.min(clusters);
    }

    /// How many clusters there are.
    pub(crate) fn clusters(&self) -> u32 {
        self.clusters
    }

    /// Where byte `offset` of the file lies in the storage, and how many bytes follow it there.
    pub(crate) fn locate(&self, boot: &BootSector, offset: u64) -> Result<(u64, u64)> {
        let len = u64::from(boot.cluster_len);
        let missing = || corrupt(format!("a file has no cluster for its byte {offset}"));
        let index = u32::try_from(offset / len).map_err(|_| missing())?;
        if index >= self.clusters {
            return Err(missing());
        }
        let after = self.runs.partition_point(|(first, _)| *first <= index);
        let (first, cluster) = after
            .checked_sub(1)
            .and_then(|n| self.runs.get(n))
            .ok_or_else(missing)?;
        let end = self.runs.get(after).map_or(self.clusters, |(first, _)| *first);
        let within = u64::from(index - first) * len + offset % len;
        let run_len = u64::from(end - first) * len;
        Ok((boot.cluster_offset(*cluster) + within, run_len - within))
    }
}
