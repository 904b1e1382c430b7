//! The journal (JBD2) and its recovery.
//!
//! All of the journal is big-endian, whatever the filesystem is. Only recovery is here: disksmith never writes a
//! transaction into the log, since an edit is made safe below the filesystem and leaves the journal empty.
//!
//! How recovery is used: [`Log::open`] reads the journal's superblock through the block map of the journal's inode,
//! [`Recovery::plan`] walks the log and decides, without writing anything, which blocks the filesystem gets
//! back. Then either [`Recovery::apply`] writes them and empties the journal, or a [`RecoveredView`] shows the
//! filesystem as recovered without a single write. In both cases the filesystem's superblock has to be read
//! *again* through the result, for it may be one of the blocks replayed, and the `needs_recovery` flag in it is the
//! caller's to clear, after [`Recovery::error_number`] has been noted in it.
//!
//! Specification: "Journal (jbd2)" in the kernel's `Documentation/filesystems/ext4/journal.rst`.

mod checksum;
mod commit_block;
mod descriptor_block;
mod error;
mod fast_commit;
mod features;
mod header;
mod log;
mod recovery;
mod revoke_block;
mod revoke_table;
mod scan;
mod sequence;
mod superblock;
mod view;

#[cfg(test)]
mod tests;

pub use error::JournalError;
pub use fast_commit::{FastCommitName, FastCommitRecord};
pub use features::{JournalCompat, JournalIncompat};
pub use log::{Log, LogRun};
pub use recovery::{Recovery, RecoveryLimits};
pub use sequence::Sequence;
pub use superblock::JournalSuperblock;
pub use view::RecoveredView;
