//! How well the partitions of a disk lie on the blocks of the storage below.

use crate::error::{Error, Result};
use crate::inspect::canonical_device_name;
use disksmith_storage::StorageRef;
use disksmith_volume::Disk;
use serde::Serialize;

/// Where a partition begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alignment {
    /// Its canonical name.
    pub name: String,
    /// Where it begins, in bytes.
    pub start: u64,
    /// The power of two that its start is a multiple of, as an exponent; 0 for one that begins at 0.
    pub bits: u32,
}

impl Alignment {
    /// The alignment in bytes.
    pub fn bytes(&self) -> u64 {
        1u64.checked_shl(self.bits).unwrap_or(u64::MAX)
    }
}

/// The alignment of every partition of some disks, in the order in which they lie there.
///
/// # Errors
/// A partition table that is damaged.
pub fn partition_alignments(disks: &[StorageRef]) -> Result<Vec<Alignment>> {
    let mut found = Vec::new();
    for (index, storage) in disks.iter().enumerate() {
        let disk = Disk::probe(storage.clone()).map_err(Error::below)?;
        let mut partitions: Vec<_> = disk.partitions().iter().filter(|p| p.number > 0).collect();
        partitions.sort_by_key(|partition| partition.start);
        for partition in partitions {
            found.push(Alignment {
                name: canonical_device_name(index, Some(partition.number)),
                start: partition.start,
                bits: match partition.start {
                    0 => 0,
                    start => start.trailing_zeros(),
                },
            });
        }
    }
    Ok(found)
}
