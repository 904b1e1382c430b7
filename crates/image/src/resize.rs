//! `resize`: another size for the guest's disk, as an edit that is whole or not at all.

use crate::create::MAX_SIZE;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::keys::Keys;
use crate::transaction::{DiskSpec, Transaction, TransactionOptions};
use std::path::{Path, PathBuf};

/// The size that an image shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSize {
    /// So many bytes.
    To(u64),
    /// So many bytes more.
    Grow(u64),
    /// So many bytes less.
    Shrink(u64),
}

/// How an image is resized.
#[derive(Debug, Clone, Default)]
pub struct ResizeOptions {
    /// The image's format, instead of detecting it.
    pub format: Option<Format>,
    /// Allows the image to become smaller, which throws away what is behind its new end.
    pub shrink: bool,
    /// Resizes even an image that has clones.
    pub force: bool,
    /// The passphrases for encrypted images.
    pub keys: Keys,
    /// Where the redo log of a raw image goes, if not beside it.
    pub log_dir: Option<PathBuf>,
}

/// Gives the disk in the image at `path` another size, rounded up to whole sectors of 512 bytes. What is new reads as zeroes. Returns
/// the new size in bytes.
///
/// # Errors
/// [`Error::BadOption`] where it would become smaller and `shrink` does not allow that, or too large; those of a transaction.
pub fn resize(path: &Path, size: NewSize, options: &ResizeOptions) -> Result<u64> {
    let edit = TransactionOptions {
        force: options.force,
        log_dir: options.log_dir.clone(),
        keys: options.keys.clone(),
        ..TransactionOptions::default()
    };
    let spec = DiskSpec {
        format: options.format,
        ..DiskSpec::in_place(path)
    };
    let transaction = Transaction::begin(&[spec], &edit)?;
    let Some(storage) = transaction.storage(0) else {
        return Err(Error::BadOption("no image to resize".into()));
    };
    let old = storage.size();
    let bad = |text: String| Error::BadOption(format!("{}: {text}", path.display()));
    let new = match size {
        NewSize::To(bytes) => Some(bytes),
        NewSize::Grow(bytes) => old.checked_add(bytes),
        NewSize::Shrink(bytes) => Some(
            old.checked_sub(bytes)
                .ok_or_else(|| bad(format!("it has {old} bytes and cannot lose {bytes}")))?,
        ),
    };
    let new = new
        .and_then(|bytes| bytes.checked_next_multiple_of(512))
        .filter(|bytes| *bytes <= MAX_SIZE)
        .ok_or_else(|| bad("the new size is too large".into()))?;
    if new < old && !options.shrink {
        return Err(bad(format!(
            "from {old} to {new} bytes it would lose what is behind its new end; say --shrink if that is meant"
        )));
    }
    if new != old {
        storage.set_size(new)?;
        transaction.commit()?;
    }
    Ok(new)
}
