//! The state of an open filesystem, and operations on it that are whole or not at all.
//!
//! Everything that changes metadata goes through [`Core::put_block`] (blocks) and [`Core::set_group`] (descriptors), which
//! note what was there before. An operation that fails is undone by putting all of it back.

use crate::cache::{Before, Block, Cache};
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::group_descriptor::GroupDescriptor;
use crate::quota::Quotas;
use crate::superblock::Superblock;
use disksmith_storage::StorageRef;
use disksmith_vfs::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Where the time comes from: called once per operation that sets times itself.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What an operation has changed so far.
#[derive(Debug, Default)]
struct Undo {
    active: bool,
    blocks: HashMap<u64, Before>,
    groups: Vec<(u32, Vec<u8>)>,
    superblock: Option<Box<Superblock>>,
    totals: (u64, u64),
}

/// In-memory hints of the allocator; never wrong in a way that matters.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Upper bound of the longest free run of a group, in clusters.
    pub(crate) longest: Vec<u32>,
    /// Where in a group the last allocation ended, in clusters.
    pub(crate) cursor: Vec<u32>,
    /// Group of the last directory that was spread.
    pub(crate) last_spread: u32,
    /// Directories at the top that were made.
    pub(crate) tops: u32,
}

/// The state of an open filesystem.
pub(crate) struct Core {
    pub(crate) storage: StorageRef,
    pub(crate) geometry: Geometry,
    pub(crate) superblock: Superblock,
    /// The superblock as stored, so that unknown bytes stay.
    superblock_raw: Vec<u8>,
    superblock_dirty: bool,
    /// Metadata was written since the last sync.
    relieved: bool,
    table: Vec<u8>,
    dirty_descriptor_blocks: BTreeSet<u32>,
    pub(crate) cache: Cache,
    undo: Undo,
    pub(crate) hints: Hints,
    /// Free clusters and inodes of all groups together.
    pub(crate) free_clusters: u64,
    pub(crate) free_inodes: u64,
    /// Ranges of blocks that were freed since the last sync: start and length.
    freed: BTreeMap<u64, u64>,
    /// Inodes whose extent trees were changed since the last sync.
    pub(crate) crooked_trees: BTreeSet<u32>,
    /// The multi-mount protection block says that we are at work.
    pub(crate) mmp_held: bool,
    /// Inodes that hold values of attributes, by checksum: only a hint.
    pub(crate) values: HashMap<u32, u32>,
    /// Blocks that are to be freed, but not yet: start and end of runs. `None` where nothing is kept back.
    pub(crate) kept_back: Option<Vec<(u64, u64)>>,
    /// What users, groups and projects use.
    pub(crate) quotas: Quotas,
    /// Inodes that are in use without a name.
    pub(crate) held: crate::orphans::Held,
    pub(crate) clock: Clock,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("storage", &self.storage)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

/// How many freed ranges are remembered for discarding; more are forgotten.
const MAX_FREED: usize = 65_536;

impl Core {
    /// Reads the superblock and the descriptor table. `check`: the descriptors too are checked at once.
    pub(crate) fn open(storage: StorageRef, cache_bytes: usize, clock: Clock, check: bool) -> Result<Self> {
        let superblock_raw = disksmith_storage::read_vec(&*storage, 1024, 1024)?;
        // What is no filesystem at all, or one of the future, is told by the feature, not by the fields that it lacks.
        Superblock::check_kind(&superblock_raw)?;
        let superblock = Superblock::from_bytes(&superblock_raw, 1024)?;
        superblock.features().check_readable()?;
        let geometry = Geometry::new(&superblock, storage.size())?;
        let mut core = Self {
            cache: Cache::new(storage.clone(), geometry.block_size, cache_bytes),
            storage,
            superblock,
            superblock_raw,
            superblock_dirty: false,
            relieved: false,
            table: Vec::new(),
            dirty_descriptor_blocks: BTreeSet::new(),
            undo: Undo::default(),
            hints: Hints::default(),
            free_clusters: 0,
            free_inodes: 0,
            freed: BTreeMap::new(),
            crooked_trees: BTreeSet::new(),
            mmp_held: false,
            values: HashMap::new(),
            kept_back: None,
            quotas: Quotas::default(),
            held: Default::default(),
            clock,
            geometry,
        };
        core.read_table()?;
        core.open_quotas();
        if check {
            core.check_groups()?;
        }
        Ok(core)
    }

    fn read_table(&mut self) -> Result<()> {
        let g = &self.geometry;
        let block_size = g.block_size as usize;
        let blocks = g.descriptor_blocks();
        let mut table = vec![0; block_size * blocks as usize];
        let mut index = 0u32;
        while index < blocks {
            // Blocks of the table lie in one run, unless they are spread by meta_bg.
            let start = g.descriptor_block(&self.superblock, index);
            let mut run = 1;
            while index + run < blocks
                && g.descriptor_block(&self.superblock, index + run) == start + u64::from(run)
            {
                run += 1;
            }
            let from = index as usize * block_size;
            let to = from + run as usize * block_size;
            if let Some(slice) = table.get_mut(from..to) {
                self.storage.read_at(g.offset(start), slice)?;
            }
            index += run;
        }
        self.table = table;
        Ok(())
    }

    /// Checks all descriptors and adds up what is free.
    pub(crate) fn check_groups(&mut self) -> Result<()> {
        let g = self.geometry.clone();
        let (mut clusters, mut inodes) = (0u64, 0u64);
        for group in 0..g.groups {
            let raw = self.descriptor_raw(group);
            if !GroupDescriptor::verify(raw, group, &g.checksums) {
                return Err(self.bad_group(group, "bg_checksum", 0, "the checksum does not match"));
            }
            let desc = self.group(group);
            for (field, start, len) in [
                ("bg_block_bitmap", desc.block_bitmap(), 1),
                ("bg_inode_bitmap", desc.inode_bitmap(), 1),
                ("bg_inode_table", desc.inode_table(), u64::from(g.table_blocks)),
            ] {
                if !g.holds(start, len) {
                    return Err(self.bad_group(group, field, start, "outside of the filesystem"));
                }
            }
            if desc.free_clusters() > g.group_clusters(group) {
                return Err(self.bad_group(
                    group,
                    "bg_free_blocks_count",
                    u64::from(desc.free_clusters()),
                    "more than the group has",
                ));
            }
            if desc.free_inodes() > g.inodes_per_group || desc.itable_unused() > g.inodes_per_group {
                return Err(self.bad_group(
                    group,
                    "bg_free_inodes_count",
                    u64::from(desc.free_inodes()),
                    "more than the group has",
                ));
            }
            clusters += u64::from(desc.free_clusters());
            inodes += u64::from(desc.free_inodes());
            self.hints.longest.push(desc.free_clusters());
            self.hints.cursor.push(0);
        }
        self.free_clusters = clusters;
        self.free_inodes = inodes;
        Ok(())
    }

    fn bad_group(&self, group: u32, field: &'static str, value: u64, reason: &str) -> Error {
        let per_block = self.geometry.descriptors_per_block();
        let block = self
            .geometry
            .descriptor_block(&self.superblock, group / per_block);
        let within = u64::from(group % per_block) * u64::from(self.geometry.descriptor_size);
        Error::corrupt(
            format!("group descriptor {group}"),
            self.geometry.offset(block) + within,
            field,
            value,
            reason,
        )
    }

    fn descriptor_range(&self, group: u32) -> std::ops::Range<usize> {
        // A descriptor block may have unused bytes at its end only if sizes are no powers of two; they are.
        let size = usize::from(self.geometry.descriptor_size);
        let start = group as usize * size;
        start..start + size
    }

    fn descriptor_raw(&self, group: u32) -> &[u8] {
        self.table.get(self.descriptor_range(group)).unwrap_or(&[])
    }

    /// The descriptor of a group.
    pub(crate) fn group(&self, group: u32) -> GroupDescriptor {
        GroupDescriptor::parse(self.descriptor_raw(group))
    }

    /// Stores the descriptor of a group, with its checksum.
    pub(crate) fn set_group(&mut self, group: u32, mut desc: GroupDescriptor) {
        let range = self.descriptor_range(group);
        let checksums = self.geometry.checksums;
        let before = self.group(group);
        if self.undo.active {
            self.undo
                .groups
                .push((group, self.descriptor_raw(group).to_vec()));
        }
        self.free_clusters = (self.free_clusters + u64::from(desc.free_clusters()))
            .saturating_sub(u64::from(before.free_clusters()));
        self.free_inodes = (self.free_inodes + u64::from(desc.free_inodes()))
            .saturating_sub(u64::from(before.free_inodes()));
        if let Some(raw) = self.table.get_mut(range) {
            desc.seal_into(raw, group, &checksums);
        }
        self.dirty_descriptor_blocks
            .insert(group / self.geometry.descriptors_per_block());
    }

    /// Changes the superblock.
    pub(crate) fn update_superblock(&mut self, change: impl FnOnce(&mut Superblock)) {
        if self.undo.active && self.undo.superblock.is_none() {
            self.undo.superblock = Some(Box::new(self.superblock.clone()));
        }
        change(&mut self.superblock);
        self.geometry.features = self.superblock.features();
        self.superblock_dirty = true;
    }

    /// Starts an operation: what is changed from here on can be given up.
    pub(crate) fn begin(&mut self) {
        self.undo = Undo {
            active: true,
            totals: (self.free_clusters, self.free_inodes),
            ..Undo::default()
        };
    }

    /// Ends an operation: what it changed stays.
    pub(crate) fn keep(&mut self) {
        self.undo = Undo::default();
    }

    /// Gives an operation up: everything is as it was before [`begin`](Self::begin).
    pub(crate) fn give_up(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        self.quotas.give_up();
        for (block, before) in undo.blocks {
            self.cache.restore(block, before);
        }
        for (group, raw) in undo.groups.into_iter().rev() {
            let range = self.descriptor_range(group);
            self.dirty_descriptor_blocks
                .insert(group / self.geometry.descriptors_per_block());
            if let Some(slot) = self.table.get_mut(range) {
                slot.copy_from_slice(&raw);
            }
            if let Some(longest) = self.hints.longest.get_mut(group as usize) {
                *longest = self.geometry.clusters_per_group;
            }
        }
        if let Some(superblock) = undo.superblock {
            self.superblock = *superblock;
            self.geometry.features = self.superblock.features();
        }
        if undo.active {
            (self.free_clusters, self.free_inodes) = undo.totals;
        }
    }

    /// The contents of a metadata block; `check` runs once when it comes from the storage.
    pub(crate) fn block(&self, block: u64, check: impl FnOnce(&[u8]) -> Result<()>) -> Result<Block> {
        if block == 0 || block >= self.geometry.blocks_count {
            return Err(Error::corrupt(
                "metadata block",
                self.geometry.offset(block.min(self.geometry.blocks_count)),
                "number",
                block,
                "outside of the filesystem",
            ));
        }
        self.cache.get(block, check)
    }

    /// Replaces the contents of a metadata block.
    pub(crate) fn put_block(&mut self, block: u64, data: Block) {
        let before = self.cache.put(block, data);
        if self.undo.active {
            self.undo.blocks.entry(block).or_insert(before);
        }
    }

    /// Changes a metadata block in place.
    pub(crate) fn edit_block(&mut self, block: u64, data: Block, change: impl FnOnce(&mut Vec<u8>)) {
        let mut data = data;
        change(Arc::make_mut(&mut data));
        self.put_block(block, data);
    }

    /// Drops what is known of blocks that are freed, and remembers them for discarding.
    pub(crate) fn forget_blocks(&mut self, start: u64, len: u64) {
        for block in self.cache.known_in(start, len) {
            if let Some(before) = self.cache.forget(block)
                && self.undo.active
            {
                self.undo.blocks.entry(block).or_insert(before);
            }
        }
        let mut range = (start, len);
        if let Some((before, before_len)) = self.freed.range(..=start).next_back().map(|(a, b)| (*a, *b))
            && before.saturating_add(before_len) >= start
        {
            let end = (start + len).max(before + before_len);
            range = (before, end - before);
        }
        if self.freed.len() < MAX_FREED || self.freed.contains_key(&range.0) {
            self.freed.insert(range.0, range.1);
        }
    }

    /// Ranges freed since the last sync (blocks); they may be in use again.
    pub(crate) fn take_freed(&mut self) -> BTreeMap<u64, u64> {
        std::mem::take(&mut self.freed)
    }

    /// Sets what [`take_freed`](Self::take_freed) gives.
    pub(crate) fn set_freed(&mut self, freed: BTreeMap<u64, u64>) {
        self.freed = freed;
    }

    /// The superblock has to be written again.
    pub(crate) fn superblock_is_dirty(&mut self) {
        self.superblock_dirty = true;
    }

    /// Writes dirty metadata where too much of it has gathered. Only between operations.
    pub(crate) fn relieve(&mut self) -> Result<()> {
        if self.cache.is_crowded() {
            self.hold_mmp()?;
            self.relieved |= self.cache.write_back()?;
        }
        Ok(())
    }

    /// Writes all dirty metadata and descriptors; tells whether the superblock is due.
    pub(crate) fn write_out(&mut self) -> Result<bool> {
        if self.cache.is_dirty()
            || self.relieved
            || self.superblock_dirty
            || !self.dirty_descriptor_blocks.is_empty()
        {
            self.hold_mmp()?;
        }
        let wrote = self.cache.write_back()?;
        let any = wrote || self.relieved || self.superblock_dirty || !self.dirty_descriptor_blocks.is_empty();
        self.relieved = false;
        let block_size = self.geometry.block_size as usize;
        for index in &self.dirty_descriptor_blocks {
            let from = *index as usize * block_size;
            let block = self.geometry.descriptor_block(&self.superblock, *index);
            if let Some(data) = self.table.get(from..from + block_size) {
                self.storage.write_at(self.geometry.offset(block), data)?;
            }
        }
        self.dirty_descriptor_blocks.clear();
        Ok(any)
    }

    /// Writes the superblock with the counts of now.
    pub(crate) fn write_superblock(&mut self) -> Result<()> {
        let free = self.free_clusters << self.geometry.cluster_shift;
        self.superblock.set_free_blocks(free);
        self.superblock.free_inodes = self.free_inodes.min(u64::from(u32::MAX)) as u32;
        let mut raw = self.superblock_raw.clone();
        self.superblock.seal_into(&mut raw);
        self.storage.write_at(1024, &raw)?;
        self.superblock_raw = raw;
        self.superblock_dirty = false;
        Ok(())
    }

    /// Refuses a superblock that lost the mark of its checksums.
    pub(crate) fn check_lost_checksum(&self) -> Result<()> {
        self.superblock.check_lost_checksum(&self.superblock_raw)
    }

    /// Whether the stored superblock tells other free counts than the groups.
    pub(crate) fn counts_differ(&self) -> bool {
        self.superblock.free_blocks() != self.free_clusters << self.geometry.cluster_shift
            || u64::from(self.superblock.free_inodes) != self.free_inodes
    }

    /// The time of now.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
