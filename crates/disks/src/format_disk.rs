//! Disks that are there, laid out anew: a partition table and an empty filesystem. What they held is lost.

use crate::error::{Error, Result};
use crate::layout::{DiskIds, Layout, PartitionTable, Placement, clear_ends};
use disksmith_fs::NewFileSystem;
use disksmith_image::{DiskSpec, Transaction, TransactionOptions};
use disksmith_storage::{StorageRef, ZeroMode};

/// What a disk shall hold.
#[derive(Debug, Clone)]
pub enum DiskContent {
    /// Nothing.
    Empty,
    /// An empty filesystem.
    FileSystem(NewFileSystem),
}

/// How a disk is laid out.
#[derive(Debug, Clone)]
pub struct FormatDisk {
    /// What it holds, in its partition where there is a table.
    pub content: DiskContent,
    /// The partition table, if there is to be one.
    pub table: Option<PartitionTable>,
    /// Where the partition lies.
    pub placement: Placement,
    /// What the partition table calls disk and partition.
    pub ids: DiskIds,
    /// Whether everything that was there reads as zeroes afterwards, not only what tells what was there.
    pub wipe: bool,
}

/// Lays out disks, which lose what they held, in one transaction: until it is complete all of them hold what they held.
///
/// # Errors
/// Those of opening and writing the images; options that cannot be. The images are as they were.
pub fn format_disk(disks: &[DiskSpec], transaction: &TransactionOptions, how: &[FormatDisk]) -> Result<()> {
    let edit = Transaction::begin(disks, transaction)?;
    for (index, how) in how.iter().enumerate() {
        let Some(storage) = edit.storage(index) else { break };
        lay_out(&storage, how)?;
    }
    edit.commit()?;
    Ok(())
}

fn lay_out(storage: &StorageRef, how: &FormatDisk) -> Result<()> {
    if how.wipe {
        storage.write_zeroes(0, storage.size(), ZeroMode::Unmap)?;
    } else {
        clear_ends(storage)?;
    }
    let slice = match how.table {
        Some(table) => {
            let kind = match &how.content {
                DiskContent::Empty => None,
                DiskContent::FileSystem(filesystem) => Some(filesystem.kind()),
            };
            let layout = Layout {
                table,
                placement: how.placement,
                ids: how.ids,
            };
            let slice = layout.write(storage, kind)?;
            clear_ends(&slice)?;
            slice
        }
        None => storage.clone(),
    };
    match &how.content {
        DiskContent::Empty => Ok(()),
        DiskContent::FileSystem(filesystem) => filesystem.make(&slice).map_err(Error::from),
    }
}
