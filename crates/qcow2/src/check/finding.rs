//! What a check can find.

use std::fmt;

/// Something that a check found. Offsets are bytes in the file; `repaired` says that it is mended, or as good as.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A cluster's refcount is not the number of its references. Too high, it is leaked space.
    Refcount {
        /// The cluster's index in the file.
        cluster: u64,
        /// What the refcount block says.
        refcount: u64,
        /// How often the cluster is referenced.
        references: u64,
        /// Whether the refcount is set to the number of references.
        repaired: bool,
    },
    /// A refcount cannot be read, as the place of its block is none.
    RefcountUnreadable {
        /// The cluster's index in the file.
        cluster: u64,
    },
    /// The place of a refcount block, which is needed to go on, is not cluster aligned.
    BlockUnusable {
        /// Where the block should be.
        offset: u64,
        /// The index in the refcount table.
        index: u64,
    },
    /// A reference leads beyond the end of the file.
    BeyondEnd {
        /// What is referenced.
        offset: u64,
        /// How many bytes of it.
        len: u64,
    },
    /// A cluster is referenced more often than its refcount can say.
    RefcountOverflow {
        /// The cluster.
        offset: u64,
    },
    /// Reserved bits of an L1 entry are set.
    L1Reserved {
        /// The entry.
        entry: u64,
    },
    /// An L1 entry leads to a place where no L2 table can be.
    L2TableMisaligned {
        /// That place.
        offset: u64,
    },
    /// Reserved bits of an L2 entry are set.
    L2Reserved {
        /// The entry.
        entry: u64,
    },
    /// A compressed cluster has the copied flag.
    CompressedCopied {
        /// Where the compressed data is.
        offset: u64,
    },
    /// A compressed cluster in an image whose data is in an external file.
    CompressedInDataFile {
        /// Its index in its L2 table.
        index: u64,
        /// The entry.
        entry: u64,
    },
    /// A compressed cluster with subclusters.
    CompressedSubclusters {
        /// Its index in its L2 table.
        index: u64,
        /// The entry.
        entry: u64,
    },
    /// A subcluster is said to be data and to be zeroes.
    SubclusterBitmap {
        /// The cluster.
        offset: u64,
    },
    /// Subclusters are said to be data where there is no cluster.
    StraySubclusters,
    /// A cluster that reads as zeroes has a place that is not cluster aligned.
    PreallocatedMisaligned {
        /// That place.
        offset: u64,
        /// Whether the cluster has no place any more.
        repaired: bool,
    },
    /// A data cluster's place is not cluster aligned.
    DataMisaligned {
        /// That place.
        offset: u64,
    },
    /// An L1 entry's copied flag does not agree with the refcount of the L2 table.
    CopiedL2 {
        /// The index in the L1 table.
        index: u64,
        /// The entry.
        entry: u64,
        /// The L2 table's refcount.
        refcount: u64,
        /// Whether the flag is set right.
        repaired: bool,
    },
    /// An L2 entry's copied flag does not agree with the refcount of its cluster.
    CopiedData {
        /// The entry.
        entry: u64,
        /// The cluster's refcount.
        refcount: u64,
        /// Whether the flag is set right.
        repaired: bool,
    },
    /// There are more snapshots than there can be.
    TooManySnapshots {
        /// How many are too many.
        excess: u32,
        /// Whether those are thrown away.
        repaired: bool,
    },
    /// The snapshot table lies where nothing can be read.
    SnapshotTableUnreadable,
    /// An L1 table lies where nothing can be read.
    L1Unreadable,
    /// The snapshot table's place is none, or beyond what a file can have.
    SnapshotTablePlace,
    /// The snapshot table is longer than it can be.
    SnapshotTableTooLong {
        /// How many snapshots lie beyond.
        excess: u32,
        /// Whether those are thrown away.
        repaired: bool,
    },
    /// A snapshot has more extra data than it can have.
    SnapshotExtraTooLong {
        /// Its index in the table.
        index: u32,
        /// How many bytes it has.
        len: u32,
        /// Whether what is too much is thrown away.
        repaired: bool,
    },
    /// A snapshot lacks what version 3 wants of it.
    SnapshotIncomplete {
        /// Its index in the table.
        index: u32,
        /// Whether it is completed.
        repaired: bool,
    },
    /// Snapshots in an image whose data is in an external file.
    SnapshotsWithDataFile {
        /// How many.
        count: u32,
    },
    /// A snapshot's L1 table is at a place where none can be. What it references is not known.
    SnapshotL1Misaligned {
        /// The snapshot's id.
        id: Vec<u8>,
        /// Its name.
        name: Vec<u8>,
        /// That place.
        offset: u64,
    },
    /// A snapshot's L1 table is longer than it can be. What it references is not known.
    SnapshotL1TooLong {
        /// The snapshot's id.
        id: Vec<u8>,
        /// Its name.
        name: Vec<u8>,
        /// How many entries it has.
        entries: u32,
    },
    /// The directory of bitmaps cannot be read. What they take is not known.
    BitmapDirectory {
        /// What is wrong with it.
        problem: String,
    },
    /// The table of a bitmap, or an entry of it, is not valid.
    BitmapTable {
        /// Where the table is.
        offset: u64,
    },
    /// Reserved bits of a refcount table entry are set.
    TableReserved {
        /// Its index.
        index: u64,
    },
    /// A refcount block's place is not cluster aligned.
    BlockMisaligned {
        /// Its index in the refcount table.
        index: u64,
    },
    /// A refcount block lies beyond the end of the file.
    BlockOutside {
        /// Its index in the refcount table.
        index: u64,
        /// Whether the file reaches so far now.
        repaired: bool,
    },
    /// A refcount block lies in a cluster that has other uses too.
    BlockShared {
        /// Its index in the refcount table.
        index: u64,
        /// How often the cluster is referenced.
        references: u64,
    },
    /// The file cannot be made long enough for a refcount block.
    CannotGrow {
        /// Whether no file at all can be so long.
        impossible: bool,
    },
    /// All refcounts are now written anew, beside the old ones.
    Rebuilding,
    /// The refcounts that were written anew are not right either.
    StillBroken,
    /// Nothing can be repaired without writing all refcounts anew, which was not asked for.
    NeedsRebuild,
    /// Leaked space is left alone, as what could use it is not known.
    LeaksKept,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = |repaired: &bool| if *repaired { ": repaired" } else { "" };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Refcount {
                cluster,
                refcount,
                references,
                repaired,
            } => write!(
                f,
                "cluster {cluster} has refcount {refcount}, and is referenced {references} times{}",
                done(repaired)
            ),
            Self::RefcountUnreadable { cluster } => {
                write!(f, "cannot read the refcount of cluster {cluster}")
            }
            Self::BlockUnusable { offset, index } => {
                write!(f, "refcount block {index} at {offset:#x} is not cluster aligned")
            }
            Self::BeyondEnd { offset, len } => write!(
                f,
                "{len} bytes at {offset:#x} are referenced, beyond the end of the file by a cluster or more"
            ),
            Self::RefcountOverflow { offset } => write!(
                f,
                "the refcount of the cluster at {offset:#x} cannot hold its references; \
                 convert the image to one with a greater refcount_bits"
            ),
            Self::L1Reserved { entry } => write!(f, "L1 entry {entry:#x} has reserved bits set"),
            Self::L2TableMisaligned { offset } => {
                write!(f, "the L2 table at {offset:#x} is not cluster aligned")
            }
            Self::L2Reserved { entry } => write!(f, "L2 entry {entry:#x} has reserved bits set"),
            Self::CompressedCopied { offset } => {
                write!(f, "the compressed cluster at {offset:#x} has the copied flag")
            }
            Self::CompressedInDataFile { index, entry } => write!(
                f,
                "L2 entry {index} ({entry:#x}) is a compressed cluster, in an image with an external data file"
            ),
            Self::CompressedSubclusters { index, entry } => {
                write!(
                    f,
                    "L2 entry {index} ({entry:#x}) is a compressed cluster with subclusters"
                )
            }
            Self::SubclusterBitmap { offset } => write!(
                f,
                "in the cluster at {offset:#x} a subcluster is both allocated and zero"
            ),
            Self::StraySubclusters => write!(f, "subclusters are allocated where there is no cluster"),
            Self::PreallocatedMisaligned { offset, repaired } => write!(
                f,
                "the zero cluster at {offset:#x} is not cluster aligned{}",
                done(repaired)
            ),
            Self::DataMisaligned { offset } => {
                write!(f, "the data cluster at {offset:#x} is not cluster aligned")
            }
            Self::CopiedL2 {
                index,
                entry,
                refcount,
                repaired,
            } => write!(
                f,
                "L1 entry {index} ({entry:#x}): the copied flag is wrong for refcount {refcount}{}",
                done(repaired)
            ),
            Self::CopiedData {
                entry,
                refcount,
                repaired,
            } => write!(
                f,
                "L2 entry {entry:#x}: the copied flag is wrong for refcount {refcount}{}",
                done(repaired)
            ),
            Self::TooManySnapshots { excess, repaired } => {
                write!(f, "there are {excess} snapshots too many{}", done(repaired))
            }
            Self::SnapshotTableUnreadable => write!(f, "the snapshot table cannot be read"),
            Self::L1Unreadable => write!(f, "an L1 table cannot be read"),
            Self::SnapshotTablePlace => write!(f, "the snapshot table is not where one can be"),
            Self::SnapshotTableTooLong { excess, repaired } => write!(
                f,
                "the snapshot table is too long by {excess} snapshots{}",
                done(repaired)
            ),
            Self::SnapshotExtraTooLong { index, len, repaired } => write!(
                f,
                "snapshot table entry {index} has {len} bytes of extra data, which is too much{}",
                done(repaired)
            ),
            Self::SnapshotIncomplete { index, repaired } => {
                write!(f, "snapshot table entry {index} is incomplete{}", done(repaired))
            }
            Self::SnapshotsWithDataFile { count } => {
                write!(
                    f,
                    "there are {count} snapshots in an image with an external data file"
                )
            }
            Self::SnapshotL1Misaligned { id, name, offset } => write!(
                f,
                "snapshot {} ({}): its L1 table at {offset:#x} is not cluster aligned",
                text(id),
                text(name)
            ),
            Self::SnapshotL1TooLong { id, name, entries } => write!(
                f,
                "snapshot {} ({}): its L1 table with {entries} entries is too long",
                text(id),
                text(name)
            ),
            Self::BitmapDirectory { problem } => write!(f, "{problem}"),
            Self::BitmapTable { offset } => write!(f, "the bitmap table at {offset:#x} is not valid"),
            Self::TableReserved { index } => {
                write!(f, "refcount table entry {index} has reserved bits set")
            }
            Self::BlockMisaligned { index } => write!(f, "refcount block {index} is not cluster aligned"),
            Self::BlockOutside { index, repaired } => {
                write!(
                    f,
                    "refcount block {index} lies outside of the file{}",
                    done(repaired)
                )
            }
            Self::BlockShared { index, references } => write!(
                f,
                "refcount block {index} lies in a cluster that is referenced {references} times"
            ),
            Self::CannotGrow { .. } => write!(f, "the file cannot be made long enough for a refcount block"),
            Self::Rebuilding => write!(f, "writing all refcounts anew"),
            Self::StillBroken => write!(f, "the new refcounts are not right either"),
            Self::NeedsRebuild => write!(f, "all refcounts must be written anew first (repair all)"),
            Self::LeaksKept => write!(
                f,
                "leaked space is left alone, as what a damaged table uses is not known"
            ),
        }
    }
}
