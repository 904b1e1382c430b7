//! What is odd about a partition table that can be used all the same.

use std::fmt;

/// Something about a disk that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The first GPT is damaged; the copy at the end is used.
    BackupGptUsed {
        /// What is wrong with the first one.
        reason: String,
    },
    /// The GPT at the end of the disk is damaged or not there.
    BackupGptBad {
        /// What is wrong with it.
        reason: String,
    },
    /// The copy of the GPT does not lie at the end of the disk: the disk has grown.
    BackupGptNotAtEnd,
    /// There is a GPT without the MBR that protects it.
    NoProtectiveMbr,
    /// The MBR lists partitions beside its protective one; they are ignored.
    HybridMbr,
    /// A partition does not lie inside the disk, and is left out.
    OutsideDisk {
        /// Its number.
        number: u32,
    },
    /// A partition ends beyond the end of the disk, and is cut there.
    CutAtEnd {
        /// Its number.
        number: u32,
        /// How many bytes of it are not there.
        missing: u64,
    },
    /// Two partitions share sectors.
    Overlap {
        /// The number of one.
        first: u32,
        /// The number of the other.
        second: u32,
    },
    /// The chain of logical partitions is broken; those before the break are used.
    BrokenChain {
        /// Where the record that is no record lies, in bytes.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackupGptUsed { reason } => {
                write!(f, "the primary GPT is damaged ({reason}); its backup is used")
            }
            Self::BackupGptBad { reason } => write!(f, "the backup GPT is damaged ({reason})"),
            Self::BackupGptNotAtEnd => f.write_str("the backup GPT is not at the end of the disk"),
            Self::NoProtectiveMbr => f.write_str("the GPT has no protective MBR"),
            Self::HybridMbr => f.write_str("the MBR is a hybrid one; the GPT is used"),
            Self::OutsideDisk { number } => {
                write!(
                    f,
                    "partition {number} does not lie inside the disk and is left out: if the image is shorter than its disk was, it is truncated"
                )
            }
            Self::CutAtEnd { number, missing } => {
                write!(
                    f,
                    "the image is shorter than its partition table says: {missing} bytes of partition {number} are missing, it is cut at the end of the disk"
                )
            }
            Self::Overlap { first, second } => write!(f, "partitions {first} and {second} overlap"),
            Self::BrokenChain { offset, reason } => {
                write!(
                    f,
                    "the chain of logical partitions is broken at offset {offset}: {reason}"
                )
            }
        }
    }
}
