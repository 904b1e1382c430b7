//! A disk with one partition, or with none.

use crate::error::{Error, Result};
use disksmith_fs::Kind;
use disksmith_storage::{StorageRef, Window, ZeroMode};
use disksmith_volume::{GptLayout, GptPartition, MbrLayout, MbrPartition, SectorSize, Uuid, gpt_type};
use std::sync::Arc;

const SECTOR: u64 = 512;
/// What a GPT takes at the end of a disk: the copy of its table.
const GPT_TAIL: u64 = 33 * SECTOR;
/// So much is cleared at both ends of what is laid out anew: nothing of what was there shall be taken for it.
const CLEARED: u64 = 1 << 20;

/// A kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionTable {
    /// A GUID partition table.
    Gpt,
    /// A master boot record.
    Mbr,
}

/// What is otherwise random in a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskIds {
    /// The disk's identifier; an MBR has the first four bytes.
    pub disk: [u8; 16],
    /// The partition's identifier, in a GPT.
    pub partition: [u8; 16],
}

/// How a disk is divided: one partition over all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) table: PartitionTable,
    /// Where the partition starts; its end is a multiple of this too.
    pub(crate) align: u64,
    pub(crate) ids: DiskIds,
}

impl Layout {
    /// The size of a disk whose partition has at least `len` bytes.
    pub(crate) fn disk_size(&self, len: u64) -> u64 {
        let end = self
            .align
            .saturating_add(len)
            .next_multiple_of(self.align.max(SECTOR));
        match self.table {
            PartitionTable::Gpt => end
                .saturating_add(GPT_TAIL)
                .next_multiple_of(self.align.max(SECTOR)),
            PartitionTable::Mbr => end,
        }
    }

    /// Where the partition starts on a disk of `size` bytes, and its length.
    pub(crate) fn partition(&self, size: u64) -> Result<(u64, u64)> {
        let tail = match self.table {
            PartitionTable::Gpt => GPT_TAIL,
            PartitionTable::Mbr => 0,
        };
        let unit = self.align.max(SECTOR);
        let end = size.saturating_sub(tail) / unit * unit;
        match end.checked_sub(self.align) {
            Some(len) if len > 0 => Ok((self.align, len)),
            _ => Err(Error::TooSmall {
                size,
                needed: self.disk_size(1 << 20),
            }),
        }
    }

    /// Writes the table; gives the partition.
    pub(crate) fn write(&self, storage: &StorageRef, kind: Option<Kind>) -> Result<StorageRef> {
        let (start, len) = self.partition(storage.size())?;
        match self.table {
            PartitionTable::Gpt => GptLayout {
                disk_guid: Uuid::from_bytes(self.ids.disk),
                sector: SectorSize::Bytes512,
                partitions: vec![GptPartition {
                    number: 1,
                    start,
                    len,
                    type_guid: match kind {
                        Some(Kind::Vfat | Kind::Ntfs | Kind::Exfat) => gpt_type::MICROSOFT_BASIC_DATA,
                        _ => gpt_type::LINUX_DATA,
                    },
                    guid: Uuid::from_bytes(self.ids.partition),
                    name: String::new(),
                    attributes: 0,
                }],
            }
            .write(&**storage)?,
            PartitionTable::Mbr => {
                let [a, b, c, d, ..] = self.ids.disk;
                MbrLayout {
                    identifier: u32::from_le_bytes([a, b, c, d]),
                    partitions: vec![MbrPartition {
                        number: 1,
                        start,
                        len,
                        kind: match kind {
                            Some(Kind::Vfat) => 0x0b,
                            Some(Kind::Ntfs | Kind::Exfat) => 0x07,
                            _ => 0x83,
                        },
                        bootable: false,
                    }],
                }
                .write(&**storage)?;
            }
        }
        let name = format!("partition 1 of {}", storage.name());
        Ok(Arc::new(Window::new(Arc::clone(storage), start, len, name)?))
    }
}

/// Clears both ends of a slice, where programs look for what it holds.
pub(crate) fn clear_ends(storage: &StorageRef) -> Result<()> {
    let size = storage.size();
    let head = size.min(CLEARED);
    storage.write_zeroes(0, head, ZeroMode::Unmap)?;
    let tail = size.saturating_sub(CLEARED).max(head);
    storage.write_zeroes(tail, size - tail, ZeroMode::Unmap)?;
    Ok(())
}
