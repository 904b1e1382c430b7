//! Whole disks and filesystems: made of files, formatted anew, and made sparse again.
//!
//! [`make_fs`] makes an image with a filesystem of a directory or an archive ([`Files`]); [`format_disk`] lays a partition table
//! and a filesystem out over a disk that is there; [`sparsify()`] gives back the space of what no file takes.

mod compression;
mod error;
mod files;
mod format_disk;
mod layout;
mod make_fs;
mod sparsify;
mod tar_source;

pub use error::{Error, Result};
pub use files::Files;
pub use format_disk::{DiskContent, FormatDisk, format_disk};
pub use layout::{DiskIds, PartitionTable, Placement};
pub use make_fs::{ImageSize, MadeFs, MakeFs, make_fs};
pub use sparsify::{
    SparsifiedVolume, SparsifyOptions, SparsifyReport, VolumeOutcome, sparsify, sparsify_copy, trim,
};
