//! What is on a disk.

use crate::error::{Error, Result};
use crate::gpt::{self, FoundGpt};
use crate::mbr::{BOOT_RECORD_LEN, BootRecord, LogicalPartition, PartitionRecord, logical_partitions};
use crate::notice::Notice;
use crate::partition::Partition;
use crate::partition_type::PartitionType;
use crate::sector::{Lba, SectorSize};
use crate::whole_disk;
use disksmith_storage::{StorageRef, Window, read_vec};
use std::sync::Arc;
use uuid::Uuid;

/// Bit 2 of a GPT entry's attributes: a legacy BIOS may boot it.
const LEGACY_BOOTABLE: u64 = 1 << 2;

/// Which partition table a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// None: the disk is one slice.
    None,
    /// A GUID partition table.
    Gpt {
        /// The disk's GUID.
        disk_guid: Uuid,
    },
    /// A master boot record.
    Mbr {
        /// The disk's identifier; 0 where it has none.
        identifier: u32,
    },
}

/// A disk and its partitions.
#[derive(Debug, Clone)]
pub struct Disk {
    storage: StorageRef,
    table: Table,
    sector: SectorSize,
    partitions: Vec<Partition>,
    notices: Vec<Notice>,
}

impl Disk {
    /// Looks what is on a disk. The sector size of a GPT is found out; an MBR is taken to count in sectors of 512 bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is a GPT of which neither copy is good.
    pub fn probe(storage: StorageRef) -> Result<Self> {
        Self::probe_sizes(storage, &SectorSize::ALL)
    }

    /// Looks what is on a disk whose sector size is known.
    pub fn probe_with(storage: StorageRef, sector: SectorSize) -> Result<Self> {
        Self::probe_sizes(storage, &[sector])
    }

    fn probe_sizes(storage: StorageRef, sizes: &[SectorSize]) -> Result<Self> {
        let first = sizes.first().copied().unwrap_or(SectorSize::Bytes512);
        if storage.size() < BOOT_RECORD_LEN as u64 {
            return Ok(Self::whole(storage, first));
        }
        let boot_sector = read_vec(&*storage, 0, BOOT_RECORD_LEN)?;
        let record = BootRecord::parse(&boot_sector);
        if whole_disk::is_filesystem(&*storage, &boot_sector, record.as_ref()) {
            return Ok(Self::whole(storage, first));
        }
        let protective = record.as_ref().is_some_and(BootRecord::is_protective);
        match record {
            Some(record) if !protective && !record.is_empty() => Self::from_mbr(storage, first, &record),
            _ => match gpt::find(&*storage, sizes, protective) {
                Ok(Some(mut found)) => {
                    if !protective {
                        found.notices.push(Notice::NoProtectiveMbr);
                    } else if record.is_some_and(|r| r.is_hybrid()) {
                        found.notices.push(Notice::HybridMbr);
                    }
                    Ok(Self::from_gpt(storage, found))
                }
                Ok(None) if protective => Err(Error::Corrupt {
                    object: storage.name(),
                    structure: "GPT header",
                    field: "signature",
                    offset: first.bytes(),
                    value:
                        "missing, here and at the end of the disk, though the MBR says that there is a GPT"
                            .into(),
                }),
                // Without a protective MBR, what looks like a damaged header is the remains of one.
                Err(Error::Corrupt { .. }) if !protective => {
                    Self::without_gpt(storage, first, record.as_ref())
                }
                Ok(None) => Self::without_gpt(storage, first, record.as_ref()),
                Err(error) => Err(error),
            },
        }
    }

    fn without_gpt(storage: StorageRef, sector: SectorSize, record: Option<&BootRecord>) -> Result<Self> {
        match record {
            Some(record) => Self::from_mbr(storage, sector, record),
            None => Ok(Self::whole(storage, sector)),
        }
    }

    fn whole(storage: StorageRef, sector: SectorSize) -> Self {
        let whole = Partition {
            number: 0,
            start: 0,
            len: storage.size(),
            kind: PartitionType::WholeDisk,
            name: None,
            uuid: None,
            bootable: false,
            attributes: 0,
        };
        Self {
            storage,
            table: Table::None,
            sector,
            partitions: vec![whole],
            notices: Vec::new(),
        }
    }

    fn from_gpt(storage: StorageRef, found: FoundGpt) -> Self {
        let mut disk = Self {
            storage,
            table: Table::Gpt {
                disk_guid: found.header.disk_guid,
            },
            sector: found.sector,
            partitions: Vec::new(),
            notices: found.notices,
        };
        for (number, entry) in found.entries {
            let sectors = entry
                .last
                .0
                .checked_sub(entry.first.0)
                .and_then(|n| n.checked_add(1));
            let partition = Partition {
                number,
                start: 0,
                len: 0,
                kind: PartitionType::Gpt(entry.type_guid),
                name: Some(entry.name),
                uuid: Some(entry.guid.to_string()),
                bootable: entry.attributes & LEGACY_BOOTABLE != 0,
                attributes: entry.attributes,
            };
            disk.add(partition, entry.first, sectors.unwrap_or(0));
        }
        disk.finish()
    }

    fn from_mbr(storage: StorageRef, sector: SectorSize, boot: &BootRecord) -> Result<Self> {
        let identifier = boot.identifier;
        let mut notices = Vec::new();
        let mut found: Vec<(u32, Lba, PartitionRecord)> = Vec::new();
        let mut next_logical = 5;
        for (number, record) in (1..).zip(boot.records.iter()).filter(|(_, r)| !r.is_unused()) {
            found.push((number, Lba(u64::from(record.start)), *record));
        }
        for (_, first, record) in found.clone() {
            if !record.is_extended() {
                continue;
            }
            for LogicalPartition { first, record } in
                logical_partitions(&*storage, sector, first, &mut notices)?
            {
                found.push((next_logical, first, record));
                next_logical += 1;
            }
        }
        let mut disk = Self {
            storage,
            table: Table::Mbr { identifier },
            sector,
            partitions: Vec::new(),
            notices,
        };
        for (number, first, record) in found {
            let partition = Partition {
                number,
                start: 0,
                len: 0,
                kind: PartitionType::Mbr(record.kind),
                name: None,
                uuid: (identifier != 0).then(|| format!("{identifier:08x}-{number:02x}")),
                bootable: record.indicator == 0x80,
                attributes: 0,
            };
            disk.add(partition, first, u64::from(record.sectors));
        }
        Ok(disk.finish())
    }

    /// Adds a partition, if it begins inside the disk; what reaches beyond the end is cut, as Linux does.
    fn add(&mut self, mut partition: Partition, first: Lba, sectors: u64) {
        let sector = self.sector.bytes();
        let range = first.checked_offset(self.sector).zip(sectors.checked_mul(sector));
        let disk_end = self.storage.size() / sector * sector;
        match range {
            Some((start, len)) if len > 0 && self.storage.check_range(start, len).is_ok() => {
                partition.start = start;
                partition.len = len;
                self.partitions.push(partition);
            }
            Some((start, len)) if len > 0 && start < disk_end => {
                let there = disk_end - start;
                self.notices.push(Notice::CutAtEnd {
                    number: partition.number,
                    missing: len.saturating_sub(there),
                });
                partition.start = start;
                partition.len = there;
                self.partitions.push(partition);
            }
            _ => self.notices.push(Notice::OutsideDisk {
                number: partition.number,
            }),
        }
    }

    fn finish(mut self) -> Self {
        self.partitions.sort_by_key(|p| p.number);
        let mut by_start: Vec<&Partition> = self.partitions.iter().filter(|p| !p.is_extended()).collect();
        by_start.sort_by_key(|p| p.start);
        for pair in by_start.windows(2) {
            if let [a, b] = pair
                && b.start < a.end()
            {
                self.notices.push(Notice::Overlap {
                    first: a.number,
                    second: b.number,
                });
            }
        }
        for notice in &self.notices {
            log::warn!("{}: {notice}", self.storage.name());
        }
        self
    }

    /// Which table the disk has.
    pub fn table(&self) -> Table {
        self.table
    }

    /// The table's name as `blkid` prints PTTYPE: `gpt` or `dos`; `None` without table.
    pub fn table_name(&self) -> Option<&'static str> {
        match self.table {
            Table::None => None,
            Table::Gpt { .. } => Some("gpt"),
            Table::Mbr { .. } => Some("dos"),
        }
    }

    /// The disk's identifier as `blkid` prints PTUUID, where it has one.
    pub fn uuid(&self) -> Option<String> {
        match self.table {
            Table::None | Table::Mbr { identifier: 0 } => None,
            Table::Gpt { disk_guid } => Some(disk_guid.to_string()),
            Table::Mbr { identifier } => Some(format!("{identifier:08x}")),
        }
    }

    /// The logical sector size.
    pub fn sector_size(&self) -> SectorSize {
        self.sector
    }

    /// The partitions in the order of their numbers; the whole disk as number 0 where there is no table.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with a number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.number == number)
    }

    /// What is odd about the table.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The disk itself.
    pub fn storage(&self) -> &StorageRef {
        &self.storage
    }

    /// A partition as a storage of its own; the disk itself where there is no table.
    pub fn open(&self, partition: &Partition) -> Result<StorageRef> {
        if partition.kind == PartitionType::WholeDisk {
            return Ok(Arc::clone(&self.storage));
        }
        let name = format!("partition {} of {}", partition.number, self.storage.name());
        Ok(Arc::new(Window::new(
            Arc::clone(&self.storage),
            partition.start,
            partition.len,
            name,
        )?))
    }
}
