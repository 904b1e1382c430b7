//! Whole directories as bytes: linear where one block holds them, else hashed.

use crate::checksum::InodeSeed;
use crate::directory::NameHasher;
use crate::directory::entry::{entries_end, entry_size, seal_leaf, set_len, write_entry};
use crate::directory::index_node::{IndexNode, ROOT_INFO, limit_of};
use crate::error::{Error, Result};

/// Byte offset of count and limit in the root of a hash tree.
const ROOT_COUNT: usize = 32;
/// The same in its other nodes.
const NODE_COUNT: usize = 8;
/// `file_type` of a directory.
const TYPE_DIRECTORY: u8 = 2;

/// A name that is to be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: u32,
    /// As entries tell the kind of file; not looked at where the filesystem does not tell it.
    pub(super) kind: u8,
}

/// How directories are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryFormat {
    pub(super) block_size: usize,
    /// Whether entries tell the kind of file.
    pub(super) filetype: bool,
    /// How names are hashed, where directories are.
    pub(super) hasher: Option<NameHasher>,
    /// `dx_root.hash_version`.
    pub(super) hash_version: u8,
    /// Levels of nodes below the root that a tree may have.
    pub(super) max_levels: u8,
}

/// A directory as it is stored.
#[derive(Debug)]
pub(super) struct DirectoryImage {
    /// Whole blocks.
    pub(super) bytes: Vec<u8>,
    /// Whether it is a hash tree.
    pub(super) indexed: bool,
}

impl DirectoryFormat {
    /// Lays out a directory: its own number, its parent's, and its names. `seed` is what its checksums start from.
    pub(super) fn build(
        &self,
        own: u32,
        parent: u32,
        entries: &[Entry<'_>],
        seed: Option<InodeSeed>,
    ) -> Result<DirectoryImage> {
        let end = entries_end(self.block_size, seed.is_some());
        let needed: usize = 24 + entries.iter().map(|e| entry_size(e.name.len())).sum::<usize>();
        if needed > end
            && let Some(hasher) = self.hasher
        {
            return self.build_tree(own, parent, entries, seed, hasher);
        }
        let mut blocks = Blocks::new(self, seed);
        blocks.push(&Entry {
            name: b".",
            inode: own,
            kind: TYPE_DIRECTORY,
        });
        blocks.push(&Entry {
            name: b"..",
            inode: parent,
            kind: TYPE_DIRECTORY,
        });
        for entry in entries {
            blocks.push(entry);
        }
        Ok(DirectoryImage {
            bytes: blocks.finish(),
            indexed: false,
        })
    }

    fn kind(&self, kind: u8) -> u8 {
        if self.filetype { kind } else { 0 }
    }

    fn build_tree(
        &self,
        own: u32,
        parent: u32,
        entries: &[Entry<'_>],
        seed: Option<InodeSeed>,
        hasher: NameHasher,
    ) -> Result<DirectoryImage> {
        let mut sorted: Vec<(u32, &Entry<'_>)> = entries.iter().map(|e| (hasher.hash(e.name), e)).collect();
        sorted.sort_unstable_by(|a, b| (a.0, a.1.name).cmp(&(b.0, b.1.name)));
        // Room for a fifth more names, so that the next ones do not split every leaf.
        let end = entries_end(self.block_size, seed.is_some());
        let full = end - end / 5;
        let mut leaves = Blocks::new(self, seed);
        let mut hashes: Vec<u32> = Vec::new();
        let mut last = None;
        for (hash, entry) in &sorted {
            let size = entry_size(entry.name.len());
            if leaves.is_empty() || leaves.used + size > full {
                leaves.start();
                // The lowest bit says that the leaf before ends with the same hash.
                hashes.push(*hash | u32::from(last == Some(*hash)));
            }
            leaves.push(entry);
            last = Some(*hash);
        }
        let leaves = leaves.finish();
        let has_tail = seed.is_some();
        let root_limit = limit_of(self.block_size, ROOT_COUNT, has_tail);
        let node_limit = limit_of(self.block_size, NODE_COUNT, has_tail);
        // From the leaves up: the lowest hash and the number of children of every node.
        let mut levels: Vec<Vec<Vec<usize>>> = Vec::new();
        let mut count = hashes.len();
        while count > root_limit {
            let children: Vec<usize> = (0..count).collect();
            let nodes: Vec<Vec<usize>> = children.chunks(node_limit).map(<[usize]>::to_vec).collect();
            count = nodes.len();
            levels.push(nodes);
        }
        if levels.len() > usize::from(self.max_levels) {
            return Err(Error::NoSpace {
                what: "room in the hash tree of a directory",
            });
        }
        levels.reverse();
        // Blocks: the root, the nodes level by level, the leaves.
        let mut firsts = vec![1usize];
        for level in &levels {
            let first = firsts.last().copied().unwrap_or(1);
            firsts.push(first + level.len());
        }
        let mut low: Vec<Vec<u32>> = vec![hashes];
        for level in levels.iter().rev() {
            let below = low.last().cloned().unwrap_or_default();
            let lowest = level
                .iter()
                .map(|children| {
                    children
                        .first()
                        .and_then(|child| below.get(*child))
                        .copied()
                        .unwrap_or(0)
                })
                .collect();
            low.push(lowest);
        }
        low.reverse();
        // low[0] belongs to the children of the root.
        let links = |depth: usize, children: &mut dyn Iterator<Item = usize>| -> Vec<(u32, u32)> {
            let first = firsts.get(depth).copied().unwrap_or(0);
            let hashes = low.get(depth).map(Vec::as_slice).unwrap_or_default();
            children
                .map(|child| (hashes.get(child).copied().unwrap_or(0), (first + child) as u32))
                .collect()
        };
        let mut bytes = self.root(own, parent, levels.len() as u8);
        let node = IndexNode {
            count_offset: ROOT_COUNT,
            limit: root_limit,
            entries: links(0, &mut (0..count)),
        };
        node.encode_into(&mut bytes, seed);
        for (depth, level) in levels.iter().enumerate() {
            for children in level {
                let entries = links(depth + 1, &mut children.iter().copied());
                let (node, mut block) = IndexNode::new_block(self.block_size, has_tail, entries);
                node.encode_into(&mut block, seed);
                bytes.extend_from_slice(&block);
            }
        }
        bytes.extend_from_slice(&leaves);
        Ok(DirectoryImage { bytes, indexed: true })
    }

    /// The first block of a hash tree without its entries: to who does not know hash trees, `..` takes all of the rest.
    fn root(&self, own: u32, parent: u32, levels: u8) -> Vec<u8> {
        let size = self.block_size;
        let mut block = vec![0; size];
        let kind = self.kind(TYPE_DIRECTORY);
        write_entry(&mut block, 0, 12, own, b".", kind, size);
        write_entry(&mut block, 12, size - 12, parent, b"..", kind, size);
        if let Some(info) = block.get_mut(ROOT_INFO + 4..ROOT_INFO + 7) {
            info.copy_from_slice(&[self.hash_version, 8, levels]);
        }
        block
    }
}

/// Blocks of entries, filled one after the other.
struct Blocks<'a> {
    format: &'a DirectoryFormat,
    seed: Option<InodeSeed>,
    bytes: Vec<u8>,
    /// Bytes that entries take in the last block, and where the last entry begins.
    used: usize,
    last: usize,
}

impl<'a> Blocks<'a> {
    fn new(format: &'a DirectoryFormat, seed: Option<InodeSeed>) -> Self {
        Self {
            format,
            seed,
            bytes: Vec::new(),
            used: 0,
            last: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Ends the last block and starts another.
    fn start(&mut self) {
        self.close();
        self.bytes.resize(self.bytes.len() + self.format.block_size, 0);
        (self.used, self.last) = (0, 0);
    }

    fn close(&mut self) {
        let size = self.format.block_size;
        let end = entries_end(size, self.seed.is_some());
        let Some(at) = self.bytes.len().checked_sub(size) else {
            return;
        };
        if let Some(block) = self.bytes.get_mut(at..) {
            // The last entry takes what is left; one that has no name takes an empty block.
            set_len(block, self.last, end - self.last, size);
            seal_leaf(block, self.seed);
        }
    }

    fn push(&mut self, entry: &Entry<'_>) {
        let size = self.format.block_size;
        let len = entry_size(entry.name.len());
        if self.is_empty() || self.used + len > entries_end(size, self.seed.is_some()) {
            self.start();
        }
        let at = self.bytes.len() - size;
        let kind = self.format.kind(entry.kind);
        if let Some(block) = self.bytes.get_mut(at..) {
            write_entry(block, self.used, len, entry.inode, entry.name, kind, size);
        }
        self.last = self.used;
        self.used += len;
    }

    fn finish(mut self) -> Vec<u8> {
        self.close();
        self.bytes
    }
}
