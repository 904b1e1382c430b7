//! Block devices as the place of a new raw image: nothing is made there, what they hold is written over.

use crate::create::CreateOptions;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::image::Image;
use crate::open::OpenOptions;
use disksmith_qcow2::Preallocation;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What the first sector of a device becomes, by which its contents would be recognized.
const FIRST: [u8; 512] = [0; 512];

/// Whether a raw image of that name would lie on a block device. Other formats do not go there.
pub(crate) fn takes(path: &Path, format: Format) -> bool {
    format == Format::Raw && std::fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device())
}

/// Refuses what a device cannot do.
pub(crate) fn check(options: &CreateOptions) -> Result<()> {
    match options.qcow2.preallocation {
        Preallocation::Off => Ok(()),
        Preallocation::Metadata => unsupported("metadata"),
        Preallocation::Falloc => unsupported("falloc"),
        Preallocation::Full => unsupported("full"),
    }
}

fn unsupported(mode: &str) -> Result<()> {
    Err(Error::BadOption(format!(
        "Unsupported preallocation mode '{mode}'"
    )))
}

/// Makes an empty image of `size` bytes of a device: the first sector is cleared, so that nothing is found there.
///
/// # Errors
/// [`Error::Unfit`] where the device is too small; those of opening and writing.
pub(crate) fn create(path: &Path, size: u64, options: &CreateOptions) -> Result<()> {
    check(options)?;
    let image = Image::open(path, &OpenOptions::write().format(Some(Format::Raw)))?;
    let has = image.size();
    if has < size {
        return Err(too_small(path, has, size));
    }
    if has >= FIRST.len() as u64 {
        image.storage().write_at(0, &FIRST)?;
    }
    Ok(image.storage().flush()?)
}

/// A target that is too small for its source.
pub(crate) fn too_small(path: &Path, has: u64, needed: u64) -> Error {
    Error::Unfit {
        path: path.into(),
        reason: format!("it holds {has} bytes, and the source has {needed}"),
    }
}
