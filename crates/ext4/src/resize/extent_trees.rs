//! Extent trees whose blocks were moved: corrected in place, or laid out anew where extents were split.

use super::Resizer;
use super::references::{Run, Subject};
use crate::error::Result;
use crate::extent_record::{
    EXTENT_MAGIC, EXTENT_RECORD_SIZE, ExtentHeader, ExtentIndex, ExtentLeaf, MAX_EXTENT_DEPTH,
};
use crate::features::RoCompat;
use crate::inode::INODE_BLOCK_SIZE;
use crate::record::{le32, put32};
use disksmith_storage::read_vec;
use std::collections::BTreeSet;

/// Records in the root of a tree.
const ROOT_RECORDS: usize = (INODE_BLOCK_SIZE - EXTENT_RECORD_SIZE) / EXTENT_RECORD_SIZE;

/// What a tree holds.
#[derive(Debug, Default)]
struct Tree {
    /// Blocks of nodes, where they are now.
    nodes: Vec<u64>,
    /// Extents as they are stored: where they were.
    leaves: Vec<ExtentLeaf>,
    moved: bool,
}

impl Resizer {
    /// Corrects the tree of an inode, and tells its runs.
    pub(super) fn fix_extents(&mut self, subject: &mut Subject, runs: Option<&mut Vec<Run>>) -> Result<()> {
        let mut tree = Tree::default();
        let root = subject.inode.block;
        let depth = ExtentHeader::parse(&root).depth;
        self.read_node(subject, &root, depth, &mut tree)?;
        let pieces: Vec<ExtentLeaf> = tree.leaves.iter().flat_map(|leaf| self.pieces(leaf)).collect();
        if let Some(runs) = runs {
            runs.extend(
                pieces
                    .iter()
                    .filter(|p| !p.unwritten)
                    .map(|p| (u64::from(p.logical), p.physical, u64::from(p.len))),
            );
        }
        if !tree.moved && !subject.is_renumbered() {
            return Ok(());
        }
        subject.changed = true;
        if pieces.len() == tree.leaves.len() {
            let mut root = subject.inode.block;
            self.correct_node(&mut root);
            subject.inode.block = root;
            for block in tree.nodes {
                let mut bytes = self.node_bytes(block)?;
                self.correct_node(&mut bytes);
                self.write_node(subject, block, bytes)?;
            }
            return Ok(());
        }
        self.lay_out(subject, &tree, &pieces)
    }

    fn node_bytes(&self, block: u64) -> Result<Vec<u8>> {
        let size = self.new.g.block_size as usize;
        Ok(read_vec(&*self.storage, self.new.g.offset(block), size)?)
    }

    fn read_node(&self, subject: &Subject, node: &[u8], depth: u16, tree: &mut Tree) -> Result<()> {
        let header = ExtentHeader::parse(node);
        let room = node.len() / EXTENT_RECORD_SIZE - 1;
        if header.magic != EXTENT_MAGIC {
            return Err(subject.corrupt("eh_magic", header.magic.into(), "not 0xf30a"));
        }
        if header.depth != depth || depth > MAX_EXTENT_DEPTH {
            return Err(subject.corrupt("eh_depth", header.depth.into(), "not what its parent says"));
        }
        if usize::from(header.entries) > room || header.entries > header.max {
            return Err(subject.corrupt("eh_entries", header.entries.into(), "more than fit"));
        }
        let records = node
            .chunks_exact(EXTENT_RECORD_SIZE)
            .skip(1)
            .take(header.entries.into());
        for record in records {
            if depth == 0 {
                let leaf = ExtentLeaf::parse(record);
                if leaf.len == 0 || !self.old.g.holds(leaf.physical, leaf.len.into()) {
                    return Err(subject.corrupt("ee_start", leaf.physical, "outside of the filesystem"));
                }
                let (now, len) = self.translate_run(leaf.physical, leaf.len.into());
                tree.moved |= now != leaf.physical || len < leaf.len.into();
                tree.leaves.push(leaf);
                continue;
            }
            let child = ExtentIndex::parse(record).child;
            if !self.old.g.holds(child, 1) || tree.nodes.len() as u64 >= self.old.g.blocks_count {
                return Err(subject.corrupt("ei_leaf", child, "outside of the filesystem"));
            }
            let now = self.translate(child);
            tree.moved |= now != child;
            let bytes = self.node_bytes(now)?;
            let max = ExtentHeader::parse(&bytes).max;
            let tail = EXTENT_RECORD_SIZE * (1 + usize::from(max));
            if let Some(seed) = subject.old_seed
                && (tail + 4 > bytes.len() || seed.extent_block(&bytes, max) != le32(&bytes, tail))
            {
                return Err(subject.corrupt(
                    "et_checksum",
                    child,
                    "the checksum of this node does not match",
                ));
            }
            tree.nodes.push(now);
            self.read_node(subject, &bytes, depth - 1, tree)?;
        }
        Ok(())
    }

    /// The pieces that an extent was moved in.
    fn pieces(&self, leaf: &ExtentLeaf) -> Vec<ExtentLeaf> {
        let mut pieces: Vec<ExtentLeaf> = Vec::with_capacity(1);
        let mut done = 0u32;
        while done < leaf.len {
            let (physical, len) =
                self.translate_run(leaf.physical + u64::from(done), u64::from(leaf.len - done));
            let len = (len.max(1) as u32).min(leaf.len - done);
            match pieces.last_mut() {
                Some(last) if last.physical + u64::from(last.len) == physical => last.len += len,
                _ => pieces.push(ExtentLeaf {
                    logical: leaf.logical.saturating_add(done),
                    len,
                    physical,
                    unwritten: leaf.unwritten,
                }),
            }
            done += len;
        }
        pieces
    }

    /// Corrects the records of a node of which none has to be split.
    fn correct_node(&self, node: &mut [u8]) {
        let header = ExtentHeader::parse(node);
        let records = node
            .chunks_exact_mut(EXTENT_RECORD_SIZE)
            .skip(1)
            .take(header.entries.into());
        for record in records {
            if header.depth == 0 {
                let mut leaf = ExtentLeaf::parse(record);
                leaf.physical = self.translate(leaf.physical);
                leaf.encode_into(record);
            } else {
                let mut index = ExtentIndex::parse(record);
                index.child = self.translate(index.child);
                index.encode_into(record);
            }
        }
    }

    fn write_node(&self, subject: &Subject, block: u64, mut bytes: Vec<u8>) -> Result<()> {
        if let Some(seed) = subject.seed {
            let max = ExtentHeader::parse(&bytes).max;
            let sum = seed.extent_block(&bytes, max);
            put32(&mut bytes, EXTENT_RECORD_SIZE * (1 + usize::from(max)), sum);
        }
        self.storage.write_at(self.new.g.offset(block), &bytes)?;
        Ok(())
    }

    /// Writes a tree of these extents, in the old tree's nodes and more where they are needed.
    fn lay_out(&mut self, subject: &mut Subject, tree: &Tree, leaves: &[ExtentLeaf]) -> Result<()> {
        let size = self.new.g.block_size as usize;
        let per_node = (size - EXTENT_RECORD_SIZE) / EXTENT_RECORD_SIZE;
        let mut records: Vec<(u32, [u8; EXTENT_RECORD_SIZE])> = leaves
            .iter()
            .map(|leaf| {
                let mut record = [0; EXTENT_RECORD_SIZE];
                leaf.encode_into(&mut record);
                (leaf.logical, record)
            })
            .collect();
        let mut spare = tree.nodes.iter().copied();
        let mut added = 0u64;
        let mut depth = 0;
        while records.len() > ROOT_RECORDS {
            if depth >= MAX_EXTENT_DEPTH {
                return Err(subject.corrupt("eh_depth", depth.into(), "too many extents for a tree"));
            }
            let mut parents = Vec::with_capacity(records.len() / per_node + 1);
            for part in records.chunks(per_node) {
                let block = match spare.next() {
                    Some(block) => block,
                    None => {
                        added += 1;
                        self.new.block_of(self.space.take(1)?.start)
                    }
                };
                let mut bytes = vec![0; size];
                fill_node(&mut bytes, per_node as u16, depth, part);
                self.write_node(subject, block, bytes)?;
                let logical = part.first().map_or(0, |(logical, _)| *logical);
                let mut record = [0; EXTENT_RECORD_SIZE];
                ExtentIndex {
                    logical,
                    child: block,
                }
                .encode_into(&mut record);
                parents.push((logical, record));
            }
            records = parents;
            depth += 1;
        }
        let mut root = [0; INODE_BLOCK_SIZE];
        fill_node(&mut root, ROOT_RECORDS as u16, depth, &records);
        subject.inode.block = root;
        let left: Vec<u64> = spare.collect();
        let freed = self.free_nodes(tree, leaves, &left)?;
        self.count_blocks(subject, added, freed)
    }

    /// Frees nodes that are no longer needed, but for clusters that hold something else of the file.
    fn free_nodes(&mut self, tree: &Tree, leaves: &[ExtentLeaf], left: &[u64]) -> Result<u64> {
        if left.is_empty() {
            return Ok(0);
        }
        let mut kept: BTreeSet<u64> = BTreeSet::new();
        if self.new.g.cluster_shift > 0 {
            for leaf in leaves {
                let clusters = self
                    .new
                    .clusters_of(&(leaf.physical..leaf.physical + u64::from(leaf.len)));
                kept.extend(clusters);
            }
            let used = tree.nodes.len() - left.len();
            kept.extend(
                tree.nodes
                    .iter()
                    .take(used)
                    .map(|block| self.new.cluster_of(*block)),
            );
        }
        let mut freed = 0;
        for block in left {
            let cluster = self.new.cluster_of(*block);
            if kept.insert(cluster) {
                self.space.fill(&(cluster..cluster + 1), false)?;
                freed += 1;
            }
        }
        Ok(freed)
    }

    fn count_blocks(&self, subject: &mut Subject, added: u64, freed: u64) -> Result<()> {
        let huge = self.new.g.has_ro_compat(RoCompat::HUGE_FILE);
        let size = self.new.g.block_size;
        let unit = u64::from(size / 512) << self.new.g.cluster_shift;
        let sectors = subject.inode.sectors(huge, size);
        let sectors = (sectors + added * unit).saturating_sub(freed * unit);
        if !subject.inode.set_sectors(sectors, huge, size) {
            return Err(subject.corrupt("i_blocks", sectors, "more than an inode can tell"));
        }
        Ok(())
    }
}

fn fill_node(node: &mut [u8], max: u16, depth: u16, records: &[(u32, [u8; EXTENT_RECORD_SIZE])]) {
    let mut header = ExtentHeader::new(max, depth);
    header.entries = records.len() as u16;
    header.encode_into(node);
    let places = node.chunks_exact_mut(EXTENT_RECORD_SIZE).skip(1);
    for (place, (_, record)) in places.zip(records) {
        place.copy_from_slice(record);
    }
}
