//! The guest of images that no machine runs: opened for a look, or for an edit that is committed as a whole.

use crate::error::{Error, Result};
use crate::inspect::{Guest, MountSpec, RootChoice, Volume, open_volumes, open_volumes_for};
use disksmith_fs::OpenOptions;
use disksmith_image::{CommitReport, DiskSpec, Format, Gate, Image, Keys, Transaction, TransactionOptions};
use disksmith_storage::{Diagnose, ErrorKind, LockMode, StorageRef};
use disksmith_vfs::Timestamp;
use std::path::PathBuf;

/// How a guest is found in its disks.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// What is mounted by hand; empty: as the guest's own fstab says.
    pub mounts: Vec<MountSpec>,
    /// Which operating system is meant, where the disks hold several.
    pub root: RootChoice,
    /// The time that everything changed gets.
    pub clock: Timestamp,
    /// The passphrases for encrypted images that are only looked into.
    pub keys: Keys,
    /// Which files may be opened that images name which are only looked into.
    pub gate: Gate,
}

impl GuestOptions {
    pub(crate) fn open(&self, disks: &[StorageRef], writable: bool) -> Result<Guest> {
        let options = |writable| OpenOptions {
            writable,
            clock: self.clock,
        };
        let mut volumes = open_volumes_for(disks, &self.mounts, options(false))?;
        let guest = self.find(&volumes)?;
        if !writable {
            return Ok(guest);
        }
        // What the guest does not mount is not touched: not even its journal is replayed.
        let read_only = |volume: &Volume| {
            let meant = |spec: &&MountSpec| volume.is_meant_by(&spec.device);
            let spec = self.mounts.iter().find(meant);
            spec.is_some_and(|spec| spec.options.iter().any(|o| o == "ro"))
        };
        for volume in &mut volumes {
            let mounted = guest.mounts().iter().any(|m| m.device == volume.device());
            if mounted && !read_only(volume) && !volume.is_verified() {
                volume.reopen(options(true))?;
            }
        }
        self.find(&volumes)
    }

    pub(crate) fn find(&self, volumes: &[Volume]) -> Result<Guest> {
        if self.mounts.is_empty() {
            Guest::inspect_root(volumes, &self.root, self.clock)
        } else {
            Guest::mount_by_hand(volumes, &self.mounts, self.clock)
        }
    }
}

/// Edits the guest on these disks: `work` changes its files, then everything is committed as a whole. After an error the
/// images are as they were.
///
/// # Errors
/// Those of opening, of `work`, and of the commit.
pub fn edit<T>(
    disks: &[DiskSpec],
    transaction: &TransactionOptions,
    options: &GuestOptions,
    work: impl FnOnce(&Guest) -> Result<T>,
) -> Result<(T, CommitReport)> {
    let transaction = Transaction::begin(disks, transaction).map_err(Error::below)?;
    let storages: Vec<StorageRef> = (0..transaction.len())
        .filter_map(|i| transaction.storage(i))
        .collect();
    let guest = options.open(&storages, true)?;
    let result = work(&guest)?;
    guest.settle()?;
    drop(guest);
    drop(storages);
    let report = transaction.commit().map_err(Error::below)?;
    Ok((result, report))
}

/// Looks into the guest on these disks, which are not changed. Images that somebody writes to are looked into all the
/// same: `in_use` is told of each, and what is seen may be inconsistent.
///
/// # Errors
/// Those of opening, and of `work`.
pub fn look<T>(
    disks: &[(PathBuf, Option<Format>)],
    options: &GuestOptions,
    mut in_use: impl FnMut(&std::path::Path),
    work: impl FnOnce(&Guest) -> Result<T>,
) -> Result<T> {
    let mut images = Vec::with_capacity(disks.len());
    for (path, format) in disks {
        images.push(open_image(path, *format, options, &mut in_use)?);
    }
    let storages: Vec<StorageRef> = images.iter().map(|image| image.storage().clone()).collect();
    work(&options.open(&storages, false)?)
}

/// Looks at disks without asking for a guest on them; of the options, keys and gate count. Otherwise as [`look`].
///
/// # Errors
/// Those of opening the images, and of `work`.
pub fn look_at_disks<T>(
    disks: &[(PathBuf, Option<Format>)],
    options: &GuestOptions,
    mut in_use: impl FnMut(&std::path::Path),
    work: impl FnOnce(&[StorageRef]) -> Result<T>,
) -> Result<T> {
    let mut images = Vec::with_capacity(disks.len());
    for (path, format) in disks {
        images.push(open_image(path, *format, options, &mut in_use)?);
    }
    let storages: Vec<StorageRef> = images.iter().map(|image| image.storage().clone()).collect();
    work(&storages)
}

/// Opens an image to look into it, if need be while somebody writes to it.
fn open_image(
    path: &std::path::Path,
    format: Option<Format>,
    options: &GuestOptions,
    in_use: &mut dyn FnMut(&std::path::Path),
) -> Result<Image> {
    let open = |lock| {
        Image::open(
            path,
            &disksmith_image::OpenOptions::read()
                .format(format)
                .lock(lock)
                .gate(options.gate.clone())
                .keys(options.keys.clone()),
        )
    };
    let image = match open(LockMode::Lock) {
        Err(error) if error.kind() == ErrorKind::InUse => {
            in_use(path);
            open(LockMode::ForceShare)
        }
        other => other,
    };
    image.map_err(Error::below)
}

/// The same for every operating system on the disks, one after the other, in one transaction.
///
/// # Errors
/// Those of [`edit`].
pub fn edit_all<T>(
    disks: &[DiskSpec],
    transaction: &TransactionOptions,
    options: &GuestOptions,
    mut work: impl FnMut(&Guest) -> Result<T>,
) -> Result<(Vec<T>, CommitReport)> {
    let transaction = Transaction::begin(disks, transaction).map_err(Error::below)?;
    let storages: Vec<StorageRef> = (0..transaction.len())
        .filter_map(|i| transaction.storage(i))
        .collect();
    let mut choices = vec![options.root.clone()];
    if options.mounts.is_empty() && options.root == RootChoice::Single {
        let read_only = OpenOptions {
            writable: false,
            clock: options.clock,
        };
        let volumes = open_volumes(&storages, read_only)?;
        let roots: Vec<&Volume> = volumes.iter().filter(|v| v.is_root()).collect();
        if roots.len() > 1 {
            choices = roots
                .iter()
                .map(|root| RootChoice::Device(root.device()))
                .collect();
        }
    }
    let mut results = Vec::with_capacity(choices.len());
    for root in choices {
        let options = GuestOptions {
            root,
            ..options.clone()
        };
        let guest = options.open(&storages, true)?;
        results.push(work(&guest)?);
        guest.settle()?;
    }
    drop(storages);
    let report = transaction.commit().map_err(Error::below)?;
    Ok((results, report))
}

/// As [`look`], with everything that is on the disks.
pub(crate) fn survey<T>(
    disks: &[(PathBuf, Option<Format>)],
    options: &GuestOptions,
    mut in_use: impl FnMut(&std::path::Path),
    work: impl FnOnce(&Guest, &[Volume]) -> Result<T>,
) -> Result<T> {
    let mut storages: Vec<StorageRef> = Vec::with_capacity(disks.len());
    let mut images = Vec::with_capacity(disks.len());
    for (path, format) in disks {
        let image = open_image(path, *format, options, &mut in_use)?;
        storages.push(image.storage().clone());
        images.push(image);
    }
    let read_only = OpenOptions {
        writable: false,
        clock: options.clock,
    };
    let volumes = open_volumes_for(&storages, &options.mounts, read_only)?;
    let guest = options.find(&volumes)?;
    work(&guest, &volumes)
}
