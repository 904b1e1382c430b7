//! The block maps of the files that a new filesystem has.

use super::groups::Groups;
use crate::checksum::InodeSeed;
use crate::error::{Error, Result};
use crate::extent_record::{EXTENT_RECORD_SIZE, ExtentHeader, ExtentIndex, ExtentLeaf, MAX_EXTENT_LEN};
use crate::features::Incompat;
use crate::record::{put_array, put32};

/// Blocks that stand in the inode itself of a file with a block map.
const DIRECT: u32 = 12;
/// Extents that fit into an inode.
const ROOT_EXTENTS: usize = 4;

/// A file's blocks, and what maps them.
#[derive(Debug, Clone, Default)]
pub(super) struct FileBlocks {
    /// Runs: block of the file, block of the filesystem, length.
    pub(super) runs: Vec<(u32, u64, u32)>,
    /// Blocks of the map itself, with their contents.
    pub(super) map: Vec<(u64, Vec<u8>)>,
    /// `i_block`.
    pub(super) root: Vec<u8>,
}

impl FileBlocks {
    /// How many blocks the file takes in whole clusters, its map included.
    pub(super) fn count(&self, cluster: u32) -> u64 {
        let whole = |len: &u32| u64::from(*len).next_multiple_of(cluster.into());
        let data: u64 = self.runs.iter().map(|(_, _, len)| whole(len)).sum();
        data + self.map.len() as u64 * u64::from(cluster)
    }

    /// The block of the filesystem that holds a block of the file.
    pub(super) fn physical(&self, block: u32) -> Option<u64> {
        self.runs
            .iter()
            .find(|(logical, _, len)| (*logical..logical + len).contains(&block))
            .map(|(logical, physical, _)| physical + u64::from(block - logical))
    }

    /// Gives a file `len` blocks at or after `goal`, mapped by extents. `seed` is what checksums of its blocks start from.
    pub(super) fn extents(groups: &mut Groups, goal: u64, len: u32, seed: Option<InodeSeed>) -> Result<Self> {
        let mut this = Self::default();
        let (mut logical, mut goal) = (0, goal);
        while logical < len {
            let (physical, run) = groups.allocate(goal, u64::from((len - logical).min(MAX_EXTENT_LEN)))?;
            this.runs.push((logical, physical, run as u32));
            logical += run as u32;
            goal = physical + run;
        }
        this.map_by_extents(groups, seed)?;
        Ok(this)
    }

    /// The blocks of a quota file: where blocks are as small as those of the quota, the second one (the root of its tree) is written
    /// behind the four that the first entry needs.
    pub(super) fn quota(groups: &mut Groups, goal: u64, len: u32, seed: Option<InodeSeed>) -> Result<Self> {
        let extents = groups.sizes.features.incompat.contains(Incompat::EXTENTS);
        let mut this = if extents {
            Self::extents(groups, goal, len, seed)?
        } else {
            Self::block_map(groups, goal, len)?
        };
        let Some((0, start, run)) = this.runs.first().copied() else {
            return Ok(this);
        };
        if groups.sizes.block_size > 1024 || groups.sizes.cluster > 1 || run < 6 || !this.map.is_empty() {
            return Ok(this);
        }
        let rest = this.runs.split_off(1);
        this.runs = vec![(0, start, 1), (1, start + 5, 1), (2, start + 1, 4)];
        if run > 6 {
            this.runs.push((6, start + 6, run - 6));
        }
        this.runs.extend(rest);
        if extents {
            this.map_by_extents(groups, seed)?;
        } else {
            for (logical, physical, len) in &this.runs {
                for i in 0..(*len).min(DIRECT.saturating_sub(*logical)) {
                    put32(&mut this.root, 4 * (logical + i) as usize, *physical as u32 + i);
                }
            }
        }
        Ok(this)
    }

    fn map_by_extents(&mut self, groups: &mut Groups, seed: Option<InodeSeed>) -> Result<()> {
        let this = self;
        this.root = vec![0; 60];
        let leaves: Vec<ExtentLeaf> = this
            .runs
            .iter()
            .map(|(logical, physical, len)| ExtentLeaf {
                logical: *logical,
                len: *len,
                physical: *physical,
                unwritten: false,
            })
            .collect();
        if leaves.len() <= ROOT_EXTENTS {
            leaf_node(&mut this.root, &leaves, ROOT_EXTENTS);
            return Ok(());
        }
        let block_size = groups.sizes.block_size as usize;
        let room = (block_size - EXTENT_RECORD_SIZE) / EXTENT_RECORD_SIZE;
        // What the root held before it was split stays behind its entries, as mke2fs leaves it.
        leaf_node(
            &mut this.root,
            leaves.get(..ROOT_EXTENTS).unwrap_or(&[]),
            ROOT_EXTENTS,
        );
        let mut header = ExtentHeader::new(ROOT_EXTENTS as u16, 1);
        for (i, part) in leaves.chunks(room).enumerate() {
            if i == ROOT_EXTENTS {
                return Err(Error::InvalidOption {
                    what: "journal size",
                    reason: "free space is in too many pieces for it".into(),
                });
            }
            // Before the first of the blocks that it maps, where that is free.
            let first = part.first().map_or(0, |leaf| leaf.physical);
            let (block, _) = groups.allocate(first.saturating_sub(1), 1)?;
            let mut bytes = vec![0; block_size];
            leaf_node(&mut bytes, part, room);
            if let Some(seed) = seed {
                let sum = seed.extent_block(&bytes, room as u16);
                put32(&mut bytes, EXTENT_RECORD_SIZE * (room + 1), sum);
            }
            this.map.push((block, bytes));
            let index = ExtentIndex {
                logical: part.first().map_or(0, |leaf| leaf.logical),
                child: block,
            };
            let mut record = [0; EXTENT_RECORD_SIZE];
            index.encode_into(&mut record);
            header.entries += 1;
            put_array(&mut this.root, EXTENT_RECORD_SIZE * (i + 1), &record);
        }
        header.encode_into(&mut this.root);
        Ok(())
    }

    /// Gives a file `len` blocks at or after `goal`, mapped by direct and indirect blocks; each indirect block lies before
    /// the blocks that it maps.
    pub(super) fn block_map(groups: &mut Groups, goal: u64, len: u32) -> Result<Self> {
        let mut this = Self {
            root: vec![0; 60],
            ..Self::default()
        };
        let per_block = groups.sizes.block_size / 4;
        let mut goal = goal;
        let mut take = |groups: &mut Groups| {
            let (block, _) = groups.allocate(goal, 1)?;
            goal = block + 1;
            Ok::<u64, Error>(block)
        };
        let mut double = None;
        let mut single = None;
        for logical in 0..len {
            if let Some(beyond) = logical.checked_sub(DIRECT) {
                if beyond == 0 {
                    let block = take(groups)?;
                    single = Some(this.add_map(groups, block));
                    put32(&mut this.root, 48, block as u32);
                } else if let Some(beyond) = beyond.checked_sub(per_block)
                    && beyond % per_block == 0
                {
                    if beyond / per_block >= per_block {
                        return Err(Error::InvalidOption {
                            what: "journal size",
                            reason: "too large for a file without extents".into(),
                        });
                    }
                    if beyond == 0 {
                        let block = take(groups)?;
                        double = Some(this.add_map(groups, block));
                        put32(&mut this.root, 52, block as u32);
                    }
                    let block = take(groups)?;
                    single = Some(this.add_map(groups, block));
                    this.point(double, beyond / per_block, block);
                }
            }
            let block = take(groups)?;
            match logical.checked_sub(DIRECT) {
                None => put32(&mut this.root, 4 * logical as usize, block as u32),
                Some(beyond) => this.point(single, beyond % per_block, block),
            }
            match this.runs.last_mut() {
                Some((_, physical, run)) if *physical + u64::from(*run) == block => *run += 1,
                _ => this.runs.push((logical, block, 1)),
            }
        }
        Ok(this)
    }

    fn add_map(&mut self, groups: &Groups, block: u64) -> usize {
        self.map.push((block, vec![0; groups.sizes.block_size as usize]));
        self.map.len() - 1
    }

    fn point(&mut self, map: Option<usize>, index: u32, block: u64) {
        if let Some((_, bytes)) = map.and_then(|i| self.map.get_mut(i)) {
            put32(bytes, 4 * index as usize, block as u32);
        }
    }
}

fn leaf_node(node: &mut [u8], leaves: &[ExtentLeaf], room: usize) {
    let mut header = ExtentHeader::new(room as u16, 0);
    header.entries = leaves.len() as u16;
    header.encode_into(node);
    for (i, leaf) in leaves.iter().enumerate() {
        let mut record = [0; EXTENT_RECORD_SIZE];
        leaf.encode_into(&mut record);
        put_array(node, EXTENT_RECORD_SIZE * (i + 1), &record);
    }
}
