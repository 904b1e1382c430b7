//! Checking and repairing an image's structures: what `qemu-img check` finds, in the same order and the same numbers.

mod blocks;
mod copied;
mod counts;
mod finding;
mod rebuild;
mod snapshots;
mod walk;

pub use finding::Finding;

use crate::core::Core;
use crate::error::{Error, Result};
use crate::feature::Incompatible;
use crate::header::{Header, SECTOR};
use crate::image::{OpenOptions, Qcow2};
use crate::io::read_padded;
use crate::state::read_table;
use counts::Counts;
use disksmith_storage::{self as storage, StorageRef};
use snapshots::SnapshotTable;
use std::collections::BTreeMap;

/// No file that QEMU opens is longer than this, in bytes: nothing is read beyond it.
const MAX_FILE: u64 = 0x7fff_ffff_c000_0000;

/// What to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repair {
    /// Nothing.
    #[default]
    None,
    /// Clusters that are counted as used more often than they are: no data can be lost by that.
    Leaks,
    /// Everything that can be.
    All,
}

/// Why a check came to its end too early. Its numbers say nothing then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The file, or a table, is larger than can be.
    TooLarge,
    /// A table is not where one can be, or not what it should be.
    Invalid,
    /// Something cannot be read, or be repaired in the way that was asked for.
    Failed,
}

/// What a check found. Numbers are those of `qemu-img check`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// How often something could not be examined.
    pub check_errors: u64,
    /// Corruptions that are still there.
    pub corruptions: u64,
    /// Leaked clusters that are still there.
    pub leaks: u64,
    /// Corruptions that were repaired.
    pub corruptions_fixed: u64,
    /// Leaked clusters that were given back.
    pub leaks_fixed: u64,
    /// Number of guest clusters.
    pub total_clusters: u64,
    /// How many of them are allocated.
    pub allocated_clusters: u64,
    /// How many of those do not follow the one before in the file.
    pub fragmented_clusters: u64,
    /// How many of those are compressed.
    pub compressed_clusters: u64,
    /// Where the last cluster in use ends, in bytes.
    pub image_end_offset: u64,
    /// Whether tables were referenced so often over that not all of it was followed: then the numbers are lower
    /// bounds, and nothing is repaired.
    pub partial: bool,
    /// Why the check ended too early, where it did.
    pub stopped: Option<Stop>,
    /// What was found, the first [`CheckReport::MAX_FAULTS`] of it.
    pub faults: Vec<Finding>,
}

impl CheckReport {
    /// So many findings are kept one by one; the others are only counted.
    pub const MAX_FAULTS: usize = 1000;

    /// Whether nothing was found that is still there.
    pub fn is_clean(&self) -> bool {
        self.check_errors == 0 && self.corruptions == 0 && self.leaks == 0 && self.stopped.is_none()
    }
}

/// An image under examination.
struct Checker<'a> {
    core: Core,
    header: Header,
    l1: Vec<u64>,
    refcount_table: Vec<u64>,
    counts: Counts,
    /// Clusters looked at; grows when the last one is only partly in the file.
    clusters: u64,
    /// Whether the refcount structures cannot be mended in place.
    rebuild: bool,
    repair: Repair,
    /// Whether what some damaged structure references is not known. Then space may look unused that is not.
    blind: bool,
    /// Clusters beyond the end of the file that are referenced: by the first of each range, one past its last.
    beyond: BTreeMap<u64, u64>,
    snapshots: SnapshotTable,
    /// Entries of tables that were looked at once more.
    repeated: u64,
    /// A refcount block: where it is, and its bytes.
    block: (u64, Vec<u8>),
    /// Whether the unusable place of a refcount block was told of.
    told_unusable: bool,
    report: CheckReport,
    sink: &'a mut dyn FnMut(&Finding),
}

/// Examines the image in `file`, and repairs it if told so. For a repair `file` must be writable, and nothing else
/// may have it open. Every step of a repair leaves the image no worse than it was.
///
/// # Errors
/// When the header cannot be understood, or the file cannot be read or written.
pub fn check(file: &StorageRef, repair: Repair) -> Result<CheckReport> {
    check_telling(file, repair, &mut |_| {})
}

/// As [`check`], and tells of each finding as soon as it is found. What is repaired is told of twice where it is
/// first found, and then repaired.
///
/// # Errors
/// Those of [`check`].
pub fn check_telling(
    file: &StorageRef,
    repair: Repair,
    tell: &mut dyn FnMut(&Finding),
) -> Result<CheckReport> {
    if repair != Repair::None && !file.is_writable() {
        return Err(storage::Error::ReadOnly { object: file.name() }.into());
    }
    let header = Header::load_for_check(&**file)?;
    let mut core = Qcow2::core(file.clone(), &header, OpenOptions::default());
    if header.incompatible.contains(Incompatible::DATA_FILE) {
        // Its contents do not matter here, only that there is one.
        core.data_file = Some(file.clone());
    }
    let mut checker = Checker::new(core, header, repair, tell)?;
    checker.run()?;
    Ok(checker.report)
}

impl<'a> Checker<'a> {
    fn new(core: Core, header: Header, repair: Repair, sink: &'a mut dyn FnMut(&Finding)) -> Result<Self> {
        let l1 = read_table(&core, header.l1_offset, header.l1_entries.into())?;
        let entries = (u64::from(header.refcount_table_clusters) << core.geometry.cluster_bits) / 8;
        let refcount_table = read_table(&core, header.refcount_table_offset, entries)?;
        let clusters = core.geometry.clusters(core.file.size());
        Ok(Self {
            counts: Counts::new(core.geometry.refcount_max()),
            core,
            header,
            l1,
            refcount_table,
            clusters,
            rebuild: false,
            repair,
            blind: false,
            beyond: BTreeMap::new(),
            snapshots: SnapshotTable::default(),
            repeated: 0,
            block: (0, Vec::new()),
            told_unusable: false,
            report: CheckReport::default(),
            sink,
        })
    }

    /// Tells of a finding.
    fn tell(&mut self, finding: Finding) {
        (self.sink)(&finding);
        if self.report.faults.len() < CheckReport::MAX_FAULTS {
            self.report.faults.push(finding);
        }
    }

    /// Tells of a corruption that stays.
    fn corrupt(&mut self, finding: Finding) {
        self.report.corruptions += 1;
        self.tell(finding);
    }

    fn run(&mut self) -> Result<()> {
        self.read_snapshots()?;
        if self.report.stopped.is_some() {
            return Ok(());
        }
        if self.clusters > i32::MAX as u64 {
            self.report.check_errors += 1;
            self.report.stopped = Some(Stop::TooLarge);
            return Ok(());
        }
        self.report.total_clusters = self.core.geometry.clusters(self.header.size & !511);
        let highest = self.check_refcounts()?;
        if self.report.stopped.is_some() {
            self.core.file.flush()?;
            return Ok(());
        }
        self.check_copied()?;
        self.report.image_end_offset = (highest + 1) << self.core.geometry.cluster_bits;
        self.settle_snapshots()?;
        self.finish()
    }

    /// Counts the references, compares them with the refcounts, and mends those. Gives the highest cluster in use.
    fn check_refcounts(&mut self) -> Result<u64> {
        self.count_references(self.repair)?;
        if self.report.stopped.is_some() {
            return Ok(0);
        }
        if self.report.partial {
            self.repair = Repair::None;
        }
        let before = self.report.clone();
        let mut highest = self.compare_refcounts(Repair::None)?;
        if self.blind && self.repair != Repair::None {
            self.tell(Finding::LeaksKept);
        }
        let wrong = self.report.leaks > 0 || self.report.corruptions > 0;
        match self.repair {
            Repair::None => {}
            Repair::All if self.rebuild && !self.blind => highest = self.rebuild_refcounts()?,
            Repair::Leaks if self.rebuild => {
                self.tell(Finding::NeedsRebuild);
                self.report.stopped = Some(Stop::Failed);
            }
            _ if wrong => {
                self.report = before;
                highest = self.compare_refcounts(self.repair)?;
            }
            _ => {}
        }
        Ok(highest)
    }

    fn write_header(&mut self) -> Result<()> {
        let mut sector = [0u8; SECTOR];
        read_padded(&*self.core.file, 0, &mut sector)?;
        self.header.patch(&mut sector);
        self.core.file.write_at(0, &sector)?;
        self.core.file.flush()?;
        Ok(())
    }

    /// After a repair that left nothing wrong, the image is neither dirty nor corrupt any more.
    fn finish(&mut self) -> Result<()> {
        if self.repair == Repair::None {
            return Ok(());
        }
        self.core.file.flush()?;
        let flags = Incompatible::DIRTY | Incompatible::CORRUPT;
        if self.report.check_errors == 0
            && self.report.corruptions == 0
            && self.header.incompatible.intersects(flags)
        {
            self.header.incompatible.remove(flags);
            self.write_header()?;
        }
        Ok(())
    }

    /// Whether a cluster beyond the end of the file is referenced, so that nothing else may be put there.
    fn is_beyond(&self, cluster: u64) -> bool {
        self.beyond
            .iter()
            .any(|(first, end)| (*first..*end).contains(&cluster))
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            image: self.core.name.clone(),
            what: "the refcount table would exceed 8 MiB",
        }
    }
}
