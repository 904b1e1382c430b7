//! The header of a member (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"): its fields are decoded and
//! encoded by the `tar` crate.

use super::BLOCK;
use super::sparse::Pairs;
use std::io;
use tar::GnuSparseHeader;

/// A header, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// With ustar's prefix before it.
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Bytes of the contents in the archive; a negative one is larger than any file.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
    pub(super) kind: u8,
    pub(super) link: Vec<u8>,
    pub(super) device: (u32, u32),
    /// GNU's sparse map of the header, whether blocks with more of it follow, and the file's real size.
    pub(super) sparse: (Pairs, bool, u64),
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

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Block {
        if block.iter().all(|b| *b == 0) {
            return Block::Zero;
        }
        match Self::decode(block) {
            Ok(header) => Block::Header(Box::new(header)),
            Err(why) => Block::Wrong(why),
        }
    }

    fn decode(block: &[u8; BLOCK]) -> Result<Self, String> {
        let mut coded = tar::Header::new_old();
        *coded.as_mut_bytes() = *block;
        let old = coded.as_old();
        let sum = number("checksum", &old.cksum, coded.cksum().map(u64::from))?;
        let mut again = coded.clone();
        again.set_cksum();
        let right = again.cksum().map_or(0, u64::from);
        if sum != right && sum != signed_checksum(block) {
            return Err(format!("the header's checksum is {sum:o}, not {right:o}"));
        }
        let mut header = Self {
            name: coded.path_bytes().into_owned(),
            mode: number("mode", &old.mode, coded.mode().map(u64::from))? as u32,
            uid: number("uid", &old.uid, coded.uid())?,
            gid: number("gid", &old.gid, coded.gid())?,
            size: number("size", &old.size, coded.entry_size())?,
            modified: number("mtime", &old.mtime, coded.mtime())? as i64,
            kind: old.linkflag.first().copied().unwrap_or(0),
            link: until_nul(&old.linkname),
            device: (
                coded.device_major().ok().flatten().unwrap_or(0),
                coded.device_minor().ok().flatten().unwrap_or(0),
            ),
            sparse: Default::default(),
        };
        if header.kind == b'S' {
            let gnu = coded
                .as_gnu()
                .ok_or("a sparse file's header is not one of GNU tar")?;
            let size = number("real size", &gnu.realsize, gnu.real_size())?;
            header.sparse = (sparse_map(&gnu.sparse)?, gnu.is_extended(), size);
        }
        Ok(header)
    }

    /// The block of a member in ustar's format. Names that do not fit are cut: a pax header says them before.
    pub(super) fn encode(&self) -> [u8; BLOCK] {
        let mut coded = tar::Header::new_ustar();
        let old = coded.as_old_mut();
        // as they are: the crate would take `./` away
        fill(&mut old.name, &self.name);
        fill(&mut old.linkname, &self.link);
        old.linkflag = [self.kind];
        coded.set_mode(self.mode);
        coded.set_uid(self.uid);
        coded.set_gid(self.gid);
        coded.set_size(self.size);
        coded.set_mtime(u64::try_from(self.modified).unwrap_or(0));
        if let Some(ustar) = coded.as_ustar_mut() {
            ustar.set_device_major(self.device.0);
            ustar.set_device_minor(self.device.1);
        }
        coded.set_cksum();
        *coded.as_bytes()
    }
}

/// A field's number. An empty field is 0; a binary one must not reach beyond 64 bits, which the crate does not look at.
fn number(what: &str, field: &[u8], decoded: io::Result<u64>) -> Result<u64, String> {
    let wrong = || format!("the header's {what} is no number");
    if until_nul(field).trim_ascii().is_empty() {
        return Ok(0);
    }
    let fits = match field {
        [0x80, 0, 0, 0, ..] | [0xff, 0xff, 0xff, 0xff, ..] => true,
        [first, ..] if first & 0x80 != 0 => field.len() <= 8,
        _ => true,
    };
    decoded.ok().filter(|_| fits).ok_or_else(wrong)
}

/// Pairs of offset and length, up to the first that is empty.
pub(super) fn sparse_map(map: &[GnuSparseHeader]) -> Result<Pairs, String> {
    let held = map.iter().take_while(|part| !part.is_empty());
    let pairs = held.map(|part| {
        let offset = number("sparse map", &part.offset, part.offset())?;
        Ok((offset, number("sparse map", &part.numbytes, part.length())?))
    });
    pairs.collect()
}

/// Old tars took the bytes as signed; the checksum's own count as spaces.
fn signed_checksum(block: &[u8; BLOCK]) -> u64 {
    let bytes = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => 32,
        _ => i64::from(*byte as i8),
    });
    u64::try_from(bytes.sum::<i64>()).unwrap_or(0)
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

fn fill(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        for (id, size, modified) in [(0, 0, 0), (0o7777777, 7, 1), (0o10000000, 1 << 33, 1 << 40)] {
            let header = Header {
                name: b"./a/".to_vec(),
                mode: 0o4755,
                uid: id,
                gid: id + 1,
                size,
                modified,
                kind: b'3',
                link: b"to".to_vec(),
                device: (4095, 1_048_575),
                ..Header::default()
            };
            let block = header.encode();
            assert_eq!(Header::parse(&block), Block::Header(Box::new(header)));
        }
        assert_eq!(Header::parse(&[0; BLOCK]), Block::Zero);
    }

    #[test]
    fn numbers_of_all_kinds() {
        let parse = |field: &[u8; 12]| {
            let mut coded = tar::Header::new_ustar();
            coded.as_old_mut().mtime = *field;
            coded.set_cksum();
            match Header::parse(coded.as_bytes()) {
                Block::Header(header) => Some(header.modified),
                _ => None,
            }
        };
        assert_eq!(parse(b"  644 \0x    "), Some(0o644));
        assert_eq!(parse(&[0; 12]), Some(0));
        assert_eq!(parse(b"            "), Some(0));
        assert_eq!(parse(&[0xff; 12]), Some(-1));
        assert_eq!(parse(b"9\0          "), None);
        assert_eq!(parse(&[0xbf; 12]), None);
        assert_eq!(parse(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn checksums_of_signed_bytes_are_taken() {
        let mut coded = tar::Header::new_ustar();
        fill(&mut coded.as_old_mut().name, b"caf\xe9");
        coded.set_cksum();
        let mut block = *coded.as_bytes();
        let sum = format!("{:06o}\0 ", signed_checksum(&block));
        block[148..156].copy_from_slice(sum.as_bytes());
        assert!(matches!(Header::parse(&block), Block::Header(_)));
        block[148] = b'7';
        assert!(matches!(Header::parse(&block), Block::Wrong(_)));
    }
}
