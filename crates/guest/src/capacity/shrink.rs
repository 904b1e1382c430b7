//! Shrinking: the filesystem that lies last, its partition, the table's end, and the image.

use super::report::{CapacityReport, FilesystemChange, PartitionChange};
use super::target::{Refusal, begin, choose, look, meant, place, probe};
use crate::error::{Error, Result};
use disksmith_fs::{Clock, Extent, resize};
use disksmith_image::{DiskSpec, NewSize, TransactionOptions};
use disksmith_storage::{ErrorKind, StorageRef};
use disksmith_volume::{Disk, Partition, TableChange};

/// Partitions of a disk that is shrunk end at multiples of this.
const GRAIN: u64 = 1 << 20;

/// How small an image shall become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShrinkTo {
    /// This size of the disk.
    Size(NewSize),
    /// As small as what is in it allows.
    Minimum,
    /// Nothing is changed: only told how small it could be.
    Report,
}

/// How an image is shrunk.
#[derive(Clone)]
pub struct ShrinkOptions {
    /// How small.
    pub to: ShrinkTo,
    /// The time that a filesystem that is changed bears.
    pub clock: Clock,
}

impl std::fmt::Debug for ShrinkOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShrinkOptions")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// Makes an image smaller, with the partition that lies last and the filesystem in it, in one transaction.
///
/// # Errors
/// Where it would not become smaller, or what lies last cannot be cut; those of the transaction. The image is as it was then.
pub fn shrink(
    spec: &DiskSpec,
    transaction: &TransactionOptions,
    options: &ShrinkOptions,
) -> Result<CapacityReport> {
    let report_only = options.to == ShrinkTo::Report;
    let transaction = TransactionOptions {
        dry_run: transaction.dry_run || report_only,
        ..transaction.clone()
    };
    let (edit, storage) = begin(spec, &transaction)?;
    let old_size = storage.size();
    let disk = probe(&storage)?;
    let partition = choose(&disk, &spec.path, None)?;
    let slice = match &partition {
        Some(partition) => disk.open(partition).map_err(Error::below)?,
        None => storage.clone(),
    };
    let found = look(&slice, &options.clock)?;
    let minimum = smallest(&disk, partition.as_ref(), found.as_ref(), old_size);
    let mut report = CapacityReport {
        image: spec.path.clone(),
        old_size,
        new_size: old_size,
        table: disk.table_name(),
        partition: None,
        filesystem: None,
        remains: Vec::new(),
        minimum: Some(minimum),
        changed: false,
    };
    let new_size = match options.to {
        ShrinkTo::Size(size) => meant(&spec.path, old_size, size)?,
        ShrinkTo::Minimum => minimum,
        ShrinkTo::Report => old_size,
    };
    if new_size > old_size {
        let text = format!(
            "{}: it has {old_size} bytes, fewer than the {new_size} that it shall shrink to",
            spec.path.display()
        );
        let hint = "to make it larger use `disksmith grow`";
        return Err(Refusal::new(ErrorKind::Usage, text).hint(hint).into());
    }
    let old_len = partition.as_ref().map_or(old_size, |p| p.len);
    let new_len = match &partition {
        Some(partition) => new_length(&disk, spec, partition, old_size, new_size)?,
        None => new_size,
    };
    report.new_size = new_size;
    shrink_contents(
        spec,
        &slice,
        partition.as_ref(),
        found.as_ref(),
        new_len,
        minimum,
        options,
        &mut report,
    )?;
    if let Some(partition) = &partition {
        if new_size != old_size {
            let change = TableChange {
                disk_size: new_size,
                partition: (new_len != old_len).then_some((partition.number, new_len)),
            };
            disk.change_table(&*storage, change).map_err(Error::below)?;
        }
        report.partition = Some(PartitionChange {
            number: partition.number,
            start: partition.start,
            old_len,
            new_len,
            uuid: partition.uuid.clone(),
            name: partition.name.clone().filter(|name| !name.is_empty()),
        });
    }
    drop((slice, disk));
    if new_size != old_size {
        storage.set_size(new_size).map_err(Error::below)?;
    }
    drop(storage);
    let done = edit.commit().map_err(Error::below)?;
    report.changed = done.changed.iter().any(|changed| *changed) && !transaction.dry_run;
    Ok(report)
}

/// The smallest disk that holds everything, in bytes.
fn smallest(disk: &Disk, partition: Option<&Partition>, found: Option<&Extent>, old_size: u64) -> u64 {
    let least = found.and_then(|found| found.minimum);
    let Some(partition) = partition else {
        return least.map_or(old_size, |bytes| bytes.next_multiple_of(512).min(old_size));
    };
    let len = least.map_or(partition.len, |bytes| bytes.min(partition.len));
    let grain = if partition.start.is_multiple_of(GRAIN) {
        GRAIN
    } else {
        4096
    };
    let end = (partition.start + len)
        .next_multiple_of(grain)
        .min(partition.end());
    // What lies before it may reach further only where partitions overlap.
    let end = disk
        .partitions()
        .iter()
        .filter(|p| p.number != partition.number && !p.is_extended())
        .map(Partition::end)
        .fold(end, u64::max);
    let size = disk.size_for_end(end);
    size.checked_next_multiple_of(GRAIN).unwrap_or(size).min(old_size)
}

/// The length of the last partition on a disk of the new size.
fn new_length(
    disk: &Disk,
    spec: &DiskSpec,
    partition: &Partition,
    old_size: u64,
    new_size: u64,
) -> Result<u64> {
    if new_size == old_size {
        return Ok(partition.len);
    }
    let behind = disk.size_for_end(0);
    let sector = disk.sector_size().bytes();
    let limit = (new_size / sector * sector).saturating_sub(behind);
    if partition.end() <= limit {
        return Ok(partition.len);
    }
    let grain = [GRAIN, 4096]
        .into_iter()
        .find(|grain| partition.start.is_multiple_of(*grain))
        .unwrap_or(sector);
    match (limit / grain * grain)
        .checked_sub(partition.start)
        .filter(|len| *len > 0)
    {
        Some(len) => Ok(len),
        None => {
            let text = format!(
                "{}: a disk of {new_size} bytes ends before partition {} begins (at {})",
                spec.path.display(),
                partition.number,
                partition.start
            );
            Err(Refusal::new(ErrorKind::Refused, text).into())
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "one step of one function")]
fn shrink_contents(
    spec: &DiskSpec,
    slice: &StorageRef,
    partition: Option<&Partition>,
    found: Option<&Extent>,
    new_len: u64,
    minimum: u64,
    options: &ShrinkOptions,
    report: &mut CapacityReport,
) -> Result<()> {
    let place = place(partition);
    let Some(found) = found.filter(|found| found.kind.is_resizable()) else {
        if new_len < slice.size() {
            let what = found.map_or_else(|| "something unknown".into(), |f| f.kind.description().to_owned());
            let text = format!(
                "{}: {place} holds {what}, which cannot be shrunk; the disk needs at least {minimum} bytes",
                spec.path.display()
            );
            return Err(Refusal::new(ErrorKind::Unsupported, text)
                .hint("give a size of at least that, or shrink it with its own tools first")
                .into());
        }
        return Ok(());
    };
    let mut change = FilesystemChange {
        kind: found.kind,
        old_size: found.size,
        new_size: found.size,
        minimum: found.minimum,
    };
    if new_len / found.unit * found.unit < found.size {
        change.new_size = match resize(slice, new_len, &options.clock) {
            Ok(now) => now.size,
            Err(disksmith_fs::Error::File {
                source: disksmith_vfs::Error::NoSpace { .. },
                ..
            }) => {
                let text = format!(
                    "{}: the files on {place} do not fit into {new_len} bytes; the disk needs about {minimum} bytes",
                    spec.path.display()
                );
                return Err(Refusal::new(ErrorKind::NoSpace, text)
                    .hint("delete files in the guest, or use --minimum")
                    .into());
            }
            Err(error) => return Err(Error::below(error)),
        };
    }
    report.filesystem = Some(change);
    Ok(())
}
