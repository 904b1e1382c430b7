//! Giving back the space of what no file takes.

use crate::error::{Error, Result};
use disksmith_fs::{Kind, OpenOptions};
use disksmith_image::{
    ConvertOptions, ConvertReport, DiskSpec, Output, Progress, Source, Transaction, TransactionOptions,
    convert_from,
};
use disksmith_storage::{StorageRef, ZeroMode, read_vec};
use disksmith_vfs::Timestamp;
use disksmith_volume::Disk;
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where the signature of swap space with pages of 4 KiB ends, and what all swap space keeps at most.
const SWAP_HEADER: u64 = 4096;
const LARGE_SWAP_HEADER: u64 = 65_536;

/// What is given back.
#[derive(Debug, Clone, Default)]
pub struct SparsifyOptions {
    /// Only these devices (`/dev/sda1`); all where it is empty.
    pub only: Vec<String>,
    /// Not these devices.
    pub ignore: Vec<String>,
    /// Of these devices everything is made zero, whatever they hold.
    pub zero: Vec<String>,
    /// The time of what recovering a journal changes.
    pub clock: Timestamp,
}

/// What was done about a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum VolumeOutcome {
    /// Its free space was given back.
    Trimmed {
        /// Bytes that no file takes.
        free: u64,
        /// How many of them took space before.
        given_back: u64,
    },
    /// Everything in it was made zero.
    Zeroed,
    /// It was left alone, as asked for.
    Ignored,
    /// It was left alone.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// A volume, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SparsifiedVolume {
    /// Its name: `/dev/sda1`, or `/dev/sda` for a disk without partitions.
    pub device: String,
    /// What it holds: `ext4`, `swap`, `unknown`.
    pub kind: String,
    /// What was done.
    #[serde(flatten)]
    pub outcome: VolumeOutcome,
}

/// What was done about a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SparsifyReport {
    /// Each volume.
    pub volumes: Vec<SparsifiedVolume>,
    /// Bytes that the image took on the host before.
    pub before: u64,
    /// Bytes that it takes now, or that its copy takes.
    pub after: u64,
}

/// Gives the free space of a disk's filesystems back, in place: clusters and holes that nothing takes. Swap space is emptied but for
/// its header; what lies between the partitions, and volumes of which it cannot be told what is free, stay as they are. A journal that
/// was left dirty is replayed first. All of it is one transaction.
///
/// Over a backing file, only what the image itself holds is given back; what the backing file holds does not show through.
///
/// # Errors
/// Those of opening and of the commit; [`Error::NoSuchDevice`]. The image is as it was then.
pub fn sparsify(
    disk: &DiskSpec,
    transaction: &TransactionOptions,
    options: &SparsifyOptions,
) -> Result<SparsifyReport> {
    let before = host_bytes(&disk.path);
    let edit = Transaction::begin(std::slice::from_ref(disk), transaction)?;
    let Some(storage) = edit.storage(0) else {
        return Err(Error::Usage("no image is given".into()));
    };
    let volumes = thin(&storage, &disk.path, options, Mode::Discard)?;
    drop(storage);
    edit.commit()?;
    let path = match &disk.output {
        Output::InPlace => &disk.path,
        Output::Overlay(path) | Output::Copy(path, _) => path,
    };
    Ok(SparsifyReport {
        volumes,
        before,
        after: host_bytes(path),
    })
}

/// The same, for certain volumes of a disk: what `fstrim` does to a mounted filesystem.
///
/// # Errors
/// As [`sparsify`].
pub fn trim(
    disk: &DiskSpec,
    transaction: &TransactionOptions,
    devices: &[String],
    clock: Timestamp,
) -> Result<SparsifyReport> {
    let options = SparsifyOptions {
        only: devices.to_vec(),
        clock,
        ..SparsifyOptions::default()
    };
    sparsify(disk, transaction, &options)
}

/// Makes a copy in which free space takes none. The disk itself stays as it is.
///
/// # Errors
/// Those of opening, reading and writing; [`Error::NoSuchDevice`]. No copy is left behind then.
pub fn sparsify_copy(
    disk: &DiskSpec,
    transaction: &TransactionOptions,
    options: &SparsifyOptions,
    target: &Path,
    convert: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<(SparsifyReport, ConvertReport)> {
    let before = host_bytes(&disk.path);
    let transaction = TransactionOptions {
        dry_run: true,
        ..transaction.clone()
    };
    let edit = Transaction::begin(std::slice::from_ref(disk), &transaction)?;
    let Some(storage) = edit.storage(0) else {
        return Err(Error::Usage("no image is given".into()));
    };
    let volumes = thin(&storage, &disk.path, options, Mode::Zero)?;
    let Some(source) = Source::staged(&edit, 0) else {
        return Err(Error::Usage("no image is given".into()));
    };
    let converted = convert_from(&[source], target, convert, progress)?;
    edit.abandon();
    let report = SparsifyReport {
        volumes,
        before,
        after: host_bytes(target),
    };
    Ok((report, converted))
}

/// Bytes that a file takes on the host.
fn host_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.blocks().saturating_mul(512))
}

/// What is done with free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// What the image holds of it is given back.
    Discard,
    /// It reads as zeroes.
    Zero,
}

fn device_name(number: u32) -> String {
    match number {
        0 => "/dev/sda".into(),
        number => format!("/dev/sda{number}"),
    }
}

/// `/dev/vda1` and `/dev/hda1` mean the same as `/dev/sda1`.
fn same_device(given: &str, device: &str) -> bool {
    let canonical = |name: &str| {
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let name = ["xvd", "sd", "vd", "hd"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        name.to_owned()
    };
    canonical(given) == canonical(device)
}

fn thin(
    storage: &StorageRef,
    path: &Path,
    options: &SparsifyOptions,
    mode: Mode,
) -> Result<Vec<SparsifiedVolume>> {
    let disk = Disk::probe(storage.clone())?;
    let partitions: Vec<_> = disk.partitions().iter().filter(|p| !p.is_extended()).collect();
    let known: Vec<String> = partitions.iter().map(|p| device_name(p.number)).collect();
    for given in options.only.iter().chain(&options.ignore).chain(&options.zero) {
        if !known.iter().any(|device| same_device(given, device)) {
            return Err(Error::NoSuchDevice {
                device: given.clone(),
                disk: path.to_owned(),
                known,
            });
        }
    }
    let named = |list: &[String], device: &str| list.iter().any(|given| same_device(given, device));
    let mut volumes = Vec::new();
    for partition in partitions {
        let device = device_name(partition.number);
        if !options.only.is_empty() && !named(&options.only, &device) {
            continue;
        }
        let slice = disk.open(partition)?;
        let found = disksmith_fs::probe(&slice).map(|found| found.kind);
        let volume = Slice {
            storage: slice.clone(),
            offset: partition.start,
            at_disk_end: partition.end() == storage.size(),
        };
        let outcome = if named(&options.ignore, &device) {
            VolumeOutcome::Ignored
        } else if named(&options.zero, &device) {
            slice.write_zeroes(0, slice.size(), ZeroMode::Unmap)?;
            VolumeOutcome::Zeroed
        } else {
            match found {
                None => VolumeOutcome::Skipped {
                    reason: "nothing known is on it".into(),
                },
                Some(Kind::Swap) => empty_swap(&volume, mode)?,
                Some(_) => trim_filesystem(&volume, options.clock, mode)?,
            }
        };
        volumes.push(SparsifiedVolume {
            device,
            kind: found.map_or("unknown", Kind::name).to_owned(),
            outcome,
        });
    }
    Ok(volumes)
}

fn trim_filesystem(volume: &Slice, clock: Timestamp, mode: Mode) -> Result<VolumeOutcome> {
    let slice = &volume.storage;
    let skipped = |error: &dyn std::fmt::Display| {
        Ok(VolumeOutcome::Skipped {
            reason: error.to_string(),
        })
    };
    let open = |writable| disksmith_fs::open(slice, OpenOptions { writable, clock });
    // For writing first: that replays a journal, so that what is free in it is free on the disk.
    let fs = match open(true) {
        Ok(fs) => fs,
        Err(_) => match open(false) {
            Ok(fs) => fs,
            Err(disksmith_fs::Error::Unsupported { kind, .. }) => {
                return skipped(&format!("{} is not supported yet", kind.description()));
            }
            Err(error) => return skipped(&error),
        },
    };
    fs.sync()?;
    let mut giver = Giver::new(volume, mode);
    let listed = fs.free_ranges(&mut |offset, len| giver.add(offset, len));
    match listed.and_then(|()| giver.end()) {
        Ok(()) => Ok(VolumeOutcome::Trimmed {
            free: giver.free,
            given_back: giver.given_back,
        }),
        Err(disksmith_vfs::Error::Unsupported { operation, .. }) => {
            skipped(&format!("{operation} is not supported for {}", fs.kind()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps the header, by which the guest knows its swap space.
fn empty_swap(volume: &Slice, mode: Mode) -> Result<VolumeOutcome> {
    let slice = &volume.storage;
    let signature = read_vec(&**slice, SWAP_HEADER - 10, 10).unwrap_or_default();
    let header = if signature.starts_with(b"SWAP") {
        SWAP_HEADER
    } else {
        LARGE_SWAP_HEADER
    };
    let mut giver = Giver::new(volume, mode);
    giver.add(header, slice.size().saturating_sub(header))?;
    giver.end()?;
    Ok(VolumeOutcome::Trimmed {
        free: giver.free,
        given_back: giver.given_back,
    })
}

/// A part of a disk, and where it lies.
struct Slice {
    storage: StorageRef,
    offset: u64,
    at_disk_end: bool,
}

/// Gives ranges back; those that touch together, as clusters of the image may reach over the border between them.
struct Giver<'a> {
    slice: &'a StorageRef,
    offset: u64,
    at_disk_end: bool,
    mode: Mode,
    pending: (u64, u64),
    free: u64,
    given_back: u64,
}

impl<'a> Giver<'a> {
    fn new(volume: &'a Slice, mode: Mode) -> Self {
        Self {
            slice: &volume.storage,
            offset: volume.offset,
            at_disk_end: volume.at_disk_end,
            mode,
            pending: (0, 0),
            free: 0,
            given_back: 0,
        }
    }

    fn add(&mut self, offset: u64, len: u64) -> disksmith_vfs::Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.free = self.free.saturating_add(len);
        let (start, end) = self.pending;
        if offset == end {
            self.pending = (start, end.saturating_add(len));
            return Ok(());
        }
        self.end()?;
        self.pending = (offset, offset.saturating_add(len));
        Ok(())
    }

    fn end(&mut self) -> disksmith_vfs::Result<()> {
        let (start, end) = std::mem::take(&mut self.pending);
        let (start, end) = self.whole_units(start, end.min(self.slice.size()));
        let taken = self.taken(start, end)?;
        if taken == 0 {
            return Ok(());
        }
        self.given_back = self.given_back.saturating_add(taken);
        match self.mode {
            Mode::Discard => self.slice.discard(start, end - start)?,
            Mode::Zero => self.slice.write_zeroes(start, end - start, ZeroMode::Unmap)?,
        }
        Ok(())
    }

    /// The part of a range that can be given back: whole clusters of the image.
    fn whole_units(&self, start: u64, end: u64) -> (u64, u64) {
        let unit = self.slice.alignment().allocation.max(1);
        if self.mode == Mode::Zero || unit == 1 {
            return (start, end);
        }
        let first = (self.offset + start).next_multiple_of(unit) - self.offset;
        let last = (self.offset + end) / unit * unit;
        let last = if end == self.slice.size() && self.at_disk_end {
            end
        } else {
            last.saturating_sub(self.offset)
        };
        (first, last.max(first))
    }

    /// How much of a range takes space: in the image itself, where that is all that can be given back.
    fn taken(&self, start: u64, end: u64) -> disksmith_vfs::Result<u64> {
        let (mut at, mut data) = (start, 0);
        while at < end {
            let extent = self.slice.extent_at(at, end - at)?;
            let len = extent.len.min(end - at).max(1);
            if !extent.reads_as_zero() && (extent.depth == 0 || self.mode == Mode::Zero) {
                data += len;
            }
            at += len;
        }
        Ok(data)
    }
}
