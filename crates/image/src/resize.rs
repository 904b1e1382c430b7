//! `resize`: another size for the guest's disk, as an edit that is whole or not at all.

use crate::create::MAX_SIZE;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::gate::Gate;
use crate::guard::refuse_if_cloned;
use crate::image::Image;
use crate::keys::Keys;
use crate::open::OpenOptions;
use crate::transaction::{DiskSpec, Transaction, TransactionOptions};
use disksmith_qcow2::Preallocation;
use disksmith_storage::{HostFile, LockMode, OpenMode, Storage, fill_first_block};
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
    /// What is done about the space of the part that is new.
    pub preallocation: Preallocation,
    /// Where the redo log of a raw image goes, if not beside it.
    pub log_dir: Option<PathBuf>,
    /// Which files may be opened that the image names.
    pub gate: Gate,
}

/// Gives the disk in the image at `path` another size, rounded up to whole sectors of 512 bytes. What is new reads as zeroes. Returns
/// the new size in bytes.
///
/// # Errors
/// [`Error::BadOption`] where it would become smaller and `shrink` does not allow that, or too large; those of a transaction.
pub fn resize(path: &Path, size: NewSize, options: &ResizeOptions) -> Result<u64> {
    let open = OpenOptions::write()
        .format(options.format)
        .keys(options.keys.clone())
        .gate(options.gate.clone())
        .log_dir(options.log_dir.clone());
    let image = Image::open(path, &open)?;
    let old = image.size();
    let new = new_size(path, old, size, options)?;
    if new == old {
        return Ok(new);
    }
    // While the image is locked nobody can clone it.
    if !options.force {
        refuse_if_cloned(path)?;
    }
    if let Some((top, qcow2)) = image.top().and_then(|top| Some((top, top.as_qcow2()?))) {
        qcow2
            .resize(new, options.preallocation)
            .map_err(Error::qcow2(top.path()))?;
        return Ok(new);
    }
    drop(image);
    resize_raw(path, old, new, options)?;
    Ok(new)
}

/// The size that is meant.
fn new_size(path: &Path, old: u64, size: NewSize, options: &ResizeOptions) -> Result<u64> {
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
    if new <= old && options.preallocation != Preallocation::Off {
        return Err(bad("preallocation can only be used for growing images".into()));
    }
    Ok(new)
}

fn resize_raw(path: &Path, old: u64, new: u64, options: &ResizeOptions) -> Result<()> {
    if options.preallocation == Preallocation::Metadata {
        let text = format!("{}: a raw image has no metadata to preallocate", path.display());
        return Err(Error::BadOption(text));
    }
    let edit = TransactionOptions {
        force: options.force,
        log_dir: options.log_dir.clone(),
        keys: options.keys.clone(),
        gate: options.gate.clone(),
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
    storage.set_size(new)?;
    drop(storage);
    transaction.commit()?;
    if options.preallocation == Preallocation::Off && old > 0 {
        return Ok(());
    }
    let file = HostFile::open(path, OpenMode::Write, LockMode::Lock)?;
    if options.preallocation == Preallocation::Off {
        // as where it is made
        if file.size() == new {
            fill_first_block(&file)?;
        }
        return Ok(());
    }
    // The file of a raw image that is encrypted is longer than its disk.
    let (from, to) = (file.size().saturating_sub(new.saturating_sub(old)), file.size());
    let done = take_space(&file, from, to, options.preallocation).and_then(|()| Ok(file.flush()?));
    if done.is_err()
        && let Err(error) = file.set_size(from)
    {
        log::warn!("{error}");
    }
    done
}

/// Takes the space of a range that is new and reads as zeroes.
fn take_space(file: &HostFile, from: u64, to: u64, preallocation: Preallocation) -> Result<()> {
    if preallocation == Preallocation::Full {
        let zeroes = vec![0; 1 << 20];
        let mut at = from;
        while at < to {
            let n = (to - at).min(1 << 20);
            file.write_at(at, zeroes.get(..n as usize).unwrap_or(&[]))?;
            at += n;
        }
    } else {
        file.preallocate(from, to - from)?;
    }
    Ok(())
}
