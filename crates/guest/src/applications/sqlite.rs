//! Reading the one table of an SQLite database that rpm keeps its packages in (SQLite's "Database File Format").
//!
//! Only what such a table needs is read: table b-trees, overflow pages, and the write-ahead log. All numbers are big-endian.

use super::database_file::{DatabaseFile, be16, be32};
use super::rpm::HeaderSink;
use super::sqlite_wal::Wal;
use crate::error::Result;

const MAGIC: &[u8] = b"SQLite format 3\0";
const FILE_HEADER: usize = 100;
/// Types of b-tree pages: inner and outer ones of tables.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// Deeper than any tree of 2³² pages.
const MAX_DEPTH: u32 = 32;
/// The longest record of the schema that is read, in bytes.
const MAX_SCHEMA_RECORD: usize = 64 << 10;

struct Database<'a> {
    file: &'a DatabaseFile,
    log: Option<&'a DatabaseFile>,
    wal: Wal,
    page_size: u32,
    /// Bytes of a page that hold content.
    usable: usize,
    pages: u32,
}

/// A record: how long it is, the part of it in the tree, and the first page of the rest (0: none).
struct Record<'a> {
    len: usize,
    local: &'a [u8],
    overflow: u32,
}

/// Takes records one by one.
type RecordSink<'a> = &'a mut dyn FnMut(&Record<'_>) -> Result<()>;

/// Gives every package header in the table `Packages`.
pub(super) fn packages(file: &DatabaseFile, log: Option<&DatabaseFile>, sink: HeaderSink<'_>) -> Result<()> {
    let database = Database::open(file, log)?;
    let mut root = None;
    database.table(1, &mut |record| {
        let bytes = database.prefix(record, record.len.min(MAX_SCHEMA_RECORD))?;
        if let Some(page) = root_of_packages(&bytes) {
            root = Some(page);
        }
        Ok(())
    })?;
    let root = root.ok_or_else(|| file.corrupt("it has no table Packages"))?;
    database.table(root, &mut |record| {
        // The number of the package is the record's key; its header is the second value.
        let header = record.local;
        let columns = columns(header).ok_or_else(|| file.corrupt("a record of Packages has no columns"))?;
        let Some(blob) = columns.get(1) else {
            return Err(file.corrupt("a record of Packages has no header"));
        };
        let end = blob.start.saturating_add(blob.len);
        if end > record.len {
            return Err(file.corrupt("a record of Packages is shorter than its header"));
        }
        sink(blob.len, &|wanted| {
            let mut bytes = database.prefix(record, blob.start.saturating_add(wanted.min(blob.len)))?;
            bytes.drain(..blob.start.min(bytes.len()));
            Ok(bytes)
        })
    })
}

/// The root page in a record of the schema (type, name, table, root page, SQL), where it describes the table `Packages`.
fn root_of_packages(record: &[u8]) -> Option<u32> {
    let columns = columns(record)?;
    let value = |at: usize| {
        let column = columns.get(at)?;
        record.get(column.start..column.start.checked_add(column.len)?)
    };
    if value(0)? != b"table" || value(1)? != b"Packages" {
        return None;
    }
    let number = value(3)?;
    (number.len() <= 4).then(|| number.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)))
}

/// A value in a record.
struct Column {
    start: usize,
    len: usize,
}

/// Where the values of a record lie, by the types at its start. At most the first eight.
fn columns(record: &[u8]) -> Option<Vec<Column>> {
    let (header_len, mut at) = varint(record, 0)?;
    let header_len = usize::try_from(header_len).ok()?;
    let mut start = header_len;
    let mut columns = Vec::new();
    while at < header_len && columns.len() < 8 {
        let (kind, next) = varint(record, at)?;
        at = next;
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            longer => (longer - 12) / 2,
        };
        let len = usize::try_from(len).ok()?;
        columns.push(Column { start, len });
        start = start.checked_add(len)?;
    }
    Some(columns)
}

/// A number of seven bits a byte, the ninth byte of which is whole; and the place after it.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for index in 0..9 {
        let byte = *bytes.get(at.checked_add(index)?)?;
        if index == 8 {
            return Some((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

impl<'a> Database<'a> {
    fn open(file: &'a DatabaseFile, log: Option<&'a DatabaseFile>) -> Result<Self> {
        let header = file.read(0, FILE_HEADER)?;
        if !header.starts_with(MAGIC) {
            return Err(file.corrupt("it is no SQLite database"));
        }
        let page_size = match be16(&header, 16) {
            Some(1) => 65_536,
            Some(size) if size >= 512 && size.is_power_of_two() => u32::from(size),
            size => return Err(file.corrupt(format!("its pages have {} bytes", size.unwrap_or(0)))),
        };
        let reserved = usize::from(header.get(20).copied().unwrap_or(0));
        let usable = (page_size as usize)
            .checked_sub(reserved)
            .filter(|usable| *usable >= 480)
            .ok_or_else(|| file.corrupt(format!("{reserved} bytes of each page are reserved")))?;
        let wal = match log {
            Some(log) => Wal::read(log, page_size)?,
            None => Wal::default(),
        };
        let pages = file.size() / u64::from(page_size);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        Ok(Self {
            file,
            log,
            page_size,
            usable,
            pages: wal.page_count().unwrap_or(0).max(pages),
            wal,
        })
    }

    fn page(&self, number: u32) -> Result<Vec<u8>> {
        if number == 0 || number > self.pages {
            return Err(self
                .file
                .corrupt(format!("page {number} of {} is asked for", self.pages)));
        }
        if let (Some(at), Some(log)) = (self.wal.page(number), self.log) {
            return log.read(at, self.page_size as usize);
        }
        let at = u64::from(number - 1) * u64::from(self.page_size);
        self.file.read(at, self.page_size as usize)
    }

    /// Gives every record of the table whose tree begins at a page.
    fn table(&self, root: u32, sink: RecordSink<'_>) -> Result<()> {
        // A tree visits each page once.
        let mut left = self.pages;
        let mut pending = vec![(root, 0)];
        while let Some((number, depth)) = pending.pop() {
            left = left
                .checked_sub(1)
                .filter(|_| depth < MAX_DEPTH)
                .ok_or_else(|| self.file.corrupt("a tree of it goes in a circle"))?;
            let page = self.page(number)?;
            let damaged = || self.file.corrupt(format!("page {number} is no page of a table"));
            let at = if number == 1 { FILE_HEADER } else { 0 };
            let kind = page.get(at).copied().unwrap_or(0);
            let cells = usize::from(be16(&page, at + 3).unwrap_or(0));
            let pointers = at + if kind == INTERIOR { 12 } else { 8 };
            let mut children = Vec::new();
            for cell in 0..cells {
                let start = be16(&page, pointers + cell * 2).map(usize::from);
                let start = start.filter(|s| *s < self.usable).ok_or_else(damaged)?;
                match kind {
                    INTERIOR => children.push(be32(&page, start).ok_or_else(damaged)?),
                    LEAF => {
                        let record = self.record(&page, start).ok_or_else(damaged)?;
                        sink(&record)?;
                    }
                    _ => return Err(damaged()),
                }
            }
            match kind {
                INTERIOR => children.push(be32(&page, at + 8).ok_or_else(damaged)?),
                LEAF => {}
                _ => return Err(damaged()),
            }
            pending.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
        }
        Ok(())
    }

    /// The record of a cell of a leaf: length, key, contents, and the page on which they go on where they are long (section 1.6).
    fn record<'p>(&self, page: &'p [u8], at: usize) -> Option<Record<'p>> {
        let (len, at) = varint(page, at)?;
        let (_key, at) = varint(page, at)?;
        let len = usize::try_from(len).ok().filter(|len| *len <= 1 << 30)?;
        let most = self.usable - 35;
        if len <= most {
            return Some(Record {
                len,
                local: page.get(at..at.checked_add(len)?)?,
                overflow: 0,
            });
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let kept = least + (len - least) % (self.usable - 4);
        let kept = if kept <= most { kept } else { least };
        let end = at.checked_add(kept)?;
        Some(Record {
            len,
            local: page.get(at..end)?,
            overflow: be32(page, end)?,
        })
    }

    /// The first bytes of a record.
    fn prefix(&self, record: &Record<'_>, wanted: usize) -> Result<Vec<u8>> {
        let wanted = wanted.min(record.len);
        let mut bytes = record.local.get(..wanted).unwrap_or(record.local).to_vec();
        let mut next = record.overflow;
        while bytes.len() < wanted {
            // Each page adds to what is wanted, so that a circle ends too.
            let page = self.page(next)?;
            next = be32(&page, 0).unwrap_or(0);
            let part = page.get(4..self.usable).unwrap_or_default();
            let missing = wanted - bytes.len();
            bytes.extend_from_slice(part.get(..missing).unwrap_or(part));
        }
        Ok(bytes)
    }
}
