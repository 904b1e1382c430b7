//! The ext2, ext3 and ext4 filesystems, read and written.

mod attributes;
mod bitmap;
mod block_allocator;
mod block_map;
mod cache;
mod checksum;
mod core;
mod directory;
mod error;
mod extent_packing;
mod extent_record;
mod extents;
mod fast_commit_replay;
mod features;
mod file;
mod filesystem;
mod format;
mod geometry;
mod group_descriptor;
mod identity;
mod inline_data;
mod inode;
mod inode_table;
mod journal;
mod mapping;
mod mmp;
mod namespace;
mod open;
mod orphans;
mod quota;
mod record;
mod resize;
mod statistics;
mod superblock;
mod xattr;

pub use checksum::{Checksums, InodeSeed};
pub use core::Clock;
pub use directory::{HashKind, NameHasher};
pub use error::{Error, Result};
pub use extent_record::{ExtentHeader, ExtentIndex, ExtentLeaf};
pub use features::{Compat, Features, Incompat, RoCompat};
pub use filesystem::{Ext4, OpenOptions};
pub use format::{
    FeatureList, FormatJournal, FormatKind, FormatOptions, Formatted, Usage, files_fit, fit as fit_format,
    make as format, make_filled as format_filled, plan as plan_format,
};
pub use group_descriptor::GroupDescriptor;
pub use identity::set_uuid;
pub use inode::{Inode, InodeFlags};
pub use journal::{
    FastCommitName, FastCommitRecord, JournalCompat, JournalError, JournalIncompat, JournalSuperblock, Log,
    LogRun, RecoveredView, Recovery, RecoveryLimits, Sequence,
};
pub use resize::{BlockNumbers, ResizeOptions, Resized, SizeReport, fitting_blocks, resize, size_report};
pub use superblock::Superblock;
