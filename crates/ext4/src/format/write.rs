//! Writes a new filesystem.

use super::content::{Content, EXTRA_ISIZE};
use super::directory;
use super::fill::{self, Fill, InodeWriter};
use super::groups::Groups;
use super::options::FormatOptions;
use super::plan::Plan;
use super::quota_files::{self, UsedByIds};
use super::sizes::Sizes;
use crate::checksum::{self, Checksums};
use crate::error::{Error, Result};
use crate::features::{Features, Incompat, RoCompat};
use crate::group_descriptor::{GROUP_BLOCK_UNINIT, GROUP_INODE_UNINIT, GROUP_INODE_ZEROED, GroupDescriptor};
use crate::journal::JournalSuperblock;
use crate::mmp::{MMP_MAGIC, MmpBlock, SEQ_CLEAN};
use crate::record::put32;
use crate::superblock::{
    FLAG_SIGNED_HASH, MAGIC, STATE_VALID, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock,
};
use disksmith_storage::{Storage, ZeroMode};
use disksmith_vfs::{SourceBody, SourceContents, SourceTree, Timestamp};

/// `s_flags`: made to try code that is being written.
const FLAG_TEST: u32 = 4;
/// `s_default_mount_opts`: user attributes and ACLs.
const DEFAULT_MOUNT_OPTIONS: u32 = 0x0C;
/// `s_def_hash_version`: half of MD4.
const HASH_HALF_MD4: u8 = 1;
/// The last word but one of each block of the orphan file.
const ORPHAN_MAGIC: u32 = 0x0B10_CA04;
/// `s_encrypt_algos`: AES-256-XTS for contents, AES-256-CTS for names.
const ENCRYPTION: [u8; 4] = [1, 4, 0, 0];
/// `s_encoding`: UTF-8, Unicode 12.1.
const ENCODING_UTF8_12_1: u16 = 1;
/// What may hold superblocks of something else (RAID) at both ends.
const WIPED: u64 = 64 << 10;
/// Files larger than this need the feature `large_file`.
const LARGE_FILE: u64 = i32::MAX as u64;
/// Sizes that are chosen are multiples of this, and so many are tried.
const SIZE_STEP: u64 = 64 << 10;
const MAX_TRIES: u32 = 200;
/// No filesystem is larger.
const MAX_SIZE: u64 = 1 << 60;
/// Seconds between looks at the multi-mount protection block, and the most that mke2fs takes.
const MMP_INTERVAL: u16 = 5;
const MAX_MMP_INTERVAL: u16 = 300;
/// The root directory.
pub(super) const ROOT: u32 = 2;
/// The directory for what e2fsck finds.
pub(super) const LOST_AND_FOUND: u32 = 11;
/// `lost+found` is made this large where 12 blocks suffice for it.
pub(super) const LOST_AND_FOUND_SIZE: u32 = 16 * 1024;
/// The first inode behind those that every filesystem has.
pub(super) const FIRST_FILE: u32 = 12;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// Block size in bytes.
    pub block_size: u32,
    /// Seconds between looks at the multi-mount protection block, where there is one.
    pub mmp_interval: Option<u16>,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Length of the journal in blocks; 0 where there is none.
    pub journal_blocks: u32,
    /// The features.
    pub features: Features,
    /// Inode size in bytes.
    pub inode_size: u16,
    /// The first block of the first group.
    pub first_data_block: u32,
    /// Blocks that only root may take.
    pub reserved_blocks: u64,
    /// Number of block groups.
    pub groups: u32,
    /// Blocks in each group but the last.
    pub blocks_per_group: u32,
    /// Cluster size in bytes; the block size without `bigalloc`.
    pub cluster_size: u32,
    /// Inodes in each group.
    pub inodes_per_group: u32,
    /// How many blocks the reserved descriptor blocks let it grow to; 0 where there are none.
    pub max_blocks: u64,
    /// The blocks with copies of the superblock.
    pub backups: Vec<u64>,
}

/// Makes a filesystem on a storage, which loses what it held.
///
/// The same options on a storage of the same size give the same bytes. What must read as zeroes (inode tables, the journal)
/// is not written where the storage knows that it does.
///
/// # Errors
/// [`Error::InvalidOption`] names the option that cannot be, before anything is written; [`Error::Unsupported`] a
/// feature that cannot be made; and whatever the storage says.
pub fn make(storage: &dyn Storage, options: &FormatOptions) -> Result<Formatted> {
    make_with(storage, options, None)
}

/// Makes a filesystem with files in it, everything in the order in which it lies.
///
/// Change and creation times are those of the options; the time of the last access is that of the last change of contents, so that the
/// same files give the same bytes.
///
/// # Errors
/// As [`make`]; [`Error::NoSpace`] where the files do not fit, and whatever reading them says. The storage holds no filesystem then.
pub fn make_filled(
    storage: &dyn Storage,
    options: &FormatOptions,
    tree: &SourceTree,
    contents: &mut dyn SourceContents,
) -> Result<Formatted> {
    make_with(storage, options, Some((tree, contents)))
}

/// What [`make`] would make on a storage of `size` bytes; nothing is written.
///
/// # Errors
/// As [`make`].
pub fn plan(size: u64, options: &FormatOptions) -> Result<Formatted> {
    check(options)?;
    let sizes = Sizes::new(options, size)?;
    let checksums = superblock(options, &sizes).checksums();
    let mut groups = Groups::new(sizes, options)?;
    let plan = Plan::new(&mut groups, options, &checksums, None)?;
    Ok(formatted(options, &sizes, &plan))
}

/// The options of a filesystem that has room for the files of a tree and `free` bytes more: size and number of inodes are added
/// where they are not given. Gives the size in bytes too.
///
/// # Errors
/// [`Error::InvalidOption`] for options that cannot be.
pub fn fit(options: &FormatOptions, tree: &SourceTree, free: u64) -> Result<(u64, FormatOptions)> {
    let mut size: u64 = 256 << 10;
    for _ in 0..MAX_TRIES {
        let mut options = options.clone();
        let sizes = match Sizes::new(&options, size) {
            Ok(sizes) => sizes,
            Err(error) if size >= 1 << 60 => return Err(error),
            // Too small for a filesystem at all.
            Err(_) if size < 1 << 30 => {
                size += size / 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        let (blocks, inodes) = fill::needs(tree, &sizes);
        let block_size = u64::from(sizes.block_size);
        let wanted = blocks.saturating_add(free.div_ceil(block_size));
        let enough = |sizes: &Sizes| u64::from(sizes.inodes_per_group) * u64::from(sizes.groups) >= inodes;
        if options.inodes.is_none() && !enough(&sizes) {
            options.inodes = Some(inodes + inodes / 16);
        }
        let left = Sizes::new(&options, size).and_then(|sizes| {
            let checksums = superblock(&options, &sizes).checksums();
            let mut groups = Groups::new(sizes, &options)?;
            Plan::new(&mut groups, &options, &checksums, None)?;
            let left: u64 = (0..sizes.groups)
                .map(|group| u64::from(groups.free_in(group)))
                .sum();
            // Every group may end with a gap that an extent tree has to cross.
            Ok((
                left.saturating_sub(u64::from(sizes.groups)),
                enough(&sizes),
                sizes,
            ))
        });
        match left {
            Ok((left, true, sizes)) if left >= wanted => return Ok((sizes.blocks * block_size, options)),
            Ok((left, _, _)) => {
                let missing = wanted.saturating_sub(left).max(1);
                let more = missing.saturating_mul(block_size);
                size = size
                    .saturating_add(more)
                    .min(MAX_SIZE)
                    .next_multiple_of(SIZE_STEP);
            }
            Err(_) => size = (size + size / 4).min(MAX_SIZE).next_multiple_of(SIZE_STEP),
        }
    }
    Err(Error::InvalidOption {
        what: "size",
        reason: "no size fits the files".into(),
    })
}

/// Whether the files of a tree fit a filesystem of `size` bytes.
pub fn files_fit(options: &FormatOptions, tree: &SourceTree, size: u64) -> bool {
    let free = || -> Result<bool> {
        let sizes = Sizes::new(options, size)?;
        let checksums = superblock(options, &sizes).checksums();
        let mut groups = Groups::new(sizes, options)?;
        Plan::new(&mut groups, options, &checksums, None)?;
        let free: u64 = (0..sizes.groups)
            .map(|group| u64::from(groups.free_in(group)))
            .sum();
        let (blocks, inodes) = fill::needs(tree, &sizes);
        Ok(free >= blocks && u64::from(sizes.inodes_per_group) * u64::from(sizes.groups) >= inodes)
    };
    free().unwrap_or(false)
}

fn check(options: &FormatOptions) -> Result<()> {
    if options.label.len() > 16 || options.last_mounted.len() > 64 {
        return Err(Error::InvalidOption {
            what: "label",
            reason: "longer than 16 bytes (64 for the last mount point)".into(),
        });
    }
    if options.mmp_interval > MAX_MMP_INTERVAL {
        return Err(Error::InvalidOption {
            what: "multi-mount protection interval",
            reason: format!(
                "{} seconds are more than {MAX_MMP_INTERVAL}",
                options.mmp_interval
            ),
        });
    }
    Ok(())
}

fn formatted(options: &FormatOptions, sizes: &Sizes, plan: &Plan) -> Formatted {
    Formatted {
        block_size: sizes.block_size,
        mmp_interval: (plan.mmp_block != 0).then(|| mmp_interval(options)),
        blocks: sizes.blocks,
        inodes: sizes.inodes_per_group * sizes.groups,
        journal_blocks: plan.journal_blocks,
        features: sizes.features,
        inode_size: sizes.inode_size,
        first_data_block: sizes.first_data_block,
        reserved_blocks: sizes.reserved_blocks,
        groups: sizes.groups,
        blocks_per_group: sizes.blocks_per_group,
        cluster_size: sizes.block_size * sizes.cluster,
        inodes_per_group: sizes.inodes_per_group,
        max_blocks: match sizes.reserved_gdt_blocks {
            0 => 0,
            reserved => {
                u64::from(reserved + sizes.descriptor_blocks)
                    * u64::from(sizes.block_size / sizes.descriptor_size)
                    * u64::from(sizes.blocks_per_group)
            }
        },
        backups: (1..sizes.groups)
            .filter(|group| sizes.has_super(*group))
            .map(|group| sizes.group_start(group))
            .collect(),
    }
}

fn make_with(
    storage: &dyn Storage,
    options: &FormatOptions,
    files: Option<(&SourceTree, &mut dyn SourceContents)>,
) -> Result<Formatted> {
    check(options)?;
    let mut sizes = Sizes::new(options, storage.size())?;
    if let Some((tree, _)) = &files
        && tree
            .inodes()
            .iter()
            .any(|inode| matches!(inode.body, SourceBody::File { size, .. } if size > LARGE_FILE))
    {
        sizes.features.ro_compat |= RoCompat::LARGE_FILE;
    }
    let mut superblock = superblock(options, &sizes);
    let checksums = superblock.checksums();
    let mut groups = Groups::new(sizes, options)?;
    let fill = match &files {
        Some((tree, _)) => Some(Fill::new(tree, sizes, checksums, options)?),
        None => None,
    };
    let plan = Plan::new(&mut groups, options, &checksums, fill.as_ref())?;
    let mut maker = Maker {
        storage,
        sizes,
        groups,
        checksums,
        time: Timestamp {
            seconds: options.time,
            nanoseconds: 0,
        },
        written: 0,
        used: UsedByIds::default(),
        hidden: vec![plan.orphan_file],
    };
    if let Some((number, _)) = plan.quotas.last().and_then(Option::as_ref) {
        maker.hidden.push(*number);
    }
    maker.wipe()?;
    maker.contents(&plan, options)?;
    let mut inodes = maker.inodes(&plan);
    let mut usage = Usage {
        last: inodes.len() as u32,
        directories: vec![0; sizes.groups as usize],
    };
    for number in [ROOT, LOST_AND_FOUND] {
        if let Some(count) = usage
            .directories
            .get_mut(((number - 1) / sizes.inodes_per_group) as usize)
        {
            *count += 1;
        }
    }
    match (fill, files) {
        (Some(fill), Some((_, contents))) => {
            usage.last = fill.last.max(usage.last);
            fill.count_directories(&mut usage.directories);
            let time = maker.time;
            fill.write(
                &mut maker,
                contents,
                [&plan.root, &plan.lost_and_found],
                &mut inodes,
                time,
            )?;
        }
        _ => maker.first_inodes(&mut inodes)?,
    }
    maker.quotas(&plan)?;
    let table = maker.groups(&usage, &mut superblock)?;
    maker.superblocks(&plan, superblock, &table)?;
    Ok(formatted(options, &sizes, &plan))
}

/// Which inodes are in use.
struct Usage {
    /// All up to this one.
    last: u32,
    /// How many of each group's are directories.
    directories: Vec<u32>,
}

fn superblock(options: &FormatOptions, sizes: &Sizes) -> Superblock {
    let mut sb = Superblock {
        inodes_count: sizes.inodes_per_group * sizes.groups,
        first_data_block: sizes.first_data_block,
        log_block_size: sizes.block_size.trailing_zeros() - 10,
        log_cluster_size: (sizes.block_size.trailing_zeros() - 10) + sizes.cluster.trailing_zeros(),
        blocks_per_group: sizes.blocks_per_group,
        clusters_per_group: sizes.clusters_per_group(),
        inodes_per_group: sizes.inodes_per_group,
        max_mount_count: u16::MAX,
        magic: MAGIC,
        state: STATE_VALID,
        errors: options.errors,
        revision: 1,
        first_inode: 11,
        inode_size: sizes.inode_size,
        uuid: options.uuid,
        reserved_gdt_blocks: sizes.reserved_gdt_blocks as u16,
        default_hash_version: HASH_HALF_MD4,
        default_mount_options: DEFAULT_MOUNT_OPTIONS,
        flags: FLAG_SIGNED_HASH | if options.test { FLAG_TEST } else { 0 },
        raid_stride: options.stride,
        raid_stripe_width: options.stripe_width,
        log_groups_per_flex: sizes.flex_groups.trailing_zeros() as u8,
        backup_groups: sizes.backup_groups,
        ..Superblock::default()
    };
    crate::record::put_array(&mut sb.volume_name, 0, &options.label);
    crate::record::put_array(&mut sb.last_mounted, 0, &options.last_mounted);
    for (word, bytes) in sb.hash_seed.iter_mut().zip(options.hash_seed.chunks_exact(4)) {
        *word = crate::record::le32(bytes, 0);
    }
    sb.set_features(sizes.features);
    sb.set_blocks_count(sizes.blocks);
    sb.set_reserved_blocks(sizes.reserved_blocks);
    let seconds = options.time.clamp(0, (1 << 40) - 1) as u64;
    (sb.mkfs_time, sb.mkfs_time_hi) = (seconds as u32, (seconds >> 32) as u8);
    (sb.write_time, sb.write_time_hi) = (sb.mkfs_time, sb.mkfs_time_hi);
    (sb.last_check, sb.last_check_hi) = (sb.mkfs_time, sb.mkfs_time_hi);
    if sizes.inode_size > 128 {
        sb.min_extra_isize = EXTRA_ISIZE;
        sb.want_extra_isize = EXTRA_ISIZE;
    }
    if sizes.descriptor_size > 32 {
        sb.descriptor_size = sizes.descriptor_size as u16;
    }
    if sizes.features.has_metadata_csum() {
        sb.checksum_type = 1;
    }
    if sizes.features.incompat.contains(Incompat::ENCRYPT) {
        sb.encrypt_algorithms = ENCRYPTION;
    }
    if sizes.features.incompat.contains(Incompat::CASEFOLD) {
        sb.encoding = ENCODING_UTF8_12_1;
        sb.encoding_flags = options.encoding_flags;
    }
    if sizes.features.incompat.contains(Incompat::MMP) {
        sb.mmp_interval = mmp_interval(options);
    }
    if sizes.features.incompat.contains(Incompat::CSUM_SEED) {
        sb.checksum_seed = checksum::crc32c(!0, &options.uuid);
    }
    sb
}

/// Seconds between looks at the multi-mount protection block.
fn mmp_interval(options: &FormatOptions) -> u16 {
    match options.mmp_interval {
        0 => MMP_INTERVAL,
        seconds => seconds,
    }
}

pub(super) struct Maker<'a> {
    storage: &'a dyn Storage,
    pub(super) sizes: Sizes,
    pub(super) groups: Groups,
    pub(super) checksums: Checksums,
    time: Timestamp,
    /// Bytes written.
    written: u64,
    /// What the ids of each kind use, of the inodes written so far.
    used: UsedByIds,
    /// Inodes that nobody is charged for.
    hidden: Vec<u32>,
}

impl Maker<'_> {
    pub(super) fn offset(&self, block: u64) -> u64 {
        block * u64::from(self.sizes.block_size)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.storage.write_at(offset, bytes)?;
        Ok(())
    }

    pub(super) fn write_block(&mut self, block: u64, bytes: &[u8]) -> Result<()> {
        self.write(self.offset(block), bytes)
    }

    /// Makes a range read as zeroes, as far as it does not already.
    fn clear(&mut self, offset: u64, len: u64) -> Result<()> {
        let mut at = offset;
        let end = offset.saturating_add(len).min(self.storage.size());
        while at < end {
            let extent = self.storage.extent_at(at, end - at)?;
            let run = extent.len.min(end - at);
            if !extent.reads_as_zero() {
                self.storage.write_zeroes(at, run, ZeroMode::Unmap)?;
            }
            at += run.max(1);
        }
        Ok(())
    }

    /// Clears what has to be zero, and traces of what was there before; says that the rest no longer matters.
    fn wipe(&mut self) -> Result<()> {
        let sizes = self.sizes;
        let end = self.offset(sizes.blocks);
        self.storage.discard(0, end)?;
        self.clear(0, WIPED.min(end))?;
        let tail = end.saturating_sub(2 * WIPED);
        self.clear(tail, self.storage.size() - tail)?;
        for group in 0..sizes.groups {
            if let Some(placed) = self.groups.list.get(group as usize) {
                let table = u64::from(sizes.inode_blocks_per_group) * u64::from(sizes.block_size);
                self.clear(self.offset(placed.inode_table), table)?;
            }
            if let Some(copy) = sizes.descriptors_in(group) {
                let blocks = u64::from(copy.len + sizes.reserved_gdt_blocks);
                self.clear(self.offset(copy.block), self.offset(blocks))?;
            }
        }
        Ok(())
    }

    fn contents(&mut self, plan: &Plan, options: &FormatOptions) -> Result<()> {
        let block_size = self.sizes.block_size;
        let filetype = self.sizes.features.incompat.contains(Incompat::FILETYPE);
        for content in &plan.contents {
            match content {
                Content::Block { block, bytes } => self.write_block(*block, bytes)?,
                Content::Directory {
                    inode,
                    blocks,
                    entries,
                } => {
                    let seed = self.checksums.inode_seed(*inode, 0);
                    let entries: Vec<(u32, &[u8])> = entries
                        .iter()
                        .map(|(inode, name)| (*inode, name.as_slice()))
                        .collect();
                    let full = directory::block(block_size, &entries, filetype, seed);
                    let empty = directory::block(block_size, &[], filetype, seed);
                    for (i, block) in all_blocks(&blocks.runs).enumerate() {
                        self.write_block(block, if i == 0 { &full } else { &empty })?;
                    }
                    self.map(&blocks.map)?;
                }
                Content::Journal {
                    blocks,
                    log,
                    fast_commits,
                } => {
                    for (_, block, len) in &blocks.runs {
                        self.clear(self.offset(*block), self.offset((*len).into()))?;
                    }
                    let superblock = JournalSuperblock::new(block_size, *log, *fast_commits, options.uuid);
                    if let Some(block) = blocks.physical(0) {
                        let mut bytes = superblock.to_bytes();
                        bytes.resize(block_size as usize, 0);
                        self.write_block(block, &bytes)?;
                    }
                    self.map(&blocks.map)?;
                }
                Content::Mmp { block } => {
                    let mut bytes = vec![0; block_size as usize];
                    let mut mmp = MmpBlock {
                        magic: MMP_MAGIC,
                        sequence: SEQ_CLEAN,
                        time: options.time.max(0) as u64,
                        interval: mmp_interval(options).max(MMP_INTERVAL),
                        ..MmpBlock::default()
                    };
                    mmp.encode_into(&mut bytes);
                    if let Some(sum) = self.checksums.mmp(&bytes) {
                        mmp.checksum = sum;
                        mmp.encode_into(&mut bytes);
                    }
                    self.write_block(*block, &bytes)?;
                }
                Content::OrphanFile { inode, blocks } => {
                    let seed = self.checksums.inode_seed(*inode, 0);
                    for block in all_blocks(&blocks.runs) {
                        let mut bytes = vec![0; block_size as usize];
                        let tail = bytes.len() - 8;
                        put32(&mut bytes, tail, ORPHAN_MAGIC);
                        if let Some(seed) = seed {
                            let sum = seed.orphan_block(block, &bytes);
                            put32(&mut bytes, tail + 4, sum);
                        }
                        self.write_block(block, &bytes)?;
                    }
                    self.map(&blocks.map)?;
                }
            }
        }
        Ok(())
    }

    /// Counts an inode that is about to be written.
    pub(super) fn charge(&mut self, number: u32, raw: &[u8]) {
        if self.sizes.quotas != [false; 3] {
            quota_files::charge(&mut self.used, number, raw, &self.sizes, &self.hidden);
        }
    }

    /// Writes the quota files, when all inodes are written.
    fn quotas(&mut self, plan: &Plan) -> Result<()> {
        for (kind, file) in plan.quotas.iter().enumerate() {
            let (Some((_, blocks)), Some(used)) = (file, self.used.get(kind)) else {
                continue;
            };
            let mut bytes = quota_files::build(kind, used);
            let size = self.sizes.block_size as usize;
            bytes.resize(bytes.len().next_multiple_of(size), 0);
            let places: Vec<u64> = all_blocks(&blocks.runs).collect();
            for (block, part) in places.into_iter().zip(bytes.chunks_exact(size)) {
                self.write_block(block, part)?;
            }
            self.map(&blocks.map)?;
        }
        Ok(())
    }

    pub(super) fn map(&mut self, map: &[(u64, Vec<u8>)]) -> Result<()> {
        for (block, bytes) in map {
            self.write_block(*block, bytes)?;
        }
        Ok(())
    }

    /// The first inodes, the reserved ones that are not used among them, without their checksums.
    fn inodes(&self, plan: &Plan) -> Vec<Vec<u8>> {
        let size = self.sizes.inode_size;
        let last = plan.inodes.iter().map(|plan| plan.number).max().unwrap_or(0);
        (1..=last)
            .map(
                |number| match plan.inodes.iter().find(|plan| plan.number == number) {
                    Some(plan) => plan.to_raw(size, self.time),
                    None => vec![0; size.into()],
                },
            )
            .collect()
    }

    /// Writes the first inodes.
    fn first_inodes(&mut self, inodes: &mut [Vec<u8>]) -> Result<()> {
        let mut writer = InodeWriter::new(&self.sizes);
        for raw in inodes {
            writer.push(self, raw)?;
        }
        writer.flush(self)
    }

    /// Writes the bitmaps that are in use; returns the descriptor table.
    fn groups(&mut self, usage: &Usage, superblock: &mut Superblock) -> Result<Vec<u8>> {
        let sizes = self.sizes;
        let lazy = sizes.features.has_group_checksums();
        let width = sizes.descriptor_size as usize;
        let mut table = vec![0; sizes.descriptor_blocks as usize * sizes.block_size as usize];
        let mut free_blocks = 0;
        for (number, raw) in (0..sizes.groups).zip(table.chunks_exact_mut(width)) {
            let Some(group) = self.groups.list.get(number as usize).copied() else {
                continue;
            };
            let before = u64::from(number) * u64::from(sizes.inodes_per_group);
            let used = u64::from(usage.last)
                .saturating_sub(before)
                .min(sizes.inodes_per_group.into()) as u32;
            let free = self.groups.free_in(number);
            free_blocks += u64::from(free);
            let mut descriptor = GroupDescriptor::default();
            descriptor.set_block_bitmap(group.block_bitmap);
            descriptor.set_inode_bitmap(group.inode_bitmap);
            descriptor.set_inode_table(group.inode_table);
            descriptor.set_free_clusters(free / sizes.cluster);
            descriptor.set_free_inodes(sizes.inodes_per_group - used);
            descriptor.set_used_dirs(usage.directories.get(number as usize).copied().unwrap_or(0));
            // The descriptors' zeroed flag is set without checksums too, as mke2fs does on files.
            descriptor.flags |= GROUP_INODE_ZEROED;
            if lazy {
                descriptor.set_itable_unused(sizes.inodes_per_group - used);
            }
            if lazy && used == 0 {
                descriptor.flags |= GROUP_INODE_UNINIT;
            } else {
                let bitmap = inode_bitmap(&sizes, used);
                let part = bitmap.get(..sizes.inodes_per_group as usize / 8).unwrap_or(&[]);
                if let Some(sum) = self.checksums.bitmap(part) {
                    descriptor.set_inode_bitmap_csum(sum);
                }
                self.write_block(group.inode_bitmap, &bitmap)?;
            }
            if lazy && !group.touched && number + 1 != sizes.groups {
                descriptor.flags |= GROUP_BLOCK_UNINIT;
            } else {
                let bitmap = self.block_bitmap(number);
                let part = bitmap
                    .get(..sizes.clusters_per_group() as usize / 8)
                    .unwrap_or(&[]);
                if let Some(sum) = self.checksums.bitmap(part) {
                    descriptor.set_block_bitmap_csum(sum);
                }
                self.write_block(group.block_bitmap, &bitmap)?;
            }
            descriptor.seal_into(raw, number, &self.checksums);
        }
        superblock.set_free_blocks(free_blocks);
        superblock.free_inodes = superblock.inodes_count - usage.last;
        Ok(table)
    }

    fn block_bitmap(&self, group: u32) -> Vec<u8> {
        let sizes = &self.sizes;
        let start = sizes.group_start(group);
        let end = sizes.group_end(group);
        let cluster = u64::from(sizes.cluster);
        let mut bitmap = vec![0; sizes.block_size as usize];
        for range in self.groups.taken.within(start..end) {
            set_bits(
                &mut bitmap,
                ((range.start - start) / cluster) as usize,
                (range.end - start).div_ceil(cluster) as usize,
            );
        }
        let bits = bitmap.len() * 8;
        set_bits(&mut bitmap, ((end - start) / cluster) as usize, bits);
        bitmap
    }

    /// Writes the descriptors and superblocks with all their copies, the first superblock last.
    fn superblocks(&mut self, plan: &Plan, mut superblock: Superblock, table: &[u8]) -> Result<()> {
        let sizes = self.sizes;
        let block_size = sizes.block_size as usize;
        superblock.overhead = (plan.overhead / u64::from(sizes.cluster)) as u32;
        if let Some(journal) = plan.inodes.iter().find(|plan| plan.number == 8) {
            superblock.journal_inode = 8;
            superblock.journal_backup_type = 1;
            let words = journal
                .inode
                .block
                .chunks_exact(4)
                .map(|b| crate::record::le32(b, 0));
            for (slot, word) in superblock.journal_backup.iter_mut().zip(words) {
                *slot = word;
            }
            let [.., high, low] = &mut superblock.journal_backup;
            (*high, *low) = (journal.inode.size_hi, journal.inode.size_lo);
        }
        superblock.orphan_file_inode = plan.orphan_file;
        superblock.mmp_block = plan.mmp_block;
        let quota = |kind: usize| plan.quotas.get(kind).and_then(|q| q.as_ref().map(|(n, _)| *n));
        superblock.user_quota_inode = quota(0).unwrap_or(0);
        superblock.group_quota_inode = quota(1).unwrap_or(0);
        superblock.project_quota_inode = quota(2).unwrap_or(0);
        for group in 0..sizes.groups {
            if let Some(copy) = sizes.descriptors_in(group) {
                let first = copy.first as usize * block_size;
                let part = table
                    .get(first..first + copy.len as usize * block_size)
                    .unwrap_or(&[]);
                self.write_block(copy.block, part)?;
            }
            if group > 0 && sizes.has_super(group) {
                let mut copy = superblock.clone();
                copy.block_group_nr = group as u16;
                // Copies never say that all is well.
                copy.state = 0;
                let mut bytes = vec![0; SUPERBLOCK_SIZE];
                copy.seal_into(&mut bytes);
                bytes.resize(block_size, 0);
                self.write_block(sizes.group_start(group), &bytes)?;
            }
        }
        superblock.kbytes_written = self.written / 1024 + 1;
        let mut bytes = vec![0; SUPERBLOCK_SIZE];
        superblock.seal_into(&mut bytes);
        self.write(SUPERBLOCK_OFFSET, &bytes)
    }
}

/// The inode bitmap of a group whose first `used` inodes are in use.
fn inode_bitmap(sizes: &Sizes, used: u32) -> Vec<u8> {
    let mut bitmap = vec![0; sizes.block_size as usize];
    let bits = bitmap.len() * 8;
    set_bits(&mut bitmap, 0, used as usize);
    set_bits(&mut bitmap, sizes.inodes_per_group as usize, bits);
    bitmap
}

fn set_bits(bitmap: &mut [u8], from: usize, to: usize) {
    for (i, byte) in bitmap.iter_mut().enumerate().take(to.div_ceil(8)).skip(from / 8) {
        let low = from.saturating_sub(8 * i).min(8);
        let high = to.saturating_sub(8 * i).min(8);
        if low < high {
            *byte |= ((1u16 << high) - (1u16 << low)) as u8;
        }
    }
}

fn all_blocks(runs: &[(u32, u64, u32)]) -> impl Iterator<Item = u64> + '_ {
    runs.iter()
        .flat_map(|(_, block, len)| *block..block + u64::from(*len))
}
