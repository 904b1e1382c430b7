//! The directory blocks of a new filesystem.

use crate::checksum::InodeSeed;
use crate::record::{put_array, put16, put32};

/// `file_type` of a directory.
const TYPE_DIRECTORY: u8 = 2;
/// Length of the tail that holds the checksum.
const TAIL_LEN: usize = 12;
/// `file_type` of that tail.
const TYPE_TAIL: u8 = 0xDE;

/// Makes a directory block of these subdirectories. `filetype` says whether entries tell the type; `seed` is what
/// checksums start from, where there are any.
pub(super) fn block(
    block_size: u32,
    entries: &[(u32, &[u8])],
    filetype: bool,
    seed: Option<InodeSeed>,
) -> Vec<u8> {
    let size = block_size as usize;
    let end = if seed.is_some() { size - TAIL_LEN } else { size };
    let mut bytes = vec![0; size];
    let mut at = 0;
    for (i, (inode, name)) in entries.iter().enumerate() {
        let len = if i + 1 == entries.len() {
            end - at
        } else {
            8 + name.len().next_multiple_of(4)
        };
        put32(&mut bytes, at, *inode);
        put16(&mut bytes, at + 4, record_len(len, size));
        let kind = if filetype && *inode != 0 {
            TYPE_DIRECTORY
        } else {
            0
        };
        put_array(&mut bytes, at + 6, &[name.len() as u8, kind]);
        put_array(&mut bytes, at + 8, name);
        at += len;
    }
    if entries.is_empty() {
        put16(&mut bytes, 4, record_len(end, size));
    }
    if let Some(seed) = seed {
        put16(&mut bytes, end + 4, TAIL_LEN as u16);
        put_array(&mut bytes, end + 7, &[TYPE_TAIL]);
        let sum = seed.directory_leaf(&bytes);
        put32(&mut bytes, end + 8, sum);
    }
    bytes
}

/// How `rec_len` is stored: 65536 does not fit.
fn record_len(len: usize, block_size: usize) -> u16 {
    if len < 65536 {
        len as u16
    } else if block_size == 65536 {
        65535
    } else {
        0
    }
}
