//! Making a new image with contents: everything is written directly, as nobody sees the image before it is in its place.

use crate::clone::check_replaceable;
use crate::create::{CreateOptions, fill_empty, start_output};
use crate::error::{Error, Result};
use crate::format::Format;
use disksmith_qcow2::Qcow2;
use disksmith_storage::{Durability, Existing, StorageRef};
use std::path::Path;
use std::sync::Arc;

/// Makes an image of `size` bytes at `path`, whose disk `work` fills. The image appears under its name when everything is in it;
/// after an error nothing is left behind, and what had the name before still has it.
///
/// # Errors
/// [`Error::OutputExists`] unless `existing` replaces, [`Error::HasClones`] where that would be a base of others,
/// [`Error::BadOption`] for encrypted images, and those of `work`.
pub fn build<T, E: From<Error>>(
    path: &Path,
    format: Format,
    size: u64,
    options: &CreateOptions,
    existing: Existing,
    work: impl FnOnce(&StorageRef) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    if existing == Existing::Replace && path.symlink_metadata().is_ok() {
        check_replaceable(path, false)?;
    }
    let new = start_output(path, existing)?;
    let start = || -> Result<(StorageRef, Option<Arc<Qcow2>>)> {
        fill_empty(new.file(), None, path, format, size, options)?;
        match format {
            Format::Raw => Ok((new.file().clone(), None)),
            Format::Qcow2 => {
                let open = disksmith_qcow2::OpenOptions {
                    writable: true,
                    // The file is thrown away when this fails.
                    ordered: false,
                    ..Default::default()
                };
                let image = Qcow2::open(new.file().clone(), open).map_err(Error::qcow2(path))?;
                let image = Arc::new(image);
                Ok((image.clone(), Some(image)))
            }
            Format::Luks => Err(Error::BadOption(
                "an encrypted image cannot be built with contents".into(),
            )),
        }
    };
    let (storage, qcow2) = start()?;
    let result = work(&storage)?;
    drop(storage);
    if let Some(image) = qcow2 {
        image.write_back().map_err(Error::qcow2(path))?;
    }
    new.commit(existing, Durability::Sync).map_err(Error::from)?;
    Ok(result)
}
