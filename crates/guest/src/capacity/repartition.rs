//! Copying a disk to another one with a new layout.
//!
//! The partition table is written last: a target whose copy was interrupted has none.

use super::repartition_plan::{PartitionFate, PlannedPartition, RepartitionPlan, RepartitionRequest};
use super::target::Refusal;
use crate::error::{Error, Result};
use disksmith_fs::{Clock, Kind, resize};
use disksmith_storage::{ErrorKind, StorageRef, Window, ZeroMode, copy, read_vec};
use disksmith_volume::{
    BootRecord, Chs, Disk, GptLayout, GptPartition, PartitionRecord, PartitionType, Table, Uuid, gpt_type,
};
use std::sync::Arc;

/// What is being done.
#[derive(Debug, Clone, Copy)]
pub enum RepartitionStep<'a> {
    /// What stands before the first partition is copied.
    BootLoader,
    /// A partition is copied.
    Copying(&'a PlannedPartition),
    /// What is in it is grown, by this method.
    Expanding(&'a PlannedPartition, &'static str),
    /// The partition table is written.
    Table,
}

/// Copies `source` to `target` as planned. `extra_guid` becomes the identifier of a partition that is made of what is left.
///
/// # Errors
/// Those of reading and writing; the target holds a part of the copy then, and no partition table.
pub fn repartition(
    source: &StorageRef,
    target: &StorageRef,
    plan: &RepartitionPlan,
    request: &RepartitionRequest,
    extra_guid: [u8; 16],
    clock: &Clock,
    step: &mut dyn FnMut(RepartitionStep<'_>),
) -> Result<()> {
    let disk = Disk::probe(source.clone()).map_err(Error::below)?;
    let sector = disk.sector_size().bytes();
    // Whatever table was there must not be found before everything is copied.
    let head = (2 << 20).min(target.size());
    target
        .write_zeroes(0, head, ZeroMode::Unmap)
        .map_err(Error::below)?;
    let tail = (64 * sector).min(target.size());
    target
        .write_zeroes(target.size() - tail, tail, ZeroMode::Unmap)
        .map_err(Error::below)?;
    if plan.boot_loader > sector {
        step(RepartitionStep::BootLoader);
        copy(
            &**source,
            sector,
            &**target,
            sector,
            plan.boot_loader - sector,
            false,
        )
        .map_err(Error::below)?;
    }
    for planned in &plan.partitions {
        match planned.fate {
            PartitionFate::Delete => continue,
            PartitionFate::Ignore => {
                target
                    .write_zeroes(planned.start, planned.len, ZeroMode::Unmap)
                    .map_err(Error::below)?;
                continue;
            }
            _ => {}
        }
        step(RepartitionStep::Copying(planned));
        let from = slice_of(source, planned, planned.source.start, planned.source.len)?;
        let to = slice_of(target, planned, planned.start, planned.len)?;
        let len = from.size().min(to.size());
        copy(&*from, 0, &*to, 0, len, false).map_err(Error::below)?;
        if to.size() > len {
            to.write_zeroes(len, to.size() - len, ZeroMode::Unmap)
                .map_err(Error::below)?;
        }
    }
    for planned in &plan.partitions {
        let Some(method) = planned.method(request.keep_contents) else {
            continue;
        };
        step(RepartitionStep::Expanding(planned, method));
        let slice = slice_of(target, planned, planned.start, planned.len)?;
        if planned.content == Some(Kind::Swap) {
            grow_swap(&slice)?;
        } else {
            resize(&slice, slice.size(), clock).map_err(Error::below)?;
        }
    }
    target.flush().map_err(Error::below)?;
    step(RepartitionStep::Table);
    write_table(source, target, plan, &disk, extra_guid)?;
    target.flush().map_err(Error::below)
}

fn slice_of(storage: &StorageRef, planned: &PlannedPartition, start: u64, len: u64) -> Result<StorageRef> {
    let name = format!("{} of {}", planned.device(), storage.name());
    Ok(Arc::new(
        Window::new(storage.clone(), start, len, name).map_err(Error::below)?,
    ))
}

/// The header of Linux swap space (`union swap_header` of the kernel) says which its last page is.
fn grow_swap(slice: &StorageRef) -> Result<()> {
    const LAST_PAGE_AT: u64 = 1024 + 4;
    let page = [4096u64, 8192, 16384, 65536]
        .into_iter()
        .find(|page| read_vec(&**slice, page - 10, 10).is_ok_and(|magic| magic == b"SWAPSPACE2"));
    let Some(page) = page else {
        return Ok(());
    };
    let last = (slice.size() / page).saturating_sub(1);
    let last = u32::try_from(last).unwrap_or(u32::MAX);
    slice
        .write_at(LAST_PAGE_AT, &last.to_le_bytes())
        .map_err(Error::below)
}

fn write_table(
    source: &StorageRef,
    target: &StorageRef,
    plan: &RepartitionPlan,
    disk: &Disk,
    extra_guid: [u8; 16],
) -> Result<()> {
    let boot_sector = read_vec(&**source, 0, 512).map_err(Error::below)?;
    match plan.table {
        Table::None => Ok(()),
        Table::Gpt { disk_guid } => {
            // The boot code is copied; the rest of the sector is written with the table.
            let code = boot_sector.get(..440).unwrap_or(&[]);
            target.write_at(0, code).map_err(Error::below)?;
            let mut partitions = Vec::new();
            for planned in plan.partitions.iter().filter(|p| p.fate != PartitionFate::Delete) {
                let PartitionType::Gpt(type_guid) = planned.source.kind else {
                    continue;
                };
                let guid = planned
                    .source
                    .uuid
                    .as_deref()
                    .and_then(|text| Uuid::parse_str(text).ok());
                partitions.push(GptPartition {
                    number: planned.number,
                    start: planned.start,
                    len: planned.len,
                    type_guid,
                    guid: guid.unwrap_or_else(Uuid::nil),
                    name: planned.source.name.clone().unwrap_or_default(),
                    attributes: planned.source.attributes,
                });
            }
            if let Some((number, start, len)) = plan.extra {
                partitions.push(GptPartition {
                    number,
                    start,
                    len,
                    type_guid: gpt_type::LINUX_DATA,
                    guid: Uuid::from_bytes(extra_guid),
                    name: "primary".into(),
                    attributes: 0,
                });
            }
            let layout = GptLayout {
                disk_guid,
                sector: disk.sector_size(),
                partitions,
            };
            layout.write(&**target).map_err(Error::below)
        }
        Table::Mbr { .. } => write_mbr(target, plan, disk, &boot_sector),
    }
}

fn write_mbr(target: &StorageRef, plan: &RepartitionPlan, disk: &Disk, boot_sector: &[u8]) -> Result<()> {
    let sector = disk.sector_size().bytes();
    let Some(old) = BootRecord::parse(boot_sector) else {
        return Err(Refusal::new(ErrorKind::Corrupt, "the source disk has lost its MBR").into());
    };
    let mut record = BootRecord {
        identifier: old.identifier,
        ..BootRecord::default()
    };
    let mut put = |number: u32, start: u64, len: u64, kind: u8, indicator: u8| {
        let (start, sectors) = (start / sector, len / sector);
        if let Some(slot) = record.records.get_mut((number as usize).saturating_sub(1)) {
            *slot = PartitionRecord {
                indicator,
                first_chs: Chs::from_lba(start),
                kind,
                last_chs: Chs::from_lba((start + sectors).saturating_sub(1)),
                start: u32::try_from(start).unwrap_or(u32::MAX),
                sectors: u32::try_from(sectors).unwrap_or(u32::MAX),
            };
        }
    };
    for planned in plan.partitions.iter().filter(|p| p.fate != PartitionFate::Delete) {
        let indicator = if planned.source.bootable { 0x80 } else { 0 };
        if let PartitionType::Mbr(kind) = planned.source.kind {
            put(planned.number, planned.start, planned.len, kind, indicator);
        }
    }
    if let Some((number, start, len)) = plan.extra {
        put(number, start, len, 0x83, 0);
    }
    target
        .write_at(0, &record.encode_over(boot_sector))
        .map_err(Error::below)
}
