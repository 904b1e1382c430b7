//! The face of `mkfs.vfat` (mkfs.fat of dosfstools 4.2): options, texts, exit status, and every byte of the filesystem but the code and
//! message of its boot sector.

mod options;
mod report;

use super::dos_time::to_local;
use crate::clock;
use disksmith_fat::{FormatOptions, Formatted, format};
use disksmith_image::{DiskSpec, Format, Output, Transaction, TransactionOptions};
use disksmith_storage::{Durability, Existing, NewFile, Storage, StorageRef, Window};
use disksmith_vfs::{Error, Timestamp};
use options::{Command, Request};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// How it is called in its own banner.
const BANNER: &str = "mkfs.fat 4.2 (2021-01-31)";

/// Why it ends.
pub(super) enum Stop {
    /// With a message behind the program's name.
    Die(String),
    /// With a message on standard output, and the usage.
    Usage(Option<String>),
}

/// Runs the face.
pub(super) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    report::line(BANNER);
    match work(name, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Die(message)) => {
            eprintln!("{name}: {message}");
            ExitCode::FAILURE
        }
        Err(Stop::Usage(message)) => {
            if let Some(message) = message {
                report::line(&message);
            }
            eprint!("{}", options::usage(name));
            ExitCode::FAILURE
        }
    }
}

fn work(name: &str, arguments: &[OsString]) -> Result<(), Stop> {
    let request = match Command::parse(name, arguments)? {
        Command::Help => {
            eprint!("{}", options::usage(name));
            return Ok(());
        }
        Command::Format(request) => request,
    };
    let mut request = *request;
    let now = clock::now().map_err(|_| Stop::Die("SOURCE_DATE_EPOCH is no number of seconds".into()))?;
    let time = if request.invariant {
        options::INVARIANT_TIME
    } else {
        to_local(now)
    };
    request.options.time = time;
    if !request.volume_id_given {
        request.options.volume_id = match request.invariant {
            true => options::INVARIANT_ID,
            false => volume_id(now),
        };
    }
    if request.create {
        create(&request)
    } else {
        existing(&request)
    }
}

/// A serial number of the time, as DOS makes them: different for each call unless the time is given.
fn volume_id(now: Timestamp) -> u32 {
    let mixed = now.seconds.cast_unsigned() ^ u64::from(now.nanoseconds) << 20;
    // The lower half changes most.
    (mixed ^ mixed >> 32) as u32
}

fn die(error: impl std::fmt::Display) -> Stop {
    Stop::Die(error.to_string())
}

/// Makes a new file, which appears when the filesystem is in it.
fn create(request: &Request) -> Result<(), Stop> {
    let target = &request.target;
    let shown = target.display();
    if target.symlink_metadata().is_ok() {
        return Err(Stop::Die(format!("file {shown} already exists")));
    }
    let blocks = request
        .blocks
        .ok_or_else(|| Stop::Die("Need intended size with -C.".into()))?;
    let size = blocks
        .checked_mul(1024)
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or_else(|| Stop::Die(format!("unable to resize {shown}")))?;
    let offset = request.offset;
    let file = NewFile::create(target, Existing::Refuse)
        .map_err(|_| Stop::Die(format!("unable to create {shown}")))?;
    let len = size
        .checked_add(offset)
        .ok_or_else(|| Stop::Die(format!("unable to resize {shown}")))?;
    file.file()
        .set_size(len)
        .map_err(|_| Stop::Die(format!("unable to resize {shown}")))?;
    let storage: StorageRef = Arc::clone(file.file()) as StorageRef;
    fill(request, storage, size)?;
    file.commit(Existing::Refuse, Durability::Deferred).map_err(die)?;
    Ok(())
}

/// Formats a file or device that is there, as a whole or not at all.
fn existing(request: &Request) -> Result<(), Stop> {
    let target = &request.target;
    let unable = |reason: &str| Stop::Die(format!("unable to open {}: {reason}", target.display()));
    match std::fs::metadata(target) {
        Err(error) => return Err(unable(&reason(&error))),
        Ok(found) if found.is_dir() => return Err(unable("Is a directory")),
        Ok(_) => {}
    }
    let disk = DiskSpec {
        path: target.clone(),
        format: Some(Format::Raw),
        output: Output::InPlace,
    };
    let transaction = TransactionOptions {
        force: true,
        ..TransactionOptions::default()
    };
    let edit = Transaction::begin(&[disk], &transaction).map_err(die)?;
    let storage = edit
        .storage(0)
        .ok_or_else(|| unable("No such file or directory"))?;
    let found = file_size(target).unwrap_or_else(|| storage.size());
    if found < request.offset {
        return Err(Stop::Die(format!(
            "The device {} size {found} is less then the offset {}",
            target.display(),
            request.offset
        )));
    }
    let available = (found - request.offset) / 1024;
    let blocks = request.blocks.unwrap_or(available);
    if blocks != available {
        eprintln!("Warning: block count mismatch: found {available} but assuming {blocks}.");
    }
    let size = match request.blocks {
        Some(blocks) => blocks.saturating_mul(1024),
        None => found - request.offset,
    };
    fill(request, storage, size)?;
    edit.commit().map_err(die)?;
    Ok(())
}

fn file_size(path: &Path) -> Option<u64> {
    let found = std::fs::metadata(path).ok()?;
    found.is_file().then_some(found.len())
}

fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

fn fill(request: &Request, storage: StorageRef, size: u64) -> Result<(), Stop> {
    let available = storage.size().saturating_sub(request.offset);
    let size = size.min(available);
    let window: StorageRef = if request.offset == 0 && size == available {
        storage
    } else {
        Arc::new(
            Window::new(
                storage,
                request.offset,
                size,
                request.target.display().to_string(),
            )
            .map_err(die)?,
        )
    };
    let mut options: FormatOptions = request.options.clone();
    options.partition_table = request.partition_table;
    options.disk_len = Some(available);
    let mut notes = Vec::new();
    let planned = disksmith_fat::plan_format(size, &options, &mut notes);
    report::notes(request, &notes);
    let planned = planned.map_err(refused)?;
    if let Some(list) = &request.bad_blocks {
        options.bad_blocks = options::read_bad_blocks(list)?;
        check_blocks(&planned, &options.bad_blocks)?;
    }
    let formatted = format(&*window, &options).map_err(refused)?;
    report::formatted(request, &formatted, &options, options.bad_blocks.len());
    Ok(())
}

fn refused(error: Error) -> Stop {
    match error {
        Error::InvalidArgument { reason, .. } | Error::InvalidName { reason, .. } => Stop::Die(reason.into()),
        other => die(other),
    }
}

/// Bad blocks can only be where files would be.
fn check_blocks(made: &Formatted, blocks: &[u64]) -> Result<(), Stop> {
    let sector = u64::from(made.sector_len);
    let root = (u64::from(made.root_entries) * 32).div_ceil(sector);
    let start = u64::from(made.reserved_sectors) + u64::from(made.fats) * u64::from(made.fat_sectors) + root;
    let end = start + u64::from(made.clusters) * u64::from(made.sectors_per_cluster);
    for block in blocks {
        let place = match block.saturating_mul(1024) / sector {
            at if at < start => "before data area",
            at if at >= end => "behind end of filesystem",
            _ => continue,
        };
        eprintln!("Block number {block} is {place}");
        return Err(Stop::Die("Error in bad blocks file".into()));
    }
    Ok(())
}
