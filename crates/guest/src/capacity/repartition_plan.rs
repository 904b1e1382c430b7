//! A new layout for a disk that is copied to another one: which partitions get another size, go away, or are left empty, and
//! where all of them will lie. The arithmetic is virt-resize's, so that the same request gives the same sectors.

use super::target::Refusal;
use crate::error::{Error, Result};
use disksmith_fs::{Clock, Kind};
use disksmith_storage::{ErrorKind, StorageRef};
use disksmith_volume::{Disk, Partition, PartitionType, Table};

/// Sectors at both ends that a GPT may take.
const TABLE_SECTORS: u64 = 64;
/// Sectors before the first partition that a boot loader may take.
pub(super) const BOOT_LOADER_SECTORS: u64 = 4096;
/// A surplus smaller than this makes no partition.
const LEAST_EXTRA: u64 = 10 << 20;

/// A size that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SizeRequest {
    /// So many bytes.
    Bytes(u64),
    /// A share of the size of now, in percent.
    Percent(f64),
    /// More (or fewer) bytes than now.
    Difference(i64),
    /// More (or less) than now, in percent of it.
    DifferencePercent(f64),
}

impl SizeRequest {
    fn apply(self, old: u64) -> Option<u64> {
        let percent = |share: f64| (old as f64 * share / 100.0) as i64;
        let new = match self {
            Self::Bytes(bytes) => i64::try_from(bytes).ok()?,
            Self::Percent(share) => percent(share),
            Self::Difference(bytes) => i64::try_from(old).ok()?.checked_add(bytes)?,
            Self::DifferencePercent(share) => i64::try_from(old).ok()?.checked_add(percent(share))?,
        };
        u64::try_from(new).ok().filter(|new| *new > 0)
    }
}

/// What is to be done about what cannot be grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownFilesystems {
    /// Nothing is said.
    Ignore,
    /// It is named.
    #[default]
    Warn,
    /// It is an error before anything is written.
    Error,
}

/// What shall become of the partitions. Partitions are named by their numbers.
#[derive(Debug, Clone, Default)]
pub struct RepartitionRequest {
    /// Takes all that is left.
    pub expand: Option<u32>,
    /// Gives what is missing.
    pub shrink: Option<u32>,
    /// Get these sizes; `true`: even if that cuts what is in them.
    pub resize: Vec<(u32, SizeRequest, bool)>,
    /// Are not copied, and their numbers are given to those that follow.
    pub delete: Vec<u32>,
    /// Are there, and empty.
    pub ignore: Vec<u32>,
    /// Aligns the first partition too.
    pub align_first: bool,
    /// Starts of partitions are multiples of so many sectors; 0 stands for 128.
    pub alignment: u64,
    /// Makes no partition of what is left.
    pub no_extra_partition: bool,
    /// Leaves filesystems as they are.
    pub keep_contents: bool,
    /// What is done about filesystems that cannot be grown.
    pub unknown: UnknownFilesystems,
}

/// What becomes of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionFate {
    /// Copied as it is.
    Copy,
    /// Made, and left empty.
    Ignore,
    /// Not there any more.
    Delete,
    /// Copied, with another size in bytes.
    Resize(u64),
}

/// A partition of the source, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPartition {
    /// As it is in the source.
    pub source: Partition,
    /// What it holds.
    pub content: Option<Kind>,
    /// What becomes of it.
    pub fate: PartitionFate,
    /// Its number in the target.
    pub number: u32,
    /// Where it will start, in bytes.
    pub start: u64,
    /// How long it will be, in bytes.
    pub len: u64,
}

impl PlannedPartition {
    /// How it is called: `/dev/sda1`.
    #[must_use]
    pub fn device(&self) -> String {
        format!("/dev/sda{}", self.source.number)
    }

    /// The new size, where it gets one.
    #[must_use]
    pub fn new_size(&self) -> Option<u64> {
        match self.fate {
            PartitionFate::Resize(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The method by which what it holds is grown, as virt-resize names it; `None` where nothing has to be, or can be.
    #[must_use]
    pub fn method(&self, keep_contents: bool) -> Option<&'static str> {
        if keep_contents || self.new_size()? <= self.source.len {
            return None;
        }
        match self.content? {
            Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => Some("resize2fs"),
            Kind::Swap => Some("mkswap"),
            _ => None,
        }
    }

    /// Whether it gets more room than what it holds can be made to use.
    #[must_use]
    pub fn is_left_behind(&self, keep_contents: bool) -> bool {
        !keep_contents
            && self.new_size().is_some_and(|new| new > self.source.len)
            && self.content.is_some()
            && self.method(false).is_none()
            && !self.source.is_extended()
    }
}

/// The layout of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct RepartitionPlan {
    /// The source's table, which the target gets too.
    pub table: Table,
    /// All partitions of the source but logical ones.
    pub partitions: Vec<PlannedPartition>,
    /// What is left over, in bytes.
    pub surplus: u64,
    /// A partition for what is left over: number, start, length.
    pub extra: Option<(u32, u64, u64)>,
    /// Whether a surplus may make a partition.
    pub wants_extra: bool,
    /// Bytes before the first partition that are copied.
    pub boot_loader: u64,
}

fn refuse(text: String) -> Error {
    Refusal::new(ErrorKind::Failed, text).into()
}

/// Finds the layout for a target of `target_size` bytes.
///
/// # Errors
/// In virt-resize's words: what does not fit, or would cut a filesystem.
pub fn plan_repartition(
    source: &StorageRef,
    target_size: u64,
    request: &RepartitionRequest,
    clock: &Clock,
) -> Result<RepartitionPlan> {
    let disk = Disk::probe(source.clone()).map_err(Error::below)?;
    let name = source.name();
    if disk.table() == Table::None {
        return Err(refuse(format!("{name}: the source disk has no partition table")));
    }
    if request.expand.is_some() && request.shrink.is_some() {
        return Err(refuse(
            "you cannot use options --expand and --shrink together".into(),
        ));
    }
    let is_mbr = matches!(disk.table(), Table::Mbr { .. });
    let mut list: Vec<(PlannedPartition, u64)> = Vec::new();
    for partition in disk.partitions().iter().filter(|p| !is_mbr || p.number <= 4) {
        let slice = disk.open(partition).map_err(Error::below)?;
        let found = if partition.is_extended() {
            None
        } else {
            disksmith_fs::extent(&slice, clock).map_err(Error::below)?
        };
        // What cannot be measured has to be taken for as large as its partition; swap can be made anew.
        let holds = match found {
            Some(found) if found.kind.is_resizable() => found.size,
            Some(found) if found.kind == Kind::Swap => 0,
            Some(_) => partition.len,
            None if partition.is_extended() => partition.len,
            None => 0,
        };
        let planned = PlannedPartition {
            source: partition.clone(),
            content: found.map(|f| f.kind),
            fate: PartitionFate::Copy,
            number: partition.number,
            start: 0,
            len: partition.len,
        };
        list.push((planned, holds));
    }
    list.sort_by_key(|(p, _)| p.source.start);
    if list.is_empty() {
        return Err(refuse(format!("{name}: the source disk has no partitions")));
    }
    apply_requests(&mut list, &name, request)?;
    let plan = spread(&disk, list, target_size, request)?;
    if request.unknown == UnknownFilesystems::Error
        && let Some(p) = plan
            .partitions
            .iter()
            .find(|p| p.is_left_behind(request.keep_contents))
    {
        return Err(refuse(unknown_text(p)));
    }
    Ok(plan)
}

/// What virt-resize says of a filesystem that it cannot grow.
#[must_use]
pub fn unknown_text(partition: &PlannedPartition) -> String {
    let kind = partition.content.map_or("unknown", Kind::name);
    format!(
        "unknown/unavailable method for expanding the {kind} filesystem on {}",
        partition.device()
    )
}

fn find<'a>(
    list: &'a mut [(PlannedPartition, u64)],
    number: u32,
    source: &str,
    option: &str,
) -> Result<&'a mut (PlannedPartition, u64)> {
    let found = list.iter_mut().find(|(p, _)| p.source.number == number);
    found.ok_or_else(|| {
        refuse(format!(
            "/dev/sda{number}: partition not found in the source disk image (this error came from ‘{option}’ option on the command line).  Try running this command: virt-filesystems --partitions --long -a {source}"
        ))
    })
}

fn set_size(entry: &mut (PlannedPartition, u64), new: u64, force: bool, option: &str) -> Result<()> {
    let (planned, holds) = entry;
    let device = planned.device();
    if planned.fate != PartitionFate::Copy {
        return Err(refuse(format!(
            "{device}: this partition has already been marked for resizing"
        )));
    }
    let old = planned.source.len;
    if new < old && new < *holds && !force {
        let what = match planned.content {
            Some(kind) if kind.is_resizable() => format!("a {kind} filesystem"),
            Some(kind) => kind.description().to_owned(),
            None => "an extended partition".into(),
        };
        return Err(refuse(format!(
            "{device}: This partition contains {what} which will be damaged by shrinking it below {holds} bytes (user asked to shrink it to {new} bytes).  If you want to shrink this partition, you need to use the ‘--resize-force’ option, but that could destroy any data on this partition.  (This error came from ‘{option}’ option on the command line.)"
        )));
    }
    if new != old {
        planned.fate = PartitionFate::Resize(new);
    }
    Ok(())
}

fn apply_requests(
    list: &mut [(PlannedPartition, u64)],
    source: &str,
    request: &RepartitionRequest,
) -> Result<()> {
    for (numbers, fate, option) in [
        (&request.ignore, PartitionFate::Ignore, "--ignore"),
        (&request.delete, PartitionFate::Delete, "--delete"),
    ] {
        for number in numbers {
            find(list, *number, source, option)?.0.fate = fate;
        }
    }
    for (number, size, force) in &request.resize {
        let option = if *force { "--resize-force" } else { "--resize" };
        let entry = find(list, *number, source, option)?;
        let new = size.apply(entry.0.source.len).ok_or_else(|| {
            refuse(format!(
                "/dev/sda{number}: new partition size is zero or negative (this error came from ‘{option}’ option on the command line)"
            ))
        })?;
        set_size(entry, new, *force, option)?;
    }
    Ok(())
}

fn spread(
    disk: &Disk,
    mut list: Vec<(PlannedPartition, u64)>,
    target_size: u64,
    request: &RepartitionRequest,
) -> Result<RepartitionPlan> {
    let sector = disk.sector_size().bytes();
    let source = disk.storage().name();
    let alignment = if request.alignment == 0 {
        128
    } else {
        request.alignment
    };
    let first = list.first().map_or(0, |(p, _)| p.source.start / sector);
    let before = first.max(TABLE_SECTORS).max(BOOT_LOADER_SECTORS);
    let overhead = (before + alignment * (list.len() as u64 + 1) + TABLE_SECTORS) * sector;
    let needed = |list: &[(PlannedPartition, u64)]| -> u64 {
        list.iter()
            .map(|(p, _)| match p.fate {
                PartitionFate::Delete => 0,
                PartitionFate::Resize(bytes) => bytes,
                _ => p.source.len,
            })
            .sum::<u64>()
            .saturating_add(overhead)
    };
    if let Some(number) = request.expand {
        let now = needed(&list);
        let entry = find(&mut list, number, &source, "--expand")?;
        let Some(surplus) = target_size.checked_sub(now) else {
            return Err(refuse(format!(
                "You cannot use --expand when there is no surplus space to expand into.  You need to make the target disk larger by at least {}.",
                human(now - target_size)
            )));
        };
        set_size(entry, entry.0.source.len + surplus, false, "--expand")?;
    }
    if let Some(number) = request.shrink {
        let now = needed(&list);
        let entry = find(&mut list, number, &source, "--shrink")?;
        let Some(deficit) = now.checked_sub(target_size).filter(|n| *n > 0) else {
            return Err(refuse(
                "You cannot use --shrink when there is no deficit (see ‘deficit’ in the virt-resize(1) man page)."
                    .into(),
            ));
        };
        let new = entry.0.source.len.saturating_sub(deficit);
        if new == 0 {
            return Err(refuse(format!(
                "/dev/sda{number}: the whole of it is not enough to make up for {deficit} bytes"
            )));
        }
        set_size(entry, new, false, "--shrink")?;
    }
    let now = needed(&list);
    let Some(surplus) = target_size.checked_sub(now) else {
        let deficit = now - target_size;
        return Err(refuse(format!(
            "There is a deficit of {deficit} bytes ({}).  You need to make the target disk larger by at least this amount or adjust your resizing requests.",
            human(deficit)
        )));
    };
    let mut at = if request.align_first {
        first.next_multiple_of(alignment)
    } else {
        first
    };
    let boot_loader = first.min(BOOT_LOADER_SECTORS).min(at) * sector;
    let mut number = 1;
    for (planned, _) in &mut list {
        if planned.fate == PartitionFate::Delete {
            continue;
        }
        let mut len = planned.new_size().unwrap_or(planned.source.len).div_ceil(sector);
        if planned.new_size().is_some() {
            // Up to where the next one starts.
            len = (at + len).next_multiple_of(alignment) - at;
        }
        planned.start = at * sector;
        planned.len = len * sector;
        planned.number = if request.delete.is_empty() {
            planned.source.number
        } else {
            number
        };
        number = planned.number + 1;
        at = (at + len).next_multiple_of(alignment);
    }
    let end = (target_size / sector).saturating_sub(TABLE_SECTORS);
    let is_mbr = matches!(disk.table(), Table::Mbr { .. });
    let free_number = list.iter().map(|(p, _)| p.number).max().unwrap_or(0) + 1;
    let extra =
        (!request.no_extra_partition && surplus >= LEAST_EXTRA && end > at && (!is_mbr || free_number <= 4))
            .then(|| (free_number, at * sector, (end - at) * sector));
    for (planned, _) in list.iter().filter(|(p, _)| p.fate != PartitionFate::Delete) {
        let limit = (planned.start + planned.len) / sector;
        if is_mbr && limit > u64::from(u32::MAX) {
            return Err(refuse(format!(
                "{}: it would reach beyond the 2 TiB that an MBR can tell",
                planned.device()
            )));
        }
        if matches!(planned.source.kind, PartitionType::WholeDisk) || limit > target_size / sector {
            return Err(refuse(format!(
                "{}: it does not fit into the target disk",
                planned.device()
            )));
        }
    }
    Ok(RepartitionPlan {
        table: disk.table(),
        partitions: list.into_iter().map(|(p, _)| p).collect(),
        surplus,
        extra,
        wants_extra: !request.no_extra_partition,
        boot_loader,
    })
}

/// A size as virt-resize prints it: `347.8M`.
#[must_use]
pub fn human(bytes: u64) -> String {
    let units = [("G", 1u64 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((letter, unit)) => format!("{:.1}{letter}", bytes as f64 / *unit as f64),
        None => format!("{bytes}b"),
    }
}
