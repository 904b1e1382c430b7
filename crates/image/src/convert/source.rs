//! What is converted: a disk, or a disk as a snapshot holds it.

use crate::error::{Error, Result};
use crate::format::Format;
use crate::image::Image;
use crate::transaction::Transaction;
use disksmith_qcow2::SnapshotKey;
use disksmith_storage::{Extent, HostFile, Result as StorageResult, Storage, StorageRef};
use std::path::PathBuf;
use std::sync::Arc;

/// An open source of a conversion. Its files stay locked while it lives.
#[derive(Debug)]
pub struct Source {
    disk: StorageRef,
    files: Vec<PathBuf>,
    /// The file that is the disk, byte for byte.
    whole: Option<Arc<HostFile>>,
    image: Option<Image>,
}

impl Source {
    /// The disk that an image holds now.
    #[must_use]
    pub fn new(image: Image) -> Self {
        Self {
            image: None,
            ..Self::view(&image)
        }
        .keeping(image)
    }

    /// The same, of an image that somebody else keeps open.
    pub(crate) fn view(image: &Image) -> Self {
        let mut files: Vec<PathBuf> = image
            .layers()
            .iter()
            .map(|layer| layer.path().to_owned())
            .collect();
        files.extend(
            image
                .layers()
                .iter()
                .map(|layer| layer.file().path().to_path_buf()),
        );
        let whole = image
            .top()
            .filter(|top| top.format() == Format::Raw && top.is_whole_file());
        Self {
            disk: image.storage().clone(),
            files,
            whole: whole.map(|top| top.file().clone()),
            image: None,
        }
    }

    /// The disk as an internal snapshot holds it, in the size that the disk has now; `None` where there is no such snapshot.
    ///
    /// # Errors
    /// Those of reading the snapshot; [`Error::NotForFormat`] where the format knows no snapshots.
    pub fn at_snapshot(image: Image, key: SnapshotKey<'_>) -> Result<Option<Self>> {
        let Some(top) = image.top() else { return Ok(None) };
        let Some(qcow2) = top.as_qcow2() else {
            return Err(Error::NotForFormat {
                path: top.path().to_owned(),
                verb: "snapshot",
                format: top.format(),
            });
        };
        let list = qcow2.snapshots().map_err(Error::qcow2(top.path()))?;
        if key.find(&list).is_none() {
            return Ok(None);
        }
        let view = qcow2.snapshot_view(key).map_err(Error::qcow2(top.path()))?;
        let source = Self::view(&image);
        let disk: StorageRef = Arc::new(Resized {
            inner: Arc::new(view),
            size: image.size(),
        });
        Ok(Some(
            Self {
                disk,
                whole: None,
                ..source
            }
            .keeping(image),
        ))
    }

    /// The disk as an edit that is not committed leaves it; `None` where the edit has no such image. It can be read while the edit
    /// lives.
    #[must_use]
    pub fn staged(edit: &Transaction, index: usize) -> Option<Self> {
        Some(Self {
            disk: edit.storage(index)?,
            whole: None,
            ..Self::view(edit.image(index)?)
        })
    }

    fn keeping(mut self, image: Image) -> Self {
        self.image = Some(image);
        self
    }

    /// The bytes.
    #[must_use]
    pub fn disk(&self) -> &StorageRef {
        &self.disk
    }

    /// The image that it is taken from.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn whole_file(&self) -> Option<&HostFile> {
        self.whole.as_deref()
    }
}

/// A disk in another size: cut off, or with nothing behind its end. Read-only.
#[derive(Debug)]
struct Resized {
    inner: StorageRef,
    size: u64,
}

impl Storage for Resized {
    fn size(&self) -> u64 {
        self.size
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> StorageResult<()> {
        self.check_range(offset, buf.len() as u64)?;
        let present = self.inner.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        let (data, rest) = buf.split_at_mut(present);
        rest.fill(0);
        if data.is_empty() {
            return Ok(());
        }
        self.inner.read_at(offset, data)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> StorageResult<()> {
        Err(disksmith_storage::Error::ReadOnly { object: self.name() })
    }

    fn flush(&self) -> StorageResult<()> {
        Ok(())
    }

    fn extent_at(&self, offset: u64, limit: u64) -> StorageResult<Extent> {
        self.check_range(offset, 1)?;
        let limit = limit.max(1).min(self.size - offset);
        if offset >= self.inner.size() {
            return Ok(Extent::absent(limit));
        }
        self.inner.extent_at(offset, limit)
    }
}
