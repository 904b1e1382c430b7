//! Which pages of an image a log changes, and where it holds them.

use super::PAGE;
use super::header::LogHeader;
use super::table::{Entry, PageKind, Table};
use crate::error::{Error, Result};
use crate::run_map::{RunMap, RunValue};
use crate::storage::{Storage, ZeroMode};
use std::path::Path;

/// How a page of the image is held by a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    /// As this page of the log.
    At(u64),
    Zero(ZeroMode),
}

impl RunValue for Logged {
    fn advance(self, by: u64) -> Self {
        match self {
            Self::At(page) => Self::At(page + by),
            Self::Zero(_) => self,
        }
    }
}

/// By page number of the image.
pub(super) type Index = RunMap<Logged>;

/// Reads the tables of a log in order; `each` is told of every entry, and which page of the log holds its data.
pub(super) fn for_each_entry(
    log: &dyn Storage,
    path: &Path,
    header: &LogHeader,
    mut each: impl FnMut(Entry, u64) -> Result<()>,
) -> Result<()> {
    // The storage may have been larger in between than it was before or is after: such entries just do not count.
    let pages = u64::MAX / PAGE;
    let end = header.length / PAGE;
    let mut at = 1u64;
    let mut bytes = vec![0; PAGE as usize];
    for sequence in 0..header.segments {
        let damaged = || Error::LogDamaged {
            log: path.into(),
            field: "log header: length",
            offset: at.saturating_mul(PAGE),
            value: header.length,
        };
        if at >= end {
            return Err(damaged());
        }
        log.read_at(at * PAGE, &mut bytes)?;
        let table = Table::parse(&bytes, sequence, pages, path, at * PAGE)?;
        let next = at + 1 + table.data_pages();
        if next > end {
            return Err(damaged());
        }
        let mut data = at + 1;
        for entry in table.entries {
            let is_data = entry.kind == PageKind::Data;
            each(entry, data)?;
            data += u64::from(is_data);
        }
        at = next;
    }
    Ok(())
}

/// The index of a complete log. Of several entries for a page the last one counts; what lies beyond the new end
/// does not.
pub(super) fn load(log: &dyn Storage, path: &Path, header: &LogHeader) -> Result<Index> {
    let pages = header.new_size.div_ceil(PAGE);
    let mut index = Index::new();
    for_each_entry(log, path, header, |entry, data| {
        if entry.page < pages {
            index.set(entry.page, entry.page + 1, logged(&entry, data));
        }
        Ok(())
    })?;
    Ok(index)
}

/// How an entry is indexed.
pub(super) fn logged(entry: &Entry, data: u64) -> Logged {
    match entry.kind {
        PageKind::Data => Logged::At(data),
        PageKind::Zero(mode) => Logged::Zero(mode),
    }
}
