//! Walking the structures that reference clusters, and counting those references.

use super::{Checker, Finding, MAX_FILE, Repair, Stop};
use crate::bitmap_directory::{BitmapEntry, TABLE_OFFSET_MASK, TABLE_RESERVED};
use crate::entry::{
    ALL_ALLOCATED, COPIED, CompressedAt, L1_RESERVED, L2_RESERVED, L2Entry, OFFSET_MASK, ZERO,
};
use crate::error::Result;
use crate::extension::Extension;
use crate::io::read_padded;
use crate::state::read_table;
use crate::types::MAX_L1_BYTES;
use byteorder::{BigEndian, ByteOrder};
use std::collections::HashSet;

/// A table that one L1 table references again is walked again, as qemu-img does, but only as long as all these
/// repeated walks together look at fewer entries than this.
pub(super) const MAX_REPEATED: u64 = 1 << 24;
/// Ranges beyond the end of the file that are remembered; with more of them, nothing is written there at all.
const MAX_BEYOND: usize = 4096;
/// The longest table of a bitmap, in entries.
const MAX_BITMAP_TABLE: u64 = 0x800_0000;

/// An L2 table that is walked.
struct Table {
    offset: u64,
    /// Whether the active L1 table leads to it.
    active: bool,
    fix: bool,
    /// Where the next data cluster would follow.
    next: u64,
}

impl Checker<'_> {
    /// Counts a reference to each cluster of a range.
    pub(super) fn count(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let geometry = self.core.geometry;
        let file_len = self.core.file.size();
        // The last cluster of an image may lie only partly in the file.
        let fits = offset
            .checked_add(len)
            .is_some_and(|end| end.saturating_sub(file_len) < geometry.cluster_size());
        if !fits {
            let end = offset.saturating_add(len);
            self.remember_beyond(offset >> geometry.cluster_bits, geometry.clusters(end));
            self.corrupt(Finding::BeyondEnd { offset, len });
            return;
        }
        for cluster in offset >> geometry.cluster_bits..=(offset + len - 1) >> geometry.cluster_bits {
            self.clusters = self.clusters.max(cluster + 1);
            if !self.counts.add(cluster) {
                let offset = cluster << geometry.cluster_bits;
                self.corrupt(Finding::RefcountOverflow { offset });
            }
        }
    }

    fn remember_beyond(&mut self, mut first: u64, mut end: u64) {
        // Joined with what it touches.
        while let Some((from, to)) = self.beyond.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if to < first {
                break;
            }
            self.beyond.remove(&from);
            (first, end) = (first.min(from), end.max(to));
        }
        if self.beyond.len() >= MAX_BEYOND {
            self.beyond.clear();
            (first, end) = (self.core.geometry.clusters(self.core.file.size()), u64::MAX);
        }
        self.beyond.insert(first, end);
    }

    /// Counts all references. `repair` is what is mended on the way.
    pub(super) fn count_references(&mut self, repair: Repair) -> Result<()> {
        let geometry = self.core.geometry;
        let fix = repair == Repair::All;
        self.count(0, geometry.cluster_size());
        let l1 = std::mem::take(&mut self.l1);
        let walked = self.walk_l1(self.header.l1_offset, &l1, true, fix);
        self.l1 = l1;
        walked?;
        self.walk_snapshots(fix)?;
        if self.report.stopped.is_some() {
            return Ok(());
        }
        self.count(
            self.header.refcount_table_offset,
            self.refcount_table.len() as u64 * 8,
        );
        let encryption: Vec<(u64, u64)> = self
            .header
            .extensions
            .iter()
            .filter_map(|e| match e {
                Extension::Encryption { offset, length } => Some((*offset, *length)),
                _ => None,
            })
            .collect();
        for (offset, length) in encryption {
            self.count(offset, length);
        }
        self.walk_bitmaps()?;
        if self.report.stopped.is_some() {
            return Ok(());
        }
        self.walk_blocks(fix)
    }

    fn walk_snapshots(&mut self, fix: bool) -> Result<()> {
        let list = std::mem::take(&mut self.snapshots.list);
        if self.core.has_data_file() && !list.is_empty() {
            let count = list.len() as u32;
            self.corrupt(Finding::SnapshotsWithDataFile { count });
        }
        for snapshot in &list {
            let (offset, entries) = (snapshot.l1_offset, snapshot.l1_entries);
            let (id, name) = (snapshot.id.clone(), snapshot.name.clone());
            if self.core.geometry.within(offset) != 0 {
                self.blind = true;
                self.corrupt(Finding::SnapshotL1Misaligned { id, name, offset });
            } else if u64::from(entries) * 8 > MAX_L1_BYTES {
                self.blind = true;
                self.corrupt(Finding::SnapshotL1TooLong { id, name, entries });
            } else if entries > 0 && offset > MAX_FILE {
                self.report.check_errors += 1;
                self.report.stopped = Some(Stop::Failed);
                self.corrupt(Finding::BeyondEnd {
                    offset,
                    len: u64::from(entries) * 8,
                });
                self.tell(Finding::L1Unreadable);
                break;
            } else {
                let l1 = read_table(&self.core, offset, entries.into())?;
                self.walk_l1(offset, &l1, false, fix)?;
            }
        }
        self.snapshots.list = list;
        self.count(self.header.snapshots_offset, self.snapshots.len);
        Ok(())
    }

    fn walk_l1(&mut self, offset: u64, l1: &[u64], active: bool, fix: bool) -> Result<()> {
        let geometry = self.core.geometry;
        self.count(offset, l1.len() as u64 * 8);
        let mut bytes = vec![0u8; geometry.cluster_size() as usize];
        let mut visited: HashSet<u64> = HashSet::new();
        for entry in l1.iter().copied().filter(|entry| *entry != 0) {
            if entry & L1_RESERVED != 0 {
                self.corrupt(Finding::L1Reserved { entry });
            }
            let l2 = entry & OFFSET_MASK;
            self.count(l2, geometry.cluster_size());
            if geometry.within(l2) != 0 {
                self.corrupt(Finding::L2TableMisaligned { offset: l2 });
            }
            if self.may_walk(visited.insert(l2)) {
                read_padded(&*self.core.file, l2, &mut bytes)?;
                let table = Table {
                    offset: l2,
                    active,
                    // What lies across another table must not be changed.
                    fix: fix && geometry.within(l2) == 0,
                    next: 0,
                };
                self.walk_l2(table, &bytes)?;
            }
        }
        Ok(())
    }

    /// Whether a table may be walked: always for the first time, and again while that is affordable.
    pub(super) fn may_walk(&mut self, first_time: bool) -> bool {
        if first_time {
            return true;
        }
        self.repeated += self.core.geometry.l2_entries();
        self.report.partial |= self.repeated > MAX_REPEATED;
        !self.report.partial
    }

    fn walk_l2(&mut self, mut table: Table, bytes: &[u8]) -> Result<()> {
        let geometry = self.core.geometry;
        for (index, bytes) in bytes.chunks_exact(geometry.l2_entry_size() as usize).enumerate() {
            let descriptor = BigEndian::read_u64(bytes);
            let bitmap = bytes.get(8..16).map_or(0, BigEndian::read_u64);
            if descriptor == 0 && bitmap == 0 {
                continue;
            }
            let entry = L2Entry { descriptor, bitmap };
            if entry.is_compressed() {
                self.walk_compressed(entry, index as u64, table.active);
            } else {
                self.walk_standard(entry, index as u64, &mut table)?;
            }
        }
        Ok(())
    }

    fn walk_compressed(&mut self, entry: L2Entry, index: u64, active: bool) {
        let packed = CompressedAt::parse(entry.descriptor & !COPIED, &self.core.geometry);
        let descriptor = entry.descriptor & !COPIED;
        if entry.is_copied() {
            self.corrupt(Finding::CompressedCopied {
                offset: packed.offset,
            });
        }
        if self.core.has_data_file() {
            self.corrupt(Finding::CompressedInDataFile {
                index,
                entry: descriptor,
            });
            return;
        }
        if entry.bitmap != 0 {
            self.corrupt(Finding::CompressedSubclusters {
                index,
                entry: descriptor,
            });
            return;
        }
        self.count(packed.offset, packed.len);
        if active {
            self.report.allocated_clusters += 1;
            self.report.compressed_clusters += 1;
            self.report.fragmented_clusters += 1;
        }
    }

    fn walk_standard(&mut self, entry: L2Entry, index: u64, table: &mut Table) -> Result<()> {
        let geometry = self.core.geometry;
        let data_file = self.core.has_data_file();
        if entry.descriptor & L2_RESERVED != 0 {
            self.corrupt(Finding::L2Reserved {
                entry: entry.descriptor,
            });
        }
        if !entry.has_cluster(data_file) {
            let plain_zero = !geometry.extended_l2 && entry.descriptor & ZERO != 0;
            if !plain_zero && entry.bitmap & ALL_ALLOCATED != 0 {
                self.corrupt(Finding::StraySubclusters);
            }
            return Ok(());
        }
        let offset = entry.offset();
        if entry.bitmap >> 32 & entry.bitmap & ALL_ALLOCATED != 0 {
            self.corrupt(Finding::SubclusterBitmap { offset });
        }
        if geometry.within(offset) != 0 {
            let contains_data = if geometry.extended_l2 {
                entry.bitmap & ALL_ALLOCATED != 0
            } else {
                entry.descriptor & ZERO == 0
            };
            if contains_data {
                self.corrupt(Finding::DataMisaligned { offset });
            } else {
                self.tell(Finding::PreallocatedMisaligned {
                    offset,
                    repaired: table.fix,
                });
                if table.fix {
                    self.zero_entry(entry, index, table.offset)?;
                    self.report.corruptions_fixed += 1;
                    return Ok(());
                }
                self.report.corruptions += 1;
            }
        }
        if table.active {
            self.report.allocated_clusters += 1;
            if table.next != 0 && offset != table.next {
                self.report.fragmented_clusters += 1;
            }
            table.next = offset + geometry.cluster_size();
        }
        if !data_file {
            self.count(offset, geometry.cluster_size());
        }
        Ok(())
    }

    /// Takes the place away from a cluster that reads as zeroes.
    fn zero_entry(&mut self, entry: L2Entry, index: u64, table: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let zero = L2Entry::zero(&geometry);
        let mut new = zero.descriptor.to_be_bytes().to_vec();
        if geometry.extended_l2 {
            // Subclusters that show the backing file go on doing so.
            new.extend_from_slice(&(entry.bitmap & !ALL_ALLOCATED).to_be_bytes());
        }
        let place = table + index * geometry.l2_entry_size();
        self.core.file.write_at(place, &new)?;
        Ok(())
    }

    fn walk_bitmaps(&mut self) -> Result<()> {
        let Some(place) = self.header.bitmaps().copied() else {
            return Ok(());
        };
        self.count(place.directory_offset, place.directory_size);
        let file = self.core.file.clone();
        let list = match BitmapEntry::load_directory(&*file, &place) {
            Ok(list) => list,
            Err(error) => {
                let problem = error.to_string();
                self.corrupt(Finding::BitmapDirectory { problem });
                self.report.stopped = Some(Stop::Invalid);
                return Ok(());
            }
        };
        for bitmap in list {
            let (offset, entries) = (bitmap.table_offset, u64::from(bitmap.table_entries));
            self.count(offset, entries * 8);
            let inside = offset
                .checked_add(entries * 8)
                .is_some_and(|end| end <= file.size());
            if !inside || self.core.geometry.within(offset) != 0 || entries > MAX_BITMAP_TABLE {
                self.corrupt(Finding::BitmapTable { offset });
                self.report.stopped = Some(Stop::Invalid);
                return Ok(());
            }
            for entry in read_table(&self.core, offset, entries)? {
                let cluster = entry & TABLE_OFFSET_MASK;
                if entry & TABLE_RESERVED != 0
                    || (cluster != 0 && entry & 1 != 0)
                    || self.core.geometry.within(cluster) != 0
                {
                    self.corrupt(Finding::BitmapTable { offset });
                } else if cluster != 0 {
                    self.count(cluster, self.core.geometry.cluster_size());
                }
            }
        }
        Ok(())
    }
}
