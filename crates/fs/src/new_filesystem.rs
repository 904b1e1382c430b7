//! Filesystems that are to be made, empty or with files.

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::populate::populate;
use disksmith_fat::Fat;
use disksmith_storage::{Memory, StorageRef};
use disksmith_vfs::{FileSystem, FileType, SourceBody, SourceContents, SourceTree};
use std::sync::Arc;

/// Sizes of a FAT that are tried are multiples of this.
const FAT_STEP: u64 = 64 << 10;
/// The smallest FAT that is made where its size is computed.
const FAT_MIN: u64 = 256 << 10;
const MAX_TRIES: usize = 200;
const MAX_FAT: u64 = 1 << 50;

/// A filesystem that is to be made, with the options of its own kind.
#[derive(Debug, Clone)]
pub enum NewFileSystem {
    /// ext2, ext3 or ext4.
    Ext(Box<disksmith_ext4::FormatOptions>),
    /// FAT12, FAT16 or FAT32.
    Fat(Box<disksmith_fat::FormatOptions>),
}

impl NewFileSystem {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fat(_) => Kind::Vfat,
            Self::Ext(options) => match options.kind {
                disksmith_ext4::FormatKind::Ext2 => Kind::Ext2,
                disksmith_ext4::FormatKind::Ext3 => Kind::Ext3,
                disksmith_ext4::FormatKind::Ext4 => Kind::Ext4,
            },
        }
    }

    /// The size in bytes that it needs for the files of a tree and `free` bytes more, and the options for it.
    ///
    /// # Errors
    /// [`Error::File`] for options that cannot be, and files that the filesystem cannot hold.
    pub fn fit(&self, tree: &SourceTree, free: u64) -> Result<(u64, Self)> {
        let object = || format!("a new {} filesystem", self.kind());
        match self {
            Self::Ext(options) => {
                let fitted = disksmith_ext4::fit_format(options, tree, free);
                let (size, options) = fitted.map_err(|error| Error::File {
                    object: object(),
                    source: error.into_vfs(self.kind().name()),
                })?;
                Ok((size, Self::Ext(Box::new(options))))
            }
            Self::Fat(options) => {
                let size = fit_fat(options, tree, free).map_err(|source| Error::File {
                    object: object(),
                    source,
                })?;
                Ok((size, self.clone()))
            }
        }
    }

    /// Whether files of a tree fit a size: what [`fit`](Self::fit) says is enough, but not always needed.
    pub fn fits(&self, tree: &SourceTree, size: u64) -> bool {
        match self {
            Self::Ext(options) => disksmith_ext4::files_fit(options, tree, size),
            Self::Fat(_) => false,
        }
    }

    /// The options for a size that is given: what was chosen for the number of files is kept where the usual would be too few.
    ///
    /// # Errors
    /// [`Error::File`] for options that cannot be.
    pub fn for_size(&self, size: u64, fitted: &Self) -> Result<Self> {
        match (self, fitted) {
            (Self::Ext(own), Self::Ext(fitted)) => {
                let usual = disksmith_ext4::plan_format(size, own).map_err(|error| Error::File {
                    object: format!("a new {} filesystem", self.kind()),
                    source: error.into_vfs(self.kind().name()),
                })?;
                let enough = fitted
                    .inodes
                    .is_none_or(|wanted| u64::from(usual.inodes) >= wanted);
                Ok(if enough {
                    self.clone()
                } else {
                    Self::Ext(fitted.clone())
                })
            }
            _ => Ok(self.clone()),
        }
    }

    /// Makes it over the whole of a storage, which loses what it held.
    ///
    /// # Errors
    /// [`Error::File`] for options that cannot be, before anything is written; those of writing.
    pub fn make(&self, storage: &StorageRef) -> Result<()> {
        let made = match self {
            Self::Ext(options) => disksmith_ext4::format(&**storage, options)
                .map(drop)
                .map_err(|error| error.into_vfs(self.kind().name())),
            Self::Fat(options) => disksmith_fat::format(&**storage, options).map(drop),
        };
        made.map_err(|source| Error::File {
            object: storage.name(),
            source,
        })
    }

    /// Makes it, and puts files into it.
    ///
    /// # Errors
    /// As [`make`](Self::make); where the files do not fit, or are of a kind that it cannot hold. What the storage holds is of no use
    /// then.
    pub fn fill(
        &self,
        storage: &StorageRef,
        tree: &SourceTree,
        contents: &mut dyn SourceContents,
    ) -> Result<()> {
        let filled = match self {
            Self::Ext(options) => disksmith_ext4::format_filled(&**storage, options, tree, contents)
                .map(drop)
                .map_err(|error| error.into_vfs(self.kind().name())),
            Self::Fat(options) => fill_fat(storage, options, tree, contents),
        };
        filled.map_err(|source| Error::File {
            object: storage.name(),
            source,
        })
    }
}

fn fill_fat(
    storage: &StorageRef,
    options: &disksmith_fat::FormatOptions,
    tree: &SourceTree,
    contents: &mut dyn SourceContents,
) -> disksmith_vfs::Result<()> {
    check_fat(tree)?;
    disksmith_fat::format(&**storage, options)?;
    populate(&open_fat(storage, options)?, tree, contents)
}

fn open_fat(storage: &StorageRef, options: &disksmith_fat::FormatOptions) -> disksmith_vfs::Result<Fat> {
    let time = options.time;
    let open = disksmith_fat::OpenOptions {
        code_page: options.code_page,
        ..disksmith_fat::OpenOptions::new(true, Arc::new(move || time))
    };
    Fat::open_with(Arc::clone(storage), open)
}

/// Refuses files of kinds that FAT does not know.
fn check_fat(tree: &SourceTree) -> disksmith_vfs::Result<()> {
    let other = (0u32..).zip(tree.inodes()).find(|(file, inode)| {
        tree.is_used(*file) && !matches!(inode.file_type(), FileType::Regular | FileType::Directory)
    });
    match other {
        None => Ok(()),
        Some((file, inode)) => Err(disksmith_vfs::Error::Unsupported {
            filesystem: Kind::Vfat.name().into(),
            operation: format!("{}: holding a {:?}", tree.path(file), inode.file_type()),
        }),
    }
}

/// Tries sizes until the clusters of one are enough.
fn fit_fat(
    options: &disksmith_fat::FormatOptions,
    tree: &SourceTree,
    free: u64,
) -> disksmith_vfs::Result<u64> {
    check_fat(tree)?;
    let mut size = FAT_MIN;
    for _ in 0..MAX_TRIES {
        // Holds only what is written: tables of zeroes take nothing.
        let storage: StorageRef = Arc::new(Memory::new(size));
        disksmith_fat::format(&*storage, options)?;
        let stat = open_fat(&storage, options)?.stat_fs()?;
        let cluster = stat.block_size.max(1);
        let wanted: u64 = (0u32..)
            .zip(tree.inodes())
            .filter(|(file, _)| tree.is_used(*file))
            .map(|(_, inode)| match &inode.body {
                SourceBody::File { size, .. } => size.div_ceil(cluster),
                SourceBody::Directory(entries) => {
                    let slots: u64 = entries.iter().map(|(name, _)| 2 + name.len() as u64 / 13).sum();
                    ((slots + 3) * 32).div_ceil(cluster)
                }
                _ => 0,
            })
            .fold(free.div_ceil(cluster), u64::saturating_add);
        if stat.free_blocks >= wanted {
            return Ok(size);
        }
        let missing = (wanted - stat.free_blocks).saturating_mul(cluster);
        let more = missing.saturating_add(missing / 512);
        // No FAT is larger.
        size = size.saturating_add(more).min(MAX_FAT).next_multiple_of(FAT_STEP);
    }
    Err(disksmith_vfs::Error::NoSpace {
        filesystem: Kind::Vfat.name().into(),
        what: "clusters",
    })
}
