//! Changing a partition table in place: another length for a partition, another size for the disk.
//!
//! Everything else stays: numbers, GUIDs, names, attributes, types, active flags, boot code, the disk's identifier, and
//! whatever else stands in the entries. A GPT's copy moves to the end of the disk.

use crate::disk::{Disk, Table};
use crate::error::{Error, Result};
use crate::gpt;
use crate::mbr;
use crate::partition::Partition;
use disksmith_storage::Storage;

/// Partitions end at a multiple of this, where they begin at one: what every tool of today does.
const GRAIN: u64 = 1 << 20;

/// How far a partition can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Its largest length in bytes.
    pub max_len: u64,
    /// The partition that stands behind it, where one does.
    pub blocked_by: Option<u32>,
    /// Whether it is the table that cannot tell more (2 TiB, with an MBR).
    pub is_table_limit: bool,
}

/// What shall be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableChange {
    /// The size of the disk in bytes, as it will be.
    pub disk_size: u64,
    /// A partition's number and its new length in bytes. An extended partition around a logical one grows with it.
    pub partition: Option<(u32, u64)>,
}

impl Disk {
    /// How far a partition could reach if the disk had `disk_size` bytes. Its end is rounded down to a whole MiB where
    /// it starts at one, but never below where it ends now.
    ///
    /// # Errors
    /// [`Error::Layout`] where there is no such partition, and for the whole of a disk without a table.
    pub fn room(&self, number: u32, disk_size: u64) -> Result<Room> {
        let partition = self.known(number)?;
        let sector = self.sector_size().bytes();
        let is_logical = matches!(self.table(), Table::Mbr { .. }) && number > 4;
        // What bounds it: primary partitions, the extended one among them, and for a logical one the others in the chain.
        let container = |p: &&Partition| p.is_extended() && is_logical;
        let next = self
            .partitions()
            .iter()
            .filter(|p| p.number != number && !container(p) && p.start >= partition.end())
            .filter(|p| is_logical || !(matches!(self.table(), Table::Mbr { .. }) && p.number > 4))
            .min_by_key(|p| p.start);
        let mut end = match self.table() {
            Table::Gpt { .. } => gpt::usable_end(&**self.storage(), self.sector_size(), disk_size)?,
            _ => disk_size / sector * sector,
        };
        let mut blocked_by = None;
        if let Some(next) = next {
            // A logical partition's record stands before it.
            let start = if is_logical && next.number > 4 {
                mbr::record_before(&**self.storage(), self.sector_size(), next.start)?
            } else {
                next.start
            };
            if start < end {
                end = start;
                blocked_by = Some(next.number);
            }
        }
        let mut is_table_limit = false;
        if matches!(self.table(), Table::Mbr { .. }) {
            let limit = (u64::from(u32::MAX) * sector)
                .min(partition.start.saturating_add(u64::from(u32::MAX) * sector));
            if end > limit {
                end = limit;
                is_table_limit = true;
            }
        }
        let grain = [GRAIN, 4096, sector]
            .into_iter()
            .find(|grain| partition.start.is_multiple_of(*grain))
            .unwrap_or(sector);
        let rounded = end / grain * grain;
        let end = if rounded >= partition.end() { rounded } else { end };
        Ok(Room {
            max_len: end.saturating_sub(partition.start),
            blocked_by,
            is_table_limit,
        })
    }

    /// The fewest bytes that the disk must have for its last partition to end at `end`, with what the table needs behind
    /// it.
    #[must_use]
    pub fn size_for_end(&self, end: u64) -> u64 {
        let behind = match self.table() {
            Table::Gpt { .. } => gpt::bytes_behind(&**self.storage(), self.sector_size()),
            _ => 0,
        };
        end.saturating_add(behind)
    }

    /// Writes the change to `storage`, the disk itself as it will be: it must be as large already where it grows, and be
    /// cut afterwards where it shrinks. Does not flush.
    ///
    /// # Errors
    /// [`Error::Layout`] before anything is written, where partitions would lie outside the disk or overlap.
    pub fn change_table(&self, storage: &dyn Storage, change: TableChange) -> Result<()> {
        let bad = |reason: String| Error::Layout {
            object: storage.name(),
            reason,
        };
        if let Some((number, len)) = change.partition {
            let partition = self.known(number)?;
            if len == 0 || !len.is_multiple_of(self.sector_size().bytes()) {
                return Err(bad(format!(
                    "{len} bytes for partition {number} are no whole sectors"
                )));
            }
            let room = self.room(number, change.disk_size)?;
            if len > room.max_len && len > partition.len {
                return Err(bad(match room.blocked_by {
                    Some(other) => format!("partition {number} cannot reach into partition {other}"),
                    None => format!(
                        "partition {number} cannot have {len} bytes, at most {}",
                        room.max_len
                    ),
                }));
            }
        }
        match self.table() {
            Table::None => Ok(()),
            Table::Gpt { .. } => gpt::change(storage, self.sector_size(), change),
            Table::Mbr { .. } => mbr::change(storage, self.sector_size(), change),
        }
    }

    fn known(&self, number: u32) -> Result<&Partition> {
        self.partition(number)
            .filter(|p| p.number != 0)
            .ok_or_else(|| Error::Layout {
                object: self.storage().name(),
                reason: format!("there is no partition {number}"),
            })
    }
}
