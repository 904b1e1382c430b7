//! Following a chain of clusters.

use crate::boot_sector::{BootSector, corrupt};
use crate::fat_table::{FatEntry, FatTable};
use disksmith_vfs::Result;

/// The clusters of a chain one by one. A circle is found (Brent's way) before it was gone round three times, without
/// remembering the clusters.
#[derive(Debug)]
pub(crate) struct Chain<'a> {
    table: &'a FatTable,
    first: u32,
    next: Option<u32>,
    marked: u32,
    steps: u64,
    mark_at: u64,
}

impl<'a> Chain<'a> {
    /// The chain that begins with a cluster, which must exist.
    pub(crate) fn new(table: &'a FatTable, boot: &BootSector, first: u32) -> Result<Self> {
        if !boot.has_cluster(first) {
            return Err(corrupt(format!(
                "a chain begins with cluster {first}, which does not exist"
            )));
        }
        Ok(Self {
            table,
            first,
            next: Some(first),
            marked: 0,
            steps: 0,
            mark_at: 1,
        })
    }

    /// The next cluster; `None` at the end.
    pub(crate) fn next_cluster(&mut self) -> Result<Option<u32>> {
        let Some(cluster) = self.next else {
            return Ok(None);
        };
        if cluster == self.marked {
            return Err(corrupt(format!(
                "the chain of cluster {} is a circle",
                self.first
            )));
        }
        self.steps += 1;
        if self.steps == self.mark_at {
            self.marked = cluster;
            self.mark_at *= 2;
        }
        self.next = match self.table.get(cluster)? {
            FatEntry::Next(next) => Some(next),
            FatEntry::End => None,
            other => {
                let first = self.first;
                return Err(corrupt(format!(
                    "the chain of cluster {first}: FAT entry {cluster} is {other:?}"
                )));
            }
        };
        Ok(Some(cluster))
    }
}
