//! The extent tree of an inode: looking up, inserting, removing, converting, at any depth.
//!
//! A change works on one leaf: its extents are decoded, changed as a list, and stored; a list that became too long splits the
//! leaf, an empty one is taken out of its parent, and so on up to the root, which grows or gives up a level. The first
//! key of every node is kept equal to the key in its parent, as e2fsck demands.

use crate::block_allocator::Wish;
use crate::cache::Block;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::extent_record::{
    EXTENT_MAGIC, EXTENT_RECORD_SIZE, ExtentHeader, ExtentIndex, ExtentLeaf, MAX_EXTENT_DEPTH,
    MAX_EXTENT_LEN, MAX_UNWRITTEN_LEN,
};
use crate::inode_table::Node;
use crate::record::{get_array, put_array};
use std::sync::Arc;

/// Records that fit into `i_block`.
const ROOT_CAPACITY: usize = 4;

/// A decoded node on the way from the root to a leaf.
#[derive(Debug, Clone)]
struct Level {
    /// Block that holds it; `None` for the root.
    block: Option<u64>,
    depth: u16,
    entries: Entries,
    /// The entry that leads down (inner nodes).
    position: usize,
}

#[derive(Debug, Clone)]
enum Entries {
    Leaf(Vec<ExtentLeaf>),
    Index(Vec<ExtentIndex>),
}

impl Entries {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(list) => list.len(),
            Self::Index(list) => list.len(),
        }
    }

    fn first_key(&self) -> Option<u32> {
        match self {
            Self::Leaf(list) => list.first().map(|e| e.logical),
            Self::Index(list) => list.first().map(|e| e.logical),
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Leaf(list) => Self::Leaf(list.split_off(at)),
            Self::Index(list) => Self::Index(list.split_off(at)),
        }
    }
}

/// What a whole tree is made of.
#[derive(Debug, Default)]
pub(crate) struct TreeShape {
    /// Records in use, and records that fit, of each level from the root down.
    pub(crate) levels: Vec<(usize, usize)>,
    extents: Vec<ExtentLeaf>,
    blocks: Vec<u64>,
}

/// A change of the blocks that a file's tree itself takes, and the runs of data blocks that left the file.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// Runs of the file that were removed.
    pub(crate) runs: Vec<ExtentLeaf>,
}

impl TreeShape {
    /// Runs of blocks of the contents and of the tree itself: first and one past the last.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let contents = self
            .extents
            .iter()
            .map(|e| (e.physical, e.physical + u64::from(e.len)));
        contents.chain(self.blocks.iter().map(|b| (*b, b + 1)))
    }
}

impl Core {
    fn node_capacity(&self) -> usize {
        (self.geometry.block_size as usize - EXTENT_RECORD_SIZE) / EXTENT_RECORD_SIZE
    }

    /// Decodes a node and checks everything that can be checked without its children.
    fn decode_extent_node(
        &self,
        node: &Node,
        block: Option<u64>,
        bytes: &[u8],
        depth: Option<u16>,
    ) -> Result<(u16, Entries)> {
        let offset = block.map_or(0, |b| self.geometry.offset(b));
        let bad = |field, value: u64, reason: &str| {
            Err(Error::corrupt(
                format!("extent tree node of inode {}", node.ino),
                offset,
                field,
                value,
                reason,
            ))
        };
        let header = ExtentHeader::parse(bytes);
        if header.magic != EXTENT_MAGIC {
            return bad("eh_magic", u64::from(header.magic), "not 0xf30a");
        }
        let fits = if block.is_some() {
            self.node_capacity()
        } else {
            ROOT_CAPACITY
        };
        if usize::from(header.max) > fits || header.entries > header.max {
            return bad("eh_entries", u64::from(header.entries), "more than fit");
        }
        if header.depth > MAX_EXTENT_DEPTH || depth.is_some_and(|d| d != header.depth) {
            return bad(
                "eh_depth",
                u64::from(header.depth),
                "not one less than the parent's",
            );
        }
        let records = bytes
            .get(EXTENT_RECORD_SIZE..)
            .unwrap_or(&[])
            .chunks_exact(EXTENT_RECORD_SIZE)
            .take(usize::from(header.entries));
        let entries = if header.depth == 0 {
            let list: Vec<ExtentLeaf> = records.map(ExtentLeaf::parse).collect();
            let mut end = 0u64;
            for extent in &list {
                if extent.len == 0 || u64::from(extent.logical) < end || extent.end() > 1 << 32 {
                    return bad(
                        "ee_block",
                        u64::from(extent.logical),
                        "empty, or overlaps its neighbour",
                    );
                }
                if !self.geometry.holds(extent.physical, u64::from(extent.len)) {
                    return bad("ee_start", extent.physical, "outside of the filesystem");
                }
                end = extent.end();
            }
            Entries::Leaf(list)
        } else {
            let list: Vec<ExtentIndex> = records.map(ExtentIndex::parse).collect();
            let mut last = None;
            for index in &list {
                if last.is_some_and(|l| l >= index.logical) {
                    return bad("ei_block", u64::from(index.logical), "not in ascending order");
                }
                if !self.geometry.holds(index.child, 1) {
                    return bad("ei_leaf", index.child, "outside of the filesystem");
                }
                last = Some(index.logical);
            }
            if list.is_empty() {
                return bad("eh_entries", 0, "an inner node without entries");
            }
            Entries::Index(list)
        };
        Ok((header.depth, entries))
    }

    fn extent_block(&self, node: &Node, block: u64) -> Result<Block> {
        self.block(block, |bytes| {
            let Some(seed) = node.seed else { return Ok(()) };
            let max = ExtentHeader::parse(bytes).max;
            let at = EXTENT_RECORD_SIZE * (1 + usize::from(max));
            let stored = u32::from_le_bytes(get_array(bytes, at));
            if at + 4 > bytes.len() || seed.extent_block(bytes, max) != stored {
                return Err(Error::corrupt(
                    format!("extent tree node of inode {}", node.ino),
                    self.geometry.offset(block),
                    "et_checksum",
                    u64::from(stored),
                    "the checksum does not match",
                ));
            }
            Ok(())
        })
    }

    /// Records that fit into a block.
    pub(crate) fn extents_per_block(&self) -> usize {
        self.node_capacity()
    }

    /// Looks at a whole tree; `None` where it has more than `limit` extents.
    pub(crate) fn tree_shape(&self, node: &Node, limit: usize) -> Result<Option<TreeShape>> {
        let mut shape = TreeShape::default();
        let (mut depth, root) = self.decode_extent_node(node, None, &node.rec.block, None)?;
        let mut level = vec![root];
        let mut room = ROOT_CAPACITY;
        loop {
            shape.levels.push((level.iter().map(Entries::len).sum(), room));
            let mut children = Vec::new();
            for entries in level {
                match entries {
                    Entries::Leaf(list) => shape.extents.extend(list),
                    Entries::Index(list) => children.extend(list.into_iter().map(|e| e.child)),
                }
                if shape.extents.len() > limit || children.len() > limit {
                    return Ok(None);
                }
            }
            if children.is_empty() {
                return Ok(Some(shape));
            }
            room = children.len() * self.node_capacity();
            depth = depth.saturating_sub(1);
            level = Vec::with_capacity(children.len());
            for child in &children {
                let bytes = self.extent_block(node, *child)?;
                level.push(
                    self.decode_extent_node(node, Some(*child), &bytes, Some(depth))?
                        .1,
                );
            }
            shape.blocks.extend(children);
        }
    }

    /// Builds a tree anew from its extents, as few blocks as can be.
    pub(crate) fn rebuild_tree(&mut self, node: &mut Node, shape: TreeShape) -> Result<()> {
        for block in &shape.blocks {
            self.free_tree_block(node, *block)?;
        }
        let goal = shape.extents.first().map_or(0, |e| e.physical);
        let mut extents = shape.extents;
        merge_neighbours(&mut extents);
        let capacity = self.node_capacity();
        let mut depth = 0;
        let mut entries = Entries::Leaf(extents);
        while entries.len() > ROOT_CAPACITY {
            let mut above = Vec::new();
            while entries.len() > 0 {
                let rest = entries.split_off(capacity.min(entries.len()));
                let block = self.take_tree_block(node, goal)?;
                self.store_tree_block(node, block, depth, &entries);
                if let Some(logical) = entries.first_key() {
                    above.push(ExtentIndex {
                        logical,
                        child: block,
                    });
                }
                entries = rest;
            }
            entries = Entries::Index(above);
            depth += 1;
        }
        let mut root = [0u8; 60];
        encode_node(&mut root, ROOT_CAPACITY, depth, &entries);
        node.rec.block = root;
        Ok(())
    }

    /// Makes an empty tree in `i_block`.
    pub(crate) fn init_extent_root(node: &mut Node) {
        node.rec.block = [0; 60];
        ExtentHeader::new(ROOT_CAPACITY as u16, 0).encode_into(&mut node.rec.block);
    }

    /// The way from the root to the leaf where `logical` is or would be.
    fn extent_path(&self, node: &Node, logical: u32) -> Result<Vec<Level>> {
        let mut path = Vec::with_capacity(3);
        let (mut depth, mut entries) = self.decode_extent_node(node, None, &node.rec.block, None)?;
        let mut block = None;
        loop {
            let Entries::Index(list) = &entries else {
                path.push(Level {
                    block,
                    depth,
                    entries,
                    position: 0,
                });
                return Ok(path);
            };
            let position = list.partition_point(|e| e.logical <= logical).saturating_sub(1);
            let child = list.get(position).map_or(0, |e| e.child);
            path.push(Level {
                block,
                depth,
                entries,
                position,
            });
            let bytes = self.extent_block(node, child)?;
            (depth, entries) = self.decode_extent_node(node, Some(child), &bytes, Some(depth - 1))?;
            block = Some(child);
        }
    }

    /// Where the leaf behind the one of `path` starts.
    fn next_leaf_key(path: &[Level]) -> Option<u32> {
        path.iter().rev().find_map(|level| match &level.entries {
            Entries::Index(list) => list.get(level.position + 1).map(|e| e.logical),
            Entries::Leaf(_) => None,
        })
    }

    /// The extent that holds `logical`, and where the next one behind `logical` starts.
    pub(crate) fn find_extent(&self, node: &Node, logical: u32) -> Result<(Option<ExtentLeaf>, Option<u32>)> {
        let path = self.extent_path(node, logical)?;
        let Some(Level {
            entries: Entries::Leaf(list),
            ..
        }) = path.last()
        else {
            return Ok((None, None));
        };
        let at = list.partition_point(|e| e.logical <= logical);
        let hit = at
            .checked_sub(1)
            .and_then(|i| list.get(i))
            .filter(|e| e.end() > u64::from(logical))
            .copied();
        let next = list
            .get(at)
            .map(|e| e.logical)
            .or_else(|| Self::next_leaf_key(&path));
        Ok((hit, next))
    }

    /// The last extent that starts before `logical`.
    pub(crate) fn extent_before(&self, node: &Node, logical: u32) -> Result<Option<ExtentLeaf>> {
        let Some(before) = logical.checked_sub(1) else {
            return Ok(None);
        };
        let path = self.extent_path(node, before)?;
        let Some(Level {
            entries: Entries::Leaf(list),
            ..
        }) = path.last()
        else {
            return Ok(None);
        };
        let at = list.partition_point(|e| e.logical <= before);
        Ok(at.checked_sub(1).and_then(|i| list.get(i)).copied())
    }

    /// Changes the extents of the leaf where `logical` is or would be. `change` gets the list and may make it longer by
    /// a few, or empty.
    fn edit_leaf(
        &mut self,
        node: &mut Node,
        logical: u32,
        change: impl FnOnce(&mut Vec<ExtentLeaf>, Option<u32>),
    ) -> Result<()> {
        let mut path = self.extent_path(node, logical)?;
        let next = Self::next_leaf_key(&path);
        if let Some(Level {
            entries: Entries::Leaf(list),
            ..
        }) = path.last_mut()
        {
            change(list, next);
            merge_neighbours(list);
        }
        self.store_path(node, path)
    }

    /// Stores the changed last level of a path, and what follows from that above it.
    fn store_path(&mut self, node: &mut Node, mut path: Vec<Level>) -> Result<()> {
        let capacity = self.node_capacity();
        if path.len() > 1 {
            self.crooked_trees.insert(node.ino);
        }
        while let Some(mut level) = path.pop() {
            let Some(block) = level.block else {
                return self.store_root(node, level);
            };
            let Some(parent) = path.last_mut() else {
                return Err(node.corrupt("i_block", 0u64, "an extent tree without a root"));
            };
            let position = parent.position;
            let Entries::Index(siblings) = &mut parent.entries else {
                return Err(node.corrupt("eh_depth", level.depth, "a leaf above a node"));
            };
            let Some(key) = level.entries.first_key() else {
                siblings.remove(position);
                self.free_tree_block(node, block)?;
                continue;
            };
            let key_changed = siblings.get(position).is_some_and(|e| e.logical != key);
            if let Some(entry) = siblings.get_mut(position) {
                entry.logical = key;
            }
            let mut split = false;
            // An append fills the left node; anything else halves it.
            let mut right_neighbour = position + 1;
            while level.entries.len() > capacity {
                let appended = level.entries.len() - capacity <= 2 && position + 1 == siblings.len();
                let at = if appended {
                    capacity
                } else {
                    level.entries.len() / 2
                };
                let rest = level.entries.split_off(at);
                let new_block = self.take_tree_block(node, block)?;
                if let Some(logical) = rest.first_key() {
                    siblings.insert(
                        right_neighbour,
                        ExtentIndex {
                            logical,
                            child: new_block,
                        },
                    );
                }
                right_neighbour += 1;
                self.store_tree_block(node, new_block, level.depth, &rest);
                split = true;
            }
            self.store_tree_block(node, block, level.depth, &level.entries);
            if !split && !key_changed {
                // Nothing changed above; but the root may be able to take a level back.
                return match path.len() {
                    1 => match path.pop() {
                        Some(root) if root.entries.len() == 1 && level.entries.len() <= ROOT_CAPACITY => {
                            self.store_root(node, root)
                        }
                        _ => Ok(()),
                    },
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    fn store_root(&mut self, node: &mut Node, mut level: Level) -> Result<()> {
        if level.entries.len() == 0 {
            level.depth = 0;
            level.entries = Entries::Leaf(Vec::new());
        }
        // A root with one child that would fit into it takes the child's place.
        while let Entries::Index(list) = &level.entries {
            let [only] = list.as_slice() else { break };
            let child = only.child;
            let bytes = self.extent_block(node, child)?;
            let (depth, entries) =
                self.decode_extent_node(node, Some(child), &bytes, Some(level.depth - 1))?;
            if entries.len() > ROOT_CAPACITY {
                break;
            }
            self.free_tree_block(node, child)?;
            level.depth = depth;
            level.entries = entries;
        }
        if level.entries.len() > ROOT_CAPACITY {
            if level.depth >= MAX_EXTENT_DEPTH {
                return Err(Error::File(disksmith_vfs::Error::FileTooLarge {
                    path: node.name(),
                }));
            }
            let goal = match &level.entries {
                Entries::Leaf(list) => list.first().map_or(0, |e| e.physical),
                Entries::Index(list) => list.first().map_or(0, |e| e.child),
            };
            let block = self.take_tree_block(node, goal)?;
            self.store_tree_block(node, block, level.depth, &level.entries);
            let logical = level.entries.first_key().unwrap_or(0);
            level.depth += 1;
            level.entries = Entries::Index(vec![ExtentIndex {
                logical,
                child: block,
            }]);
        }
        let mut root = [0u8; 60];
        encode_node(&mut root, ROOT_CAPACITY, level.depth, &level.entries);
        node.rec.block = root;
        Ok(())
    }

    fn take_tree_block(&mut self, node: &mut Node, goal: u64) -> Result<u64> {
        let run = self.allocate(Wish {
            goal,
            continues: false,
            len: 1,
            room: 1,
        })?;
        self.charge(node, i64::from(self.geometry.cluster_blocks()))?;
        Ok(run.start)
    }

    fn free_tree_block(&mut self, node: &mut Node, block: u64) -> Result<()> {
        self.charge(node, -i64::from(self.geometry.cluster_blocks()))?;
        self.free(block, 1)
    }

    fn store_tree_block(&mut self, node: &Node, block: u64, depth: u16, entries: &Entries) {
        let capacity = self.node_capacity();
        let mut bytes = vec![0u8; self.geometry.block_size as usize];
        encode_node(&mut bytes, capacity, depth, entries);
        if let Some(seed) = node.seed {
            let crc = seed.extent_block(&bytes, capacity as u16);
            put_array(
                &mut bytes,
                EXTENT_RECORD_SIZE * (1 + capacity),
                &crc.to_le_bytes(),
            );
        }
        self.put_block(block, Arc::new(bytes));
    }

    /// Inserts a run where there is a hole.
    pub(crate) fn insert_extent(&mut self, node: &mut Node, run: ExtentLeaf) -> Result<()> {
        let limit = if run.unwritten {
            MAX_UNWRITTEN_LEN
        } else {
            MAX_EXTENT_LEN
        };
        let mut rest = run;
        while rest.len > 0 {
            let piece = ExtentLeaf {
                len: rest.len.min(limit),
                ..rest
            };
            self.edit_leaf(node, piece.logical, |list, _| {
                let at = list.partition_point(|e| e.logical < piece.logical);
                list.insert(at, piece);
            })?;
            rest.len -= piece.len;
            rest.physical += u64::from(piece.len);
            rest.logical = rest.logical.saturating_add(piece.len);
        }
        Ok(())
    }

    /// Removes everything from `from` up to (not including) `end`; the blocks are not freed here.
    pub(crate) fn remove_extents(&mut self, node: &mut Node, from: u32, end: u64) -> Result<Removed> {
        let mut removed = Removed::default();
        let mut at = u64::from(from);
        while at < end && at <= u64::from(u32::MAX) {
            let mut next_at = None;
            let runs = &mut removed.runs;
            self.edit_leaf(node, at as u32, |list, next_leaf| {
                let mut kept = Vec::with_capacity(list.len() + 1);
                for extent in list.iter() {
                    cut(extent, at, end, &mut kept, runs);
                }
                *list = kept;
                next_at = next_leaf;
            })?;
            match next_at {
                Some(next) if u64::from(next) > at => at = u64::from(next),
                _ => break,
            }
        }
        Ok(removed)
    }

    /// Makes what is unwritten between `from` and `end` written. The range lies in extents of one leaf or several.
    pub(crate) fn mark_written(&mut self, node: &mut Node, from: u32, end: u64) -> Result<()> {
        let mut at = u64::from(from);
        while at < end && at <= u64::from(u32::MAX) {
            let mut next_at = None;
            self.edit_leaf(node, at as u32, |list, next_leaf| {
                let mut changed = Vec::with_capacity(list.len() + 2);
                for extent in list.iter() {
                    if !extent.unwritten {
                        changed.push(*extent);
                        continue;
                    }
                    let mut inside = Vec::new();
                    let before = changed.len();
                    cut(extent, at, end, &mut changed, &mut inside);
                    for mut piece in inside {
                        piece.unwritten = false;
                        let place = before
                            + changed
                                .get(before..)
                                .unwrap_or(&[])
                                .partition_point(|e| e.logical < piece.logical);
                        changed.insert(place, piece);
                    }
                }
                *list = changed;
                next_at = next_leaf;
            })?;
            match next_at {
                Some(next) if u64::from(next) > at => at = u64::from(next),
                _ => break,
            }
        }
        Ok(())
    }
}

/// Splits an extent at a range: what lies outside goes to `kept`, what lies inside to `inside`.
fn cut(extent: &ExtentLeaf, from: u64, end: u64, kept: &mut Vec<ExtentLeaf>, inside: &mut Vec<ExtentLeaf>) {
    let (start, stop) = (u64::from(extent.logical), extent.end());
    let (a, b) = (from.clamp(start, stop), end.clamp(start, stop));
    let piece = |from: u64, to: u64| ExtentLeaf {
        logical: from as u32,
        len: (to - from) as u32,
        physical: extent.physical + (from - start),
        unwritten: extent.unwritten,
    };
    if a >= b {
        kept.push(*extent);
        return;
    }
    if a > start {
        kept.push(piece(start, a));
    }
    inside.push(piece(a, b));
    if b < stop {
        kept.push(piece(b, stop));
    }
}

/// Joins neighbours that continue each other.
fn merge_neighbours(list: &mut Vec<ExtentLeaf>) {
    let mut merged: Vec<ExtentLeaf> = Vec::with_capacity(list.len());
    for extent in list.iter() {
        if let Some(last) = merged.last_mut() {
            let limit = if last.unwritten {
                MAX_UNWRITTEN_LEN
            } else {
                MAX_EXTENT_LEN
            };
            if last.unwritten == extent.unwritten
                && last.end() == u64::from(extent.logical)
                && last.physical + u64::from(last.len) == extent.physical
                && last.len + extent.len <= limit
            {
                last.len += extent.len;
                continue;
            }
        }
        merged.push(*extent);
    }
    *list = merged;
}

fn encode_node(bytes: &mut [u8], capacity: usize, depth: u16, entries: &Entries) {
    let mut header = ExtentHeader::new(capacity as u16, depth);
    header.entries = entries.len() as u16;
    header.encode_into(bytes);
    let records = bytes.get_mut(EXTENT_RECORD_SIZE..).unwrap_or(&mut []);
    let records = records.chunks_exact_mut(EXTENT_RECORD_SIZE);
    match entries {
        Entries::Leaf(list) => records.zip(list).for_each(|(r, e)| e.encode_into(r)),
        Entries::Index(list) => records.zip(list).for_each(|(r, e)| e.encode_into(r)),
    }
}
