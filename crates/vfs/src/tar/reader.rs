//! Reading an archive from a stream, member by member.

use super::entry::{TarEntry, TarKind};
use super::error::TarError;
use super::header::{Block, Header, sparse_map};
use super::sparse::{self, MAX_RANGES, MapText, Pairs, Sparse};
use super::{BLOCK, pax, pax_record};
use crate::metadata::Timestamp;
use std::io::{self, Read};

/// The most bytes that an extended header may have; Linux itself keeps at most 64 KiB of attributes' names, and 64 KiB a value.
const MAX_EXTENDED: u64 = 16 << 20;

/// The most bytes of a long name.
const MAX_NAME: u64 = 1 << 20;

/// The largest file that Linux knows, and so that its contents, filled up, can be counted.
const MAX_SIZE: u64 = i64::MAX as u64;

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
    fn contents(&mut self, size: u64, limit: u64, what: &str) -> Result<Vec<u8>, TarError> {
        let size = Some(size).filter(|size| *size <= limit);
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
                    let label = self.contents(header.size, MAX_NAME, "a volume's label")?;
                    drop(label);
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
        let mut stored = header.size;
        let id = |value: u64| u32::try_from(value).ok();
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
            device: header.device,
            xattrs: Vec::new(),
            acl: None,
            default_acl: None,
            map: None,
        };
        let mut sparse = Sparse::default();
        let mut has_ids = (id(header.uid).is_some(), id(header.gid).is_some());
        let global = std::mem::take(&mut self.global);
        for (keyword, value) in global.iter().chain(&before.records) {
            let applied =
                pax_record::apply(&mut entry, &mut sparse, &mut stored, &mut has_ids, keyword, value);
            applied.map_err(|why| self.damaged(why))?;
        }
        self.global = global;
        if stored > MAX_SIZE || entry.size > MAX_SIZE || sparse.size.is_some_and(|size| size > MAX_SIZE) {
            return Err(self.damaged(negative("size")));
        }
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
            0 | b'0' if entry.name.ends_with(b"/") => TarKind::Directory,
            _ => TarKind::File,
        };
        let has_contents = entry.kind == TarKind::File || matches!(header.kind, 0 | b'0' | b'D');
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
            if size > MAX_SIZE {
                return Err(self.damaged(negative("real size")));
            }
            entry.size = size;
            while more {
                let mut block = tar::GnuExtSparseHeader::new();
                if !self.fill(block.as_mut_bytes())? {
                    return Err(self.damaged("the archive is cut off"));
                }
                map.extend(sparse_map(block.sparse()).map_err(|why| self.damaged(why))?);
                if map.len() > MAX_RANGES {
                    return Err(self.damaged("a sparse file's map is too long"));
                }
                more = block.is_extended();
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
        } else if entry.kind == TarKind::Directory {
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

    /// The map at the beginning of the contents (sparse format 1.0), filled up to a block.
    fn map_in_contents(&mut self) -> Result<Pairs, TarError> {
        let mut text = MapText::default();
        loop {
            let mut block = [0; BLOCK];
            let left = self.left.checked_sub(BLOCK as u64);
            self.left = left.ok_or_else(|| self.damaged("a sparse file's map does not end"))?;
            if !self.fill(&mut block)? {
                return Err(self.damaged("the archive is cut off"));
            }
            if let Some(map) = text.take(&block).map_err(|why| self.damaged(why))? {
                return Ok(map);
            }
        }
    }

    /// Where in the archive, not compressed, the next byte comes from: after [`next_entry`](Self::next_entry) the first byte of the
    /// member's contents, of which the parts that its map names stand there one behind the other.
    pub fn position(&self) -> u64 {
        self.offset
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
