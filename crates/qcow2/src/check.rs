//! Checking and repairing an image's structures: what `qemu-img check` finds, in the same numbers.

mod counts;
mod repair;
mod walk;

use crate::core::Core;
use crate::error::{Error, Result};
use crate::header::Header;
use crate::image::{OpenOptions, Qcow2};
use crate::state::read_table;
use counts::Counts;
use disksmith_storage::{self as storage, StorageRef};

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

/// What sort of a fault was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A structure is wrong.
    Corruption,
    /// Space is counted as used that is not.
    Leak,
    /// Something could not be examined.
    Error,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its sort.
    pub kind: FaultKind,
    /// Which structure, where, and what is wrong with it.
    pub message: String,
    /// Whether it was repaired.
    pub fixed: bool,
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
    /// The faults, the first [`CheckReport::MAX_FAULTS`] of them.
    pub faults: Vec<Fault>,
}

impl CheckReport {
    /// So many faults are described one by one; the others are only counted.
    pub const MAX_FAULTS: usize = 1000;

    /// Whether nothing was found that is still there.
    pub fn is_clean(&self) -> bool {
        self.check_errors == 0 && self.corruptions == 0 && self.leaks == 0
    }

    fn note(&mut self, kind: FaultKind, fixed: bool, message: impl FnOnce() -> String) {
        let count = match (kind, fixed) {
            (FaultKind::Corruption, false) => &mut self.corruptions,
            (FaultKind::Corruption, true) => &mut self.corruptions_fixed,
            (FaultKind::Leak, false) => &mut self.leaks,
            (FaultKind::Leak, true) => &mut self.leaks_fixed,
            (FaultKind::Error, _) => &mut self.check_errors,
        };
        *count += 1;
        if self.faults.len() < Self::MAX_FAULTS {
            self.faults.push(Fault {
                kind,
                message: message(),
                fixed,
            });
        }
    }

    fn corrupt(&mut self, message: impl FnOnce() -> String) {
        self.note(FaultKind::Corruption, false, message);
    }

    fn error(&mut self, message: impl FnOnce() -> String) {
        self.note(FaultKind::Error, false, message);
    }
}

/// An image under examination.
#[derive(Debug)]
struct Checker {
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
    /// Whether some structure could not be read, so that what it references is not known: then no refcount can be
    /// called wrong, and nothing is repaired.
    blind: bool,
    /// Whether entries of the snapshot table lack what version 3 wants of them.
    incomplete_snapshots: bool,
    /// How far structures reach beyond the end of a file that was cut off; 0 when none does.
    reach: u64,
    /// Entries of tables that were looked at once more.
    repeated: u64,
    report: CheckReport,
}

/// Examines the image in `file`, and repairs it if told so. For a repair `file` must be writable, and nothing else
/// may have it open. Every step of a repair leaves the image no worse than it was.
///
/// # Errors
/// When the header cannot be understood, or the file cannot be read or written.
pub fn check(file: &StorageRef, repair: Repair) -> Result<CheckReport> {
    if repair != Repair::None && !file.is_writable() {
        return Err(storage::Error::ReadOnly { object: file.name() }.into());
    }
    let header = Header::load(&**file)?;
    let mut core = Qcow2::core(file.clone(), &header, OpenOptions::default());
    if header
        .incompatible
        .contains(crate::feature::Incompatible::DATA_FILE)
    {
        // Its contents do not matter here, only that there is one.
        core.data_file = Some(file.clone());
    }
    let mut checker = Checker::new(core, header, repair)?;
    checker.run()?;
    Ok(checker.report)
}

impl Checker {
    fn new(core: Core, header: Header, repair: Repair) -> Result<Self> {
        let l1 = read_table(&core, header.l1_offset, header.l1_entries.into())?;
        let entries = (u64::from(header.refcount_table_clusters) << core.geometry.cluster_bits) / 8;
        let refcount_table = read_table(&core, header.refcount_table_offset, entries)?;
        let clusters = core.geometry.clusters(core.file.size());
        if clusters > i32::MAX as u64 {
            return Err(Error::TooLarge {
                image: core.name.clone(),
                what: "the file has too many clusters to be checked",
            });
        }
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
            incomplete_snapshots: false,
            reach: 0,
            repeated: 0,
            report: CheckReport::default(),
        })
    }

    fn run(&mut self) -> Result<()> {
        self.report.total_clusters = self.core.geometry.clusters(self.header.size & !511);
        self.count_references()?;
        if self.blind {
            return Ok(());
        }
        if self.report.partial {
            self.repair = Repair::None;
        }
        if self.repair == Repair::All && self.reach > 0 {
            // What was cut off reads as zeroes; with its space back it can be counted.
            let end = self.reach.max(self.core.file.size());
            self.core
                .file
                .set_size(end.next_multiple_of(self.core.geometry.cluster_size()))?;
            self.rebuild = true;
        }
        if self.repair == Repair::All && self.incomplete_snapshots {
            self.complete_snapshots()?;
        }
        let mut highest = self.compare_refcounts()?;
        if self.repair == Repair::All && self.rebuild {
            highest = self.rebuild_refcounts()?;
        } else if self.rebuild && self.repair == Repair::Leaks {
            // Leaks cannot be told from what is wrong otherwise.
            self.report
                .error(|| "the refcount structures must be rebuilt first".into());
        }
        self.check_copied()?;
        self.report.image_end_offset = (highest + 1) << self.core.geometry.cluster_bits;
        self.finish()
    }
}
