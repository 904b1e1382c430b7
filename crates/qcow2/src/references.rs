//! The references of whole L1 tables, as internal snapshots add and drop them (specification: "Snapshots").
//!
//! Every path from an L1 table through an L2 table to a cluster counts once, for the cluster as for the L2 table: a
//! table that two L1 tables share has refcount 2, and so has all that it points to. All this happens in change sets
//! only, so an L2 table on disk is never altered, and errors in between cost nothing.

use crate::entry::{COPIED, CompressedAt, L2Entry, OFFSET_MASK};
use crate::error::Result;
use crate::snapshot_table::Snapshot;
use crate::state::{State, read_table};
use crate::types::MAX_L1_BYTES;
use std::collections::HashSet;

/// So many entries are looked at before the caches are relieved.
const STRIDE: u64 = 64;

impl State {
    /// Loads a snapshot's L1 table, and checks it: each entry is 0 or the offset of an L2 table, each table comes once.
    pub(crate) fn snapshot_l1(&self, snapshot: &Snapshot) -> Result<Vec<u64>> {
        let bytes = u64::from(snapshot.l1_entries) * 8;
        let fail = |problem| {
            Err(self
                .core
                .corrupt("L1 table of a snapshot", snapshot.l1_offset, bytes, problem))
        };
        if bytes > MAX_L1_BYTES {
            return fail("it exceeds 32 MiB");
        }
        if self.core.geometry.within(snapshot.l1_offset) != 0 {
            return fail("it is not cluster aligned");
        }
        if bytes > 0
            && snapshot
                .l1_offset
                .checked_add(bytes)
                .is_none_or(|end| end > self.file_len)
        {
            return fail("it lies outside of the file");
        }
        let mut table = read_table(&self.core, snapshot.l1_offset, snapshot.l1_entries.into())?;
        for entry in &mut table {
            *entry &= OFFSET_MASK;
        }
        let own = self.own_structures();
        let leads_there = |table: &u64| own.contains(&(table >> self.core.geometry.cluster_bits));
        if self
            .distinct_tables(&table, snapshot.l1_offset)?
            .iter()
            .any(leads_there)
        {
            return fail("an entry leads to metadata of the image");
        }
        Ok(table)
    }

    /// The clusters of header, active L1 table and refcounts.
    fn own_structures(&self) -> HashSet<u64> {
        let geometry = &self.core.geometry;
        let table = u64::from(self.header.refcount_table_clusters) << geometry.cluster_bits;
        let l1 = u64::from(self.header.l1_entries) * 8;
        let parts = [
            (0, 1),
            (self.header.l1_offset, l1),
            (self.header.refcount_table_offset, table),
        ];
        let tables = parts.into_iter().flat_map(|(offset, len)| {
            let first = offset >> geometry.cluster_bits;
            first..first + geometry.clusters(len)
        });
        let blocks = self.refcount_table.iter().filter(|block| **block != 0);
        tables
            .chain(blocks.map(|block| block >> geometry.cluster_bits))
            .collect()
    }

    /// The L2 tables of an L1 table at `l1_offset`. None may come twice: no program makes such a table, and the work
    /// would have no bound.
    pub(crate) fn distinct_tables(&self, l1: &[u64], l1_offset: u64) -> Result<HashSet<u64>> {
        let mut tables = HashSet::new();
        for (index, entry) in l1.iter().enumerate() {
            let table = entry & OFFSET_MASK;
            let fail = |problem| {
                let at = l1_offset + index as u64 * 8;
                Err(self.core.corrupt("L1 entry", at, *entry, problem))
            };
            if table == 0 {
                continue;
            }
            if self.core.geometry.within(table) != 0 {
                return fail("the L2 table is not cluster aligned");
            }
            if !tables.insert(table) {
                return fail("the L2 table is in use for another part of the disk too");
            }
        }
        Ok(tables)
    }

    /// Whether an L2 table was never written, so that all its entries are empty.
    fn is_blank(&mut self, table: u64) -> Result<bool> {
        let len = self.core.geometry.cluster_size();
        let bits = self.core.geometry.cluster_bits;
        if table >= self.core.file.size() {
            return Ok(!self.is_new(table >> bits)?);
        }
        let extent = self.core.file.extent_at(table, len)?;
        let there = self.core.file.size() - table;
        Ok(extent.reads_as_zero() && extent.len >= len.min(there) && !self.is_new(table >> bits)?)
    }

    /// Runs over the entries of an L2 table that are not empty.
    pub(crate) fn each_entry(
        &mut self,
        table: u64,
        mut visit: impl FnMut(&mut Self, u64, L2Entry) -> Result<()>,
    ) -> Result<()> {
        if self.is_blank(table)? {
            return Ok(());
        }
        for index in 0..self.core.geometry.l2_entries() {
            if index % STRIDE == 0 {
                self.make_way()?;
            }
            let entry = self.l2_entry(table, index)?;
            if entry == L2Entry::default() {
                continue;
            }
            self.check_entry(entry, table, index)?;
            visit(self, index, entry)?;
        }
        Ok(())
    }

    /// The host clusters that an entry refers to: the first, and how many.
    fn clusters_of(&self, entry: L2Entry) -> (u64, u64) {
        let geometry = &self.core.geometry;
        if entry.is_compressed() {
            let (first, last) = CompressedAt::parse(entry.descriptor, geometry).clusters(geometry);
            (first, last - first + 1)
        } else if entry.has_cluster(false) {
            (entry.offset() >> geometry.cluster_bits, 1)
        } else {
            (0, 0)
        }
    }

    /// The refcount of a cluster that is in use.
    fn count_of_used(&mut self, cluster: u64) -> Result<u64> {
        match self.refcount(cluster)? {
            0 => {
                let at = cluster << self.core.geometry.cluster_bits;
                Err(self
                    .core
                    .corrupt("refcount of the cluster", at, 0, "it is in use"))
            }
            count => Ok(count),
        }
    }

    fn add_reference(&mut self, cluster: u64) -> Result<()> {
        let count = self.count_of_used(cluster)?;
        self.set_refcount(cluster, count.saturating_add(1))
    }

    /// Counts one more path through an L2 table.
    pub(crate) fn add_path(&mut self, table: u64) -> Result<()> {
        self.each_entry(table, |state, _, entry| {
            let (first, count) = state.clusters_of(entry);
            (first..first + count).try_for_each(|cluster| state.add_reference(cluster))
        })?;
        self.add_reference(table >> self.core.geometry.cluster_bits)
    }

    /// Counts one path through an L2 table less, as soon as the change set settles.
    pub(crate) fn drop_path(&mut self, table: u64) -> Result<()> {
        self.each_entry(table, |state, _, entry| {
            state.release_entry(entry);
            Ok(())
        })?;
        self.release(table >> self.core.geometry.cluster_bits, 1);
        Ok(())
    }

    /// Counts one more path through each L2 table of the active L1 table, none of which may be changed in place then.
    pub(crate) fn share_active(&mut self) -> Result<()> {
        let bits = self.core.geometry.cluster_bits;
        self.distinct_tables(&self.l1, self.header.l1_offset)?;
        for l1_index in 0..self.l1.len() as u64 {
            if self.l2_table(l1_index)?.is_some() {
                self.mark_copied(l1_index, |_, _| Ok(false))?;
            }
            // Where entries had to change, this is another one.
            let Some(table) = self.l2_table(l1_index)? else {
                continue;
            };
            self.add_path(table)?;
            debug_assert!(self.refcount(table >> bits).is_ok_and(|count| count > 1));
            self.set_l1_copied(l1_index, false);
        }
        Ok(())
    }

    /// Gives the COPIED flags of the active tables the values that the refcounts demand.
    pub(crate) fn correct_copied(&mut self) -> Result<()> {
        self.settle()?;
        self.distinct_tables(&self.l1, self.header.l1_offset)?;
        for l1_index in 0..self.l1.len() as u64 {
            if self.l2_table(l1_index)?.is_none() {
                continue;
            }
            self.mark_copied(l1_index, |state, (first, count)| {
                let mut single = count == 1;
                for cluster in first..first + count {
                    single &= state.count_of_used(cluster)? == 1;
                }
                Ok(single)
            })?;
            if let Some(table) = self.l2_table(l1_index)? {
                let copied = self.count_of_used(table >> self.core.geometry.cluster_bits)? == 1;
                self.set_l1_copied(l1_index, copied);
            }
        }
        self.settle()?;
        Ok(())
    }

    /// Sets the COPIED flags in an L2 table of the active L1 table as `wanted` says of the clusters of each entry.
    fn mark_copied(
        &mut self,
        l1_index: u64,
        wanted: impl Fn(&mut Self, (u64, u64)) -> Result<bool>,
    ) -> Result<()> {
        let Some(table) = self.l2_table(l1_index)? else {
            return Ok(());
        };
        let first = l1_index << self.core.geometry.l2_bits();
        self.each_entry(table, |state, index, entry| {
            let clusters = state.clusters_of(entry);
            let copied = wanted(state, clusters)? && !entry.is_compressed();
            if copied == entry.is_copied() {
                return Ok(());
            }
            state.own_l2(l1_index)?;
            let descriptor = entry.descriptor ^ COPIED;
            state.set_entry(first + index, L2Entry { descriptor, ..entry })
        })
    }

    fn set_l1_copied(&mut self, l1_index: u64, copied: bool) {
        if let Some(entry) = self.l1.get_mut(l1_index as usize) {
            let new = (*entry & OFFSET_MASK) | if copied { COPIED } else { 0 };
            if *entry != new {
                *entry = new;
                self.l1_dirty.insert(l1_index / 64);
            }
        }
    }
}
