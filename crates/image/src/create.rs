//! `create`: new images.

use crate::clone::check_replaceable;
use crate::device;
use crate::error::{Error, Result};
use crate::file_name::{FileName, MAX_BACKING_NAME, resolve_beside};
use crate::format::Format;
use disksmith_luks::FreshHeader;
use disksmith_qcow2::Preallocation;
use disksmith_storage::{Durability, Existing, HostFile, NewFile, Storage, StorageRef, fill_first_block};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// The greatest size of an image in bytes, as QEMU limits it.
pub const MAX_SIZE: u64 = i64::MAX as u64 & !511;

/// The properties of a new image. The size in `qcow2` is not looked at.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// What only qcow2 has (cluster size, version, refcount width, compression …), and what space is taken beforehand, which
    /// raw images can have too.
    pub qcow2: disksmith_qcow2::CreateOptions,
    /// The header of a LUKS image, which needs one.
    pub luks: Option<FreshHeader>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            qcow2: disksmith_qcow2::CreateOptions::new(0),
            luks: None,
        }
    }
}

/// Creates an empty image of `size` bytes at `path`. For a backing file see [`crate::clone_linked`].
///
/// # Errors
/// [`Error::OutputExists`] unless `existing` replaces; where somebody uses the file that would be replaced (that it has clones is
/// for the caller to ask, see [`crate::refuse_if_cloned`]); [`Error::BadOption`]. On any error nothing is left behind.
pub fn create(
    path: &Path,
    format: Format,
    size: u64,
    options: &CreateOptions,
    existing: Existing,
) -> Result<()> {
    if existing == Existing::Replace {
        check_replaceable(path, true)?;
        if device::takes(path, format) {
            return device::create(path, size, options);
        }
    }
    if let Some(backing) = &options.qcow2.backing {
        check_not_own_backing(path, &backing.name)?;
    }
    let new = start_output(path, existing)?;
    let data = match &options.qcow2.data_file {
        Some(name) if format == Format::Qcow2 => Some(start_data_file(path, name, existing)?),
        _ => None,
    };
    fill_empty(
        new.file(),
        data.as_ref().map(NewFile::file),
        path,
        format,
        size,
        options,
    )?;
    // The data file first: an image without it cannot be opened, the other way round nothing is wrong.
    if let Some(data) = data {
        data.commit(existing, Durability::Sync)?;
    }
    new.commit(existing, Durability::Sync)?;
    Ok(())
}

/// Starts the external data file of a new image.
pub(crate) fn start_data_file(path: &Path, name: &[u8], existing: Existing) -> Result<NewFile> {
    match FileName::parse(&resolve_beside(path, name)) {
        FileName::Path(data) => start_output(&data, existing),
        FileName::Protocol(protocol) => Err(Error::Protocol {
            name: String::from_utf8_lossy(name).into_owned(),
            protocol,
            overlay: Some(path.into()),
        }),
    }
}

/// Lays the empty image out in a new file.
pub(crate) fn fill_empty(
    file: &Arc<HostFile>,
    data_file: Option<&Arc<HostFile>>,
    path: &Path,
    format: Format,
    size: u64,
    options: &CreateOptions,
) -> Result<()> {
    if size > MAX_SIZE {
        return Err(Error::BadOption(format!(
            "{}: a size of {size} bytes is too large",
            path.display()
        )));
    }
    match format {
        Format::Raw => {
            file.set_size(size)?;
            match options.qcow2.preallocation {
                Preallocation::Off | Preallocation::Metadata => fill_first_block(&**file)?,
                Preallocation::Falloc => file.preallocate(0, size)?,
                Preallocation::Full => write_out_zeroes(file, size)?,
            }
        }
        Format::Luks => fill_luks(file, path, size, options)?,
        Format::Qcow2 => {
            let qcow2 = disksmith_qcow2::CreateOptions {
                size,
                ..options.qcow2.clone()
            };
            let storage: StorageRef = file.clone();
            let data: Option<StorageRef> = data_file.map(|d| Arc::clone(d) as StorageRef);
            disksmith_qcow2::create(&storage, data.as_ref(), &qcow2).map_err(Error::qcow2(path))?;
        }
    }
    Ok(())
}

/// Header and key material, and room for the sectors. What is in those is never written: they read as whatever zeroes
/// decrypt to, as with QEMU.
fn fill_luks(file: &Arc<HostFile>, path: &Path, size: u64, options: &CreateOptions) -> Result<()> {
    let bad = |what: &str| Error::BadOption(format!("{}: {what}", path.display()));
    let header = options
        .luks
        .as_ref()
        .ok_or_else(|| Error::luks(path)(disksmith_luks::Error::PassphraseMissing { prefix: "" }))?;
    let len = header
        .len
        .checked_add(size)
        .filter(|len| *len <= MAX_SIZE)
        .ok_or_else(|| bad("the size is too large"))?;
    file.set_size(len)?;
    match options.qcow2.preallocation {
        Preallocation::Off | Preallocation::Metadata => {}
        Preallocation::Falloc => file.preallocate(0, len)?,
        Preallocation::Full => write_out_zeroes(file, len)?,
    }
    for (offset, bytes) in &header.pieces {
        file.write_at(*offset, bytes)?;
    }
    Ok(())
}

fn write_out_zeroes(file: &HostFile, size: u64) -> Result<()> {
    let zeroes = vec![0u8; 1 << 20];
    let mut at = 0;
    while at < size {
        let n = (size - at).min(zeroes.len() as u64) as usize;
        file.write_at(at, zeroes.get(..n).unwrap_or(&zeroes))?;
        at += n as u64;
    }
    Ok(())
}

/// Starts a file that gets its name when it is complete.
pub(crate) fn start_output(path: &Path, existing: Existing) -> Result<NewFile> {
    if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
        return Err(Error::OutputExists { path: path.into() });
    }
    Ok(NewFile::create(path, existing)?)
}

/// Checks that an image does not stand on itself: what the file of that name holds would be lost.
pub(crate) fn check_not_own_backing(path: &Path, name: &[u8]) -> Result<()> {
    let FileName::Path(backing) = FileName::parse(&resolve_beside(path, name)) else {
        return Ok(());
    };
    let same = match (backing.canonicalize(), path.canonicalize()) {
        (Ok(backing), Ok(path)) => backing == path,
        _ => backing == path,
    };
    if !same {
        return Ok(());
    }
    Err(Error::Unfit {
        path: path.into(),
        reason: "the image would be its own backing file".into(),
    })
}

/// Checks that a name can be recorded as a backing file's.
pub(crate) fn check_backing_name(overlay: &Path, name: &[u8]) -> Result<()> {
    if name.len() > MAX_BACKING_NAME {
        return Err(Error::NameTooLong {
            overlay: overlay.into(),
            len: name.len(),
        });
    }
    if name.contains(&0) || overlay.as_os_str().as_bytes().contains(&0) {
        return Err(Error::BadOption("a file name cannot hold a zero byte".into()));
    }
    Ok(())
}
