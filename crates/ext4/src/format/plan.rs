//! The files of a new filesystem: which inodes there are, and their blocks.

use super::content::{Content, InodePlan};
use super::defaults::journal_blocks;
use super::file_blocks::FileBlocks;
use super::fill::Fill;
use super::groups::Groups;
use super::options::FormatOptions;
use super::quota_files;
use super::write::{FIRST_FILE, LOST_AND_FOUND, LOST_AND_FOUND_SIZE, ROOT};
use crate::checksum::Checksums;
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::inode::InodeFlags;

const RESIZE: u32 = 7;
const JOURNAL: u32 = 8;
/// The quota files of users and groups; that of projects is an ordinary inode.
const QUOTAS: [u32; 2] = [3, 4];
/// Smallest journal in blocks.
const MIN_JOURNAL: u64 = 1024;
/// Least and most blocks of an orphan file.
const MIN_ORPHAN_BLOCKS: u64 = 32;
const MAX_ORPHAN_BLOCKS: u64 = 1024;
const MAX_JOURNAL: u64 = 10_240_000;
/// For so many blocks of the log one more is for fast commits.
const FAST_COMMIT_RATIO: u32 = 64;

/// All that is to be written besides the groups' own structures.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) inodes: Vec<InodePlan>,
    pub(super) contents: Vec<Content>,
    pub(super) journal_blocks: u32,
    /// The quota files by kind: inode and blocks.
    pub(super) quotas: [Option<(u32, FileBlocks)>; 3],
    /// The multi-mount protection block; 0 where there is none.
    pub(super) mmp_block: u64,
    /// The inode of the orphan file; 0 where there is none.
    pub(super) orphan_file: u32,
    /// Blocks that hold structures and the journal, not files.
    pub(super) overhead: u64,
    /// The blocks of the root directory and of `lost+found`.
    pub(super) root: FileBlocks,
    pub(super) lost_and_found: FileBlocks,
}

impl Plan {
    /// Gives every file its blocks, in the order in which mke2fs does. Where the filesystem is filled, the root directory is as
    /// large as that needs, and written later.
    pub(super) fn new(
        groups: &mut Groups,
        options: &FormatOptions,
        checksums: &Checksums,
        fill: Option<&Fill<'_>>,
    ) -> Result<Self> {
        let mut this = Self::default();
        let sizes = groups.sizes;
        this.overhead = sizes.blocks
            - (0..sizes.groups)
                .map(|g| u64::from(groups.free_in(g)))
                .sum::<u64>();
        let extents = sizes.features.incompat.contains(Incompat::EXTENTS);
        let start = sizes.group_start(0);
        // mke2fs puts files with block maps at the start, whatever they are.
        let files = |groups: &mut Groups, inode: u32, goal: u64, len: u32| {
            if extents {
                FileBlocks::extents(groups, goal, len, checksums.inode_seed(inode, 0))
            } else {
                FileBlocks::block_map(groups, start, len)
            }
        };
        let (root_blocks, lost_blocks) = match fill {
            Some(fill) => fill.first_directories()?,
            None => (1, None),
        };
        let root = files(groups, ROOT, start, root_blocks)?;
        let mut blocks = LOST_AND_FOUND_SIZE.div_ceil(sizes.block_size).clamp(2, 12);
        if sizes.features.incompat.contains(Incompat::INLINE_DATA) {
            // There the first of the steps by which mke2fs enlarges it only moves it out of the inode.
            blocks -= 1;
        }
        let lost_and_found = files(groups, LOST_AND_FOUND, start, lost_blocks.unwrap_or(blocks))?;
        (this.root, this.lost_and_found) = (root.clone(), lost_and_found.clone());
        if fill.is_none() {
            this.contents.push(Content::Directory {
                inode: ROOT,
                blocks: root.clone(),
                entries: vec![
                    (ROOT, b".".to_vec()),
                    (ROOT, b"..".to_vec()),
                    (LOST_AND_FOUND, b"lost+found".to_vec()),
                ],
            });
        }
        let mut entries = vec![(LOST_AND_FOUND, b".".to_vec()), (ROOT, b"..".to_vec())];
        if sizes.features.incompat.contains(Incompat::INLINE_DATA) {
            entries.push((0, Vec::new()));
        }
        if lost_blocks.is_none() {
            this.contents.push(Content::Directory {
                inode: LOST_AND_FOUND,
                blocks: lost_and_found.clone(),
                entries,
            });
        }
        this.inodes.push(InodePlan::bad_blocks());
        this.inodes.push(InodePlan::directory(
            ROOT,
            0o755,
            3,
            root,
            &sizes,
            options.root_owner,
        ));
        if sizes.features.compat.contains(Compat::RESIZE_INODE) {
            this.resize_inode(groups)?;
        }
        let mut directory = InodePlan::directory(LOST_AND_FOUND, 0o700, 2, lost_and_found, &sizes, (0, 0));
        directory.empty_xattrs = sizes.features.incompat.contains(Incompat::INLINE_DATA);
        if sizes.features.compat.contains(Compat::HAS_JOURNAL) {
            let (blocks, fast_commits) = this.journal_size(groups, options)?;
            let goal = match options.journal.location {
                Some(block) => block,
                None if options.packed => 0,
                None => groups.journal_goal(),
            };
            let file = files(groups, JOURNAL, goal, blocks + fast_commits)?;
            this.journal_blocks = blocks + fast_commits;
            this.overhead += sizes.whole_clusters(this.journal_blocks.into());
            this.contents.push(Content::Journal {
                blocks: file.clone(),
                log: blocks,
                fast_commits,
            });
            this.inodes
                .push(InodePlan::file(JOURNAL, this.journal_blocks, file, &sizes));
        }
        this.inodes.push(directory);
        if sizes.features.incompat.contains(Incompat::MMP) {
            let (block, _) = groups.allocate(start, 1)?;
            this.mmp_block = block;
            this.contents.push(Content::Mmp { block });
        }
        this.quota_files(groups, options, checksums, fill)?;
        if sizes.features.compat.contains(Compat::ORPHAN_FILE) {
            let blocks = match options.orphan_file_size {
                Some(size) => size
                    .div_ceil(sizes.block_size.into())
                    .clamp(MIN_ORPHAN_BLOCKS, MAX_ORPHAN_BLOCKS) as u32,
                None => orphan_blocks(sizes.blocks),
            };
            let blocks = blocks.next_multiple_of(sizes.cluster);
            let inode = FIRST_FILE + u32::from(sizes.quotas[2]);
            let file = files(groups, inode, start, blocks)?;
            this.contents.push(Content::OrphanFile {
                inode,
                blocks: file.clone(),
            });
            this.orphan_file = inode;
            this.inodes.push(InodePlan::file(inode, blocks, file, &sizes));
        }
        Ok(this)
    }

    /// The quota files, as large as those who own files make them.
    fn quota_files(
        &mut self,
        groups: &mut Groups,
        options: &FormatOptions,
        checksums: &Checksums,
        fill: Option<&Fill<'_>>,
    ) -> Result<()> {
        let sizes = groups.sizes;
        let [users, owners, _] = match fill {
            Some(fill) => fill.owners(),
            None => [
                vec![options.root_owner.0, 0],
                vec![options.root_owner.1, 0],
                Vec::new(),
            ],
        };
        for (kind, ids) in [users, owners, vec![0]].iter().enumerate() {
            if sizes.quotas.get(kind) != Some(&true) {
                continue;
            }
            let number = QUOTAS.get(kind).copied().unwrap_or(FIRST_FILE);
            let len = quota_files::len(kind, ids) as u64;
            let blocks = len.div_ceil(sizes.block_size.into()) as u32;
            let seed = checksums.inode_seed(number, 0);
            let file = FileBlocks::quota(groups, sizes.group_start(0), blocks, seed)?;
            let mut inode = InodePlan::file(number, blocks, file.clone(), &sizes);
            inode.inode.set_size(len);
            inode.inode.set_flag(InodeFlags::IMMUTABLE, true);
            self.inodes.push(inode);
            if let Some(slot) = self.quotas.get_mut(kind) {
                *slot = Some((number, file));
            }
        }
        Ok(())
    }

    /// The inode that owns the blocks reserved for descriptors: each of those in group 0 is an indirect block that
    /// points to its copies.
    fn resize_inode(&mut self, groups: &mut Groups) -> Result<()> {
        let sizes = groups.sizes;
        // Behind where group 0's table ends if nothing lies between.
        let start = sizes.super_block(0) as u32;
        let before = start + sizes.descriptor_blocks + sizes.reserved_gdt_blocks + 2;
        let goal = u64::from(before + sizes.inode_blocks_per_group);
        let (double, _) = groups.allocate(goal, 1)?;
        let per_block = sizes.block_size / 4;
        let backups: Vec<u32> = (1..sizes.groups)
            .filter(|group| sizes.has_super(*group))
            .collect();
        let first = u64::from(start + 1 + sizes.descriptor_blocks);
        let mut map = vec![0; sizes.block_size as usize];
        for i in 0..sizes.reserved_gdt_blocks {
            let block = first + u64::from(i);
            let slot = ((sizes.descriptor_blocks + i) % per_block) as usize;
            crate::record::put32(&mut map, 4 * slot, block as u32);
            let mut copies = vec![0; sizes.block_size as usize];
            for (slot, group) in backups.iter().enumerate() {
                let copy = block + u64::from(*group) * u64::from(sizes.blocks_per_group);
                crate::record::put32(&mut copies, 4 * slot, copy as u32);
            }
            self.contents.push(Content::Block { block, bytes: copies });
        }
        self.contents.push(Content::Block {
            block: double,
            bytes: map,
        });
        let blocks = 1 + u64::from(sizes.reserved_gdt_blocks) * (1 + backups.len() as u64);
        self.inodes
            .push(InodePlan::resize(RESIZE, double, blocks, &sizes));
        Ok(())
    }

    fn journal_size(&self, groups: &Groups, options: &FormatOptions) -> Result<(u32, u32)> {
        let sizes = &groups.sizes;
        let invalid = |reason: String| Error::InvalidOption {
            what: "journal size",
            reason,
        };
        let total = match options.journal.size_mib {
            Some(mib) => {
                let blocks = (u64::from(mib) << 20) / u64::from(sizes.block_size);
                if !(MIN_JOURNAL..=MAX_JOURNAL.min(sizes.blocks / 2)).contains(&blocks) {
                    return Err(invalid(format!(
                        "{blocks} blocks are not within 1024 and half of the filesystem"
                    )));
                }
                blocks as u32
            }
            None => journal_blocks(sizes.blocks)
                .ok_or_else(|| invalid("the filesystem is too small for a journal".into()))?,
        };
        if !sizes.features.compat.contains(Compat::FAST_COMMIT) {
            return Ok((total, 0));
        }
        let fast_commits = match options.journal.fast_commit_kib {
            Some(kib) => (u64::from(kib) * 1024 / u64::from(sizes.block_size)) as u32,
            None => total / FAST_COMMIT_RATIO,
        };
        Ok((total, fast_commits))
    }
}

/// Blocks of the orphan file of a filesystem with so many blocks.
fn orphan_blocks(fs_blocks: u64) -> u32 {
    match fs_blocks {
        n if n < 128 << 10 => 32,
        n if n < 2 << 20 => (n / 4096) as u32,
        _ => 512,
    }
}
