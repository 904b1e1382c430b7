//! Hash databases of Berkeley DB (`Packages` of rpm up to 4.15; libdb's `dbinc/db_page.h`). Numbers are in the byte order of the machine
//! that made the file.
//!
//! Every record is looked for on the hash pages one after another; the order of the buckets is of no interest.

use super::database_file::DatabaseFile;
use super::rpm::HeaderSink;
use crate::error::Result;

const HASH_MAGIC: u32 = 0x0006_1561;
const HASH_META: u8 = 8;
/// Types of pages: hash pages whose entries are not in order, those whose are, and parts of long values.
const HASH_UNSORTED: u8 = 2;
const HASH: u8 = 13;
const OVERFLOW: u8 = 7;
/// Types of entries: in place, and on overflow pages.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;
const PAGE_HEADER: usize = 26;
const OFF_PAGE_LEN: usize = 12;

/// The byte order of a file.
#[derive(Debug, Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }
}

struct Database<'a> {
    file: &'a DatabaseFile,
    order: Order,
    page_size: usize,
    pages: u64,
}

/// Gives every package header of the database.
pub(super) fn packages(file: &DatabaseFile, sink: HeaderSink<'_>) -> Result<()> {
    let database = Database::open(file)?;
    for number in 1..database.pages {
        let page = database.page(number)?;
        if matches!(page.get(25), Some(&(HASH | HASH_UNSORTED))) {
            database.hash_page(number, &page, sink)?;
        }
    }
    Ok(())
}

impl<'a> Database<'a> {
    fn open(file: &'a DatabaseFile) -> Result<Self> {
        let meta = file.read(0, 72)?;
        let [little, big] = [false, true].map(|big| Order { big });
        let order = [little, big]
            .into_iter()
            .find(|order| order.u32(&meta, 12) == Some(HASH_MAGIC))
            .ok_or_else(|| file.corrupt("it is no hash database of Berkeley DB"))?;
        let page_size = order.u32(&meta, 20).unwrap_or(0);
        if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
            return Err(file.corrupt(format!("its pages have {page_size} bytes")));
        }
        if meta.get(25) != Some(&HASH_META) {
            return Err(file.corrupt("its first page does not describe a hash database"));
        }
        if meta.get(24) != Some(&0) {
            return Err(file.corrupt("it is encrypted"));
        }
        Ok(Self {
            file,
            order,
            page_size: page_size as usize,
            pages: file.size() / u64::from(page_size),
        })
    }

    fn page(&self, number: u64) -> Result<Vec<u8>> {
        if number >= self.pages {
            return Err(self
                .file
                .corrupt(format!("page {number} of {} is asked for", self.pages)));
        }
        self.file.read(number * self.page_size as u64, self.page_size)
    }

    /// Pairs of a key, the package's number, and a value, its header.
    fn hash_page(&self, number: u64, page: &[u8], sink: HeaderSink<'_>) -> Result<()> {
        let damaged = |what: &str| self.file.corrupt(format!("page {number}: {what}"));
        let entries = usize::from(self.order.u16(page, 20).unwrap_or(0));
        let mut ends = self.page_size;
        let mut key: Option<&[u8]> = None;
        for entry in 0..entries {
            let start = self
                .order
                .u16(page, PAGE_HEADER + entry * 2)
                .map(usize::from)
                .ok_or_else(|| damaged("its entries do not fit"))?;
            let item = page
                .get(start..ends)
                .filter(|item| start >= PAGE_HEADER && !item.is_empty())
                .ok_or_else(|| damaged("an entry lies outside"))?;
            ends = start;
            if entry % 2 == 0 {
                key = Some(item);
                continue;
            }
            // Package 0 is where rpm counts the numbers that it gave.
            let is_counter = key.is_some_and(|key| key.iter().skip(1).all(|b| *b == 0));
            if is_counter {
                continue;
            }
            match item.first() {
                Some(&KEY_DATA) => {
                    let value = item.get(1..).unwrap_or_default();
                    sink(value.len(), &|wanted| {
                        Ok(value.get(..wanted).unwrap_or(value).to_vec())
                    })?;
                }
                Some(&OFF_PAGE) if item.len() >= OFF_PAGE_LEN => {
                    let first = self.order.u32(item, 4).unwrap_or(0);
                    let len = self.order.u32(item, 8).unwrap_or(0);
                    if u64::from(len) > self.file.size() {
                        return Err(damaged("a value is longer than the file"));
                    }
                    let len = len as usize;
                    sink(len, &|wanted| self.overflow(u64::from(first), wanted.min(len)))?;
                }
                _ => return Err(damaged("an entry is of no known type")),
            }
        }
        Ok(())
    }

    /// The first bytes of a value that lies on a chain of pages.
    fn overflow(&self, first: u64, wanted: usize) -> Result<Vec<u8>> {
        let mut value = Vec::with_capacity(wanted.min(1 << 20));
        let mut number = first;
        let mut left = self.pages;
        while value.len() < wanted {
            let page = self.page(number)?;
            let len = usize::from(self.order.u16(&page, 22).unwrap_or(0));
            let part = page.get(PAGE_HEADER..PAGE_HEADER + len);
            let (Some(part), Some(&OVERFLOW)) = (part.filter(|part| !part.is_empty()), page.get(25)) else {
                return Err(self
                    .file
                    .corrupt(format!("page {number} is no part of a long value")));
            };
            value.extend_from_slice(part);
            number = u64::from(self.order.u32(&page, 16).unwrap_or(0));
            left = left
                .checked_sub(1)
                .ok_or_else(|| self.file.corrupt("the pages of a value go in a circle"))?;
        }
        value.truncate(wanted);
        Ok(value)
    }
}
