//! Extended attributes as they are stored, in an inode or in a block.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.7 (extended attributes).

use crate::record::{le16, le32, put16, put32};

/// `h_magic`, in an inode and in a block.
pub(crate) const XATTR_MAGIC: u32 = 0xea02_0000;
/// Size of the header of a block.
pub(crate) const BLOCK_HEADER: usize = 32;
/// Size of the header in an inode: the magic alone.
pub(crate) const INODE_HEADER: usize = 4;
/// Size of an entry without its name.
const ENTRY_SIZE: usize = 16;
/// Largest value, in bytes.
pub(crate) const MAX_VALUE: u64 = 65536;

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Beside its entry.
    Here(Vec<u8>),
    /// In an inode of its own.
    Inode { ino: u32, size: u32, hash: u32 },
}

impl Value {
    /// The inode that holds the value, where it is in one.
    pub(crate) fn holder(&self) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::Inode { ino, .. } => Some(*ino),
        }
    }
}

/// An attribute: number of the name's prefix, the rest of the name, the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) index: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) value: Value,
}

/// What is wrong with an area: byte offset, field, value, reason.
pub(crate) type AreaFault = (usize, &'static str, u64, &'static str);

impl Attribute {
    pub(crate) fn is(&self, index: u8, name: &[u8]) -> bool {
        self.index == index && self.name == name
    }

    fn entry_len(&self) -> usize {
        (ENTRY_SIZE + self.name.len()).next_multiple_of(4)
    }

    fn value_len(&self) -> usize {
        match &self.value {
            Value::Here(value) => value.len().next_multiple_of(4),
            Value::Inode { .. } => 0,
        }
    }

    /// The hash of an entry in a block: over name and value.
    fn hash(&self) -> u32 {
        let mut hash = hash_name(&self.name);
        match &self.value {
            Value::Inode { hash, .. } => *hash,
            Value::Here(value) => {
                for chunk in value.chunks(4) {
                    let mut word = [0u8; 4];
                    for (to, from) in word.iter_mut().zip(chunk) {
                        *to = *from;
                    }
                    hash = hash.rotate_left(16) ^ u32::from_le_bytes(word);
                }
                hash
            }
        }
    }
}

fn hash_name(name: &[u8]) -> u32 {
    name.iter()
        .fold(0u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte))
}

/// The hash of an entry whose value is in an inode and has this checksum.
pub(crate) fn linked_hash(name: &[u8], crc: u32) -> u32 {
    hash_name(name).rotate_left(16) ^ crc
}

/// Bytes that a list takes, the end mark included.
pub(crate) fn area_size<'a>(list: impl IntoIterator<Item = &'a Attribute>) -> usize {
    4 + list
        .into_iter()
        .map(|a| a.entry_len() + a.value_len())
        .sum::<usize>()
}

/// Decodes the entries from `start` on; offsets of values count from `base`.
pub(crate) fn parse_area(area: &[u8], start: usize, base: usize) -> Result<Vec<Attribute>, AreaFault> {
    let mut list = Vec::new();
    let mut at = start;
    loop {
        if at + 4 > area.len() {
            return Err((at, "e_name_len", 0, "the list has no end"));
        }
        if le32(area, at) == 0 {
            return Ok(list);
        }
        let name_len = usize::from(area.get(at).copied().unwrap_or(0));
        let index = area.get(at + 1).copied().unwrap_or(0);
        let offset = usize::from(le16(area, at + 2));
        let inode = le32(area, at + 4);
        let size = le32(area, at + 8);
        let hash = le32(area, at + 12);
        let Some(name) = area.get(at + ENTRY_SIZE..at + ENTRY_SIZE + name_len) else {
            return Err((at, "e_name_len", name_len as u64, "reaches beyond the end"));
        };
        let value = if inode != 0 {
            Value::Inode {
                ino: inode,
                size,
                hash,
            }
        } else if size == 0 {
            Value::Here(Vec::new())
        } else {
            let from = base + offset;
            let bytes = from
                .checked_add(size as usize)
                .filter(|_| u64::from(size) <= MAX_VALUE)
                .and_then(|end| area.get(from..end));
            let Some(bytes) = bytes else {
                return Err((at, "e_value_size", u64::from(size), "reaches beyond the end"));
            };
            Value::Here(bytes.to_vec())
        };
        list.push(Attribute {
            index,
            name: name.to_vec(),
            value,
        });
        at += (ENTRY_SIZE + name_len).next_multiple_of(4);
    }
}

/// Encodes a list that fits: entries from `start` on, values from the end of the area backwards. Returns the hash of the
/// whole list, which only blocks store.
pub(crate) fn encode_area(
    area: &mut [u8],
    start: usize,
    base: usize,
    list: &[Attribute],
    hashed: bool,
) -> u32 {
    let mut at = start;
    let mut end = area.len();
    let mut whole = 0u32;
    let mut shareable = true;
    for byte in area.iter_mut().skip(start) {
        *byte = 0;
    }
    for attribute in list {
        let hash = match &attribute.value {
            Value::Inode { hash, .. } => *hash,
            Value::Here(_) if hashed => attribute.hash(),
            Value::Here(_) => 0,
        };
        if let Some(head) = area.get_mut(at..at + 2) {
            head.copy_from_slice(&[attribute.name.len() as u8, attribute.index]);
        }
        match &attribute.value {
            Value::Here(value) => {
                end -= attribute.value_len();
                let offset = if value.is_empty() { 0 } else { end - base };
                put16(area, at + 2, offset as u16);
                put32(area, at + 8, value.len() as u32);
                if let Some(slot) = area.get_mut(end..end + value.len()) {
                    slot.copy_from_slice(value);
                }
            }
            Value::Inode { ino, size, .. } => {
                put32(area, at + 4, *ino);
                put32(area, at + 8, *size);
            }
        }
        put32(area, at + 12, hash);
        let name_at = at + ENTRY_SIZE;
        if let Some(slot) = area.get_mut(name_at..name_at + attribute.name.len()) {
            slot.copy_from_slice(&attribute.name);
        }
        if hash == 0 {
            shareable = false;
        }
        whole = whole.rotate_left(16) ^ hash;
        at += attribute.entry_len();
    }
    if shareable { whole } else { 0 }
}

/// The prefixes of names, by number. Numbers 2, 3 and 8 stand for whole names.
const PREFIXES: &[(u8, &[u8])] = &[
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (8, b"system.richacl"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
    (7, b"system."),
];

/// Splits a full name into number and rest; `None` where the name cannot be stored.
pub(crate) fn split_name(name: &[u8]) -> Option<(u8, Vec<u8>)> {
    PREFIXES.iter().find_map(|(index, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        let whole = matches!(index, 2 | 3 | 8);
        (whole == rest.is_empty()).then(|| (*index, rest.to_vec()))
    })
}

/// Joins number and rest to a full name; `None` for those that are not shown.
pub(crate) fn full_name(index: u8, rest: &[u8]) -> Option<Vec<u8>> {
    if index == 7 && rest == b"data" {
        return None;
    }
    let (_, prefix) = PREFIXES.iter().find(|(i, _)| *i == index)?;
    Some([*prefix, rest].concat())
}
