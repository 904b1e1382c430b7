//! The ext2, ext3 and ext4 filesystems, read and written.

mod checksum;
mod error;
mod extent_record;
mod features;
mod format;
mod group_descriptor;
mod inode;
mod journal;
mod record;
mod superblock;

pub use checksum::{Checksums, InodeSeed};
pub use error::{Error, Result};
pub use extent_record::{ExtentHeader, ExtentIndex, ExtentLeaf};
pub use features::{Compat, Features, Incompat, RoCompat};
pub use group_descriptor::GroupDescriptor;
pub use inode::{Inode, InodeFlags};
pub use format::{
    FeatureList, FormatJournal, FormatKind, FormatOptions, Formatted, Usage, make as format,
};
pub use journal::{
    FastCommitName, FastCommitRecord, JournalCompat, JournalError, JournalIncompat, JournalSuperblock, Log, LogRun,
    RecoveredView, Recovery, RecoveryLimits, Sequence,
};
pub use superblock::Superblock;
