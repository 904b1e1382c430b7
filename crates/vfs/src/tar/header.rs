//! The header of a member (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").

use super::{BLOCK, number};

/// A header, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// Offset 0, 100 bytes, with ustar's prefix (offset 345, 155 bytes) before it.
    pub(super) name: Vec<u8>,
    /// Offset 100, 8 bytes.
    pub(super) mode: i64,
    /// Offset 108, 8 bytes.
    pub(super) uid: i64,
    /// Offset 116, 8 bytes.
    pub(super) gid: i64,
    /// Offset 124, 12 bytes.
    pub(super) size: i64,
    /// Offset 136, 12 bytes: seconds since 1970.
    pub(super) modified: i64,
    /// Offset 156.
    pub(super) kind: u8,
    /// Offset 157, 100 bytes.
    pub(super) link: Vec<u8>,
    /// Offset 329 and 337, 8 bytes each.
    pub(super) device: (i64, i64),
    /// Whether it is of GNU tar's own format (magic `ustar  `).
    pub(super) gnu: bool,
    /// GNU's sparse map of the header (offset 386, four times 24 bytes), whether blocks with more of it follow (offset 482), and
    /// the file's real size (offset 483).
    pub(super) sparse: (Vec<(i64, i64)>, bool, i64),
}

/// What a block is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Header(Box<Header>),
    /// Only zeroes: the end, where two of them follow one another.
    Zero,
    /// Anything else; why.
    Wrong(String),
}

fn text(field: &[u8]) -> Vec<u8> {
    field.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Block {
        if block.iter().all(|b| *b == 0) {
            return Block::Zero;
        }
        let wrong = |what: &str| Block::Wrong(format!("the header's {what} is no number"));
        let at = |start: usize, len: usize| block.get(start..start + len).unwrap_or_default();
        let Some(checksum) = number::parse(at(148, 8)) else {
            return wrong("checksum");
        };
        let (unsigned, signed) = checksums(block);
        if checksum != unsigned && checksum != signed {
            return Block::Wrong(format!("the header's checksum is {checksum:o}, not {unsigned:o}"));
        }
        let posix = at(257, 6) == b"ustar\0";
        let gnu = at(257, 8) == b"ustar  \0";
        let mut name = text(at(0, 100));
        if posix {
            let prefix = text(at(345, 155));
            if !prefix.is_empty() {
                name = [&prefix, &b"/"[..], &name].concat();
            }
        }
        let mut header = Self {
            name,
            kind: block.get(156).copied().unwrap_or(0),
            link: text(at(157, 100)),
            gnu,
            ..Self::default()
        };
        let fields = [
            (&mut header.mode, at(100, 8), "mode"),
            (&mut header.uid, at(108, 8), "uid"),
            (&mut header.gid, at(116, 8), "gid"),
            (&mut header.size, at(124, 12), "size"),
            (&mut header.modified, at(136, 12), "mtime"),
        ];
        for (place, field, what) in fields {
            match number::parse(field) {
                Some(value) => *place = value,
                None => return wrong(what),
            }
        }
        if posix || gnu {
            header.device = (
                number::parse(at(329, 8)).unwrap_or(0),
                number::parse(at(337, 8)).unwrap_or(0),
            );
        }
        if gnu && header.kind == b'S' {
            let Some(map) = sparse_map(at(386, 96)) else {
                return wrong("sparse map");
            };
            let Some(size) = number::parse(at(483, 12)) else {
                return wrong("real size");
            };
            header.sparse = (map, at(482, 1) != [0], size);
        }
        Block::Header(Box::new(header))
    }

    /// The block of a member in ustar's format. Names that do not fit are cut: a pax header says them before.
    pub(super) fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        {
            let mut put = |start: usize, len: usize, bytes: &[u8]| {
                if let Some(field) = block.get_mut(start..start + len) {
                    for (to, from) in field.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                }
            };
            put(0, 100, &self.name);
            put(148, 8, b"        ");
            put(156, 1, &[self.kind]);
            put(157, 100, &self.link);
            put(257, 8, b"ustar\x0000");
        }
        let numbers = [
            (100, 8, self.mode),
            (108, 8, self.uid),
            (116, 8, self.gid),
            (124, 12, self.size),
            (136, 12, self.modified),
            (329, 8, self.device.0),
            (337, 8, self.device.1),
        ];
        for (start, len, value) in numbers {
            if let Some(field) = block.get_mut(start..start + len) {
                number::put(field, value);
            }
        }
        let (sum, _) = checksums(&block);
        let sum = format!("{sum:06o}\0 ");
        if let Some(field) = block.get_mut(148..156) {
            field.copy_from_slice(sum.as_bytes());
        }
        block
    }
}

/// Pairs of offset and length, up to the first that is empty.
pub(super) fn sparse_map(bytes: &[u8]) -> Option<Vec<(i64, i64)>> {
    let mut map = Vec::new();
    for pair in bytes.chunks_exact(24) {
        let (offset, len) = pair.split_at(12);
        if offset.first() == Some(&0) {
            break;
        }
        map.push((number::parse(offset)?, number::parse(len)?));
    }
    Some(map)
}

/// The sum of all bytes, the checksum's own as spaces; old tars took them as signed.
fn checksums(block: &[u8; BLOCK]) -> (i64, i64) {
    let bytes = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => b' ',
        _ => *byte,
    });
    bytes.fold((0, 0), |(unsigned, signed), byte| {
        (unsigned + i64::from(byte), signed + i64::from(byte as i8))
    })
}
