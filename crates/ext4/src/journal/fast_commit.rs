//! The area of fast commits (journal.rst, "Fast Commits"; `fs/ext4/fast_commit.h`): what changed since the last full
//! transaction, as records in little-endian byte order.

use super::checksum::crc32c;
use super::error::JournalError;
use super::log::Log;
use super::sequence::Sequence;
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::Storage;

/// Tag and length.
const HEADER_LEN: usize = 4;
const TAG_ADD_RANGE: u16 = 1;
const TAG_DEL_RANGE: u16 = 2;
const TAG_CREATE: u16 = 3;
const TAG_LINK: u16 = 4;
const TAG_UNLINK: u16 = 5;
const TAG_INODE: u16 = 6;
const TAG_PAD: u16 = 7;
const TAG_TAIL: u16 = 8;
const TAG_HEAD: u16 = 9;
/// Records of more blocks than this are not read into memory; the kernel's area has 256.
const MAX_BLOCKS: u32 = 4096;
/// The part of an inode that all filesystems have.
const GOOD_OLD_INODE_LEN: usize = 128;
const MAX_NAME_LEN: usize = 255;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastCommitName {
    /// Inode of the directory.
    pub parent: u32,
    /// Inode that is named.
    pub inode: u32,
    /// The name.
    pub name: Vec<u8>,
}

/// A change that a fast commit recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FastCommitRecord {
    /// An extent became part of a file.
    AddRange {
        /// The file.
        inode: u32,
        /// The extent as extent trees store it, 12 bytes.
        extent: [u8; 12],
    },
    /// Blocks of a file became a hole.
    DeleteRange {
        /// The file.
        inode: u32,
        /// First block in the file.
        first: u32,
        /// Number of blocks.
        len: u32,
    },
    /// A new inode got its name.
    Create(FastCommitName),
    /// An inode got a further name.
    Link(FastCommitName),
    /// A name was removed.
    Unlink(FastCommitName),
    /// An inode changed.
    Inode {
        /// Its number.
        inode: u32,
        /// Its bytes as they lie in the inode table.
        raw: Vec<u8>,
    },
}

/// Reads the fast commits that follow transaction `end - 1`, up to the last whole one.
///
/// Each fast commit is a head (only the first must have one), records, and a tail with the transaction and a CRC-32C over
/// all of it. What follows the last good tail was never committed.
pub(super) fn scan(
    log: &Log,
    storage: &dyn Storage,
    end: Sequence,
) -> Result<Vec<FastCommitRecord>, JournalError> {
    let mut records = Vec::new();
    let mut valid = 0;
    let mut crc = 0;
    let mut first = true;
    let mut seen_tail = false;
    let area = log.superblock().fast_commit_area();
    let mut block = Vec::new();
    for at in area.clone().take(MAX_BLOCKS as usize) {
        log.read(storage, at, &mut block)?;
        let mut rest = block.as_slice();
        while let Some((header, after)) = rest.split_at_checked(HEADER_LEN) {
            let tag = LittleEndian::read_u16(header);
            let len = usize::from(header.get(2..).map_or(0, LittleEndian::read_u16));
            if std::mem::take(&mut first) && tag != TAG_HEAD {
                return Ok(records);
            }
            let value = after.get(..len).filter(|value| fits(tag, value.len()));
            let Some(value) = value else {
                if seen_tail {
                    records.truncate(valid);
                    return Ok(records);
                }
                return Err(damaged(at, "fc_len", len as u64, "does not fit its tag"));
            };
            let whole = rest.get(..HEADER_LEN + len).unwrap_or(&[]);
            match tag {
                TAG_HEAD => {
                    let features = le32(value, 0);
                    if features != 0 {
                        return Err(JournalError::UnsupportedFeature {
                            names: format!("fast commits with the bits {features:#x}"),
                        });
                    }
                    if le32(value, 4) != end.0 {
                        records.truncate(valid);
                        return Ok(records);
                    }
                    crc = crc32c(crc, whole);
                }
                TAG_TAIL => {
                    crc = crc32c(crc, whole.get(..HEADER_LEN + 4).unwrap_or(&[]));
                    if le32(value, 0) != end.0 || le32(value, 4) != crc {
                        if seen_tail {
                            records.truncate(valid);
                            return Ok(records);
                        }
                        return Err(JournalError::Checksum {
                            structure: "fast commit",
                            block: at.into(),
                            transaction: end.0,
                            found: le32(value, 4),
                            computed: crc,
                        });
                    }
                    seen_tail = true;
                    valid = records.len();
                    crc = 0;
                }
                _ => {
                    records.extend(parse(tag, value));
                    crc = crc32c(crc, whole);
                }
            }
            rest = after.get(len..).unwrap_or(&[]);
        }
    }
    records.truncate(valid);
    Ok(records)
}

/// Whether a record of this tag can have this length.
fn fits(tag: u16, len: usize) -> bool {
    match tag {
        TAG_ADD_RANGE => len == 16,
        TAG_DEL_RANGE => len == 12,
        TAG_CREATE | TAG_LINK | TAG_UNLINK => len > 8 && len <= 8 + MAX_NAME_LEN,
        TAG_INODE => len >= 4 + GOOD_OLD_INODE_LEN,
        TAG_PAD => true,
        TAG_TAIL => len >= 8,
        TAG_HEAD => len == 8,
        _ => false,
    }
}

fn parse(tag: u16, value: &[u8]) -> Option<FastCommitRecord> {
    let name = || FastCommitName {
        parent: le32(value, 0),
        inode: le32(value, 4),
        name: value.get(8..).unwrap_or(&[]).to_vec(),
    };
    Some(match tag {
        TAG_ADD_RANGE => FastCommitRecord::AddRange {
            inode: le32(value, 0),
            extent: value.get(4..)?.try_into().ok()?,
        },
        TAG_DEL_RANGE => FastCommitRecord::DeleteRange {
            inode: le32(value, 0),
            first: le32(value, 4),
            len: le32(value, 8),
        },
        TAG_CREATE => FastCommitRecord::Create(name()),
        TAG_LINK => FastCommitRecord::Link(name()),
        TAG_UNLINK => FastCommitRecord::Unlink(name()),
        TAG_INODE => FastCommitRecord::Inode {
            inode: le32(value, 0),
            raw: value.get(4..)?.to_vec(),
        },
        _ => return None,
    })
}

fn le32(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).map_or(0, LittleEndian::read_u32)
}

fn damaged(block: u32, field: &'static str, value: u64, reason: &'static str) -> JournalError {
    JournalError::Corrupt {
        structure: "fast commit",
        block: block.into(),
        field,
        value,
        reason,
    }
}
