//! Replaying fast commits: what happened since the last full transaction, told as changes of inodes, extents and names
//! (kernel documentation, "Fast Commits" in journal.rst, and `ext4_fc_replay`).
//!
//! While they are replayed no block is given back to the allocator, and what the records give to files is reserved
//! beforehand: a block that a directory needs on the way must not be one that a later record hands to a file. At the end
//! those that nobody took are freed.

use crate::bitmap;
use crate::core::Core;
use crate::directory::{file_type_of, kind_of};
use crate::error::{Error, Result};
use crate::extent_record::ExtentLeaf;
use crate::inode::{INODE_BASE_SIZE, Inode, InodeFlags};
use crate::inode_table::{Node, ROOT_INODE};
use crate::journal::{FastCommitName, FastCommitRecord};
use crate::namespace::{MAX_LINKS, check_name};
use crate::record::le16;
use disksmith_vfs::FileType;
use std::collections::BTreeSet;

/// Byte offsets between which an inode holds its blocks or what stands in their place.
const BLOCK_FIELD: std::ops::Range<usize> = 0x28..0x64;
/// Trees of more extents than this are not gone through.
const MAX_EXTENTS: usize = 1 << 22;

/// Runs of blocks: first and one past the last.
type Runs = Vec<(u64, u64)>;

impl Core {
    /// Replays records, in order. Part of an operation that the caller begins and ends.
    pub(crate) fn replay_fast_commits(&mut self, records: &[FastCommitRecord]) -> Result<()> {
        if self.geometry.cluster_shift > 0 {
            return Err(Error::unsupported("replaying fast commits with bigalloc"));
        }
        let mut spare = Runs::new();
        for record in records {
            if let FastCommitRecord::AddRange { extent, .. } = record {
                let leaf = self.replayed_extent(extent)?;
                self.mark_blocks(leaf.physical, u64::from(leaf.len), &mut spare)?;
            }
        }
        let orphans = self.take_orphan_list()?;
        self.kept_back = Some(Vec::new());
        let result = self.replay_records(records).and_then(|changed| {
            self.finish_listed(&orphans)?;
            Ok(changed)
        });
        spare.extend(self.kept_back.take().unwrap_or_default());
        let changed = result?;
        let mut taken = Runs::new();
        for ino in changed {
            if self.inode_in_use(ino)? {
                self.blocks_of(&self.load_any(ino)?, &mut taken)?;
            }
        }
        let taken = joined(taken);
        for (start, end) in &taken {
            self.mark_blocks(*start, end - start, &mut Runs::new())?;
        }
        for (start, end) in without(&joined(spare), &taken) {
            self.free(start, end - start)?;
        }
        Ok(())
    }

    /// The orphan list as it was before the replay, with generations: inodes that are told anew would break the chain.
    fn take_orphan_list(&mut self) -> Result<Vec<(u32, u32)>> {
        let mut list = Vec::new();
        let mut next = self.superblock.last_orphan;
        while next != 0 {
            let Some(node) = self.replayed(next)? else { break };
            list.push((next, node.rec.generation));
            if list.len() > self.geometry.inodes_count as usize {
                return Err(node.corrupt("i_dtime", next, "the list of orphans has no end"));
            }
            next = node.rec.deletion_time;
        }
        if !list.is_empty() {
            self.update_superblock(|sb| sb.last_orphan = 0);
        }
        Ok(list)
    }

    fn finish_listed(&mut self, orphans: &[(u32, u32)]) -> Result<()> {
        for (ino, generation) in orphans {
            if self
                .replayed(*ino)?
                .is_some_and(|n| n.rec.generation == *generation)
            {
                self.finish_orphan(*ino)?;
            }
        }
        Ok(())
    }

    fn replay_records(&mut self, records: &[FastCommitRecord]) -> Result<BTreeSet<u32>> {
        let mut changed = BTreeSet::new();
        for record in records {
            match record {
                FastCommitRecord::Inode { inode, raw } => {
                    self.replay_inode(*inode, raw)?;
                    changed.insert(*inode);
                }
                FastCommitRecord::AddRange { inode, extent } => {
                    let leaf = self.replayed_extent(extent)?;
                    if let Some(mut node) = self.replayed(*inode)? {
                        let end = leaf.end();
                        self.check_extents(&node)?;
                        self.unmap(&mut node, u64::from(leaf.logical), end)?;
                        self.insert_extent(&mut node, leaf)?;
                        self.charge(&mut node, i64::from(leaf.len))?;
                        self.store(&mut node)?;
                        changed.insert(*inode);
                    }
                }
                FastCommitRecord::DeleteRange { inode, first, len } => {
                    if let Some(mut node) = self.replayed(*inode)? {
                        self.check_extents(&node)?;
                        let first = u64::from(*first);
                        self.unmap(&mut node, first, first + u64::from(*len))?;
                        self.store(&mut node)?;
                        changed.insert(*inode);
                    }
                }
                FastCommitRecord::Create(name) => {
                    self.replay_create(name)?;
                    changed.extend([name.parent, name.inode]);
                }
                FastCommitRecord::Link(name) => {
                    if self.replay_name(name)?
                        && let Some(mut node) = self.replayed(name.inode)?
                    {
                        node.rec.links = node.rec.links.saturating_add(1);
                        self.store(&mut node)?;
                    }
                    changed.extend([name.parent, name.inode]);
                }
                FastCommitRecord::Unlink(name) => {
                    self.replay_unlink(name)?;
                    changed.extend([name.parent, name.inode]);
                }
            }
        }
        for ino in &changed {
            let Some(mut node) = self.replayed(*ino)? else {
                continue;
            };
            if node.rec.links == 0 {
                self.delete(&mut node)?;
            } else if node.rec.is_dir() {
                self.recount_links(&mut node)?;
            }
        }
        Ok(changed)
    }

    /// Counts the links of a directory: not every fast commit that names a new one tells its parent anew.
    fn recount_links(&mut self, dir: &mut Node) -> Result<()> {
        let typed = self.has_file_type();
        let (mut count, mut untyped) = (2u32, Vec::new());
        self.list_entries(dir, 0, &mut |entry| {
            if !typed {
                untyped.push(entry.inode);
            } else if file_type_of(entry.kind) == Some(FileType::Directory) {
                count += 1;
            }
            true
        })?;
        for ino in untyped {
            count += u32::from(self.load_any(ino)?.rec.is_dir());
        }
        let links = if count > u32::from(MAX_LINKS) || dir.rec.links == 1 && count > 2 && self.is_hashed(dir)
        {
            1
        } else {
            count as u16
        };
        if links != dir.rec.links {
            dir.rec.links = links;
            self.store(dir)?;
        }
        Ok(())
    }

    /// An inode that records speak of; `None` where it is not in use, and they are void.
    fn replayed(&self, ino: u32) -> Result<Option<Node>> {
        if ino != ROOT_INODE && ino < self.geometry.first_inode || ino > self.geometry.inodes_count {
            return Err(Error::corrupt(
                "fast commit",
                0,
                "inode",
                ino,
                "an inode of the filesystem's own",
            ));
        }
        if !self.inode_in_use(ino)? {
            return Ok(None);
        }
        self.load_any(ino).map(Some)
    }

    fn check_extents(&self, node: &Node) -> Result<()> {
        if !node.has(InodeFlags::EXTENTS) {
            return Err(node.corrupt(
                "i_flags",
                node.rec.flags,
                "a fast commit of extents, and it has none",
            ));
        }
        Ok(())
    }

    fn replayed_extent(&self, bytes: &[u8; 12]) -> Result<ExtentLeaf> {
        let leaf = ExtentLeaf::parse(bytes);
        if leaf.len == 0 || leaf.end() > 1 << 32 || !self.geometry.holds(leaf.physical, u64::from(leaf.len)) {
            return Err(Error::corrupt(
                "fast commit",
                0,
                "ee_start",
                leaf.physical,
                "an extent outside of the filesystem",
            ));
        }
        Ok(leaf)
    }

    /// Gives an inode the record that was committed. Its blocks stay: they are told by other records.
    fn replay_inode(&mut self, ino: u32, committed: &[u8]) -> Result<()> {
        let size = usize::from(self.geometry.inode_size);
        let bad = |field, value: usize, reason: &str| {
            Err(Error::corrupt(
                format!("fast commit of inode {ino}"),
                0,
                field,
                value as u64,
                reason,
            ))
        };
        if committed.len() > size || committed.len() < INODE_BASE_SIZE {
            return bad("fc_len", committed.len(), "not the size of an inode");
        }
        let extra = usize::from(le16(committed, 0x80));
        if size > INODE_BASE_SIZE && (extra + INODE_BASE_SIZE > size || !extra.is_multiple_of(4)) {
            return bad("i_extra_isize", extra, "does not fit the inode");
        }
        let wanted = Inode::from_raw(committed);
        let Some(file_type) = wanted.file_type() else {
            return bad("i_mode", usize::from(wanted.mode), "no kind of file");
        };
        let is_dir = file_type == FileType::Directory;
        let mut old = self.replayed(ino)?;
        if let Some(node) = &mut old
            && node.rec.links == 0
            && node.rec.generation != wanted.generation
        {
            // The number was used again for another file.
            self.delete(node)?;
            old = None;
        }
        if old
            .as_ref()
            .is_some_and(|node| node.rec.file_type() != Some(file_type))
        {
            return bad(
                "i_mode",
                usize::from(wanted.mode),
                "another kind of file than the one in use",
            );
        }
        let is_new = old.is_none();
        let mut node = match old {
            Some(node) => node,
            None => {
                let (group, index) = self.geometry.locate_inode(ino)?;
                self.mark_inode(group, index, is_dir)?;
                Node {
                    ino,
                    rec: Inode::default(),
                    raw: vec![0; size],
                    seed: None,
                    charged: None,
                }
            }
        };
        let before = node.rec.clone();
        for range in [0..BLOCK_FIELD.start, BLOCK_FIELD.end..committed.len()] {
            if let (Some(to), Some(from)) = (node.raw.get_mut(range.clone()), committed.get(range)) {
                to.copy_from_slice(from);
            }
        }
        node.rec = Inode::from_raw(&node.raw);
        node.seed = self.geometry.checksums.inode_seed(ino, node.rec.generation);
        // What belongs to its blocks is as it is here, not as it was there.
        node.rec.block = before.block;
        node.rec.blocks_lo = before.blocks_lo;
        node.rec.blocks_hi = before.blocks_hi;
        node.rec
            .set_flag(InodeFlags::HUGE_FILE, before.has(InodeFlags::HUGE_FILE));
        node.rec.set_xattr_block(before.xattr_block());
        node.rec.deletion_time = 0;
        if is_dir && !wanted.has(InodeFlags::INLINE_DATA) {
            node.rec.set_size(before.size());
            node.rec
                .set_flag(InodeFlags::INDEX, before.has(InodeFlags::INDEX));
        }
        if wanted.has(InodeFlags::EXTENTS) {
            if le16(&node.rec.block, 0) != crate::extent_record::EXTENT_MAGIC {
                Self::init_extent_root(&mut node);
            }
        } else if wanted.has(InodeFlags::INLINE_DATA) || is_new || !self.has_blocks(&node) {
            node.rec.block = wanted.block;
        }
        self.store(&mut node)
    }

    fn replay_create(&mut self, name: &FastCommitName) -> Result<()> {
        let Some(mut node) = self.replayed(name.inode)? else {
            return Ok(());
        };
        if node.rec.is_dir() {
            if !node.has(InodeFlags::INLINE_DATA) {
                // What was in its blocks is told again, name by name.
                self.unmap(&mut node, 0, u64::from(u32::MAX) + 1)?;
                node.rec.set_flag(InodeFlags::INDEX, false);
                node.rec.set_size(0);
                self.start_linear_directory(&mut node, name.parent)?;
            }
        } else {
            node.rec.links = 1;
        }
        self.store(&mut node)?;
        self.replay_name(name).map(|_| ())
    }

    /// Puts a name in where it is not there already; tells whether it did.
    fn replay_name(&mut self, name: &FastCommitName) -> Result<bool> {
        check_name(&name.name)?;
        let Some(node) = self.replayed(name.inode)? else {
            return Ok(false);
        };
        let mut dir = self.replayed_directory(name)?;
        if self.find_entry(&dir, &name.name)?.is_some() {
            return Ok(false);
        }
        let kind = node.rec.file_type().map_or(0, kind_of);
        self.add_entry(&mut dir, &name.name, name.inode, kind)?;
        self.store(&mut dir)?;
        Ok(true)
    }

    fn replayed_directory(&self, name: &FastCommitName) -> Result<Node> {
        match self.replayed(name.parent)? {
            Some(dir) if dir.rec.is_dir() => Ok(dir),
            _ => Err(Error::corrupt(
                "fast commit",
                0,
                "fc_parent_ino",
                name.parent,
                "no directory",
            )),
        }
    }

    fn replay_unlink(&mut self, name: &FastCommitName) -> Result<()> {
        check_name(&name.name)?;
        let Some(mut node) = self.replayed(name.inode)? else {
            return Ok(());
        };
        let mut dir = self.replayed_directory(name)?;
        match self.find_entry(&dir, &name.name)? {
            Some(found) if found.inode == name.inode => {
                self.remove_entry(&mut dir, &found)?;
                self.store(&mut dir)?;
            }
            _ => return Ok(()),
        }
        if node.rec.is_dir() {
            return self.delete(&mut node);
        }
        node.rec.links = node.rec.links.saturating_sub(1);
        self.store(&mut node)
    }

    /// All blocks of an inode: contents and tree.
    fn blocks_of(&self, node: &Node, runs: &mut Runs) -> Result<()> {
        if !self.has_blocks(node) || !node.has(InodeFlags::EXTENTS) {
            return Ok(());
        }
        let Some(shape) = self.tree_shape(node, MAX_EXTENTS)? else {
            return Err(Error::unsupported(
                "replaying fast commits on files of millions of extents",
            ));
        };
        runs.extend(shape.runs());
        Ok(())
    }

    /// Marks blocks as used where they are not, and adds those that were not to `fresh`.
    fn mark_blocks(&mut self, start: u64, len: u64, fresh: &mut Runs) -> Result<()> {
        let mut at = start;
        let end = start.saturating_add(len);
        while at < end {
            let (group, first) = self.geometry.locate(at);
            let group_end = self.geometry.group_start(group) + u64::from(self.geometry.group_blocks(group));
            let stop = end.min(group_end);
            let last = first + (stop - at) as u32;
            let desc = self.group(group);
            let bits = self.block_bitmap(group, &desc)?;
            let mut bit = bitmap::next_clear(&bits, first, last);
            while bit < last {
                let run_end = bitmap::next_set(&bits, bit, last);
                let run = self.take(group, bit, run_end - bit)?;
                fresh.push((run.start, run.start + run.len));
                bit = bitmap::next_clear(&bits, run_end, last);
            }
            at = stop.max(at + 1);
        }
        Ok(())
    }
}

/// Sorted, and neighbours joined.
fn joined(mut runs: Runs) -> Runs {
    runs.sort_unstable();
    let mut all = Runs::with_capacity(runs.len());
    for (start, end) in runs {
        match all.last_mut() {
            Some((_, last)) if *last >= start => *last = (*last).max(end),
            _ => all.push((start, end)),
        }
    }
    all
}

/// What is in `runs` and not in `taken`; both are sorted and joined.
fn without(runs: &Runs, taken: &Runs) -> Runs {
    let mut all = Runs::new();
    for (start, end) in runs {
        let mut at = *start;
        let from = taken.partition_point(|(_, e)| *e <= at);
        for (a, b) in taken.iter().skip(from).take_while(|(a, _)| a < end) {
            if *a > at {
                all.push((at, *a));
            }
            at = at.max(*b);
        }
        if at < *end {
            all.push((at, *end));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records that nobody ever committed, on a real filesystem: an error, or a tree that can be read; never a panic.
    #[test]
    fn hostile_records() {
        use crate::{Ext4, FormatOptions, OpenOptions};
        use disksmith_storage::testing::Random;
        use disksmith_storage::{Memory, StorageRef};
        use disksmith_vfs::{FileSystem, NewNode, Timestamp};
        use std::sync::Arc;
        let clock: crate::Clock = Arc::new(Timestamp::default);
        let memory = Memory::new(4 << 20);
        crate::format(&memory, &FormatOptions::new([1; 16], [2; 16], 1_700_000_000)).unwrap();
        let bytes = {
            let memory: StorageRef = Arc::new(memory.duplicate());
            let fs = Ext4::open(memory.clone(), OpenOptions::new(clock.clone()).writable(true)).unwrap();
            for i in 0..20u8 {
                let node = NewNode {
                    file_type: if i % 4 == 0 {
                        FileType::Directory
                    } else {
                        FileType::Regular
                    },
                    permissions: 0o644,
                    uid: 0,
                    gid: 0,
                    time: Timestamp::default(),
                    target: b"",
                    device: (0, 0),
                };
                let ino = fs.create(fs.root(), &[b'a' + i], &node).unwrap();
                if i % 4 == 1 {
                    fs.write(ino, 0, &[i; 9000]).unwrap();
                }
            }
            fs.sync().unwrap();
            disksmith_storage::read_vec(&*memory, 0, 4 << 20).unwrap()
        };
        let mut random = Random::new(3);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..if std::env::var_os("DISKSMITH_LONG").is_some() {
            5000
        } else {
            100
        } {
            let storage: StorageRef = Arc::new(Memory::from_bytes(&bytes));
            let mut core = Core::open(storage, 1 << 20, clock.clone(), true).unwrap();
            let mut records = Vec::new();
            for _ in 0..random.below(12) {
                let inode = 10 + random.below(30) as u32;
                let name = FastCommitName {
                    parent: if random.one_in(2) {
                        2
                    } else {
                        10 + random.below(30) as u32
                    },
                    inode,
                    name: vec![b'a' + random.below(25) as u8; 1 + random.below(3) as usize],
                };
                let mut raw = vec![0u8; 160];
                random.fill(&mut raw);
                let mode = [0x41edu16, 0x81a4, 0xa1ff, 0x21a4][random.below(4) as usize];
                crate::record::put16(&mut raw, 0, mode);
                crate::record::put16(&mut raw, 0x1a, random.below(3) as u16);
                let flags = [0x8_0000u32, 0, 0x1000_0000, 0x8_1000][random.below(4) as usize];
                crate::record::put32(&mut raw, 0x20, flags);
                crate::record::put16(&mut raw, 0x80, 32);
                let mut extent = [0u8; 12];
                let leaf = ExtentLeaf {
                    logical: random.below(200) as u32,
                    len: 1 + random.below(20) as u32,
                    physical: random.below(4096),
                    unwritten: random.one_in(3),
                };
                leaf.encode_into(&mut extent);
                records.push(match random.below(6) {
                    0 => FastCommitRecord::Create(name),
                    1 => FastCommitRecord::Link(name),
                    2 => FastCommitRecord::Unlink(name),
                    3 => FastCommitRecord::AddRange { inode, extent },
                    4 => FastCommitRecord::DeleteRange {
                        inode,
                        first: random.below(100) as u32,
                        len: random.number() as u32,
                    },
                    _ => FastCommitRecord::Inode { inode, raw },
                });
            }
            core.begin();
            match core.replay_fast_commits(&records) {
                Ok(()) => {
                    core.keep();
                    good += 1;
                    core.sync().unwrap();
                    for ino in 1..core.geometry.inodes_count {
                        if let Ok(node) = core.load(ino) {
                            let _ = core.read_file(&node, 0, &mut [0; 5000]);
                            if node.rec.is_dir() {
                                let _ = core.list_entries(&node, 0, &mut |_| true);
                            }
                        }
                    }
                }
                Err(_) => {
                    core.kept_back = None;
                    core.give_up();
                    bad += 1;
                }
            }
        }
        assert!(good > 5 && bad > 5, "{good} replayed, {bad} refused");
    }

    #[test]
    fn runs_without_others() {
        let runs = joined(vec![(30, 40), (10, 20), (20, 25)]);
        assert_eq!(runs, [(10, 25), (30, 40)]);
        let taken = joined(vec![(12, 14), (24, 31), (39, 50)]);
        assert_eq!(without(&runs, &taken), [(10, 12), (14, 24), (31, 39)]);
        assert_eq!(without(&runs, &vec![]), runs);
    }
}
