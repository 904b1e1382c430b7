//! Growing: the image, the table's end, the partition, and the filesystem in it.

use super::report::{CapacityReport, FilesystemChange, PartitionChange};
use super::target::{Refusal, begin, choose, look, meant, place, probe, to_be_grown};
use crate::error::{Error, Result};
use disksmith_fs::{Clock, Kind, resize};
use disksmith_image::{DiskSpec, NewSize, TransactionOptions};
use disksmith_storage::{ErrorKind, StorageRef};
use disksmith_volume::{Disk, Partition, PartitionType, TableChange, gpt_type};

/// How an image is grown.
#[derive(Clone)]
pub struct GrowOptions {
    /// The disk's new size; `None`: it stays, and what is on it fills it.
    pub size: Option<NewSize>,
    /// The partition that shall have the room; `None`: the one that lies last.
    pub partition: Option<u32>,
    /// Leaves the filesystem as it is.
    pub keep_filesystem: bool,
    /// The time that a filesystem that is changed bears.
    pub clock: Clock,
}

impl std::fmt::Debug for GrowOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrowOptions")
            .field("size", &self.size)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// Grows an image with the partition that lies last (or another one that has room behind it) and the filesystem in it, in one
/// transaction. Where the filesystem is of a kind that cannot be grown from outside, the rest is done and the report names
/// what remains.
///
/// # Errors
/// Where the disk would become smaller, or the partition has another one right behind it; those of the transaction. The
/// image is as it was then.
pub fn grow(
    spec: &DiskSpec,
    transaction: &TransactionOptions,
    options: &GrowOptions,
) -> Result<CapacityReport> {
    let (edit, storage) = begin(spec, transaction)?;
    let old_size = storage.size();
    let new_size = match options.size {
        Some(size) => meant(&spec.path, old_size, size)?,
        None => old_size,
    };
    if new_size < old_size {
        let text = format!(
            "{}: it has {old_size} bytes, more than the {new_size} that it shall grow to",
            spec.path.display()
        );
        let hint = "to make it smaller use `disksmith shrink`; to add to it write the size as +10G";
        return Err(Refusal::new(ErrorKind::Usage, text).hint(hint).into());
    }
    let disk = probe(&storage)?;
    let partition = choose(&disk, &spec.path, options.partition)?;
    if new_size != old_size {
        storage.set_size(new_size).map_err(Error::below)?;
    }
    let mut report = CapacityReport {
        image: spec.path.clone(),
        old_size,
        new_size,
        table: disk.table_name(),
        partition: None,
        filesystem: None,
        remains: Vec::new(),
        minimum: None,
        changed: false,
    };
    let slice = match &partition {
        None => storage.clone(),
        Some(partition) => grow_partition(&disk, &storage, spec, options, partition, &mut report)?,
    };
    let where_it_is = place(partition.as_ref());
    let found = look(&slice, &options.clock)?;
    match found {
        Some(found) if found.kind.is_resizable() => {
            let mut change = FilesystemChange {
                kind: found.kind,
                old_size: found.size,
                new_size: found.size,
                minimum: None,
            };
            if !options.keep_filesystem && slice.size() / found.unit * found.unit > found.size {
                change.new_size = resize(&slice, slice.size(), &options.clock)
                    .map_err(Error::below)?
                    .size;
            }
            report.filesystem = Some(change);
        }
        _ if options.keep_filesystem => {}
        other => {
            let grew = report
                .partition
                .as_ref()
                .map_or(new_size > old_size, |p| p.new_len > p.old_len);
            if grew {
                report
                    .remains
                    .push(to_be_grown(other.map(|o| o.kind), &where_it_is));
            }
        }
    }
    drop((slice, storage, disk));
    let done = edit.commit().map_err(Error::below)?;
    report.changed = done.changed.iter().any(|changed| *changed) && !transaction.dry_run;
    Ok(report)
}

fn grow_partition(
    disk: &Disk,
    storage: &StorageRef,
    spec: &DiskSpec,
    options: &GrowOptions,
    partition: &Partition,
    report: &mut CapacityReport,
) -> Result<StorageRef> {
    let number = partition.number;
    let room = disk.room(number, report.new_size).map_err(Error::below)?;
    let gains = room.max_len > partition.len;
    if let Some(other) = room.blocked_by.filter(|_| !gains) {
        return Err(blocked(disk, spec, partition, other, options).into());
    }
    if options.partition.is_none() && gains && is_swap(disk, partition)? && report.new_size > report.old_size
    {
        return Err(swap_is_last(disk, spec, partition).into());
    }
    if options.partition.is_none() && gains && is_for_booting(partition) {
        return Err(boot_is_last(disk, spec, partition).into());
    }
    let change = TableChange {
        disk_size: report.new_size,
        partition: gains.then_some((number, room.max_len)),
    };
    if gains || report.new_size != report.old_size {
        disk.change_table(&**storage, change).map_err(Error::below)?;
    }
    if room.is_table_limit {
        report.remains.push(super::report::Remains {
            what: format!("the room beyond the 2 TiB that an MBR can tell, behind partition {number}"),
            advice: "make the table a GPT (sgdisk --mbrtogpt) if the guest can boot from one".into(),
        });
    }
    report.partition = Some(PartitionChange {
        number,
        start: partition.start,
        old_len: partition.len,
        new_len: if gains { room.max_len } else { partition.len },
        uuid: partition.uuid.clone(),
        name: partition.name.clone().filter(|name| !name.is_empty()),
    });
    let grown = Partition {
        len: if gains { room.max_len } else { partition.len },
        ..partition.clone()
    };
    disk.open(&grown).map_err(Error::below)
}

fn is_swap(disk: &Disk, partition: &Partition) -> Result<bool> {
    let slice = disk.open(partition).map_err(Error::below)?;
    Ok(disksmith_fs::probe(&slice).is_some_and(|found| found.kind == Kind::Swap))
}

/// Whether firmware or a boot loader has it for itself: nobody who grows a disk wants more of that.
fn is_for_booting(partition: &Partition) -> bool {
    match partition.kind {
        PartitionType::Gpt(guid) => {
            [gpt_type::BIOS_BOOT, gpt_type::EFI_SYSTEM, gpt_type::PREP_BOOT].contains(&guid)
        }
        PartitionType::Mbr(kind) => matches!(kind, 0x41 | 0xef),
        PartitionType::WholeDisk => false,
    }
}

fn boot_is_last(disk: &Disk, spec: &DiskSpec, boot: &Partition) -> Refusal {
    let what = "is there for the boot loader, and what stands before it cannot grow over it";
    last_is_unwanted(disk, spec, boot, what, "that partition")
}

fn advice(spec: &DiskSpec, partition: u32) -> String {
    format!(
        "`disksmith virt-resize --expand /dev/sda{partition} {} NEW` writes a new image in which everything behind it has moved",
        spec.path.display()
    )
}

/// Nothing can be moved out of the way in place.
fn blocked(
    disk: &Disk,
    spec: &DiskSpec,
    partition: &Partition,
    other: u32,
    options: &GrowOptions,
) -> Refusal {
    let last = disk
        .partitions()
        .iter()
        .filter(|p| !p.is_extended())
        .max_by_key(|p| p.start)
        .map_or(other, |p| p.number);
    let text = format!(
        "{}: partition {} cannot grow: partition {other} stands right behind it",
        spec.path.display(),
        partition.number
    );
    let mut hint = advice(spec, partition.number);
    if options.partition.is_some() {
        hint = format!("{hint}; without --partition the last one, partition {last}, grows");
    }
    Refusal::new(ErrorKind::Refused, text).hint(hint)
}

/// Debian's old layout: root, and swap behind it. Nobody who grows a disk wants more swap.
fn swap_is_last(disk: &Disk, spec: &DiskSpec, swap: &Partition) -> Refusal {
    let what = "is swap space, and what stands before it cannot grow over it";
    last_is_unwanted(disk, spec, swap, what, "the swap space")
}

fn last_is_unwanted(disk: &Disk, spec: &DiskSpec, last: &Partition, what: &str, name: &str) -> Refusal {
    let before = disk
        .partitions()
        .iter()
        .filter(|p| !p.is_extended() && p.start < last.start)
        .max_by_key(|p| p.start);
    let text = format!(
        "{}: the last partition, {}, {what}",
        spec.path.display(),
        last.number
    );
    let mut hint = format!(
        "to give the room to {name} all the same, say --partition {}",
        last.number
    );
    if let Some(before) = before {
        hint = format!("{}; {hint}", advice(spec, before.number));
    }
    Refusal::new(ErrorKind::Refused, text).hint(hint)
}
