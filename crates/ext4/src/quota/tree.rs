//! Finding and making entries in the tree of a quota file.

use super::MAX_PLACES;
use super::record::{
    BLOCK, ENTRIES, ENTRY, EntriesHead, HEAD, LEVELS, MAGIC, QuotaEntry, QuotaHeader, ROOT, VERSION,
};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::inode_table::Node;
use crate::mapping::Mapped;
use crate::record::{le32, put_array, put32};
use std::sync::Arc;

/// The file at work.
struct File {
    node: Node,
    header: QuotaHeader,
}

impl Core {
    /// Adds to what an id uses.
    pub(super) fn change_usage(
        &mut self,
        kind: usize,
        file: u32,
        id: u32,
        space: i64,
        inodes: i64,
    ) -> Result<()> {
        let (block, offset) = match self.quotas.places.get(&(kind, id)) {
            Some(place) => *place,
            None => {
                let place = self.quota_place(kind, file, id)?;
                if self.quotas.places.len() >= MAX_PLACES {
                    self.quotas.places.clear();
                }
                self.quotas.places.insert((kind, id), place);
                place
            }
        };
        let bytes = self.block(block, |_| Ok(()))?;
        let mut entry = QuotaEntry::parse(bytes.get(offset..offset + ENTRY).unwrap_or(&[]));
        if is_marked_zero(&entry) {
            entry.inode_time = 0;
        }
        entry.space = entry.space.saturating_add_signed(space);
        entry.inodes = entry.inodes.saturating_add_signed(inodes);
        if entry == QuotaEntry::default() {
            entry.inode_time = 1;
        }
        self.edit_block(block, bytes, |bytes| {
            if let Some(slot) = bytes.get_mut(offset..offset + ENTRY) {
                entry.encode_into(slot);
            }
        });
        Ok(())
    }

    /// Where the entry of an id is; it is made where there is none.
    fn quota_place(&mut self, kind: usize, file: u32, id: u32) -> Result<(u64, usize)> {
        let node = self.load_any(file)?;
        let head = self.quota_block(&node, 0)?;
        let header = QuotaHeader::parse(&head);
        if Some(&header.magic) != MAGIC.get(kind) {
            return Err(node.corrupt("dqh_magic", header.magic, "not that of this kind of quota"));
        }
        if header.version != VERSION {
            return Err(Error::unsupported(format!(
                "counting quotas in files of version {}",
                header.version
            )));
        }
        if header.blocks <= ROOT || u64::from(header.blocks) << 10 > node.rec.size() {
            return Err(node.corrupt("dqi_blocks", header.blocks, "contradicts the size of the file"));
        }
        let mut file = File { node, header };
        // The way down, as far as it is there.
        let mut at = ROOT;
        for level in 0..LEVELS {
            let slot = slot_of(id, level);
            let next = le32(&self.quota_block(&file.node, at)?, slot);
            if next == 0 {
                let leaf = self.new_quota_entry(&mut file, id)?;
                self.link_quota_entry(&mut file, at, level, id, leaf.0)?;
                self.store_quota_header(&mut file)?;
                return self.locate_quota(&file.node, leaf.0, leaf.1);
            }
            if next >= file.header.blocks {
                return Err(file
                    .node
                    .corrupt("block", next, "a block of a quota tree outside of its file"));
            }
            at = next;
        }
        let block = self.quota_block(&file.node, at)?;
        for index in 0..ENTRIES {
            let offset = HEAD + index * ENTRY;
            let bytes = block.get(offset..offset + ENTRY).unwrap_or(&[]);
            if le32(bytes, 0) == id && !disksmith_storage::is_zero(bytes) {
                return self.locate_quota(&file.node, at, offset);
            }
        }
        Err(file
            .node
            .corrupt("dqb_id", id, "a quota tree leads to a block without the entry"))
    }

    /// Block of the filesystem that holds a block of the file, and offset in it of `within`.
    fn locate_quota(&self, node: &Node, number: u32, within: usize) -> Result<(u64, usize)> {
        let byte = u64::from(number) * BLOCK as u64;
        match self.map(node, byte >> self.geometry.block_shift, 1)?.0 {
            Mapped::Data(block) => {
                let offset = (byte & u64::from(self.geometry.block_size - 1)) as usize;
                Ok((block, offset + within))
            }
            _ => Err(node.corrupt("i_block", byte, "a quota file with a hole")),
        }
    }

    fn quota_block(&self, node: &Node, number: u32) -> Result<Vec<u8>> {
        let (block, offset) = self.locate_quota(node, number, 0)?;
        let bytes = self.block(block, |_| Ok(()))?;
        Ok(bytes.get(offset..offset + BLOCK).unwrap_or(&[]).to_vec())
    }

    fn put_quota_block(&mut self, node: &Node, number: u32, content: &[u8]) -> Result<()> {
        let (block, offset) = self.locate_quota(node, number, 0)?;
        let bytes = self.block(block, |_| Ok(()))?;
        self.edit_block(block, bytes, |bytes| put_array(bytes, offset, content));
        Ok(())
    }

    fn store_quota_header(&mut self, file: &mut File) -> Result<()> {
        let mut head = self.quota_block(&file.node, 0)?;
        file.header.encode_into(&mut head);
        self.put_quota_block(&file.node, 0, &head)?;
        self.store(&mut file.node)
    }

    /// Takes a block of the file, which becomes zero.
    fn take_quota_block(&mut self, file: &mut File) -> Result<u32> {
        let number = file.header.free_block;
        if number != 0 {
            if number >= file.header.blocks {
                return Err(file.node.corrupt("dqi_free_blk", number, "outside of the file"));
            }
            file.header.free_block = EntriesHead::parse(&self.quota_block(&file.node, number)?).next;
        } else {
            let number = file.header.blocks;
            let byte = u64::from(number) * BLOCK as u64;
            let logical = byte >> self.geometry.block_shift;
            for run in self.fill_holes(&mut file.node, logical, logical + 1, false)? {
                let zeroes = vec![0; self.geometry.block_size as usize];
                self.put_block(run.physical, Arc::new(zeroes));
            }
            let end = byte + BLOCK as u64;
            if end > file.node.rec.size() {
                file.node.rec.set_size(end);
            }
            file.header.blocks = number
                .checked_add(1)
                .ok_or(Error::NoSpace { what: "quota blocks" })?;
        }
        let number = if number != 0 {
            number
        } else {
            file.header.blocks - 1
        };
        self.put_quota_block(&file.node, number, &[0; BLOCK])?;
        Ok(number)
    }

    /// Makes an entry in a block with room; tells its block and offset.
    fn new_quota_entry(&mut self, file: &mut File, id: u32) -> Result<(u32, usize)> {
        let mut number = file.header.free_entry;
        if number == 0 {
            number = self.take_quota_block(file)?;
            file.header.free_entry = number;
        } else if number >= file.header.blocks {
            return Err(file.node.corrupt("dqi_free_entry", number, "outside of the file"));
        }
        let mut block = self.quota_block(&file.node, number)?;
        let free = (0..ENTRIES).map(|i| HEAD + i * ENTRY).find(|at| {
            block
                .get(*at..*at + ENTRY)
                .is_some_and(disksmith_storage::is_zero)
        });
        let Some(offset) = free else {
            return Err(file
                .node
                .corrupt("dqi_free_entry", number, "a block without room"));
        };
        let mut head = EntriesHead::parse(&block);
        head.used = head.used.saturating_add(1);
        if usize::from(head.used) >= ENTRIES {
            // The block is full: it leaves the list of those with room.
            let (next, previous) = (head.next, head.previous);
            (head.next, head.previous) = (0, 0);
            if file.header.free_entry == number {
                file.header.free_entry = next;
            }
            for (neighbour, is_next) in [(next, true), (previous, false)] {
                if neighbour == 0 || neighbour == number || neighbour >= file.header.blocks {
                    continue;
                }
                let mut bytes = self.quota_block(&file.node, neighbour)?;
                let mut head = EntriesHead::parse(&bytes);
                if is_next {
                    head.previous = previous;
                } else {
                    head.next = next;
                }
                head.encode_into(&mut bytes);
                self.put_quota_block(&file.node, neighbour, &bytes)?;
            }
        }
        head.encode_into(&mut block);
        let entry = QuotaEntry {
            id,
            inode_time: u64::from(id == 0),
            ..QuotaEntry::default()
        };
        if let Some(slot) = block.get_mut(offset..offset + ENTRY) {
            entry.encode_into(slot);
        }
        self.put_quota_block(&file.node, number, &block)?;
        Ok((number, offset))
    }

    /// Makes the way from block `at` of a level down to the block of entries `leaf`.
    fn link_quota_entry(
        &mut self,
        file: &mut File,
        mut at: u32,
        level: u32,
        id: u32,
        leaf: u32,
    ) -> Result<()> {
        for level in level..LEVELS {
            let next = if level + 1 == LEVELS {
                leaf
            } else {
                self.take_quota_block(file)?
            };
            let mut block = self.quota_block(&file.node, at)?;
            put32(&mut block, slot_of(id, level), next);
            self.put_quota_block(&file.node, at, &block)?;
            at = next;
        }
        Ok(())
    }
}

/// Offset of the reference that leads to `id` in a block of this level.
fn slot_of(id: u32, level: u32) -> usize {
    (id >> (8 * (LEVELS - 1 - level)) & 0xff) as usize * 4
}

/// Whether an entry stands for zeroes.
fn is_marked_zero(entry: &QuotaEntry) -> bool {
    *entry
        == QuotaEntry {
            inode_time: 1,
            ..QuotaEntry::default()
        }
}
