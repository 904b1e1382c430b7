//! What can go wrong with a journal.

use disksmith_storage::{Diagnose, ErrorKind};

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A structure holds a value that it cannot hold.
    #[error("journal: {structure} at log block {block}: {field} is {value}, {reason}")]
    Corrupt {
        /// The structure: `superblock`, `descriptor block` …
        structure: &'static str,
        /// Block of the journal that it is in.
        block: u64,
        /// The field.
        field: &'static str,
        /// What the field holds.
        value: u64,
        /// What is wrong with that.
        reason: &'static str,
    },
    /// A checksum does not fit.
    #[error(
        "journal: {structure} at log block {block} of transaction {transaction}: checksum is {found:#x}, its content has {computed:#x}"
    )]
    Checksum {
        /// The structure.
        structure: &'static str,
        /// Block of the journal that it is in.
        block: u64,
        /// The transaction; 0 for the superblock.
        transaction: u32,
        /// What is stored.
        found: u32,
        /// What it should be.
        computed: u32,
    },
    /// A transaction in the middle of the log is damaged, though later ones were committed.
    #[error(
        "journal: transaction {transaction} at log block {block} has a wrong checksum but is not the last one"
    )]
    DamagedTransaction {
        /// The transaction.
        transaction: u32,
        /// The block at which its commit block is.
        block: u64,
    },
    /// A block of the journal has no place on the disk.
    #[error("journal: log block {block} is not mapped to a block of the filesystem")]
    Unmapped {
        /// Block of the journal.
        block: u64,
    },
    /// A number that is larger than what is read into memory.
    #[error("journal: {what} is {value}, more than the {limit} that are supported")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The journal uses features that are not known.
    #[error("journal: it uses the feature {names}, which is not supported")]
    UnsupportedFeature {
        /// The names of the features, or their bits.
        names: String,
    },
    /// The journal is on another device.
    #[error("the filesystem keeps its journal on another device (UUID {device}), which is not supported")]
    ExternalJournal {
        /// The journal's UUID.
        device: String,
    },
    /// Fast commits that would have to be replayed.
    #[error(
        "journal: {records} records of fast commits after transaction {transaction} wait to be replayed, which is not supported"
    )]
    FastCommits {
        /// How many there are.
        records: usize,
        /// The transaction that they follow.
        transaction: u32,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Storage(#[from] disksmith_storage::Error),
}

impl Diagnose for JournalError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnsupportedFeature { .. }
            | Self::ExternalJournal { .. }
            | Self::FastCommits { .. }
            | Self::TooLarge { .. } => ErrorKind::Unsupported,
            Self::Storage(inner) => inner.kind(),
            _ => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(inner) => inner.hint(),
            Self::ExternalJournal { .. } => {
                Some("mount and unmount the filesystem once on a machine that has both devices".into())
            }
            Self::UnsupportedFeature { .. } | Self::FastCommits { .. } => Some(
                "boot the guest and shut it down cleanly, or run `e2fsck -E journal_only -p` on the filesystem"
                    .into(),
            ),
            _ => Some("repair the filesystem with `e2fsck -f` on a copy".into()),
        }
    }
}
