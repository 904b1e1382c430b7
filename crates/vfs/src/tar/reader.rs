//! Reading an archive from a stream, member by member.

use super::entry::{TarEntry, TarKind};
use super::error::TarError;
use super::header::{Block, Header, sparse_map};
use super::sparse::{self, MAX_RANGES};
use super::{BLOCK, acl_text, pax};
use crate::metadata::Timestamp;
use std::io::{self, Read};

/// The most bytes that an extended header may have; Linux itself keeps at most 64 KiB of attributes' names, and 64 KiB a value.
const MAX_EXTENDED: u64 = 16 << 20;

/// The most bytes of a long name.
const MAX_NAME: u64 = 1 << 20;

/// An archive that is read from a stream, which is never sought.
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    /// Bytes read so far.
    offset: u64,
    /// Bytes of the member's contents still to come, and of what fills them up to a block.
    left: u64,
    padding: u64,
    /// Where the next byte of the contents belongs in the file.
    ranges: Vec<(u64, u64)>,
    range: usize,
    done: u64,
    /// Records that hold for all members that follow.
    global: Vec<(Vec<u8>, Vec<u8>)>,
    started: bool,
}

/// What stands before the header of a member.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> TarReader<R> {
    /// Reads an archive that is not compressed. Blocks of 512 bytes are read: `input` should gather them.
    pub fn new(input: R) -> Self {
        Self {
            input,
            offset: 0,
            left: 0,
            padding: 0,
            ranges: Vec::new(),
            range: 0,
            done: 0,
            global: Vec::new(),
            started: false,
        }
    }

    fn damaged(&self, detail: impl Into<String>) -> TarError {
        TarError::Damaged {
            offset: self.offset,
            detail: detail.into(),
        }
    }

    /// Fills the buffer; `false` where the input ends before its first byte.
    fn fill(&mut self, buf: &mut [u8]) -> Result<bool, TarError> {
        let mut at = 0;
        while at < buf.len() {
            match self.input.read(buf.get_mut(at..).unwrap_or_default()) {
                Ok(0) if at == 0 => return Ok(false),
                Ok(0) => return Err(self.damaged("the archive is cut off")),
                Ok(n) => {
                    at += n;
                    self.offset += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        Ok(true)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), TarError> {
        let mut buf = vec![0; usize::try_from(count).unwrap_or(1 << 16).min(1 << 16)];
        while count > 0 {
            let n = usize::try_from(count).unwrap_or(buf.len()).min(buf.len());
            if !self.fill(buf.get_mut(..n).unwrap_or_default())? {
                return Err(self.damaged("the archive is cut off"));
            }
            count -= n as u64;
        }
        Ok(())
    }

    /// The contents of a header that describes the member after it.
    fn contents(&mut self, size: i64, limit: u64, what: &str) -> Result<Vec<u8>, TarError> {
        let size = u64::try_from(size).ok().filter(|size| *size <= limit);
        let size = size.ok_or_else(|| self.damaged(format!("{what} is larger than {limit} bytes")))?;
        let whole = size.next_multiple_of(BLOCK as u64);
        let mut bytes = Vec::new();
        // grows with what is really there
        while (bytes.len() as u64) < whole {
            let start = bytes.len();
            let more = usize::try_from(whole - start as u64)
                .unwrap_or(1 << 16)
                .min(1 << 16);
            bytes.resize(start + more, 0);
            if !self.fill(bytes.get_mut(start..).unwrap_or_default())? {
                return Err(self.damaged("the archive is cut off"));
            }
        }
        bytes.truncate(usize::try_from(size).unwrap_or(0));
        Ok(bytes)
    }

    /// The next member; what is left of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    /// [`TarError`] for what is no archive, is damaged, or of a kind that cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, TarError> {
        let rest = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        self.skip(rest)?;
        let mut before = Before::default();
        loop {
            let mut block = [0; BLOCK];
            if !self.fill(&mut block)? {
                return self.end(&before);
            }
            let header = match Header::parse(&block) {
                Block::Zero => return self.end(&before),
                Block::Wrong(_) if !self.started => return Err(TarError::NotATar),
                Block::Wrong(why) => return Err(self.damaged(why)),
                Block::Header(header) => header,
            };
            self.started = true;
            match header.kind {
                b'x' | b'X' => {
                    let bytes = self.contents(header.size, MAX_EXTENDED, "an extended header")?;
                    let records = pax::parse(&bytes).map_err(|why| self.damaged(why))?;
                    before
                        .records
                        .extend(records.into_iter().map(|(k, v)| (k.to_vec(), v.to_vec())));
                }
                b'g' => {
                    let bytes = self.contents(header.size, MAX_EXTENDED, "an extended header")?;
                    let records = pax::parse(&bytes).map_err(|why| self.damaged(why))?;
                    for (keyword, value) in records {
                        self.global.retain(|(known, _)| known != keyword);
                        self.global.push((keyword.to_vec(), value.to_vec()));
                    }
                }
                b'L' | b'K' => {
                    let mut name = self.contents(header.size, MAX_NAME, "a long name")?;
                    name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
                    if header.kind == b'L' {
                        before.name = Some(name);
                    } else {
                        before.link = Some(name);
                    }
                }
                // a volume's label
                b'V' => {
                    let size = u64::try_from(header.size).unwrap_or(0);
                    self.skip(size.next_multiple_of(BLOCK as u64))?;
                }
                b'M' => return Err(self.damaged("it is one volume of several, which are not read")),
                b'N' => return Err(self.damaged("names are stored as GNU tar 1.10 did, which is not read")),
                _ => return self.entry(*header, before).map(Some),
            }
        }
    }

    fn end(&mut self, before: &Before) -> Result<Option<TarEntry>, TarError> {
        if before.name.is_some() || before.link.is_some() || !before.records.is_empty() {
            return Err(self.damaged("it ends behind an extended header"));
        }
        // Whoever writes it may not have finished: a little more is taken.
        let mut rest = [0; BLOCK * 16];
        for _ in 0..64 {
            match self.input.read(&mut rest) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(None)
    }

    fn entry(&mut self, header: Header, before: Before) -> Result<TarEntry, TarError> {
        let negative = |what: &str| format!("a member's {what} is negative or too large");
        let mut stored = u64::try_from(header.size).map_err(|_| self.damaged(negative("size")))?;
        let id = |value: i64| u32::try_from(value).ok();
        let mut entry = TarEntry {
            name: before.name.unwrap_or_else(|| header.name.clone()),
            kind: TarKind::File,
            permissions: (header.mode & 0o7777) as u16,
            uid: id(header.uid).unwrap_or(0),
            gid: id(header.gid).unwrap_or(0),
            size: stored,
            modified: Timestamp {
                seconds: header.modified,
                nanoseconds: 0,
            },
            accessed: None,
            link: before.link.unwrap_or_else(|| header.link.clone()),
            device: (id(header.device.0).unwrap_or(0), id(header.device.1).unwrap_or(0)),
            xattrs: Vec::new(),
            acl: None,
            default_acl: None,
            map: None,
        };
        let mut sparse = Sparse::default();
        let mut has_ids = (id(header.uid).is_some(), id(header.gid).is_some());
        let global = std::mem::take(&mut self.global);
        for (keyword, value) in global.iter().chain(&before.records) {
            let applied = apply(&mut entry, &mut sparse, &mut stored, &mut has_ids, keyword, value);
            applied.map_err(|why| self.damaged(why))?;
        }
        self.global = global;
        if has_ids != (true, true) {
            return Err(self.damaged(negative("owner")));
        }
        entry.kind = match header.kind {
            b'1' => TarKind::HardLink,
            b'2' => TarKind::Symlink,
            b'3' => TarKind::CharDevice,
            b'4' => TarKind::BlockDevice,
            b'5' | b'D' => TarKind::Directory,
            b'6' => TarKind::Fifo,
            // before ustar, a slash at the end was what made a directory
            0 if entry.name.ends_with(b"/") => TarKind::Directory,
            _ => TarKind::File,
        };
        let has_contents = entry.kind == TarKind::File || header.kind == b'D';
        if !has_contents {
            stored = 0;
            entry.size = 0;
        }
        self.left = stored;
        self.padding = stored.next_multiple_of(BLOCK as u64) - stored;
        self.ranges.clear();
        (self.range, self.done) = (0, 0);
        if header.kind == b'S' {
            let (mut map, mut more, size) = header.sparse;
            entry.size = u64::try_from(size).map_err(|_| self.damaged(negative("real size")))?;
            while more {
                let mut block = [0; BLOCK];
                if !self.fill(&mut block)? {
                    return Err(self.damaged("the archive is cut off"));
                }
                let (pairs, rest) = block.split_at(504);
                map.extend(sparse_map(pairs).ok_or_else(|| self.damaged("a sparse file's map is wrong"))?);
                if map.len() > MAX_RANGES {
                    return Err(self.damaged("a sparse file's map is too long"));
                }
                more = rest.first().is_some_and(|b| *b != 0);
            }
            entry.map = Some(sparse::check(&map, entry.size, stored).map_err(|why| self.damaged(why))?);
        } else if entry.kind == TarKind::File && (sparse.major == Some(1) || !sparse.pairs.is_empty()) {
            let size = sparse.size.unwrap_or(stored);
            let pairs = if sparse.major == Some(1) {
                self.map_in_contents()?
            } else {
                sparse.pairs
            };
            entry.size = size;
            entry.map = Some(sparse::check(&pairs, size, self.left).map_err(|why| self.damaged(why))?);
        } else if header.kind == b'D' {
            // a list of names, of use to backups only
            let rest = self.left + self.padding;
            (self.left, self.padding) = (0, 0);
            self.skip(rest)?;
            entry.size = 0;
        }
        match &entry.map {
            Some(map) => self.ranges.clone_from(map),
            None if self.left > 0 => self.ranges.push((0, self.left)),
            None => {}
        }
        if let Some(name) = sparse.name {
            entry.name = name;
        }
        Ok(entry)
    }

    /// The map at the beginning of the contents (sparse format 1.0): decimal numbers, a line each, filled up to a block.
    fn map_in_contents(&mut self) -> Result<Vec<(i64, i64)>, TarError> {
        let mut numbers: Vec<i64> = Vec::new();
        let mut digits = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            let size = self.left.checked_sub(BLOCK as u64);
            self.left = size.ok_or_else(|| self.damaged("a sparse file's map does not end"))?;
            if !self.fill(&mut block)? {
                return Err(self.damaged("the archive is cut off"));
            }
            for byte in block {
                if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                    break;
                }
                if byte != b'\n' {
                    digits.push(byte);
                    if digits.len() > 20 {
                        return Err(self.damaged("a sparse file's map holds no numbers"));
                    }
                    continue;
                }
                let number = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let number: i64 =
                    number.ok_or_else(|| self.damaged("a sparse file's map holds no numbers"))?;
                digits.clear();
                if wanted.is_none() {
                    let count = usize::try_from(number).ok().filter(|count| *count <= MAX_RANGES);
                    let count = count.ok_or_else(|| self.damaged("a sparse file's map is too long"))?;
                    wanted = Some(count * 2);
                } else {
                    numbers.push(number);
                }
            }
        }
        let pairs = numbers.chunks_exact(2).filter_map(|pair| match pair {
            [offset, len] => Some((*offset, *len)),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// Reads the next bytes of the member's contents: where they belong in the file, and how many there are. `None` at the end.
    ///
    /// # Errors
    /// [`TarError`] where the archive is cut off.
    pub fn read_contents(&mut self, buf: &mut [u8]) -> Result<Option<(u64, usize)>, TarError> {
        let Some((start, len)) = self.ranges.get(self.range).copied() else {
            return Ok(None);
        };
        let rest = (len - self.done).min(self.left);
        let n = usize::try_from(rest).unwrap_or(buf.len()).min(buf.len());
        if n == 0 {
            return Ok(None);
        }
        if !self.fill(buf.get_mut(..n).unwrap_or_default())? {
            return Err(self.damaged("the archive is cut off"));
        }
        let at = start + self.done;
        self.left -= n as u64;
        self.done += n as u64;
        if self.done >= len {
            self.range += 1;
            self.done = 0;
        }
        Ok(Some((at, n)))
    }
}

/// What extended headers say of a sparse file.
#[derive(Default)]
struct Sparse {
    major: Option<u32>,
    size: Option<u64>,
    name: Option<Vec<u8>>,
    offset: Option<i64>,
    pairs: Vec<(i64, i64)>,
}

/// Adds an attribute, in the place of one of the same name.
fn put_attribute(entry: &mut TarEntry, name: Vec<u8>, value: Vec<u8>) {
    entry.xattrs.retain(|(known, _)| *known != name);
    entry.xattrs.push((name, value));
}

/// Takes one record of an extended header.
fn apply(
    entry: &mut TarEntry,
    sparse: &mut Sparse,
    stored: &mut u64,
    has_ids: &mut (bool, bool),
    keyword: &[u8],
    value: &[u8],
) -> Result<(), String> {
    let named = || String::from_utf8_lossy(keyword).into_owned();
    let wrong = || {
        format!(
            "the record {} has the value {}",
            named(),
            String::from_utf8_lossy(value)
        )
    };
    let number = || {
        let text = std::str::from_utf8(value).ok();
        text.and_then(|text| text.parse::<i64>().ok()).ok_or_else(wrong)
    };
    let unsigned = || number().and_then(|n| u64::try_from(n).map_err(|_| wrong()));
    let id = || number().and_then(|n| u32::try_from(n).map_err(|_| wrong()));
    let time = || {
        let (seconds, nanoseconds) = pax::time(value).ok_or_else(wrong)?;
        Ok::<_, String>(Timestamp { seconds, nanoseconds })
    };
    match keyword {
        b"path" => entry.name = value.to_vec(),
        b"linkpath" => entry.link = value.to_vec(),
        b"size" => {
            *stored = unsigned()?;
            entry.size = *stored;
        }
        b"uid" => {
            entry.uid = id()?;
            has_ids.0 = true;
        }
        b"gid" => {
            entry.gid = id()?;
            has_ids.1 = true;
        }
        b"mtime" => entry.modified = time()?,
        b"atime" => entry.accessed = Some(time()?),
        b"SCHILY.devmajor" => entry.device.0 = id()?,
        b"SCHILY.devminor" => entry.device.1 = id()?,
        b"GNU.sparse.major" => sparse.major = Some(id()?),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => sparse.size = Some(unsigned()?),
        b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
        b"GNU.sparse.map" => sparse.pairs = sparse::parse_list(value)?,
        b"GNU.sparse.offset" => sparse.offset = Some(number()?),
        b"GNU.sparse.numbytes" => {
            if sparse.pairs.len() >= MAX_RANGES {
                return Err("a sparse file's map is too long".into());
            }
            let offset = sparse
                .offset
                .take()
                .ok_or("a sparse file's map has a length without offset")?;
            sparse.pairs.push((offset, number()?));
        }
        b"RHT.security.selinux" => {
            // the kernel keeps the NUL; archives do not
            let mut label = value.to_vec();
            if label.last() != Some(&0) {
                label.push(0);
            }
            put_attribute(entry, b"security.selinux".to_vec(), label);
        }
        b"SCHILY.acl.access" => entry.acl = Some(value.to_vec()),
        b"SCHILY.acl.default" => entry.default_acl = Some(value.to_vec()),
        _ => {
            // lists stand there in both forms, and are kept as text
            let list = match keyword.strip_prefix(b"SCHILY.xattr.system.posix_acl_") {
                Some(b"access") => Some(&mut entry.acl),
                Some(b"default") => Some(&mut entry.default_acl),
                _ => None,
            };
            if let Some(list) = list {
                if list.is_none() {
                    let text = acl_text::from_attribute(value).ok_or_else(wrong)?;
                    *list = Some(text.into_bytes());
                }
            } else if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
                put_attribute(entry, percent_decoded(name), value.to_vec());
            } else if let Some(name) = keyword.strip_prefix(b"LIBARCHIVE.xattr.") {
                // written beside the other one, which keeps every byte
                let name = percent_decoded(name);
                let is_list = name.starts_with(b"system.posix_acl_");
                if !is_list && !entry.xattrs.iter().any(|(known, _)| *known == name) {
                    let value = base64(value).ok_or_else(wrong)?;
                    entry.xattrs.push((name, value));
                }
            }
        }
    }
    Ok(())
}

/// `%3D` stands for a byte that a keyword cannot hold.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while let Some(byte) = name.get(at) {
        let hex = name.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let code = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.iter().filter(|b| !matches!(b, b'=' | b'\n')) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 & 0xff_ffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    Some(out)
}
