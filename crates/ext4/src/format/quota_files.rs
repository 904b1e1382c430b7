//! The quota files of a new filesystem (`quota_v2`, revision 1), laid out in the order in which mke2fs fills them.

use super::sizes::Sizes;
use crate::features::RoCompat;
use crate::inode::{Inode, InodeFlags};
use crate::quota::record::{
    BLOCK, ENTRIES, ENTRY, EntriesHead, HEAD, MAGIC, QuotaEntry, QuotaHeader, VERSION,
};
use crate::record::{le32, put32};
use std::collections::BTreeMap;

/// Seconds for which a soft limit may be exceeded, where nobody says otherwise: a week.
const GRACE: u32 = 7 * 24 * 3600;
/// The root of the tree.
const ROOT: u32 = 1;
const ROOT_DIRECTORY: u32 = 2;
const FIRST_FILE: u32 = 11;

/// What one id uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) space: u64,
    pub(super) inodes: u64,
}

/// What the ids of each kind (users, groups, projects) use.
pub(super) type UsedByIds = [BTreeMap<u32, Used>; 3];

/// Counts an inode that is written.
pub(super) fn charge(used: &mut UsedByIds, number: u32, raw: &[u8], sizes: &Sizes, hidden: &[u32]) {
    let inode = Inode::from_raw(raw);
    let own = number != ROOT_DIRECTORY && number < FIRST_FILE;
    if own || inode.links == 0 || hidden.contains(&number) || inode.has(InodeFlags::EA_INODE) {
        return;
    }
    let huge = sizes.features.ro_compat.contains(RoCompat::HUGE_FILE);
    let space = inode.sectors(huge, sizes.block_size).saturating_mul(512);
    for (kind, id) in used.iter_mut().zip([inode.uid(), inode.gid(), 0]) {
        let entry = kind.entry(id).or_default();
        entry.space = entry.space.saturating_add(space);
        entry.inodes += 1;
    }
}

/// The bytes of a quota file.
pub(super) fn build(kind: usize, used: &BTreeMap<u32, Used>) -> Vec<u8> {
    let mut file = vec![0; 2 * BLOCK];
    let mut entries: Option<(u32, usize)> = None;
    for (id, used) in used {
        let mut table = ROOT;
        for level in 0..3u32 {
            let slot = table as usize * BLOCK + 4 * (id >> (24 - 8 * level) & 0xff) as usize;
            table = match le32(&file, slot) {
                0 => {
                    let new = add_block(&mut file);
                    put32(&mut file, slot, new);
                    new
                }
                known => known,
            };
        }
        let (block, count) = match entries {
            Some((block, count)) if count < ENTRIES => (block, count),
            _ => (add_block(&mut file), 0),
        };
        let slot = table as usize * BLOCK + 4 * (id & 0xff) as usize;
        put32(&mut file, slot, block);
        let start = block as usize * BLOCK;
        let head = EntriesHead {
            used: (count + 1) as u16,
            ..EntriesHead::default()
        };
        if let Some(bytes) = file.get_mut(start..start + HEAD) {
            head.encode_into(bytes);
        }
        let mut entry = QuotaEntry {
            id: *id,
            inodes: used.inodes,
            space: used.space,
            ..QuotaEntry::default()
        };
        if entry == QuotaEntry::default() {
            entry.inode_time = 1;
        }
        let at = start + HEAD + count * ENTRY;
        if let Some(bytes) = file.get_mut(at..at + ENTRY) {
            entry.encode_into(bytes);
        }
        entries = Some((block, count + 1));
    }
    let header = QuotaHeader {
        magic: MAGIC.get(kind).copied().unwrap_or(0),
        version: VERSION,
        block_grace: GRACE,
        inode_grace: GRACE,
        blocks: (file.len() / BLOCK) as u32,
        free_entry: entries.map_or(0, |(block, count)| if count < ENTRIES { block } else { 0 }),
        ..QuotaHeader::default()
    };
    header.encode_into(&mut file);
    file
}

fn add_block(file: &mut Vec<u8>) -> u32 {
    let number = (file.len() / BLOCK) as u32;
    file.resize(file.len() + BLOCK, 0);
    number
}

/// How many bytes the quota file of so many ids takes at most: of exactly these.
pub(super) fn len(kind: usize, ids: &[u32]) -> usize {
    let used = ids.iter().map(|id| (*id, Used::default())).collect();
    build(kind, &used).len()
}
