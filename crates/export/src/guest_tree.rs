//! Opening the guest that is to be mounted.

use crate::attributes::now;
use crate::committer::Reopen;
use crate::error::Result;
use crate::joined::Joined;
use disksmith_fs::{OpenOptions, open_with_clock};
use disksmith_guest::{Guest, MountSpec, RootChoice, Volume, VolumeContent, open_volumes_for};
use disksmith_image::{DiskSpec, Format, Image, Output, Transaction, TransactionOptions};
use disksmith_storage::{Diagnose, ErrorKind, LockMode, StorageRef};
use disksmith_vfs::{FileSystemRef, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What becomes of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// There are none.
    Refused,
    /// They go into the images.
    Kept,
    /// They go into a new overlay at this path, over the one image there is.
    Overlay(PathBuf),
    /// They are seen while it is mounted, and then thrown away.
    Discarded,
}

/// How much a mount stages in memory: less than other edits do, for it also remembers each file that the kernel knows.
const BUDGET: u64 = 16 << 20;

/// Which guest is mounted.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its disks, in its order, each with its format where that is not to be detected.
    pub disks: Vec<(PathBuf, Option<Format>)>,
    /// What is mounted by hand; empty: as the guest's own fstab says.
    pub mounts: Vec<MountSpec>,
    /// Which operating system is meant, where the disks hold several.
    pub root: RootChoice,
    /// Where there is no operating system and one filesystem only, that is meant.
    pub or_only_files: bool,
    /// What becomes of changes.
    pub changes: Changes,
    /// How images are opened and edited.
    pub transaction: TransactionOptions,
}

/// An open guest.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) joined: Joined,
    pub(crate) transaction: Option<Transaction>,
    /// Images that are only read, with their locks.
    pub(crate) images: Vec<Image>,
    /// What was odd.
    pub(crate) warnings: Vec<String>,
}

impl Source {
    /// Opens it.
    pub(crate) fn open(&self) -> Result<Opened> {
        if self.changes == Changes::Refused {
            return self.open_for_reading();
        }
        let mut options = self.transaction.clone();
        options.dry_run = self.changes == Changes::Discarded;
        options.budget = options.budget.min(BUDGET);
        let mut disks: Vec<DiskSpec> = self
            .disks
            .iter()
            .map(|(path, format)| DiskSpec {
                path: path.clone(),
                format: *format,
                output: Output::InPlace,
            })
            .collect();
        let overlay = match &self.changes {
            Changes::Overlay(path) => {
                let [disk] = disks.as_mut_slice() else {
                    let text = "an overlay can be made of one image only".into();
                    return Err(disksmith_image::Error::BadOption(text).into());
                };
                disk.output = Output::Overlay(path.clone());
                Transaction::begin(&disks, &options)?.commit()?;
                disks = vec![DiskSpec::in_place(path)];
                Some(path)
            }
            _ => None,
        };
        let opened = self.open_for_writing(&disks, &options);
        if let (Err(_), Some(path)) = (&opened, overlay) {
            // Made a moment ago, and nothing is in it.
            let _ = std::fs::remove_file(path);
        }
        opened
    }

    fn open_for_reading(&self) -> Result<Opened> {
        let mut images = Vec::new();
        let mut warnings = Vec::new();
        for (path, format) in &self.disks {
            let open = |lock| {
                Image::open(
                    path,
                    &disksmith_image::OpenOptions::read()
                        .format(*format)
                        .lock(lock)
                        .gate(self.transaction.gate.clone())
                        .keys(self.transaction.keys.clone()),
                )
            };
            images.push(match open(LockMode::Lock) {
                Err(error) if error.kind() == ErrorKind::InUse => {
                    warnings.push(in_use(path));
                    open(LockMode::ForceShare)?
                }
                other => other?,
            });
        }
        let storages: Vec<StorageRef> = images.iter().map(|image| image.storage().clone()).collect();
        let volumes = open_volumes_for(&storages, &self.mounts, reading())?;
        let guest = self.find(&volumes)?;
        warnings.extend(guest.warnings().iter().cloned());
        Ok(Opened {
            joined: Joined::new(guest.tree(), |fs| slice_of(&volumes, fs)),
            transaction: None,
            images,
            warnings,
        })
    }

    fn open_for_writing(&self, disks: &[DiskSpec], options: &TransactionOptions) -> Result<Opened> {
        let transaction = Transaction::begin(disks, options)?;
        transaction.check_commits()?;
        let storages: Vec<StorageRef> = (0..transaction.len())
            .filter_map(|i| transaction.storage(i))
            .collect();
        let mut volumes = open_volumes_for(&storages, &self.mounts, reading())?;
        let guest = self.find(&volumes)?;
        let mut unwritable = Vec::new();
        for mounted in guest.mounts() {
            let spec = self
                .mounts
                .iter()
                .find(|spec| spec.path == mounted.path.as_bytes());
            if spec.is_some_and(|spec| spec.options.iter().any(|o| o == "ro")) {
                continue;
            }
            // What the guest does not mount is not touched: not even its journal is replayed.
            for volume in volumes.iter_mut().filter(|v| v.device() == mounted.device) {
                if let (VolumeContent::FileSystem(fs), Some(slice)) = (&mut volume.content, &volume.slice) {
                    *fs = open_with_clock(slice, true, Arc::new(now))?;
                    if let Some(reason) = fs.why_read_only() {
                        unwritable.push(format!("{} can only be read: {reason}", mounted.device));
                    }
                }
            }
        }
        let guest = self.find(&volumes)?;
        Ok(Opened {
            joined: Joined::new(guest.tree(), |fs| slice_of(&volumes, fs)),
            transaction: Some(transaction),
            images: Vec::new(),
            warnings: guest.warnings().iter().cloned().chain(unwritable).collect(),
        })
    }

    fn find(&self, volumes: &[Volume]) -> Result<Guest> {
        if !self.mounts.is_empty() {
            return Ok(Guest::mount_by_hand(volumes, &self.mounts, now())?);
        }
        match Guest::inspect_root(volumes, &self.root, now()) {
            Err(disksmith_guest::Error::NoOperatingSystem { .. })
                if self.or_only_files && only_file_system(volumes).is_some() =>
            {
                let device = only_file_system(volumes).unwrap_or_default();
                let spec = MountSpec {
                    device,
                    path: b"/".to_vec(),
                    options: Vec::new(),
                };
                Ok(Guest::mount_by_hand(volumes, &[spec], now())?)
            }
            other => Ok(other?),
        }
    }
}

/// The one volume that holds a filesystem.
fn only_file_system(volumes: &[Volume]) -> Option<String> {
    let mut found = volumes
        .iter()
        .filter(|v| matches!(v.content, VolumeContent::FileSystem(_)));
    let only = found.next()?.device();
    found.next().is_none().then_some(only)
}

fn reading() -> OpenOptions {
    OpenOptions {
        writable: false,
        clock: Timestamp::default(),
    }
}

fn in_use(path: &Path) -> String {
    format!("{} is in use: what is shown may be inconsistent", path.display())
}

/// The bytes of a filesystem of these volumes.
fn slice_of(volumes: &[Volume], wanted: &FileSystemRef) -> Option<StorageRef> {
    volumes.iter().find_map(|volume| match &volume.content {
        VolumeContent::FileSystem(fs) if Arc::ptr_eq(fs, wanted) => volume.slice.clone(),
        _ => None,
    })
}

/// Opens a filesystem as its bytes are now, for reading.
pub(crate) fn reopen() -> Reopen {
    Box::new(|slice| open_with_clock(slice, false, Arc::new(now)).ok())
}
