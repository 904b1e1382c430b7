//! Walking all structures, counting what they reference, and comparing that with the refcounts.

use super::{Checker, Fault, FaultKind, Repair};
use crate::bitmap_directory::{BitmapEntry, TABLE_OFFSET_MASK, TABLE_RESERVED};
use crate::entry::{
    ALL_ALLOCATED, COPIED, CompressedAt, L1_RESERVED, L2_RESERVED, L2Entry, OFFSET_MASK, ZERO,
};
use crate::error::Result;
use crate::extension::Extension;
use crate::io::read_padded;
use crate::refcount;
use crate::snapshot_table::Snapshot;
use crate::state::read_table;
use crate::types::MAX_L1_BYTES;
use byteorder::{BigEndian, ByteOrder};
use std::collections::HashSet;

/// A table that one L1 table references again is walked again, as qemu-img does, but only as long as all these
/// repeated walks together look at fewer entries than this.
pub(super) const MAX_REPEATED: u64 = 1 << 24;
/// Low bits of refcount table entries that must be zero.
const BLOCK_RESERVED: u64 = 0x1ff;

impl Checker {
    /// Counts a reference to each cluster of a range.
    fn count(&mut self, offset: u64, len: u64) {
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
            if self.is_plausible(offset.saturating_add(len)) {
                self.reach = self.reach.max(offset.saturating_add(len));
            }
            self.report.corrupt(|| {
                format!(
                    "{len} bytes at offset {offset:#x} are referenced, beyond the end of the file by a cluster or more"
                )
            });
            return;
        }
        for cluster in offset >> geometry.cluster_bits..=(offset + len - 1) >> geometry.cluster_bits {
            self.clusters = self.clusters.max(cluster + 1);
            if !self.counts.add(cluster) {
                let at = cluster << geometry.cluster_bits;
                self.report
                    .corrupt(|| format!("the refcount of the cluster at {at:#x} cannot hold its references"));
            }
        }
    }

    /// Whether a file that was cut off may have reached so far.
    fn is_plausible(&self, end: u64) -> bool {
        end < self.core.file.size().saturating_mul(2).saturating_add(64 << 20)
    }

    pub(super) fn count_references(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        self.count(0, geometry.cluster_size());
        let l1 = std::mem::take(&mut self.l1);
        let walked = self.walk_l1(self.header.l1_offset, &l1, true);
        self.l1 = l1;
        walked?;
        self.walk_snapshots()?;
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
        self.count(
            self.header.refcount_table_offset,
            self.refcount_table.len() as u64 * 8,
        );
        self.walk_blocks()
    }

    fn walk_snapshots(&mut self) -> Result<()> {
        if self.header.snapshots == 0 {
            return Ok(());
        }
        let file = self.core.file.clone();
        let (snapshots, len) =
            match Snapshot::load_table(&*file, self.header.snapshots_offset, self.header.snapshots) {
                Ok(found) => found,
                Err(error) => {
                    self.report.error(|| error.to_string());
                    self.blind = true;
                    return Ok(());
                }
            };
        if self.core.has_data_file() {
            self.report
                .corrupt(|| "the image has snapshots although its data is in an external file".into());
        }
        for snapshot in &snapshots {
            if self.core.version >= 3 && snapshot.extra.len() < Snapshot::MIN_EXTRA {
                self.incomplete_snapshots = true;
                self.report.corrupt(|| {
                    format!(
                        "snapshot {}: its table entry is incomplete",
                        String::from_utf8_lossy(&snapshot.name)
                    )
                });
            }
            let (offset, entries) = (snapshot.l1_offset, u64::from(snapshot.l1_entries));
            let name = || String::from_utf8_lossy(&snapshot.name).into_owned();
            if self.core.geometry.within(offset) != 0 || entries * 8 > MAX_L1_BYTES {
                // What it references is not known, and would be taken for leaked. qemu-img gives it up; here
                // the image is left as it is.
                self.repair = Repair::None;
            }
            if self.core.geometry.within(offset) != 0 {
                self.report.corrupt(|| {
                    format!(
                        "snapshot {}: its L1 table at {offset:#x} is not cluster aligned",
                        name()
                    )
                });
            } else if entries * 8 > MAX_L1_BYTES {
                self.report
                    .corrupt(|| format!("snapshot {}: its L1 table exceeds 32 MiB", name()));
            } else {
                let l1 = read_table(&self.core, offset, entries)?;
                self.walk_l1(offset, &l1, false)?;
            }
        }
        self.count(self.header.snapshots_offset, len);
        Ok(())
    }

    fn walk_l1(&mut self, offset: u64, l1: &[u64], active: bool) -> Result<()> {
        let geometry = self.core.geometry;
        self.count(offset, l1.len() as u64 * 8);
        let mut table = vec![0u8; geometry.cluster_size() as usize];
        let mut visited: HashSet<u64> = HashSet::new();
        for (index, entry) in l1.iter().enumerate() {
            if *entry == 0 {
                continue;
            }
            if entry & L1_RESERVED != 0 {
                self.report
                    .corrupt(|| format!("L1 entry {index} ({entry:#x}) has reserved bits set"));
            }
            let l2 = entry & OFFSET_MASK;
            self.count(l2, geometry.cluster_size());
            if geometry.within(l2) != 0 {
                self.report
                    .corrupt(|| format!("L1 entry {index}: the L2 table at {l2:#x} is not cluster aligned"));
            }
            if self.may_walk(visited.insert(l2)) {
                read_padded(&*self.core.file, l2, &mut table)?;
                self.walk_l2(l2, &mut table, active)?;
            }
        }
        Ok(())
    }

    /// Whether a table may be walked: always for the first time, and again while that is affordable.
    fn may_walk(&mut self, first_time: bool) -> bool {
        if first_time {
            return true;
        }
        self.repeated += self.core.geometry.l2_entries();
        self.report.partial |= self.repeated > MAX_REPEATED;
        !self.report.partial
    }

    fn walk_l2(&mut self, l2: u64, table: &mut [u8], active: bool) -> Result<()> {
        let geometry = self.core.geometry;
        let data_file = self.core.has_data_file();
        let mut next = 0;
        for (index, bytes) in table
            .chunks_exact_mut(geometry.l2_entry_size() as usize)
            .enumerate()
        {
            let descriptor = BigEndian::read_u64(bytes);
            let bitmap = if geometry.extended_l2 {
                bytes.get(8..16).map_or(0, BigEndian::read_u64)
            } else {
                0
            };
            if descriptor == 0 && bitmap == 0 {
                continue;
            }
            let entry = L2Entry { descriptor, bitmap };
            let at = || format!("entry {index} of the L2 table at {l2:#x} ({descriptor:#x})");
            if entry.is_compressed() {
                if entry.is_copied() {
                    self.report
                        .corrupt(|| format!("{}: a compressed cluster with the copied flag", at()));
                }
                if data_file {
                    self.report
                        .corrupt(|| format!("{}: a compressed cluster, with an external data file", at()));
                    continue;
                }
                if bitmap != 0 {
                    self.report
                        .corrupt(|| format!("{}: a compressed cluster with subclusters", at()));
                    continue;
                }
                let packed = CompressedAt::parse(descriptor & !COPIED, &geometry);
                self.count(packed.offset, packed.len);
                if active {
                    self.report.allocated_clusters += 1;
                    self.report.compressed_clusters += 1;
                    self.report.fragmented_clusters += 1;
                }
                continue;
            }
            if descriptor & L2_RESERVED != 0 {
                self.report.corrupt(|| format!("{}: reserved bits are set", at()));
            }
            if !entry.has_cluster(data_file) {
                if bitmap & ALL_ALLOCATED != 0 {
                    self.report
                        .corrupt(|| format!("{}: subclusters without a cluster", at()));
                }
                continue;
            }
            let offset = entry.offset();
            if bitmap >> 32 & bitmap & ALL_ALLOCATED != 0 {
                self.report
                    .corrupt(|| format!("{}: a subcluster is both allocated and zero", at()));
            }
            if geometry.within(offset) != 0 {
                let contains_data = if geometry.extended_l2 {
                    bitmap & ALL_ALLOCATED != 0
                } else {
                    descriptor & ZERO == 0
                };
                let fix = !contains_data && self.repair == Repair::All;
                self.report.note(FaultKind::Corruption, fix, || {
                    format!("{}: the cluster is not aligned", at())
                });
                if fix {
                    let zero = L2Entry::zero(&geometry);
                    let place = l2 + index as u64 * geometry.l2_entry_size();
                    let mut new = zero.descriptor.to_be_bytes().to_vec();
                    if geometry.extended_l2 {
                        new.extend_from_slice(&zero.bitmap.to_be_bytes());
                    }
                    self.core.file.write_at(place, &new)?;
                    continue;
                }
            }
            if active {
                self.report.allocated_clusters += 1;
                if next != 0 && offset != next {
                    self.report.fragmented_clusters += 1;
                }
                next = offset + geometry.cluster_size();
            }
            if !data_file {
                self.count(offset, geometry.cluster_size());
            }
        }
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
                self.report.corrupt(|| error.to_string());
                self.blind = true;
                return Ok(());
            }
        };
        for bitmap in list {
            let entries = u64::from(bitmap.table_entries);
            self.count(bitmap.table_offset, entries * 8);
            let inside = bitmap
                .table_offset
                .checked_add(entries * 8)
                .is_some_and(|end| end <= file.size());
            if !inside || self.core.geometry.within(bitmap.table_offset) != 0 || entries > 0x800_0000 {
                self.report
                    .corrupt(|| format!("the bitmap table at {:#x} is out of place", bitmap.table_offset));
                self.blind = true;
                continue;
            }
            for (index, entry) in read_table(&self.core, bitmap.table_offset, entries)?
                .into_iter()
                .enumerate()
            {
                let offset = entry & TABLE_OFFSET_MASK;
                if entry & TABLE_RESERVED != 0
                    || (offset != 0 && entry & 1 != 0)
                    || self.core.geometry.within(offset) != 0
                {
                    self.report
                        .corrupt(|| format!("bitmap table entry {index} ({entry:#x}) is not valid"));
                } else if offset != 0 {
                    self.count(offset, self.core.geometry.cluster_size());
                }
            }
        }
        Ok(())
    }

    fn walk_blocks(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        for index in 0..self.refcount_table.len() {
            let entry = self.refcount_table.get(index).copied().unwrap_or(0);
            if entry == 0 {
                continue;
            }
            let offset = entry & !BLOCK_RESERVED;
            if entry & BLOCK_RESERVED != 0 {
                self.report
                    .corrupt(|| format!("refcount table entry {index} ({entry:#x}) has reserved bits set"));
                self.rebuild = true;
            } else if geometry.within(offset) != 0 {
                self.report
                    .corrupt(|| format!("refcount block {index} at {offset:#x} is not cluster aligned"));
                self.rebuild = true;
            } else if offset >> geometry.cluster_bits >= self.clusters {
                // As qemu-img does: the block comes back as zeroes, and what else was cut off as far as it reaches.
                let fix = self.repair == Repair::All && self.is_plausible(offset);
                self.report.note(FaultKind::Corruption, fix, || {
                    format!("refcount block {index} at {offset:#x} lies outside the file")
                });
                if fix {
                    let end = offset + geometry.cluster_size();
                    self.core.file.set_size(end)?;
                    self.clusters = self.clusters.max(end >> geometry.cluster_bits);
                    self.count(offset, geometry.cluster_size());
                } else {
                    self.rebuild |= self.repair == Repair::All;
                }
            } else {
                self.count(offset, geometry.cluster_size());
                let count = self.counts.get(offset >> geometry.cluster_bits);
                if count != 1 {
                    self.report.corrupt(|| {
                        format!("refcount block {index} at {offset:#x} lies in a cluster that is referenced {count} times")
                    });
                    self.rebuild = true;
                }
            }
        }
        Ok(())
    }

    /// Compares the refcounts with the references, and mends in place what may be. Gives the highest cluster in use.
    pub(super) fn compare_refcounts(&mut self) -> Result<u64> {
        let before = self.report.clone();
        let highest = self.compare_once(Repair::None)?;
        let wrong = self.report.leaks != before.leaks || self.report.corruptions != before.corruptions;
        if wrong && self.repair != Repair::None && !self.rebuild {
            self.report = before;
            // What is counted too low comes first: as long as it is, its clusters could be handed out.
            return self.compare_once(self.repair);
        }
        Ok(highest)
    }

    fn compare_once(&mut self, repair: Repair) -> Result<u64> {
        let geometry = self.core.geometry;
        let order = geometry.refcount_order;
        let mut highest = 0;
        let mut block = vec![0u8; geometry.cluster_size() as usize];
        for index in 0..self.clusters.div_ceil(geometry.block_entries()) {
            let first = index << geometry.block_bits();
            let end = (first + geometry.block_entries()).min(self.clusters);
            let offset = self
                .refcount_table
                .get(index as usize)
                .map_or(0, |e| e & !BLOCK_RESERVED);
            if offset == 0 {
                if !self.counts.any(first, end) {
                    continue;
                }
                block.fill(0);
            } else if !self.is_readable_block(offset) {
                for cluster in first..end {
                    self.report
                        .error(|| format!("cannot read the refcount of cluster {cluster}"));
                }
                continue;
            } else {
                read_padded(&*self.core.file, offset, &mut block)?;
            }
            let mut changed = false;
            for cluster in first..end {
                let is = refcount::get(&block, order, (cluster - first) as usize);
                let should = self.counts.get(cluster);
                if is > 0 || should > 0 {
                    highest = cluster;
                }
                if is == should {
                    continue;
                }
                self.rebuild |= is == 0;
                let fix = (is > should && repair != Repair::None) || (is < should && repair == Repair::All);
                let kind = if is < should {
                    FaultKind::Corruption
                } else {
                    FaultKind::Leak
                };
                self.report.note(kind, fix, || {
                    let at = cluster << geometry.cluster_bits;
                    format!("the cluster at {at:#x} has refcount {is}, and is referenced {should} times")
                });
                if fix {
                    refcount::set(&mut block, order, (cluster - first) as usize, should);
                    changed = true;
                }
            }
            if changed {
                self.core.file.write_at(offset, &block)?;
            }
        }
        Ok(highest)
    }

    /// Whether there can be a block at this offset: aligned, and within what a file can hold.
    fn is_readable_block(&self, offset: u64) -> bool {
        self.core.geometry.within(offset) == 0
            && offset <= (i64::MAX as u64) - self.core.geometry.cluster_size()
    }

    /// The refcount of a cluster, as the file says it; `None` where that cannot be read.
    fn refcount(&self, cluster: u64, cached: &mut (u64, Vec<u8>)) -> Result<Option<u64>> {
        let geometry = self.core.geometry;
        let index = cluster >> geometry.block_bits();
        let offset = self
            .refcount_table
            .get(index as usize)
            .map_or(0, |e| e & !BLOCK_RESERVED);
        if offset == 0 {
            return Ok(Some(0));
        }
        if !self.is_readable_block(offset) {
            return Ok(None);
        }
        if cached.0 != offset {
            cached.1.resize(geometry.cluster_size() as usize, 0);
            read_padded(&*self.core.file, offset, &mut cached.1)?;
            cached.0 = offset;
        }
        let within = (cluster & (geometry.block_entries() - 1)) as usize;
        Ok(Some(refcount::get(&cached.1, geometry.refcount_order, within)))
    }

    /// Checks that the copied flag stands exactly where the refcount is 1, in the active tables.
    pub(super) fn check_copied(&mut self) -> Result<()> {
        let geometry = self.core.geometry;
        let fix = self.repair == Repair::All || (self.repair == Repair::Leaks && self.report.is_clean());
        let mut cached = (0, Vec::new());
        let mut table = vec![0u8; geometry.cluster_size() as usize];
        let mut visited: HashSet<u64> = HashSet::new();
        if fix {
            // Flags rely on refcounts that were just mended.
            self.core.file.flush()?;
        }
        for index in 0..self.l1.len() {
            let entry = self.l1.get(index).copied().unwrap_or(0);
            let l2 = entry & OFFSET_MASK;
            if l2 == 0 {
                continue;
            }
            let Some(count) = self.refcount(l2 >> geometry.cluster_bits, &mut cached)? else {
                continue;
            };
            if (count == 1) != (entry & COPIED != 0) {
                self.report.note(FaultKind::Corruption, fix, || {
                    format!("L1 entry {index} ({entry:#x}): the copied flag is wrong for refcount {count}")
                });
                if fix {
                    let new = if count == 1 {
                        entry | COPIED
                    } else {
                        entry & !COPIED
                    };
                    self.core
                        .file
                        .write_at(self.header.l1_offset + index as u64 * 8, &new.to_be_bytes())?;
                    if let Some(entry) = self.l1.get_mut(index) {
                        *entry = new;
                    }
                }
            }
            if !self.may_walk(visited.insert(l2)) {
                continue;
            }
            read_padded(&*self.core.file, l2, &mut table)?;
            let mut changed = false;
            for (i, bytes) in table
                .chunks_exact_mut(geometry.l2_entry_size() as usize)
                .enumerate()
            {
                let descriptor = BigEndian::read_u64(bytes);
                let entry = L2Entry {
                    descriptor,
                    bitmap: 0,
                };
                if !entry.has_cluster(self.core.has_data_file()) {
                    continue;
                }
                let count = if self.core.has_data_file() {
                    Some(1)
                } else {
                    self.refcount(entry.offset() >> geometry.cluster_bits, &mut cached)?
                };
                let Some(count) = count else { continue };
                if (count == 1) != entry.is_copied() {
                    self.report.note(FaultKind::Corruption, fix, || {
                        format!(
                            "entry {i} of the L2 table at {l2:#x} ({descriptor:#x}): the copied flag is wrong for refcount {count}"
                        )
                    });
                    if fix {
                        let new = if count == 1 {
                            descriptor | COPIED
                        } else {
                            descriptor & !COPIED
                        };
                        BigEndian::write_u64(bytes, new);
                        changed = true;
                    }
                }
            }
            if changed {
                self.core.file.write_at(l2, &table)?;
            }
        }
        Ok(())
    }

    /// Notes that a fault described before was repaired after all.
    pub(super) fn mark_fixed(faults: &mut [Fault]) {
        for fault in faults {
            fault.fixed = true;
        }
    }
}
