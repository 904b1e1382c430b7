//! Compressed clusters in change sets.

use crate::compression::compress_cluster;
use crate::error::{Error, Result};
use crate::shadow::Qcow2Shadow;
use crate::types::GuestCluster;
use disksmith_storage::Storage;

impl Qcow2Shadow {
    /// Writes one guest cluster compressed: `data` is a whole cluster (the last one of the disk may be shorter). Where compression
    /// does not pay, it is written plainly.
    ///
    /// # Errors
    /// When the cluster lies outside of the disk, `data` has another length, and those of writing.
    pub fn write_compressed(&self, cluster: GuestCluster, data: &[u8], level: Option<u32>) -> Result<()> {
        let core = &self.engine.core;
        let size = core.geometry.cluster_size();
        let start = cluster.offset(&core.geometry).map_or(u64::MAX, |offset| offset.0);
        self.check_open(start, data.len() as u64)?;
        let wanted = size.min(self.size().saturating_sub(start));
        if data.len() as u64 != wanted {
            return Err(Error::request("a compressed cluster must be written as a whole"));
        }
        if core.has_data_file() {
            return Err(Error::unsupported(
                &core.name,
                "compression with an external data file",
            ));
        }
        let mut padded;
        let mut whole = data;
        if wanted < size {
            padded = data.to_vec();
            padded.resize(size as usize, 0);
            whole = &padded;
        }
        match compress_cluster(core.compression, level, whole) {
            Some(packed) if (packed.len() as u64) < size => self.engine.write_compressed(cluster.0, &packed),
            _ => Ok(self.write_at(start, data)?),
        }
    }
}
