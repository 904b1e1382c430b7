//! A disk with one partition, or with none.

use crate::error::{Error, Result};
use disksmith_fs::Kind;
use disksmith_storage::{StorageRef, Window, ZeroMode};
use disksmith_volume::{GptLayout, GptPartition, MbrLayout, MbrPartition, SectorSize, Uuid, gpt_type};
use std::sync::Arc;

const SECTOR: u64 = 512;
const ALIGNMENT: u64 = 1 << 20;
const LIBGUESTFS_START: u64 = 128 * SECTOR;
const LIBGUESTFS_TAIL: u64 = 127 * SECTOR;
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

/// Where the partition lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// From 1 MiB on, up to a multiple of that.
    #[default]
    Aligned,
    /// From sector 128 on, up to the 128th from the end, as libguestfs places it.
    Libguestfs,
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
    pub(crate) placement: Placement,
    pub(crate) ids: DiskIds,
}

impl Layout {
    /// The size of a disk whose partition has at least `len` bytes.
    pub(crate) fn disk_size(&self, len: u64) -> u64 {
        match self.placement {
            Placement::Libguestfs => len
                .saturating_add(LIBGUESTFS_START + LIBGUESTFS_TAIL)
                .next_multiple_of(SECTOR),
            Placement::Aligned => {
                let end = ALIGNMENT.saturating_add(len).next_multiple_of(ALIGNMENT);
                match self.table {
                    PartitionTable::Gpt => end.saturating_add(GPT_TAIL).next_multiple_of(ALIGNMENT),
                    PartitionTable::Mbr => end,
                }
            }
        }
    }

    /// Where the partition starts on a disk of `size` bytes, and its length.
    pub(crate) fn partition(&self, size: u64) -> Result<(u64, u64)> {
        let (start, end) = match self.placement {
            Placement::Libguestfs => (
                LIBGUESTFS_START,
                (size / SECTOR * SECTOR).saturating_sub(LIBGUESTFS_TAIL),
            ),
            Placement::Aligned => {
                let tail = match self.table {
                    PartitionTable::Gpt => GPT_TAIL,
                    PartitionTable::Mbr => 0,
                };
                (ALIGNMENT, size.saturating_sub(tail) / ALIGNMENT * ALIGNMENT)
            }
        };
        match end.checked_sub(start) {
            Some(len) if len > 0 => Ok((start, len)),
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
                    type_guid: match (kind, self.placement) {
                        (Some(Kind::Vfat | Kind::Ntfs | Kind::Exfat), Placement::Aligned) => {
                            gpt_type::MICROSOFT_BASIC_DATA
                        }
                        _ => gpt_type::LINUX_DATA,
                    },
                    guid: Uuid::from_bytes(self.ids.partition),
                    name: match self.placement {
                        Placement::Aligned => String::new(),
                        Placement::Libguestfs => "p1".into(),
                    },
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
