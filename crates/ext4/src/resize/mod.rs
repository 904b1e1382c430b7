//! Growing and shrinking a filesystem that nobody has mounted.
//!
//! Everything is written straight to the storage, in no order that would survive an interruption: the caller stages the
//! storage and commits it as a whole. The order of work:
//!
//! 1. the new numbers ([`numbers`]): groups, descriptor blocks, backups;
//! 2. inodes beyond the end get other numbers ([`renumber`]);
//! 3. what has to make room is moved: file blocks ([`evacuate`]), then bitmaps and inode tables ([`tables`]);
//! 4. all inodes are looked through for what refers to something that was moved ([`references`]);
//! 5. bitmaps, descriptors and superblocks are written with their copies ([`write_out`]).

mod block_set;
mod directories;
mod evacuate;
mod extent_trees;
mod indirect_maps;
mod inode_maps;
mod layout;
mod minimum;
mod numbers;
mod references;
mod renumber;
mod resize_inode;
mod space;
mod tables;
mod values;
mod write_out;

use crate::core::{Clock, Core};
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat, RoCompat};
use crate::filesystem::{Ext4, OpenOptions};
use crate::group_descriptor::GroupDescriptor;
use crate::superblock::{STATE_ERROR, STATE_VALID, SUPERBLOCK_SIZE, Superblock};
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::FileSystem;
use evacuate::Moves;
use inode_maps::InodeMaps;
use space::Space;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use tables::Shift;

pub(crate) use layout::Layout;
pub(crate) use values::{entries as attribute_entries, list_start as attribute_list_start};

/// How wide block numbers shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockNumbers {
    /// As they are.
    #[default]
    Keep,
    /// 64 bits: the feature `64bit`.
    Bits64,
    /// 32 bits.
    Bits32,
}

/// How a filesystem is resized.
#[derive(Clone)]
pub struct ResizeOptions {
    /// Tells the time, for the time of the last write.
    pub clock: Clock,
    /// Changes the width of block numbers.
    pub block_numbers: BlockNumbers,
    /// Records another RAID stride, in blocks.
    pub stride: Option<u16>,
}

impl std::fmt::Debug for ResizeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResizeOptions")
            .field("block_numbers", &self.block_numbers)
            .field("stride", &self.stride)
            .finish_non_exhaustive()
    }
}

impl ResizeOptions {
    /// Nothing but another size.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            block_numbers: BlockNumbers::Keep,
            stride: None,
        }
    }
}

/// What resizing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resized {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks before.
    pub old_blocks: u64,
    /// Blocks now: fewer than asked for where the last group would have been too small to be of use.
    pub blocks: u64,
    /// Blocks of files that were moved.
    pub moved_blocks: u64,
    /// Inodes that were given other numbers.
    pub moved_inodes: u32,
    /// Inode tables that were moved.
    pub moved_tables: u32,
    /// Block groups before.
    pub old_groups: u32,
    /// Block groups now.
    pub groups: u32,
}

/// What is known of a filesystem's size without changing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeReport {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks that it has.
    pub blocks: u64,
    /// An estimate of the fewest blocks that hold its files: that of `resize2fs -P`.
    pub minimum: u64,
}

/// Everything that is at work on one filesystem.
struct Resizer {
    storage: StorageRef,
    old: Layout,
    new: Layout,
    /// Descriptors as they were.
    old_groups: Vec<GroupDescriptor>,
    /// Descriptors as they will be; as many as the new filesystem has groups.
    groups: Vec<GroupDescriptor>,
    space: Space,
    inodes: InodeMaps,
    moves: Moves,
    /// Runs of clusters that are still to be moved; ascending.
    to_move: Vec<Range<u64>>,
    /// Inode tables that are still to be moved.
    shifts: Vec<Shift>,
    /// Old numbers of inodes to new ones.
    renumbered: BTreeMap<u32, u32>,
    /// Blocks of attributes in which numbers of inodes were corrected.
    corrected_blocks: BTreeSet<u64>,
}

/// Gives a filesystem so many blocks. The storage must have room for them, and nobody may use the filesystem. A journal
/// that was left dirty is recovered first, and orphans are freed.
///
/// # Errors
/// [`Error::NoSpace`] where files do not fit; [`Error::Unsupported`] names the feature that stands in the way;
/// [`Error::InvalidOption`] for a size that is none; those of a damaged filesystem. Once it has failed the storage is
/// in no good state and what was staged has to be thrown away.
pub fn resize(storage: &StorageRef, blocks: u64, options: &ResizeOptions) -> Result<Resized> {
    settle(storage, options)?;
    let core = Core::open(storage.clone(), 1 << 20, options.clock.clone(), true)?;
    core.check_mmp()?;
    refuse_unknown(&core.superblock)?;
    if core.superblock.state & STATE_ERROR != 0 || core.superblock.state & STATE_VALID == 0 {
        return Err(Error::unsupported(
            "resizing a filesystem that was not unmounted cleanly or has errors (run e2fsck on a copy first)",
        ));
    }
    let old_groups: Vec<GroupDescriptor> = (0..core.geometry.groups).map(|g| core.group(g)).collect();
    let old = Layout::new(core.superblock.clone(), storage.size())?;
    drop(core);
    let new = numbers::plan(&old, blocks, options, storage.size())?;
    let old_blocks = old.g.blocks_count;
    if new.sb.blocks_count() == old_blocks && options.block_numbers == BlockNumbers::Keep {
        return Ok(Resized {
            block_size: old.g.block_size,
            old_blocks,
            blocks: old_blocks,
            moved_blocks: 0,
            moved_inodes: 0,
            moved_tables: 0,
            old_groups: old.g.groups,
            groups: old.g.groups,
        });
    }
    if old.g.has_compat(Compat::STABLE_INODES) && new.g.blocks_count < old_blocks {
        return Err(Error::unsupported(
            "shrinking a filesystem with the feature stable_inodes",
        ));
    }
    let mut groups = old_groups.clone();
    groups.resize(new.g.groups as usize, GroupDescriptor::default());
    let mut all_groups = old_groups.clone();
    all_groups.resize(old_groups.len().max(groups.len()), GroupDescriptor::default());
    let mut resizer = Resizer {
        storage: storage.clone(),
        space: Space::new(storage.clone(), &old, &new, all_groups),
        inodes: InodeMaps::new(storage.clone(), &old, &new),
        old,
        new,
        old_groups,
        groups,
        moves: Moves::default(),
        to_move: Vec::new(),
        shifts: Vec::new(),
        renumbered: BTreeMap::new(),
        corrected_blocks: BTreeSet::new(),
    };
    resizer.run()?;
    let seconds = (options.clock)().seconds;
    resizer.write_out(seconds)?;
    Ok(Resized {
        block_size: resizer.new.g.block_size,
        old_blocks,
        blocks: resizer.new.g.blocks_count,
        moved_blocks: resizer.moves.clusters() << resizer.new.g.cluster_shift,
        moved_inodes: resizer.renumbered.len() as u32,
        moved_tables: resizer
            .old_groups
            .iter()
            .zip(&resizer.groups)
            .filter(|(old, new)| old.inode_table() != new.inode_table())
            .count() as u32,
        old_groups: resizer.old.g.groups,
        groups: resizer.new.g.groups,
    })
}

/// How many blocks the filesystem gets where so many are asked for: fewer where the last group would be too small to be of use.
///
/// # Errors
/// Those of opening, and of a size that is none.
pub fn fitting_blocks(storage: &StorageRef, blocks: u64, options: &ResizeOptions) -> Result<u64> {
    let core = Core::open(storage.clone(), 1 << 20, options.clock.clone(), false)?;
    let old = Layout::new(core.superblock.clone(), storage.size())?;
    Ok(numbers::plan(&old, blocks, options, u64::MAX)?.sb.blocks_count())
}

/// Tells the size of a filesystem and an estimate of the smallest that it can be shrunk to. Nothing is changed, and a
/// journal that is dirty is left so: what stands in it does not count.
///
/// # Errors
/// Those of opening.
pub fn size_report(storage: &StorageRef, clock: Clock) -> Result<SizeReport> {
    let core = Core::open(storage.clone(), 1 << 20, clock, false)?;
    let groups: Vec<GroupDescriptor> = (0..core.geometry.groups).map(|g| core.group(g)).collect();
    let layout = Layout::new(core.superblock.clone(), storage.size())?;
    Ok(SizeReport {
        block_size: layout.g.block_size,
        blocks: layout.g.blocks_count,
        minimum: minimum::blocks(&layout, &groups),
    })
}

/// Recovers the journal and frees orphans, where there is something to be done.
fn settle(storage: &StorageRef, options: &ResizeOptions) -> Result<()> {
    let raw = read_vec(&**storage, 1024, SUPERBLOCK_SIZE)?;
    let sb = Superblock::from_bytes(&raw, 1024)?;
    sb.features().check_readable()?;
    let features = sb.features();
    if !features.incompat.contains(Incompat::RECOVER)
        && sb.last_orphan == 0
        && !features.ro_compat.contains(RoCompat::ORPHAN_PRESENT)
    {
        return Ok(());
    }
    let open = OpenOptions::new(options.clock.clone()).writable(true);
    let ext = Ext4::open(storage.clone(), open)?;
    if let Some(reason) = ext.read_only_reason() {
        return Err(Error::ReadOnly {
            reason: reason.to_owned(),
        });
    }
    ext.sync()?;
    Ok(())
}

fn refuse_unknown(sb: &Superblock) -> Result<()> {
    let features = sb.features();
    let known = RoCompat::SPARSE_SUPER
        | RoCompat::LARGE_FILE
        | RoCompat::HUGE_FILE
        | RoCompat::GDT_CSUM
        | RoCompat::DIR_NLINK
        | RoCompat::EXTRA_ISIZE
        | RoCompat::QUOTA
        | RoCompat::BIGALLOC
        | RoCompat::METADATA_CSUM
        | RoCompat::PROJECT
        | RoCompat::VERITY
        | RoCompat::ORPHAN_PRESENT;
    let unknown = features.ro_compat.difference(known);
    let bad_compat = features
        .compat
        .intersection(Compat::LAZY_BG | Compat::EXCLUDE_INODE | Compat::EXCLUDE_BITMAP);
    if unknown.is_empty() && bad_compat.is_empty() {
        return Ok(());
    }
    let named = crate::features::Features {
        compat: bad_compat,
        incompat: Incompat::empty(),
        ro_compat: unknown,
    };
    Err(Error::unsupported(format!(
        "resizing a filesystem with the features {}",
        named.names().join(", ")
    )))
}

impl Resizer {
    fn run(&mut self) -> Result<()> {
        self.renumber_inodes()?;
        self.plan_room()?;
        self.place_new_groups()?;
        self.move_file_blocks()?;
        self.move_tables()?;
        self.fix_references()?;
        self.rebuild_resize_inode()
    }
}
