//! Directory entries and the blocks that hold them.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.6.1 (linear directories).

use crate::checksum::InodeSeed;
use crate::record::{le16, le32, put16, put32};
use disksmith_vfs::FileType;

/// Bytes of an entry before its name.
pub(crate) const ENTRY_HEAD: usize = 8;
/// Size of the tail that holds a leaf block's checksum; it looks like an unused entry.
pub(crate) const TAIL_SIZE: usize = 12;
/// `det_reserved_ft` of the tail.
const TAIL_TYPE: u8 = 0xde;

/// A directory entry where it lies in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    /// Byte offset in the block.
    pub(crate) offset: usize,
    /// Bytes to the next entry.
    pub(crate) len: usize,
    /// 0 for an unused entry.
    pub(crate) inode: u32,
    pub(crate) name: &'a [u8],
    /// As stored; see [`file_type_of`].
    pub(crate) kind: u8,
}

/// What is wrong with an entry: field, value, reason.
pub(crate) type EntryFault = (usize, &'static str, u64, &'static str);

/// An entry that is to be stored: inode, kind, name.
pub(crate) type NewEntry = (u32, u8, Vec<u8>);

/// Bytes that an entry with a name of `len` bytes needs.
pub(crate) fn entry_size(len: usize) -> usize {
    (ENTRY_HEAD + len).next_multiple_of(4)
}

/// Decodes `rec_len`: with blocks of 64 KiB, lengths do not fit 16 bits as they are.
fn decode_len(stored: u16, block_size: usize) -> usize {
    let stored = usize::from(stored);
    if block_size < 65536 {
        stored
    } else if stored == 0 || stored == 65535 {
        65536
    } else {
        (stored & 65532) | (stored & 3) << 16
    }
}

fn encode_len(len: usize, block_size: usize) -> u16 {
    if len == 65536 && block_size >= 65536 {
        65535
    } else {
        len as u16
    }
}

/// Walks the entries of a block (or of a piece of inline data), unused ones included. `limit` is where they end: in front of the tail.
pub(crate) fn walk<'a>(
    block: &'a [u8],
    start: usize,
    limit: usize,
    has_file_type: bool,
    mut visit: impl FnMut(RawEntry<'a>) -> bool,
) -> Result<(), EntryFault> {
    let block_size = block.len();
    let mut offset = start;
    while offset < limit {
        let stored = le16(block, offset + 4);
        let len = decode_len(stored, block_size);
        let name_len = if has_file_type {
            usize::from(block.get(offset + 6).copied().unwrap_or(0))
        } else {
            usize::from(le16(block, offset + 6))
        };
        if len < 12 || !len.is_multiple_of(4) || len > limit - offset {
            return Err((
                offset,
                "rec_len",
                u64::from(stored),
                "does not lead to the next entry",
            ));
        }
        let name = block.get(offset + ENTRY_HEAD..offset + ENTRY_HEAD + name_len);
        let Some(name) = name.filter(|_| name_len + ENTRY_HEAD <= len && name_len <= 255) else {
            return Err((offset, "name_len", name_len as u64, "longer than its entry"));
        };
        let entry = RawEntry {
            offset,
            len,
            inode: le32(block, offset),
            name,
            kind: if has_file_type {
                block.get(offset + 7).copied().unwrap_or(0)
            } else {
                0
            },
        };
        if !visit(entry) {
            return Ok(());
        }
        offset += len;
    }
    Ok(())
}

/// Writes an entry over a block.
pub(crate) fn write_entry(
    block: &mut [u8],
    offset: usize,
    len: usize,
    inode: u32,
    name: &[u8],
    kind: u8,
    block_size: usize,
) {
    put32(block, offset, inode);
    put16(block, offset + 4, encode_len(len, block_size));
    if let Some(byte) = block.get_mut(offset + 6) {
        *byte = name.len() as u8;
    }
    if let Some(byte) = block.get_mut(offset + 7) {
        *byte = kind;
    }
    if let Some(slot) = block.get_mut(offset + ENTRY_HEAD..offset + ENTRY_HEAD + name.len()) {
        slot.copy_from_slice(name);
    }
}

/// Changes the length of an entry.
pub(crate) fn set_len(block: &mut [u8], offset: usize, len: usize, block_size: usize) {
    put16(block, offset + 4, encode_len(len, block_size));
}

/// Where the entries of a leaf block end.
pub(crate) fn entries_end(block_size: usize, has_tail: bool) -> usize {
    if has_tail {
        block_size - TAIL_SIZE
    } else {
        block_size
    }
}

/// Writes the tail and the checksum of a leaf block.
pub(crate) fn seal_leaf(block: &mut [u8], seed: Option<InodeSeed>) {
    let Some(seed) = seed else { return };
    let at = block.len().saturating_sub(TAIL_SIZE);
    put32(block, at, 0);
    put16(block, at + 4, TAIL_SIZE as u16);
    put16(block, at + 6, u16::from(TAIL_TYPE) << 8);
    let crc = seed.directory_leaf(block);
    put32(block, at + 8, crc);
}

/// Whether a leaf block has a tail with the right checksum; where it has none at all, `None`.
pub(crate) fn verify_leaf(block: &[u8], seed: InodeSeed) -> Option<bool> {
    let at = block.len().saturating_sub(TAIL_SIZE);
    if le32(block, at) != 0 || le16(block, at + 4) != TAIL_SIZE as u16 || le16(block, at + 6) != 0xde00 {
        return None;
    }
    Some(seed.directory_leaf(block) == le32(block, at + 8))
}

/// The kind of file that an entry says, `None` where it says none.
pub(crate) fn file_type_of(kind: u8) -> Option<FileType> {
    Some(match kind & 7 {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::CharDevice,
        4 => FileType::BlockDevice,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => return None,
    })
}

/// How an entry says a kind of file.
pub(crate) fn kind_of(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::CharDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}
