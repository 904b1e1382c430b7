//! `bitmap`: the persistent dirty bitmaps of an image, by which incremental backups know what has changed.

use crate::amend::ChangeOptions;
use crate::error::{Error, Result};
use crate::image::Image;
use disksmith_qcow2::{BitmapAction, BitmapEntry, BitmapRefusal, NewBitmap, Qcow2};
use std::path::Path;
use std::sync::Arc;

/// One change of a bitmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BitmapChange {
    /// Makes it, with a bit for so many bytes; by default for a cluster, at least 4 KiB and at most 64 KiB.
    Add(Option<u64>),
    /// Removes it.
    Remove,
    /// Makes it forget what it recorded.
    Clear,
    /// It records changes from now on.
    Enable,
    /// It records none any more.
    Disable,
    /// Adds what another bitmap of the image recorded.
    Merge(Vec<u8>),
}

/// Changes the bitmap `name` of the image at `path`, in the order given: all of it, or nothing. Bitmaps that are merged
/// are taken from the image `source`, where there is one.
///
/// # Errors
/// [`disksmith_qcow2::BitmapRefusal`]; those of opening and locking.
pub fn change_bitmap(
    path: &Path,
    name: &[u8],
    changes: &[BitmapChange],
    source: Option<&Image>,
    how: &ChangeOptions,
) -> Result<()> {
    let image = Image::open(path, &how.open_options().without_backing().metadata_only())?;
    change_bitmap_of(&image, name, changes, source)
}

/// As [`change_bitmap`], for an image that was opened for writing.
///
/// # Errors
/// Those of [`change_bitmap`].
pub fn change_bitmap_of(
    image: &Image,
    name: &[u8],
    changes: &[BitmapChange],
    source: Option<&Image>,
) -> Result<()> {
    let Some((path, qcow2)) = qcow2_of(image) else {
        return Err(not_there(image, name, changes));
    };
    let taken = source.map(qcow2_of);
    qcow2
        .change_bitmaps(|edit| {
            for change in changes {
                match change {
                    BitmapChange::Add(granularity) => edit.add_bitmap(&NewBitmap {
                        name: name.to_vec(),
                        granularity: *granularity,
                        disabled: false,
                    })?,
                    BitmapChange::Remove => edit.change_bitmap(name, BitmapAction::Remove)?,
                    BitmapChange::Clear => edit.change_bitmap(name, BitmapAction::Clear)?,
                    BitmapChange::Enable => edit.change_bitmap(name, BitmapAction::Enable)?,
                    BitmapChange::Disable => edit.change_bitmap(name, BitmapAction::Disable)?,
                    BitmapChange::Merge(other) => match &taken {
                        None => edit.merge_bitmap(other, name)?,
                        Some(None) => {
                            edit.check_bitmap(name)?;
                            let missing = String::from_utf8_lossy(other).into_owned();
                            return Err(BitmapRefusal::NotFound(missing).into());
                        }
                        Some(Some((_, from))) => {
                            edit.check_bitmap(name)?;
                            edit.merge_ranges(&from.dirty_ranges(other)?, name)?;
                        }
                    },
                }
            }
            Ok(())
        })
        .map_err(Error::qcow2(path))
}

/// The bitmaps of an image, in its order; none where its format has no such thing.
///
/// # Errors
/// When the directory is damaged.
pub fn bitmaps_of(image: &Image) -> Result<Vec<BitmapEntry>> {
    match qcow2_of(image) {
        Some((path, qcow2)) => qcow2.bitmaps().map_err(Error::qcow2(path)),
        None => Ok(Vec::new()),
    }
}

/// Copies the bitmaps of one image into another of the same size, for `convert --bitmaps`. Gives the names of those that are
/// inconsistent, which are left out.
///
/// # Errors
/// [`BitmapRefusal::Inconsistent`] for the first such one unless `skip_broken`, and nothing is copied then.
pub fn copy_bitmaps(from: &Image, to: &Image, skip_broken: bool) -> Result<Vec<Vec<u8>>> {
    let (Some((_, from)), Some((path, to))) = (qcow2_of(from), qcow2_of(to)) else {
        return Ok(Vec::new());
    };
    to.copy_bitmaps(from, skip_broken).map_err(Error::qcow2(path))
}

fn qcow2_of(image: &Image) -> Option<(&Path, &Arc<Qcow2>)> {
    let top = image.top()?;
    Some((top.path(), top.as_qcow2()?))
}

/// What an image without bitmaps answers.
fn not_there(image: &Image, name: &[u8], changes: &[BitmapChange]) -> Error {
    let path = image.top().map_or(Path::new(""), |top| top.path());
    match changes.first() {
        Some(BitmapChange::Add(_)) => {
            let text = format!("{}: its format has no persistent dirty bitmaps", path.display());
            Error::BadOption(text)
        }
        _ => {
            let name = String::from_utf8_lossy(name).into_owned();
            Error::qcow2(path)(BitmapRefusal::NotFound(name).into())
        }
    }
}
