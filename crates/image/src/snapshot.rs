//! `snapshot`: the internal snapshots of an image. Every change is one edit that is whole or not at all.

use crate::error::{Error, Result};
use crate::format::Format;
use crate::gate::Gate;
use crate::guard::refuse_if_cloned;
use crate::image::Image;
use crate::info::{InfoOptions, SnapshotInfo, info, snapshot_info};
use crate::open::{OpenOptions, path_of_name};
use disksmith_qcow2::{NewSnapshot, Qcow2Shadow, Snapshot, SnapshotKey};
use disksmith_storage::{HostFile, LockMode, OpenMode, Shadow};
use std::path::Path;

/// How an image's snapshots are changed.
#[derive(Debug, Clone, Default)]
pub struct SnapshotOptions {
    /// The image's format, instead of detecting it.
    pub format: Option<Format>,
    /// Applies a snapshot even to an image that has clones.
    pub force: bool,
    /// Which files may be opened that the image names.
    pub gate: Gate,
}

/// The internal snapshots of the image at `path`, in the image's order; none where its format has no such thing.
/// [`snapshot_table`](crate::snapshot_table) renders them.
///
/// # Errors
/// Those of opening, locking and reading the image.
pub fn list_snapshots(path: &Path, options: &SnapshotOptions) -> Result<Vec<SnapshotInfo>> {
    let _locked = HostFile::open(&path_of_name(path)?, OpenMode::Read, LockMode::Lock)?;
    let options = InfoOptions {
        format: options.format,
        gate: options.gate.clone(),
        ..InfoOptions::default()
    };
    let mut images = info(path, &options)?;
    Ok(if images.is_empty() {
        Vec::new()
    } else {
        images.swap_remove(0).snapshots
    })
}

/// Makes a snapshot of the disk in the image at `path`. Clones of the image see nothing of it.
///
/// # Errors
/// Those of opening and locking, and of [`Qcow2Shadow::create_snapshot`]. The image is as it was then.
pub fn create_snapshot(path: &Path, new: &NewSnapshot, options: &SnapshotOptions) -> Result<SnapshotInfo> {
    change(path, options, false, |edit| edit.create_snapshot(new))
}

/// Gives the disk in the image at `path` the contents and the size of a snapshot. What it held before is lost.
///
/// # Errors
/// [`Error::HasClones`] where others stand on the image, which would change with it; those of opening and locking, and
/// of [`Qcow2Shadow::apply_snapshot`]. The image is as it was then.
pub fn apply_snapshot(path: &Path, key: SnapshotKey<'_>, options: &SnapshotOptions) -> Result<SnapshotInfo> {
    change(path, options, true, |edit| edit.apply_snapshot(key))
}

/// Deletes a snapshot of the image at `path`. Clones of the image see nothing of it.
///
/// # Errors
/// Those of opening and locking, and of [`Qcow2Shadow::delete_snapshot`]. The image is as it was then.
pub fn delete_snapshot(path: &Path, key: SnapshotKey<'_>, options: &SnapshotOptions) -> Result<SnapshotInfo> {
    change(path, options, false, |edit| edit.delete_snapshot(key))
}

fn change(
    path: &Path,
    options: &SnapshotOptions,
    guarded: bool,
    change: impl FnOnce(&mut Qcow2Shadow) -> disksmith_qcow2::Result<Snapshot>,
) -> Result<SnapshotInfo> {
    let open = OpenOptions::write()
        .format(options.format)
        .gate(options.gate.clone())
        .without_backing()
        .metadata_only();
    let image = match Image::open(path, &open) {
        // What a LUKS image lacks, it lacks with and without its passphrase.
        Err(Error::Luks { .. }) => {
            let text = format!("{}: a LUKS image has no internal snapshots", path.display());
            return Err(Error::BadOption(text));
        }
        opened => opened?,
    };
    let Some((top, qcow2)) = image.top().and_then(|top| Some((top, top.as_qcow2()?))) else {
        let text = format!("{}: a raw image has no internal snapshots", path.display());
        return Err(Error::BadOption(text));
    };
    // While the image is locked nobody can clone it.
    if guarded && !options.force {
        refuse_if_cloned(top.path())?;
    }
    let mut edit = Box::new(qcow2.change_set().map_err(Error::qcow2(top.path()))?);
    let snapshot = change(&mut edit).map_err(Error::qcow2(top.path()))?;
    edit.prepare()?.switch()?;
    Ok(snapshot_info(&snapshot))
}
