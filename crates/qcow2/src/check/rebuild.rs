//! Writing all refcounts anew, beside the old ones, to which one header write switches.

use super::{Checker, Finding, Repair};
use crate::error::Result;
use crate::refcount;
use crate::state::table_bytes;
use crate::types::MAX_REFCOUNT_TABLE_BYTES;

/// So often the refcounts are written anew until they are right.
const ATTEMPTS: u32 = 3;

impl Checker<'_> {
    /// Builds the refcount table and its blocks anew, and counts and compares again. Gives the highest cluster in use.
    ///
    /// Clusters that the old structures take still count as used, so those stay whole until the switch; afterwards
    /// they are leaked, and given back.
    pub(super) fn rebuild_refcounts(&mut self) -> Result<u64> {
        self.tell(Finding::Rebuilding);
        self.rebuild_once(ATTEMPTS)
    }

    fn rebuild_once(&mut self, attempts: u32) -> Result<u64> {
        let before = self.report.clone();
        let (table_offset, table) = self.write_structures()?;
        self.core.file.flush()?;
        let geometry = self.core.geometry;
        let clusters = geometry.clusters(table.len() as u64 * 8);
        self.header.refcount_table_offset = table_offset;
        self.header.refcount_table_clusters = clusters as u32;
        self.write_header()?;
        self.refcount_table = table;
        self.refcount_table
            .resize(((clusters << geometry.cluster_bits) / 8) as usize, 0);
        self.block.0 = 0;
        self.told_unusable = false;

        // Everything is looked at again, with the new structures.
        let faults = std::mem::take(&mut self.report.faults);
        self.report = super::CheckReport {
            check_errors: before.check_errors,
            corruptions_fixed: before.corruptions_fixed,
            leaks_fixed: before.leaks_fixed,
            total_clusters: before.total_clusters,
            allocated_clusters: before.allocated_clusters,
            fragmented_clusters: before.fragmented_clusters,
            compressed_clusters: before.compressed_clusters,
            faults,
            ..Default::default()
        };
        self.counts.clear();
        self.beyond.clear();
        self.rebuild = false;
        self.count_references(Repair::None)?;
        let fixed = self.report.leaks_fixed;
        let highest = self.compare_refcounts(Repair::Leaks)?;
        // That the old structures are not used any more is no leak that was found.
        self.report.leaks_fixed = fixed;
        let report = &mut self.report;
        report.corruptions_fixed += before.corruptions.saturating_sub(report.corruptions);
        report.leaks_fixed += before.leaks.saturating_sub(report.leaks);
        Ok(match self.rebuild {
            // The file may reach now to what lay beyond its end before, which counts since.
            true if attempts > 1 => self.rebuild_once(attempts - 1)?,
            true => {
                self.tell(Finding::StillBroken);
                highest
            }
            false => highest,
        })
    }

    /// Writes the structures: gives the place of the table, and its entries.
    fn write_structures(&mut self) -> Result<(u64, Vec<u64>)> {
        let geometry = self.core.geometry;
        let mut table: Vec<u64> = Vec::new();
        self.write_blocks(0, self.clusters, &mut table)?;
        loop {
            let len = table.len();
            let clusters = geometry.clusters(len as u64 * 8);
            if clusters << geometry.cluster_bits > MAX_REFCOUNT_TABLE_BYTES {
                return Err(self.too_large());
            }
            let first = self.take_unused(clusters, 0)?;
            self.write_blocks(first, first + clusters, &mut table)?;
            if table.len() == len {
                let mut bytes = table_bytes(&table);
                bytes.resize((clusters << geometry.cluster_bits) as usize, 0);
                let offset = first << geometry.cluster_bits;
                self.reach(first + clusters)?;
                self.core.file.write_at(offset, &bytes)?;
                return Ok((offset, table));
            }
        }
    }

    /// Writes the blocks that count what is in use from `first` on and before `end`, and enters them into `table`.
    fn write_blocks(&mut self, first: u64, mut end: u64, table: &mut Vec<u64>) -> Result<()> {
        let geometry = self.core.geometry;
        let per_cluster = (geometry.cluster_size() / 8) as usize;
        let mut free_from = 0;
        let mut cluster = first;
        while let Some(used) = self.counts.next_used(cluster, end) {
            let index = used >> geometry.block_bits();
            let start = index << geometry.block_bits();
            if index as usize >= table.len() {
                if index * 8 >= MAX_REFCOUNT_TABLE_BYTES {
                    return Err(self.too_large());
                }
                table.resize((index as usize + 1).next_multiple_of(per_cluster), 0);
            }
            let place = match table.get(index as usize).copied() {
                Some(offset) if offset != 0 => offset >> geometry.cluster_bits,
                _ => {
                    // Not in a cluster that a block counts which is written already.
                    free_from = free_from.max(start);
                    let place = self.take_unused(1, free_from)?;
                    free_from = place;
                    end = end.max(place + 1);
                    if let Some(entry) = table.get_mut(index as usize) {
                        *entry = place << geometry.cluster_bits;
                    }
                    place
                }
            };
            let mut block = vec![0u8; geometry.cluster_size() as usize];
            for i in 0..geometry.block_entries() {
                let count = self.counts.get(start + i);
                if count > 0 {
                    refcount::set(&mut block, geometry.refcount_order, i as usize, count);
                }
            }
            self.reach(place + 1)?;
            self.core.file.write_at(place << geometry.cluster_bits, &block)?;
            cluster = start + geometry.block_entries();
        }
        Ok(())
    }

    /// Makes the file reach to the end of cluster `end`, exclusively.
    fn reach(&mut self, end: u64) -> Result<()> {
        let len = end << self.core.geometry.cluster_bits;
        if self.core.file.size() < len {
            self.core.file.set_size(len)?;
        }
        self.clusters = self.clusters.max(end);
        Ok(())
    }

    /// Takes so many clusters in a row that nothing uses, the first there are from `from` on.
    fn take_unused(&mut self, wanted: u64, from: u64) -> Result<u64> {
        let (mut first, mut cluster) = (from, from);
        while cluster < first + wanted {
            let used = self.counts.get(cluster) > 0 || self.is_beyond(cluster);
            cluster += 1;
            if used {
                first = cluster;
            }
            if first > i32::MAX as u64 {
                return Err(self.too_large());
            }
        }
        for cluster in first..first + wanted {
            self.counts.add(cluster);
        }
        Ok(first)
    }
}
