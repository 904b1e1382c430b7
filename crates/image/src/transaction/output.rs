//! An edit whose result is a new image: it is written directly, as nobody sees it before it is in its place.

use super::{Output, TransactionOptions};
use crate::clone::check_replaceable;
use crate::convert::{ConvertOptions, copy_image};
use crate::create::{CreateOptions, check_backing_name, fill_empty, start_output};
use crate::error::{Error, Result};
use crate::file_name::relative_name;
use crate::format::Format;
use crate::image::Image;
use crate::worker::NoProgress;
use disksmith_qcow2::{Backing, Qcow2};
use disksmith_storage::{
    self as storage, Alignment, Durability, Existing, Extent, NewFile, Prepared, Shadow, Storage, StorageRef,
    ZeroMode,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A new image that is not in its place yet.
#[derive(Debug)]
pub(crate) struct NewImage {
    path: PathBuf,
    qcow2: Option<Arc<Qcow2>>,
    file: NewFile,
    existing: Existing,
}

impl NewImage {
    /// Makes the overlay or the copy, and the shadow through which it is edited.
    pub(crate) fn create(
        image: &Image,
        output: &Output,
        options: &TransactionOptions,
    ) -> Result<(Self, DirectShadow)> {
        let (path, format) = match output {
            Output::Overlay(path) => (path, Format::Qcow2),
            Output::Copy(path, format) => (path, *format),
            Output::InPlace => return Err(Error::BadOption("an edit in place makes no new image".into())),
        };
        if path.symlink_metadata().is_ok() && options.existing == Existing::Replace {
            let real = path.canonicalize().ok();
            if image
                .layers()
                .iter()
                .any(|layer| layer.path().canonicalize().ok() == real)
            {
                return Err(Error::Unfit {
                    path: path.clone(),
                    reason: "the output is a part of the image that is edited".into(),
                });
            }
            check_replaceable(path, options.force)?;
        }
        let file = start_output(path, options.existing)?;
        let (storage, qcow2) = match output {
            Output::Overlay(_) => {
                let create = overlay_options(image, path)?;
                fill_empty(file.file(), None, path, format, image.size(), &create)?;
                open(path, &file, Some(image.storage().clone()))?
            }
            _ => {
                let convert = ConvertOptions::new(format);
                copy_image(image, file.file(), path, &convert, &NoProgress)?;
                match format {
                    Format::Raw => (file.file().clone() as StorageRef, None),
                    Format::Qcow2 => open(path, &file, None)?,
                    Format::Luks => {
                        return Err(Error::BadOption(
                            "the edited copy cannot be a new LUKS image".into(),
                        ));
                    }
                }
            }
        };
        let shadow = DirectShadow {
            storage,
            dirty: AtomicBool::new(false),
        };
        Ok((
            Self {
                path: path.clone(),
                qcow2,
                file,
                existing: options.existing,
            },
            shadow,
        ))
    }

    /// Writes what is still in memory, durably.
    pub(crate) fn complete(&self) -> Result<()> {
        if let Some(image) = &self.qcow2 {
            image.write_back().map_err(Error::qcow2(&self.path))?;
        }
        Ok(self.file.file().sync_all()?)
    }

    /// Gives the new image its name.
    pub(crate) fn put_in_place(self) -> Result<()> {
        drop(self.qcow2);
        self.file.commit(self.existing, Durability::Sync)?;
        Ok(())
    }
}

fn overlay_options(image: &Image, path: &Path) -> Result<CreateOptions> {
    let Some(base) = image.top() else {
        return Err(Error::BadOption("no image to stand on".into()));
    };
    let current = std::env::current_dir().map_err(|e| Error::file("find", ".", e))?;
    let name = relative_name(base.path(), path.parent().unwrap_or(Path::new("")), &current);
    check_backing_name(path, &name)?;
    let mut create = CreateOptions::default();
    create.qcow2.backing = Some(Backing {
        name,
        format: Some(base.format().name().into()),
    });
    Ok(create)
}

fn open(
    path: &Path,
    file: &NewFile,
    backing: Option<StorageRef>,
) -> Result<(StorageRef, Option<Arc<Qcow2>>)> {
    let options = disksmith_qcow2::OpenOptions {
        backing,
        writable: true,
        // The file is thrown away when this fails.
        ordered: false,
        ..Default::default()
    };
    let image = Arc::new(Qcow2::open(file.file().clone(), options).map_err(Error::qcow2(path))?);
    Ok((image.clone(), Some(image)))
}

/// Writes go straight through.
#[derive(Debug)]
pub(crate) struct DirectShadow {
    storage: StorageRef,
    dirty: AtomicBool,
}

impl DirectShadow {
    fn touch(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }
}

impl Storage for DirectShadow {
    fn size(&self) -> u64 {
        self.storage.size()
    }

    fn name(&self) -> String {
        self.storage.name()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> storage::Result<()> {
        self.storage.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> storage::Result<()> {
        self.touch();
        self.storage.write_at(offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> storage::Result<()> {
        self.touch();
        self.storage.write_zeroes(offset, len, mode)
    }

    fn discard(&self, offset: u64, len: u64) -> storage::Result<()> {
        self.touch();
        self.storage.discard(offset, len)
    }

    fn flush(&self) -> storage::Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> storage::Result<()> {
        self.touch();
        self.storage.set_size(size)
    }

    fn extent_at(&self, offset: u64, limit: u64) -> storage::Result<Extent> {
        self.storage.extent_at(offset, limit)
    }

    fn alignment(&self) -> Alignment {
        self.storage.alignment()
    }
}

impl Shadow for DirectShadow {
    fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    fn prepare(self: Box<Self>) -> storage::Result<Box<dyn Prepared>> {
        self.storage.flush()?;
        Ok(Box::new(Done))
    }

    fn abandon(self: Box<Self>) -> storage::Result<()> {
        Ok(())
    }
}

/// Everything is written already.
#[derive(Debug)]
struct Done;

impl Prepared for Done {
    fn record(&self) -> Vec<u8> {
        Vec::new()
    }

    fn format(&self) -> &'static str {
        "new"
    }

    fn switch(self: Box<Self>) -> storage::Result<()> {
        Ok(())
    }

    fn abandon(self: Box<Self>) -> storage::Result<()> {
        Ok(())
    }
}
