//! The block maps of files that are put into a new filesystem: holes, extents of any number, indirect blocks of any depth.

use super::file_blocks::FileBlocks;
use super::groups::Groups;
use crate::checksum::InodeSeed;
use crate::error::{Error, Result};
use crate::extent_record::{
    EXTENT_RECORD_SIZE, ExtentHeader, ExtentIndex, ExtentLeaf, MAX_EXTENT_DEPTH, MAX_EXTENT_LEN,
};
use crate::record::{put_array, put32};

/// Blocks that stand in the inode itself of a file with a block map.
const DIRECT: u64 = 12;
/// Records that fit into an inode.
const ROOT_RECORDS: usize = 4;

/// A run of blocks of a file that are data: the first, and how many.
pub(super) type DataRun = (u32, u32);

/// Gives the data of a file its blocks and maps them by extents. `seed` is what checksums of its blocks start from.
pub(super) fn extents(groups: &mut Groups, data: &[DataRun], seed: Option<InodeSeed>) -> Result<FileBlocks> {
    let mut file = FileBlocks {
        root: vec![0; 60],
        ..FileBlocks::default()
    };
    let mut goal = 0;
    for (logical, len) in data {
        let (mut logical, mut left) = (*logical, *len);
        while left > 0 {
            let (physical, run) = groups.place(goal, left.min(MAX_EXTENT_LEN).into())?;
            file.runs.push((logical, physical, run as u32));
            logical = logical.saturating_add(run as u32);
            left -= run as u32;
            goal = physical + run;
        }
    }
    let block_size = groups.sizes.block_size as usize;
    let room = (block_size - EXTENT_RECORD_SIZE) / EXTENT_RECORD_SIZE;
    let mut records: Vec<(u32, [u8; EXTENT_RECORD_SIZE])> = file.runs.iter().map(leaf).collect();
    let mut depth = 0;
    while records.len() > ROOT_RECORDS {
        let mut above = Vec::new();
        for part in records.chunks(room) {
            let (block, _) = groups.place(goal, 1)?;
            let mut bytes = vec![0; block_size];
            node(&mut bytes, part, room, depth);
            if let Some(seed) = seed {
                let sum = seed.extent_block(&bytes, room as u16);
                put32(&mut bytes, EXTENT_RECORD_SIZE * (room + 1), sum);
            }
            file.map.push((block, bytes));
            let logical = part.first().map_or(0, |(logical, _)| *logical);
            let mut record = [0; EXTENT_RECORD_SIZE];
            let index = ExtentIndex {
                logical,
                child: block,
            };
            index.encode_into(&mut record);
            above.push((logical, record));
        }
        records = above;
        depth += 1;
        if depth > MAX_EXTENT_DEPTH {
            return Err(Error::NoSpace {
                what: "room in an extent tree",
            });
        }
    }
    node(&mut file.root, &records, ROOT_RECORDS, depth);
    Ok(file)
}

fn leaf((logical, physical, len): &(u32, u64, u32)) -> (u32, [u8; EXTENT_RECORD_SIZE]) {
    let mut record = [0; EXTENT_RECORD_SIZE];
    ExtentLeaf {
        logical: *logical,
        len: *len,
        physical: *physical,
        unwritten: false,
    }
    .encode_into(&mut record);
    (*logical, record)
}

fn node(bytes: &mut [u8], records: &[(u32, [u8; EXTENT_RECORD_SIZE])], room: usize, depth: u16) {
    let mut header = ExtentHeader::new(room as u16, depth);
    header.entries = records.len() as u16;
    header.encode_into(bytes);
    for (i, (_, record)) in records.iter().enumerate() {
        put_array(bytes, EXTENT_RECORD_SIZE * (i + 1), record);
    }
}

/// Gives the data of a file its blocks and maps them by direct and indirect blocks; each indirect block lies before what it maps.
pub(super) fn block_map(groups: &mut Groups, data: &[DataRun]) -> Result<FileBlocks> {
    let mut map = BlockMap {
        file: FileBlocks {
            root: vec![0; 60],
            ..FileBlocks::default()
        },
        per_block: u64::from(groups.sizes.block_size / 4),
        block_size: groups.sizes.block_size as usize,
        goal: 0,
        current: [None; 3],
    };
    for (logical, len) in data {
        let (mut logical, mut left) = (u64::from(*logical), u64::from(*len));
        while left > 0 {
            let (table, slot, room) = map.table_of(groups, logical)?;
            let (physical, run) = groups.place(map.goal, left.min(room))?;
            if physical + run > u64::from(u32::MAX) {
                return Err(Error::NoSpace {
                    what: "blocks that a block map can tell",
                });
            }
            map.goal = physical + run;
            for i in 0..run {
                map.point(table, slot + i, physical + i);
            }
            match map.file.runs.last_mut() {
                Some((first, start, count))
                    if u64::from(*first) + u64::from(*count) == logical
                        && *start + u64::from(*count) == physical =>
                {
                    *count += run as u32;
                }
                _ => map.file.runs.push((logical as u32, physical, run as u32)),
            }
            logical += run;
            left -= run;
        }
    }
    Ok(map.file)
}

struct BlockMap {
    file: FileBlocks,
    per_block: u64,
    block_size: usize,
    goal: u64,
    /// For each depth the indirect block in use: which one of its depth, and its place in the map.
    current: [Option<(u64, usize)>; 3],
}

impl BlockMap {
    /// The indirect block (`None`: the inode) and the slot in it that tell where a block of the file is, and for how many
    /// blocks from there on it has room.
    fn table_of(&mut self, groups: &mut Groups, logical: u64) -> Result<(Option<usize>, u64, u64)> {
        let per = self.per_block;
        let Some(mut beyond) = logical.checked_sub(DIRECT) else {
            return Ok((None, logical, DIRECT - logical));
        };
        // How deep, and behind how many blocks that a depth covers.
        let mut depth = 0;
        let mut covered = per;
        while beyond >= covered {
            beyond -= covered;
            covered = covered.saturating_mul(per);
            depth += 1;
            if depth == 3 {
                return Err(Error::InvalidOption {
                    what: "file size",
                    reason: "too large for a filesystem without extents".into(),
                });
            }
        }
        let mut table = None;
        let mut slot = DIRECT + depth;
        let mut span = covered;
        for level in 0..=depth {
            let number = beyond / span + ((depth + 1) << 56);
            let index = match self.current.get(level as usize).copied().flatten() {
                Some((known, index)) if known == number => index,
                _ => {
                    let (block, _) = groups.place(self.goal, 1)?;
                    if block > u64::from(u32::MAX) {
                        return Err(Error::NoSpace {
                            what: "blocks that a block map can tell",
                        });
                    }
                    self.goal = block + 1;
                    self.point(table, slot, block);
                    self.file.map.push((block, vec![0; self.block_size]));
                    let index = self.file.map.len() - 1;
                    if let Some(current) = self.current.get_mut(level as usize) {
                        *current = Some((number, index));
                    }
                    index
                }
            };
            table = Some(index);
            span /= per;
            slot = beyond / span.max(1) % per;
        }
        Ok((table, slot, per - slot))
    }

    fn point(&mut self, table: Option<usize>, slot: u64, block: u64) {
        let at = 4 * slot as usize;
        match table.and_then(|index| self.file.map.get_mut(index)) {
            Some((_, bytes)) => put32(bytes, at, block as u32),
            None => put32(&mut self.file.root, at, block as u32),
        }
    }
}
