//! The chain of logical partitions in an extended partition.

use super::boot_record::{BOOT_RECORD_LEN, BootRecord};
use super::partition_record::PartitionRecord;
use crate::error::Result;
use crate::notice::Notice;
use crate::sector::{Lba, SectorSize};
use disksmith_storage::{Storage, read_vec};
use std::collections::HashSet;

/// How many logical partitions are followed, as many as Linux has numbers for.
const MAX_LOGICAL: usize = 256;

/// A logical partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogicalPartition {
    pub(crate) first: Lba,
    pub(crate) record: PartitionRecord,
}

/// A logical partition, and where its record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogicalRecord {
    pub(crate) partition: LogicalPartition,
    /// The sector of the boot record that lists it.
    pub(crate) record_at: Lba,
    /// Which of that record's four entries it is.
    pub(crate) slot: usize,
}

/// The partitions of the chain that begins at `extended`.
pub(crate) fn logical_partitions(
    storage: &dyn Storage,
    sector: SectorSize,
    extended: Lba,
    notices: &mut Vec<Notice>,
) -> Result<Vec<LogicalPartition>> {
    let found = logical_records(storage, sector, extended, notices)?;
    Ok(found.into_iter().map(|record| record.partition).collect())
}

/// Follows the chain that begins at `extended`: each record in it lists a partition, which lies relative to that record, and the next
/// record, which lies relative to the beginning of the chain.
pub(crate) fn logical_records(
    storage: &dyn Storage,
    sector: SectorSize,
    extended: Lba,
    notices: &mut Vec<Notice>,
) -> Result<Vec<LogicalRecord>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut at = extended;
    loop {
        let offset = at.checked_offset(sector).unwrap_or(u64::MAX);
        let reason = if storage.check_range(offset, BOOT_RECORD_LEN as u64).is_err() {
            Some("it lies beyond the end of the disk")
        } else if !seen.insert(at) {
            Some("it leads back to itself")
        } else if seen.len() > MAX_LOGICAL {
            Some("it has too many links")
        } else {
            None
        };
        if let Some(reason) = reason {
            notices.push(Notice::BrokenChain { offset, reason });
            return Ok(found);
        }
        let Some(record) = BootRecord::parse(&read_vec(storage, offset, BOOT_RECORD_LEN)?) else {
            let reason = "there is no partition record";
            // An extended partition that was never filled has none, and that is no damage.
            if at != extended {
                notices.push(Notice::BrokenChain { offset, reason });
            }
            return Ok(found);
        };
        for (slot, record) in (0..)
            .zip(&record.records)
            .filter(|(_, r)| !r.is_unused() && !r.is_extended())
        {
            if let Some(first) = at.0.checked_add(u64::from(record.start)) {
                found.push(LogicalRecord {
                    partition: LogicalPartition {
                        first: Lba(first),
                        record: *record,
                    },
                    record_at: at,
                    slot,
                });
            }
        }
        match record.records.iter().find(|r| !r.is_unused() && r.is_extended()) {
            Some(next) => at = Lba(extended.0.saturating_add(u64::from(next.start))),
            None => return Ok(found),
        }
    }
}
