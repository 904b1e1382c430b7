//! Zero clusters made into something that version 2 of the format can say: no cluster, or one that holds zeroes.

use crate::entry::{COPIED, L2Entry, OFFSET_MASK, ZERO};
use crate::error::Result;
use crate::snapshot_table::Snapshot;
use crate::state::{State, table_bytes};
use byteorder::{BigEndian, ByteOrder};
use std::collections::HashMap;

impl State {
    /// Replaces all zero clusters, of the disk and of the internal snapshots. For change sets over images that hold
    /// their data themselves.
    pub(crate) fn expand_zeroes(&mut self) -> Result<()> {
        let (mut list, _) = self.load_snapshots()?;
        let mut moved: HashMap<u64, u64> = HashMap::new();
        let mut changed = false;
        for snapshot in &mut list {
            changed |= self.expand_snapshot(snapshot, &mut moved)?;
        }
        if changed {
            self.replace_snapshots(list)?;
        }
        let mut l1 = self.l1.clone();
        let (offset, size) = (self.header.l1_offset, self.size);
        if self.expand_table(&mut l1, offset, size, &mut moved)? {
            self.l1 = l1;
            self.l1_dirty.insert(0);
        }
        self.settle()?;
        self.correct_copied()
    }

    fn expand_snapshot(&mut self, snapshot: &mut Snapshot, moved: &mut HashMap<u64, u64>) -> Result<bool> {
        let mut l1 = self.snapshot_l1(snapshot)?;
        let size = snapshot.disk_size.unwrap_or(self.header.size);
        if !self.expand_table(&mut l1, snapshot.l1_offset, size, moved)? {
            return Ok(false);
        }
        let geometry = self.core.geometry;
        let old = snapshot.l1_offset >> geometry.cluster_bits;
        let bytes = u64::from(snapshot.l1_entries) * 8;
        // The reserved bits of the table are those of no program's: only offsets count in it.
        snapshot.l1_offset = self.write_beside(&table_bytes(&l1))?;
        self.release(old, geometry.clusters(bytes));
        Ok(true)
    }

    /// Replaces the L2 tables of an L1 table that have zero clusters. Says whether there were any.
    fn expand_table(
        &mut self,
        l1: &mut [u64],
        l1_offset: u64,
        size: u64,
        moved: &mut HashMap<u64, u64>,
    ) -> Result<bool> {
        self.distinct_tables(l1, l1_offset)?;
        let mut changed = false;
        for (index, entry) in l1.iter_mut().enumerate() {
            let table = *entry & OFFSET_MASK;
            if table == 0 {
                continue;
            }
            let new = match moved.get(&table) {
                Some(new) => *new,
                None => {
                    let new = self.expand_l2(table, index as u64, size)?;
                    moved.insert(table, new);
                    new
                }
            };
            if new != table {
                *entry = (*entry & !OFFSET_MASK) | new;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// A copy of an L2 table without zero clusters, with as many references; the table itself where it has none.
    fn expand_l2(&mut self, table: u64, l1_index: u64, size: u64) -> Result<u64> {
        let geometry = self.core.geometry;
        let mut zeroes: Vec<(u64, L2Entry)> = Vec::new();
        self.each_entry(table, |_, index, entry| {
            if !entry.is_compressed() && entry.descriptor & ZERO != 0 {
                zeroes.push((index, entry));
            }
            Ok(())
        })?;
        if zeroes.is_empty() {
            return Ok(table);
        }
        let old = table >> geometry.cluster_bits;
        let paths = self.refcount(old)?;
        let (first, _) = self.allocate(1)?;
        self.set_refcount(first, paths)?;
        let mut bytes = Vec::with_capacity(geometry.cluster_size() as usize);
        let mut at = 0;
        while at < geometry.cluster_size() {
            bytes.extend_from_slice(self.l2.get(&*self.core.file, table + at)?);
            at += self.l2.slice_size();
        }
        for (index, entry) in zeroes {
            self.make_way()?;
            let guest = (l1_index << (geometry.l2_bits() + geometry.cluster_bits))
                .saturating_add(index << geometry.cluster_bits);
            let backed = guest < size && self.core.backed(guest) > 0;
            let new = if entry.has_cluster(false) || backed {
                self.zeroed_cluster(guest, paths)?
            } else {
                0
            };
            if entry.has_cluster(false) {
                for _ in 0..paths {
                    self.release(entry.offset() >> geometry.cluster_bits, 1);
                }
                self.settle()?;
            }
            let at = index as usize * 8;
            if let Some(word) = bytes.get_mut(at..at + 8) {
                BigEndian::write_u64(word, new);
            }
        }
        let new = first << geometry.cluster_bits;
        for (i, slice) in bytes.chunks(self.l2.slice_size() as usize).enumerate() {
            self.l2.put(new + i as u64 * self.l2.slice_size(), slice.into());
        }
        for _ in 0..paths {
            self.release(old, 1);
        }
        self.settle()?;
        Ok(new)
    }

    /// A new cluster that holds zeroes for the guest at `guest` and has so many references: its entry.
    fn zeroed_cluster(&mut self, guest: u64, references: u64) -> Result<u64> {
        let geometry = self.core.geometry;
        let (first, _) = self.allocate(1)?;
        let offset = first << geometry.cluster_bits;
        let zeroes = vec![0; geometry.cluster_size() as usize];
        self.core.write_data(offset, guest, &zeroes)?;
        self.set_refcount(first, references)?;
        Ok(if references == 1 { COPIED | offset } else { offset })
    }
}
