//! Repairs that are more than a changed number.

use super::{Checker, Repair};
use crate::error::{Error, Result};
use crate::feature::Incompatible;
use crate::header::SECTOR;
use crate::io::read_padded;
use crate::refcount;
use crate::snapshot_table::Snapshot;
use crate::state::table_bytes;
use crate::types::MAX_REFCOUNT_TABLE_BYTES;

impl Checker {
    /// Builds the refcount table and its blocks anew, behind everything that is in use, and switches to them by one
    /// header write. Gives the highest cluster in use.
    pub(super) fn rebuild_refcounts(&mut self) -> Result<u64> {
        let geometry = self.core.geometry;
        let before = self.report.clone();
        // References from the old structures do not count.
        self.recount_without_blocks()?;
        let start = self.counts.highest().map_or(0, |c| c + 1).max(1);
        let old_end = geometry.clusters(self.core.file.size());
        // Not over the old structures, wherever they are.
        let start = start.max(old_end);
        let per_block = geometry.block_entries();
        let wanted = |end: u64, counts: &super::Counts| -> Vec<u64> {
            (0..end.div_ceil(per_block))
                .filter(|i| {
                    let (first, last) = (i * per_block, ((i + 1) * per_block).min(end));
                    last > start || counts.any(first, last)
                })
                .collect()
        };
        let (mut blocks, mut table) = (0u64, 1u64);
        let list = loop {
            let end = start + blocks + table;
            let list = wanted(end, &self.counts);
            let needed_table = geometry.clusters(end.div_ceil(per_block) * 8);
            if list.len() as u64 <= blocks && needed_table <= table {
                break list;
            }
            blocks = blocks.max(list.len() as u64);
            table = table.max(needed_table);
        };
        if table << geometry.cluster_bits > MAX_REFCOUNT_TABLE_BYTES {
            return Err(Error::TooLarge {
                image: self.core.name.clone(),
                what: "the refcount table would exceed 8 MiB",
            });
        }
        let end = start + blocks + table;
        for cluster in start..start + list.len() as u64 {
            self.counts.add(cluster);
        }
        for cluster in start + blocks..end {
            self.counts.add(cluster);
        }
        let file = self.core.file.clone();
        file.set_size(end << geometry.cluster_bits)?;
        let mut entries = vec![0u64; ((table << geometry.cluster_bits) / 8) as usize];
        let mut block = vec![0u8; geometry.cluster_size() as usize];
        for (place, index) in list.iter().enumerate() {
            block.fill(0);
            for i in 0..per_block {
                let count = self.counts.get(index * per_block + i);
                refcount::set(&mut block, geometry.refcount_order, i as usize, count);
            }
            let offset = (start + place as u64) << geometry.cluster_bits;
            file.write_at(offset, &block)?;
            if let Some(entry) = entries.get_mut(*index as usize) {
                *entry = offset;
            }
        }
        let table_offset = (start + blocks) << geometry.cluster_bits;
        file.write_at(table_offset, &table_bytes(&entries))?;
        file.flush()?;
        self.header.refcount_table_offset = table_offset;
        self.header.refcount_table_clusters = table as u32;
        self.write_header()?;
        self.refcount_table = entries;
        self.clusters = end;

        // Everything is looked at again, with the new structures.
        self.report = Default::default();
        self.report.total_clusters = before.total_clusters;
        self.counts.clear();
        self.rebuild = false;
        self.count_references()?;
        let highest = self.compare_refcounts()?;
        let report = &mut self.report;
        report.corruptions_fixed +=
            before.corruptions_fixed + before.corruptions.saturating_sub(report.corruptions);
        report.leaks_fixed += before.leaks_fixed + before.leaks.saturating_sub(report.leaks);
        let mut faults = before.faults;
        Self::mark_fixed(&mut faults);
        faults.append(&mut report.faults);
        faults.truncate(super::CheckReport::MAX_FAULTS);
        report.faults = faults;
        Ok(highest)
    }

    /// Writes the snapshot table anew behind the end of the file, with the extra data that version 3 wants. It takes
    /// its place when the refcounts, which are built anew, do.
    pub(super) fn complete_snapshots(&mut self) -> Result<()> {
        let file = self.core.file.clone();
        let (list, _) = Snapshot::load_table(&*file, self.header.snapshots_offset, self.header.snapshots)?;
        let mut bytes = Vec::new();
        for mut snapshot in list {
            snapshot.disk_size = snapshot.disk_size.or(Some(self.header.size));
            if snapshot.encode(&mut bytes).is_none() {
                return Ok(());
            }
        }
        let offset = file.size().next_multiple_of(self.core.geometry.cluster_size());
        file.set_size(offset + (bytes.len() as u64).next_multiple_of(self.core.geometry.cluster_size()))?;
        file.write_at(offset, &bytes)?;
        self.header.snapshots_offset = offset;
        self.rebuild = true;
        Ok(())
    }

    fn recount_without_blocks(&mut self) -> Result<()> {
        self.counts.clear();
        let table = std::mem::take(&mut self.refcount_table);
        let counted = self.count_references();
        self.refcount_table = table;
        counted
    }

    fn write_header(&mut self) -> Result<()> {
        let mut sector = [0u8; SECTOR];
        read_padded(&*self.core.file, 0, &mut sector)?;
        self.header.patch(&mut sector);
        self.core.file.write_at(0, &sector)?;
        self.core.file.flush()?;
        Ok(())
    }

    /// After a repair that left nothing wrong, the image is neither dirty nor corrupt any more.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.repair == Repair::None {
            return Ok(());
        }
        self.core.file.flush()?;
        let flags = Incompatible::DIRTY | Incompatible::CORRUPT;
        if self.report.check_errors == 0
            && self.report.corruptions == 0
            && self.header.incompatible.intersects(flags)
        {
            self.header.incompatible.remove(flags);
            self.write_header()?;
        }
        Ok(())
    }
}
