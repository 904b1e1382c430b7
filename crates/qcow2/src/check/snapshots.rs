//! The snapshot table under examination: read as far as it makes sense, and written anew where it does not.

use super::{Checker, Finding, MAX_FILE, Repair, Stop};
use crate::error::Result;
use crate::header::MAX_SNAPSHOTS;
use crate::io::read_padded;
use crate::snapshot_table::{MAX_TABLE, Snapshot};
use byteorder::{BigEndian, ByteOrder};

/// Length of the fixed part of an entry in bytes.
const FIXED: u64 = 40;
/// QEMU's limit on extra data.
const MAX_EXTRA: u32 = 1024;
/// So much extra data is written with each entry.
const KNOWN_EXTRA: usize = 24;

/// The snapshot table as it was found.
#[derive(Debug, Default)]
pub(super) struct SnapshotTable {
    pub(super) list: Vec<Snapshot>,
    /// Length of the entries that count, in bytes.
    pub(super) len: u64,
    /// How many faults it has that go when it is written anew.
    faults: u64,
}

impl Checker<'_> {
    /// Reads the table. Faults in it are noted, but counted only when the table is written anew, or is not.
    pub(super) fn read_snapshots(&mut self) -> Result<()> {
        let fix = self.repair == Repair::All;
        if self.header.snapshots > MAX_SNAPSHOTS {
            let excess = self.header.snapshots - MAX_SNAPSHOTS;
            if !fix {
                self.tell(Finding::TooManySnapshots {
                    excess,
                    repaired: false,
                });
                self.report.check_errors += 1;
                self.report.stopped = Some(Stop::TooLarge);
                return Ok(());
            }
            self.tell(Finding::TooManySnapshots {
                excess,
                repaired: true,
            });
            self.snapshots.faults += u64::from(excess);
            self.header.snapshots = MAX_SNAPSHOTS;
        }
        let (offset, count) = (self.header.snapshots_offset, self.header.snapshots);
        if !self.core.geometry.can_lie_at(offset, u64::from(count) * FIXED) {
            self.tell(Finding::SnapshotTablePlace);
            self.report.check_errors += 1;
            self.report.stopped = Some(Stop::Invalid);
            return Ok(());
        }
        let (mut at, mut len) = (offset, 0);
        for index in 0..count {
            let Some(snapshot) = self.read_snapshot(index, &mut at, fix)? else {
                return Ok(());
            };
            // What is thrown away of an entry does not count.
            let known = snapshot.extra.len().max(KNOWN_EXTRA);
            len +=
                (FIXED as usize + known + snapshot.id.len() + snapshot.name.len()).next_multiple_of(8) as u64;
            if len > MAX_TABLE || at - offset > i32::MAX as u64 {
                let excess = count - index;
                self.tell(Finding::SnapshotTableTooLong {
                    excess,
                    repaired: fix,
                });
                if !fix {
                    self.report.check_errors += 1;
                    self.report.stopped = Some(Stop::TooLarge);
                    return Ok(());
                }
                self.snapshots.faults += u64::from(excess);
                break;
            }
            self.snapshots.list.push(snapshot);
            self.snapshots.len = at - offset;
        }
        if self.core.version >= 3 {
            for index in 0..self.snapshots.list.len() {
                let extra = self.snapshots.list.get(index).map_or(0, |s| s.extra.len());
                if extra < Snapshot::MIN_EXTRA {
                    self.snapshots.faults += 1;
                    self.tell(Finding::SnapshotIncomplete {
                        index: index as u32,
                        repaired: fix,
                    });
                }
            }
        }
        Ok(())
    }

    /// Reads one entry; `None` when the check ends with it.
    fn read_snapshot(&mut self, index: u32, at: &mut u64, fix: bool) -> Result<Option<Snapshot>> {
        let file = self.core.file.clone();
        if *at > MAX_FILE {
            self.tell(Finding::SnapshotTableUnreadable);
            self.report.check_errors += 1;
            self.report.stopped = Some(Stop::Failed);
            return Ok(None);
        }
        let mut fixed = [0u8; FIXED as usize];
        read_padded(&*file, *at, &mut fixed)?;
        let extra_len = BigEndian::read_u32(&fixed[36..40]);
        if extra_len > MAX_EXTRA {
            self.tell(Finding::SnapshotExtraTooLong {
                index,
                len: extra_len,
                repaired: fix,
            });
            if !fix {
                self.report.check_errors += 1;
                self.report.stopped = Some(Stop::TooLarge);
                return Ok(None);
            }
            self.snapshots.faults += 1;
        }
        let mut extra = vec![0u8; extra_len.min(MAX_EXTRA) as usize];
        read_padded(&*file, *at + FIXED, &mut extra)?;
        let id_len = usize::from(BigEndian::read_u16(&fixed[12..14]));
        let name_len = usize::from(BigEndian::read_u16(&fixed[14..16]));
        let mut id = vec![0u8; id_len + name_len];
        let names = *at + FIXED + u64::from(extra_len);
        read_padded(&*file, names, &mut id)?;
        let name = id.split_off(id_len);
        *at = (names + (id_len + name_len) as u64).next_multiple_of(8);
        let word = |at: usize| extra.get(at..at + 8).map(BigEndian::read_u64);
        Ok(Some(Snapshot {
            l1_offset: BigEndian::read_u64(&fixed[0..8]),
            l1_entries: BigEndian::read_u32(&fixed[8..12]),
            date_seconds: BigEndian::read_u32(&fixed[16..20]),
            date_nanoseconds: BigEndian::read_u32(&fixed[20..24]),
            vm_clock: BigEndian::read_u64(&fixed[24..32]),
            vm_state_size: word(0).unwrap_or(BigEndian::read_u32(&fixed[32..36]).into()),
            disk_size: word(8),
            instructions: word(16).filter(|i| *i != u64::MAX),
            id,
            name,
            extra,
        }))
    }

    /// Writes the table anew where it has faults and all is to be repaired: to clusters that nothing uses, which the
    /// header then leads to.
    pub(super) fn settle_snapshots(&mut self) -> Result<()> {
        let faults = self.snapshots.faults;
        if faults == 0 {
            return Ok(());
        }
        // What was read of a table may be anything where it leads nowhere.
        if self.repair != Repair::All || self.blind {
            self.report.corruptions += faults;
            return Ok(());
        }
        let mut list = std::mem::take(&mut self.snapshots.list);
        let mut bytes = Vec::new();
        for snapshot in &mut list {
            snapshot.complete(self.header.size);
            if snapshot.encode(&mut bytes).is_none() {
                self.report.corruptions += faults;
                return Ok(());
            }
        }
        let geometry = self.core.geometry;
        let clusters = geometry.clusters(bytes.len() as u64);
        bytes.resize((clusters << geometry.cluster_bits) as usize, 0);
        let Some(first) = self.find_unused(clusters)? else {
            self.report.corruptions += faults;
            return Ok(());
        };
        let file = self.core.file.clone();
        let (offset, end) = (
            first << geometry.cluster_bits,
            (first + clusters) << geometry.cluster_bits,
        );
        if file.size() < end {
            file.set_size(end)?;
        }
        file.write_at(offset, &bytes)?;
        for cluster in first..first + clusters {
            self.counts.add(cluster);
            self.write_refcount(cluster, 1)?;
        }
        file.flush()?;
        let old = (self.header.snapshots_offset, self.snapshots.len);
        self.header.snapshots = list.len() as u32;
        self.header.snapshots_offset = if bytes.is_empty() { 0 } else { offset };
        self.write_header()?;
        for cluster in old.0 >> geometry.cluster_bits..geometry.clusters(old.0 + old.1) {
            let references = self.counts.get(cluster);
            // What reaches beyond the end of the file was not counted.
            let counted = references > 0 && old.1 > 0 && !self.is_beyond(cluster);
            if counted && self.refcount_of(cluster)? == Some(references) {
                self.write_refcount(cluster, references - 1)?;
            }
        }
        file.flush()?;
        self.report.corruptions_fixed += faults;
        Ok(())
    }

    /// The first of so many clusters in a row that nothing uses, and that refcount blocks count.
    fn find_unused(&mut self, wanted: u64) -> Result<Option<u64>> {
        let geometry = self.core.geometry;
        let counted = (self.refcount_table.len() as u64) << geometry.block_bits();
        let (mut first, mut cluster) = (1, 1);
        while cluster < first + wanted {
            if cluster >= counted {
                return Ok(None);
            }
            let covered = self
                .block_offset(cluster >> geometry.block_bits())
                .is_some_and(|offset| offset < self.core.file.size());
            let free = covered
                && self.counts.get(cluster) == 0
                && !self.is_beyond(cluster)
                && self.refcount_of(cluster)? == Some(0);
            cluster += 1;
            if !free {
                first = cluster;
                if !covered {
                    first = first.next_multiple_of(geometry.block_entries());
                    cluster = first;
                }
            }
        }
        Ok(Some(first))
    }
}
