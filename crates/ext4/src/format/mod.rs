//! Making filesystems.
//!
//! [`format`](make) lays out the filesystem that mke2fs of e2fsprogs 1.47 makes with the same options: the same
//! geometry, features, and places of all structures. UUID, hash seed and time are arguments, so the same options give
//! the same bytes. Inode tables and bitmaps that nobody has used yet are not written.

mod attribute_area;
mod content;
mod defaults;
mod directory;
mod directory_image;
mod feature_list;
mod file_blocks;
mod file_map;
mod fill;
mod groups;
mod options;
mod plan;
mod quota_files;
mod ranges;
mod sizes;
mod write;

pub use feature_list::FeatureList;
pub use options::{FormatJournal, FormatKind, FormatOptions, Usage};
pub use write::{Formatted, files_fit, fit, make, make_filled, plan};
