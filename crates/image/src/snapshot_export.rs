//! Internal snapshots made images of their own, and the other way round.

use crate::convert::{BackingFile, ConvertOptions, ConvertReport, Source, convert_from};
use crate::error::{Error, Result};
use crate::file_name::relative_name;
use crate::image::{Image, Layer};
use crate::info::{SnapshotInfo, snapshot_info};
use crate::open::OpenOptions;
use crate::snapshot_diff::{extent_at, snapshot_disk};
use crate::worker::{Progress, check_cancelled};
use disksmith_qcow2::{NewSnapshot, SnapshotKey};
use disksmith_storage::{Shadow, Storage, ZeroMode, is_zero};
use std::path::Path;

/// How much is moved at a time.
const PIECE: u64 = 1 << 20;

/// Makes an image at `target` of the disk that a snapshot of the image at `path` holds. With `keep_backing` it is an overlay of the same backing
/// file, else it needs no other file.
///
/// # Errors
/// Where there is no such snapshot, or no backing file to be kept; those of [`crate::convert`].
pub fn export_snapshot(
    path: &Path,
    key: SnapshotKey<'_>,
    target: &Path,
    keep_backing: bool,
    open: &OpenOptions,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<ConvertReport> {
    let image = Image::open(path, open)?;
    let disk = snapshot_disk(&image, Some(key))?;
    let Some(top) = image.top() else {
        return Err(Error::BadOption("no image".into()));
    };
    let mut options = options.clone();
    if keep_backing {
        let Some(below) = image.layers().get(1) else {
            return Err(Error::NoBackingFile { path: path.into() });
        };
        let folder = target.parent().unwrap_or(Path::new(""));
        let recorded = top.as_qcow2().and_then(|q| q.header().backing_name.clone());
        let name = match recorded {
            Some(name) if top.path().parent() == target.parent() => name,
            _ => {
                let current = std::env::current_dir().map_err(|e| Error::file("find", ".", e))?;
                relative_name(below.path(), folder, &current)
            }
        };
        options.backing = Some(BackingFile {
            name,
            format: Some(below.format()),
        });
    }
    let layer = Layer::qcow2(
        top.path().to_owned(),
        top.file().clone(),
        top.was_probed(),
        disk,
        top.has_backing(),
    );
    let source = Source::new(Image::from_layers(vec![layer]));
    convert_from(&[source], target, &options, progress)
}

/// Keeps the disk of the image at `source` as an internal snapshot of the image at `path`, whose own disk stays as it is. All of it happens in
/// one step.
///
/// # Errors
/// Those of opening, reading and writing; [`disksmith_qcow2::Error::HasBitmaps`]. The image is as it was then.
pub fn import_snapshot(
    path: &Path,
    source: &Path,
    new: &NewSnapshot,
    open: &OpenOptions,
    source_open: &OpenOptions,
    progress: &dyn Progress,
) -> Result<SnapshotInfo> {
    let image = Image::open(path, &open.clone().writable())?;
    let source = Image::open(source, source_open)?;
    let from = source.storage();
    let disk = snapshot_disk(&image, None)?;
    let fail = || Error::qcow2(path);
    let mut edit = Box::new(disk.change_set().map_err(fail())?);
    // The disk as it is now is put aside, and brought back in the end.
    let aside = edit
        .create_snapshot(&NewSnapshot {
            name: b"put aside".to_vec(),
            ..NewSnapshot::default()
        })
        .map_err(fail())?;
    let size = from.size().next_multiple_of(512);
    if edit.size() != size {
        edit.set_size(size)?;
    }
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < size {
        check_cancelled(progress)?;
        progress.advance(at, size);
        let extent = extent_at(&**from, at, size)?;
        let mut len = extent.len.clamp(1, size - at);
        let mine = edit.extent_at(at, len)?;
        len = len.min(mine.len.max(1));
        if extent.reads_as_zero() {
            if !mine.reads_as_zero() {
                edit.write_zeroes(at, len, ZeroMode::Unmap)?;
            }
            at += len;
            continue;
        }
        let len = len.min(PIECE - at % PIECE).min(from.size() - at) as usize;
        theirs.resize(len, 0);
        ours.resize(len, 0);
        from.read_at(at, &mut theirs)?;
        edit.read_at(at, &mut ours)?;
        if theirs != ours {
            if is_zero(&theirs) {
                edit.write_zeroes(at, len as u64, ZeroMode::Unmap)?;
            } else {
                edit.write_at(at, &theirs)?;
            }
        }
        at += len as u64;
    }
    let made = edit.create_snapshot(new).map_err(fail())?;
    edit.apply_snapshot(SnapshotKey::Id(&aside.id)).map_err(fail())?;
    edit.delete_snapshot(SnapshotKey::Id(&aside.id)).map_err(fail())?;
    edit.prepare()?.switch()?;
    progress.advance(size, size);
    Ok(snapshot_info(&made))
}
