//! Where the clusters of a file lie.

use crate::boot_sector::{BootSector, corrupt};
use crate::chain::Chain;
use disksmith_vfs::{Error, Result};

/// Fragments that a file may have: far more than any has, and 16 MiB of memory.
const MAX_FRAGMENTS: usize = 1 << 20;

/// Runs of clusters that follow each other on the disk.
#[derive(Debug)]
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
