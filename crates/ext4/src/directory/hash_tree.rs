//! Hashed directories: finding, inserting, splitting, and the change from a linear one.

use super::Found;
use super::entry::{NewEntry, entry_size};
use super::hash::NameHasher;
use super::index_node::{IndexNode, ROOT_INFO};
use crate::cache::Block;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::Incompat;
use crate::inode::InodeFlags;
use crate::inode_table::Node;
use crate::record::{put16, put32};
use crate::superblock::FLAG_UNSIGNED_HASH;
use std::sync::Arc;

/// A node on the way from the root to a leaf.
pub(super) struct Level {
    number: u64,
    block: Block,
    node: IndexNode,
    position: usize,
}

impl Core {
    fn hasher(&self, version: u8) -> Option<NameHasher> {
        let unsigned = self.superblock.flags & FLAG_UNSIGNED_HASH != 0;
        NameHasher::from_version(version, unsigned, self.superblock.hash_seed)
    }

    fn max_index_levels(&self) -> u8 {
        if self.geometry.has_incompat(Incompat::LARGEDIR) {
            2
        } else {
            1
        }
    }

    fn bad_index(&self, dir: &Node, number: u64, (field, value): (&'static str, u64)) -> Error {
        Error::corrupt(
            format!("hash tree node of directory inode {}", dir.ino),
            self.geometry.offset(number),
            field,
            value,
            "not what it must be",
        )
    }

    /// The way to the leaf for a hash that the tree's own kind of hash gives for a name; `None` where the kind is
    /// unknown.
    fn index_path(&self, dir: &Node, name: &[u8]) -> Result<Option<(Vec<Level>, u32, NameHasher)>> {
        let Some(hasher) = self.tree_hasher(dir)? else {
            return Ok(None);
        };
        let hash = self.hash_in(dir, &hasher, name);
        Ok(self.path_to_hash(dir, hash)?.map(|path| (path, hash, hasher)))
    }

    /// The hash that new trees get.
    pub(super) fn default_hasher(&self) -> Option<NameHasher> {
        self.hasher(self.superblock.default_hash_version)
    }

    /// The hash that a directory's tree is ordered by; `None` where it is unknown.
    pub(super) fn tree_hasher(&self, dir: &Node) -> Result<Option<NameHasher>> {
        let (_, block) = self.directory_block(dir, 0)?;
        Ok(self.hasher(block.get(ROOT_INFO + 4).copied().unwrap_or(0)))
    }

    /// The way to the first leaf that may hold a hash; `None` where the tree's kind of hash is unknown.
    pub(super) fn path_to_hash(&self, dir: &Node, hash: u32) -> Result<Option<Vec<Level>>> {
        let has_tail = dir.seed.is_some();
        let (number, block) = self.directory_block(dir, 0)?;
        let byte = |at: usize| block.get(ROOT_INFO + at).copied().unwrap_or(0);
        let (version, info_len, levels) = (byte(4), byte(5), byte(6));
        if self.hasher(version).is_none() {
            return Ok(None);
        }
        if info_len != 8 {
            return Err(self.bad_index(dir, number, ("info_length", u64::from(info_len))));
        }
        if levels > self.max_index_levels() {
            return Err(self.bad_index(dir, number, ("indirect_levels", u64::from(levels))));
        }
        let mut path = Vec::with_capacity(3);
        let node = IndexNode::parse(&block, true, has_tail).map_err(|e| self.bad_index(dir, number, e))?;
        let position = node.position(hash);
        path.push(Level {
            number,
            block,
            node,
            position,
        });
        for _ in 0..levels {
            let level = self.child_level(dir, path.last(), Some(hash))?;
            path.push(level);
        }
        Ok(Some(path))
    }

    pub(super) fn child_block(&self, dir: &Node, level: Option<&Level>) -> Result<u64> {
        let child = level
            .and_then(|l| l.node.entries.get(l.position))
            .map_or(0, |(_, block)| *block);
        if child == 0 || u64::from(child) >= self.directory_blocks(dir)? {
            let number = level.map_or(0, |l| l.number);
            return Err(self.bad_index(dir, number, ("block", u64::from(child))));
        }
        Ok(u64::from(child))
    }

    fn child_level(&self, dir: &Node, parent: Option<&Level>, hash: Option<u32>) -> Result<Level> {
        let logical = self.child_block(dir, parent)?;
        let (number, block) = self.directory_block(dir, logical)?;
        let node = IndexNode::parse(&block, false, dir.seed.is_some())
            .map_err(|e| self.bad_index(dir, number, e))?;
        let position = hash.map_or(0, |h| node.position(h));
        Ok(Level {
            number,
            block,
            node,
            position,
        })
    }

    /// Moves a path to the next leaf; tells the lowest hash there, its bit 0 set where the leaf before ends with the same one.
    pub(super) fn next_leaf(&self, dir: &Node, path: &mut Vec<Level>) -> Result<Option<u32>> {
        let depth = path.len();
        while let Some(level) = path.last_mut() {
            if level.position + 1 < level.node.entries.len() {
                level.position += 1;
                let key = level.node.entries.get(level.position).map_or(0, |(h, _)| *h);
                while path.len() < depth {
                    let level = self.child_level(dir, path.last(), None)?;
                    path.push(level);
                }
                return Ok(Some(key));
            }
            path.pop();
        }
        Ok(None)
    }

    /// Finds a name by its hash. The outer `None`: the tree cannot be used.
    pub(super) fn find_hashed(&self, dir: &Node, name: &[u8]) -> Result<Option<Option<Found>>> {
        let Some((mut path, hash, _)) = self.index_path(dir, name)? else {
            return Ok(None);
        };
        let fold = dir.has(InodeFlags::CASEFOLD);
        let mut left = self.directory_blocks(dir)?;
        loop {
            let leaf = self.child_block(dir, path.last())?;
            if let Some(found) = self.search_block(dir, leaf, name, fold)? {
                return Ok(Some(Some(found)));
            }
            left = left.saturating_sub(1);
            if left == 0 || self.next_leaf(dir, &mut path)? != Some(hash | 1) {
                return Ok(Some(None));
            }
        }
    }

    /// Inserts a name by its hash; splits what is full.
    pub(super) fn add_hashed(&mut self, dir: &mut Node, name: &[u8], inode: u32, kind: u8) -> Result<()> {
        // Every round splits one node or leaf; a tree has at most four levels.
        for _ in 0..10 {
            let Some((mut path, _, hasher)) = self.index_path(dir, name)? else {
                return Err(Error::unsupported(
                    "adding names to a directory with an unknown hash",
                ));
            };
            let leaf = self.child_block(dir, path.last())?;
            if self.insert_into(dir, leaf, name, inode, kind)? {
                return Ok(());
            }
            let Some(last) = path.pop() else { break };
            if last.node.entries.len() >= last.node.limit {
                self.split_index(dir, path, last)?;
            } else {
                self.split_leaf(dir, last, leaf, hasher)?;
            }
        }
        Err(dir.corrupt("dx_root", 0u64, "splitting a full hash tree makes no room"))
    }

    fn store_index(&mut self, dir: &Node, level: &Level) {
        let mut bytes = (*level.block).clone();
        level.node.encode_into(&mut bytes, dir.seed);
        self.put_block(level.number, Arc::new(bytes));
    }

    /// Makes room in a full node: splits it, or makes the tree deeper.
    fn split_index(&mut self, dir: &mut Node, mut path: Vec<Level>, mut full: Level) -> Result<()> {
        let block_size = self.geometry.block_size as usize;
        let has_tail = dir.seed.is_some();
        // The highest full node is dealt with first; the caller comes back for the rest.
        while let Some(parent) = path.pop() {
            if parent.node.entries.len() < parent.node.limit {
                let middle = full.node.entries.len() / 2;
                let upper = full.node.entries.split_off(middle);
                let hash = upper.first().map_or(0, |(h, _)| *h);
                let (logical, number) = self.extend_directory(dir)?;
                let (node, block) = IndexNode::new_block(block_size, has_tail, upper);
                self.store_index(
                    dir,
                    &Level {
                        number,
                        block: Arc::new(block),
                        node,
                        position: 0,
                    },
                );
                self.store_index(dir, &full);
                let mut parent = parent;
                parent
                    .node
                    .entries
                    .insert(parent.position + 1, (hash, logical as u32));
                self.store_index(dir, &parent);
                return Ok(());
            }
            full = parent;
        }
        let levels = full.block.get(ROOT_INFO + 6).copied().unwrap_or(0);
        if levels >= self.max_index_levels() {
            return Err(Error::NoSpace {
                what: "room in the directory's hash tree",
            });
        }
        let (logical, number) = self.extend_directory(dir)?;
        let (node, block) =
            IndexNode::new_block(block_size, has_tail, std::mem::take(&mut full.node.entries));
        self.store_index(
            dir,
            &Level {
                number,
                block: Arc::new(block),
                node,
                position: 0,
            },
        );
        full.node.entries = vec![(0, logical as u32)];
        if let Some(byte) = Arc::make_mut(&mut full.block).get_mut(ROOT_INFO + 6) {
            *byte = levels + 1;
        }
        self.store_index(dir, &full);
        Ok(())
    }

    /// Moves the upper half of a leaf's hashes to a new leaf.
    fn split_leaf(&mut self, dir: &mut Node, mut index: Level, leaf: u64, hasher: NameHasher) -> Result<()> {
        let (number, block) = self.directory_block(dir, leaf)?;
        let mut entries: Vec<(u32, NewEntry)> = self
            .leaf_entries(dir, number, &block)?
            .into_iter()
            .map(|e| (self.hash_in(dir, &hasher, &e.2), e))
            .collect();
        entries.sort_by_key(|(hash, _)| *hash);
        if entries.len() < 2 {
            return Err(dir.corrupt("dx_entry", leaf, "a full leaf that cannot be split"));
        }
        let total: usize = entries.iter().map(|(_, e)| entry_size(e.2.len())).sum();
        let mut lower = 0;
        let mut at = 0;
        for (_, entry) in &entries {
            let size = entry_size(entry.2.len());
            if at > 0 && lower + size > total / 2 {
                break;
            }
            lower += size;
            at += 1;
        }
        let at = at.clamp(1, entries.len() - 1);
        let upper = entries.split_off(at);
        let first = upper.first().map_or(0, |(h, _)| *h);
        let continued = entries.last().is_some_and(|(h, _)| *h == first);
        let strip =
            |list: Vec<(u32, NewEntry)>| -> Vec<NewEntry> { list.into_iter().map(|(_, e)| e).collect() };
        let (logical, _) = self.append_block(dir, &strip(upper))?;
        let bytes = self.leaf_of(dir, &strip(entries));
        self.put_block(number, Arc::new(bytes));
        index
            .node
            .entries
            .insert(index.position + 1, (first | u32::from(continued), logical as u32));
        self.store_index(dir, &index);
        Ok(())
    }

    /// Turns a directory of one block into a hashed one; `false` where its hash is one that is not implemented, or its
    /// first entries are not as they should be.
    pub(super) fn make_hashed(&mut self, dir: &mut Node) -> Result<bool> {
        let version = self.superblock.default_hash_version;
        if self.hasher(version).is_none() {
            return Ok(false);
        }
        let (number, block) = self.directory_block(dir, 0)?;
        let mut entries = self.leaf_entries(dir, number, &block)?;
        let in_order =
            entries.first().is_some_and(|e| e.2 == b".") && entries.get(1).is_some_and(|e| e.2 == b"..");
        if !in_order {
            return Ok(false);
        }
        let rest = entries.split_off(2);
        let (logical, _) = self.append_block(dir, &rest)?;
        let block_size = self.geometry.block_size as usize;
        let mut root = self.leaf_of(dir, &entries);
        // `..` reaches to the end of the block, and what lies behind it is the root.
        for byte in root.iter_mut().skip(ROOT_INFO) {
            *byte = 0;
        }
        super::entry::set_len(&mut root, 12, block_size - 12, block_size);
        put32(&mut root, ROOT_INFO, 0);
        put16(&mut root, ROOT_INFO + 4, u16::from(version) | 8 << 8);
        let count_offset = ROOT_INFO + 8;
        let node = IndexNode {
            count_offset,
            limit: super::index_node::limit_of(block_size, count_offset, dir.seed.is_some()),
            entries: vec![(0, logical as u32)],
        };
        node.encode_into(&mut root, dir.seed);
        self.put_block(number, Arc::new(root));
        dir.rec.set_flag(InodeFlags::INDEX, true);
        Ok(true)
    }
}
