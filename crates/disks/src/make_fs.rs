//! An image with a filesystem that is made of files.

use crate::error::{Error, Result};
use crate::files::Files;
use crate::layout::{DiskIds, Layout, PartitionTable, Placement};
use disksmith_fs::{Kind, NewFileSystem};
use disksmith_image::{CreateOptions, Format, build};
use disksmith_storage::{Existing, StorageRef};
use std::path::Path;

/// Sizes of images are multiples of this.
const SECTOR: u64 = 512;

/// How large an image becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// As large as the files need, and more.
    Computed {
        /// Bytes that stay free in the filesystem.
        free: u64,
        /// Percent of what is needed that is added.
        percent: u8,
        /// The filesystem is at least this large.
        at_least: u64,
    },
    /// The image has so many bytes.
    Exact(u64),
}

/// What is made.
#[derive(Debug, Clone)]
pub struct MakeFs {
    /// The filesystem.
    pub filesystem: NewFileSystem,
    /// How large the image becomes.
    pub size: ImageSize,
    /// The partition table, if there is to be one.
    pub table: Option<PartitionTable>,
    /// Where the partition lies.
    pub placement: Placement,
    /// What the partition table calls disk and partition.
    pub ids: DiskIds,
    /// The image's format.
    pub format: Format,
    /// The image's properties.
    pub create: CreateOptions,
    /// Whether an image that is there is replaced.
    pub existing: Existing,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFs {
    /// The filesystem's kind.
    pub kind: Kind,
    /// The size of the disk in bytes.
    pub disk_size: u64,
    /// The size of the slice that the filesystem has, in bytes.
    pub filesystem_size: u64,
    /// How many files, directories among them, it holds.
    pub files: u64,
}

impl MakeFs {
    /// A bare filesystem in a raw image, with a tenth more room than the files need.
    pub fn new(filesystem: NewFileSystem) -> Self {
        Self {
            filesystem,
            size: ImageSize::Computed {
                free: 0,
                percent: 10,
                at_least: 0,
            },
            table: None,
            placement: Placement::Aligned,
            ids: DiskIds::default(),
            format: Format::Raw,
            create: CreateOptions::default(),
            existing: Existing::Refuse,
        }
    }

    fn layout(&self) -> Option<Layout> {
        self.table.map(|table| Layout {
            table,
            placement: self.placement,
            ids: self.ids,
        })
    }

    /// The size of the disk, and the filesystem with what follows from its size.
    fn plan(&self, files: &Files) -> Result<(u64, NewFileSystem)> {
        let layout = self.layout();
        let disk = |len: u64| match &layout {
            Some(layout) => layout.disk_size(len),
            None => len.next_multiple_of(SECTOR),
        };
        let slice = |size: u64| match &layout {
            Some(layout) => layout.partition(size).map(|(_, len)| len),
            None => Ok(size),
        };
        let (needed, fitted) = self.filesystem.fit(&files.tree, 0)?;
        match self.size {
            ImageSize::Exact(size) => {
                let len = slice(size)?;
                if len < needed && !self.filesystem.fits(&files.tree, len) {
                    return Err(Error::TooSmall {
                        size,
                        needed: disk(needed),
                    });
                }
                Ok((size, self.filesystem.for_size(len, &fitted)?))
            }
            ImageSize::Computed {
                free,
                percent,
                at_least,
            } => {
                let more = free.saturating_add(needed / 100 * u64::from(percent));
                let (needed, fitted) = match more {
                    0 => (needed, fitted),
                    more => self.filesystem.fit(&files.tree, more)?,
                };
                let size = disk(needed.max(at_least));
                Ok((size, self.filesystem.for_size(slice(size)?, &fitted)?))
            }
        }
    }
}

/// Makes an image at `path` with a filesystem of these files. It appears under its name when it is complete; after an error nothing
/// is left behind.
///
/// # Errors
/// Those of reading the files and of writing; [`Error::TooSmall`]; kinds of files that the filesystem cannot hold.
pub fn make_fs(mut files: Files, path: &Path, what: &MakeFs) -> Result<MadeFs> {
    let (size, filesystem) = what.plan(&files)?;
    let layout = what.layout();
    let made = build(path, what.format, size, &what.create, what.existing, |storage| {
        let slice: StorageRef = match &layout {
            Some(layout) => layout.write(storage, Some(filesystem.kind()))?,
            None => storage.clone(),
        };
        filesystem.fill(&slice, &files.tree, &mut *files.contents)?;
        Ok::<u64, Error>(slice.size())
    })?;
    let count = (0u32..)
        .zip(files.tree.inodes())
        .filter(|(index, _)| files.tree.is_used(*index));
    Ok(MadeFs {
        kind: filesystem.kind(),
        disk_size: size,
        filesystem_size: made,
        files: count.count() as u64,
    })
}
