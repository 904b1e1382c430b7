//! What is staged in memory: pages of bytes, and ranges without bytes.

use crate::run_map::{RunMap, RunValue};
use crate::storage::ZeroMode;
use std::collections::BTreeMap;

/// Bytes per page.
pub(super) const PAGE: u64 = 4096;
/// What a page takes in memory beside its bytes, and what a range takes: a generous guess.
const NODE: u64 = 96;

/// What is staged for a range that has no bytes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It reads as zeroes.
    Zero(ZeroMode),
    /// Its contents do not matter; it reads as what lies below.
    Discarded,
}

impl RunValue for Mark {
    fn advance(self, _by: u64) -> Self {
        self
    }
}

/// The bytes of a page, and when they were last written.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) bytes: Box<[u8]>,
    pub(super) touched: u64,
}

/// Pages and marks by page number; a page number has at most one of both.
#[derive(Debug)]
pub(super) struct Overlay {
    pages: BTreeMap<u64, Page>,
    marks: RunMap<Mark>,
    ticks: u64,
}

/// How a page number, and those that follow it, are staged.
#[derive(Debug)]
pub(super) enum Staged<'a> {
    /// This one page has these bytes.
    Page(&'a [u8]),
    /// Zeroes up to this page number.
    Zero(u64),
    /// What lies below, up to this page number.
    Below(u64),
}

impl Overlay {
    pub(super) const fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            marks: RunMap::new(),
            ticks: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.marks.is_empty()
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self) -> u64 {
        self.pages.len() as u64 * (PAGE + NODE) + self.memory_of_marks()
    }

    pub(super) fn memory_of_marks(&self) -> u64 {
        self.marks.len() as u64 * NODE
    }

    pub(super) fn at(&self, page: u64) -> Staged<'_> {
        if let Some(found) = self.pages.get(&page) {
            return Staged::Page(&found.bytes);
        }
        if let Some((Mark::Zero(_), end)) = self.marks.get(page) {
            return Staged::Zero(end);
        }
        let next_page = self
            .pages
            .range(page..)
            .next()
            .map_or(u64::MAX, |(next, _)| *next);
        let mut at = page;
        // Past discarded ranges, which read as what lies below.
        loop {
            match self.marks.first_from(at) {
                Some(run) if run.start < next_page => match run.value {
                    Mark::Discarded => at = run.end,
                    Mark::Zero(_) => return Staged::Below(run.start),
                },
                _ => return Staged::Below(next_page),
            }
        }
    }

    /// How many pages from `page` on have bytes, without a gap; counts up to `limit`.
    pub(super) fn pages_in_a_row(&self, page: u64, limit: u64) -> u64 {
        let mut count = 0;
        for (number, _) in self.pages.range(page..) {
            if count >= limit || page.checked_add(count) != Some(*number) {
                break;
            }
            count += 1;
        }
        count
    }

    /// The page's bytes, to be changed; `fill` gives them where they are not staged yet.
    pub(super) fn page_mut<E>(
        &mut self,
        page: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<&mut [u8], E> {
        self.ticks += 1;
        if !self.pages.contains_key(&page) {
            let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
            if !matches!(self.marks.get(page), Some((Mark::Zero(_), _))) {
                fill(&mut bytes)?;
            }
            self.marks.clear(page, page.saturating_add(1));
            self.pages.insert(page, Page { bytes, touched: 0 });
        }
        let touched = self.ticks;
        Ok(self.pages.get_mut(&page).map_or(&mut [], |found| {
            found.touched = touched;
            &mut found.bytes
        }))
    }

    /// Marks pages as zeroes.
    pub(super) fn zero(&mut self, start: u64, end: u64, mode: ZeroMode) {
        self.drop_pages(start, end);
        self.marks.set(start, end, Mark::Zero(mode));
    }

    /// Marks pages as discarded. What was staged for them reads as zeroes from now on: what lies below is older
    /// than "as before".
    pub(super) fn discard(&mut self, start: u64, end: u64) {
        let zero = Mark::Zero(ZeroMode::Unmap);
        let staged = self.marks.within(start, end);
        let pages = self.drop_pages(start, end);
        self.marks.set(start, end, Mark::Discarded);
        for run in staged.into_iter().filter(|run| run.value != Mark::Discarded) {
            self.marks.set(run.start, run.end, zero);
        }
        for page in pages {
            self.marks.set(page, page + 1, zero);
        }
    }

    /// Takes a range of pages out of the overlay.
    pub(super) fn forget(&mut self, start: u64, end: u64) {
        self.drop_pages(start, end);
        self.marks.clear(start, end);
    }

    fn drop_pages(&mut self, start: u64, end: u64) -> Vec<u64> {
        if start >= end {
            return Vec::new();
        }
        let numbers: Vec<u64> = self.pages.range(start..end).map(|(number, _)| *number).collect();
        for number in &numbers {
            self.pages.remove(number);
        }
        numbers
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = (u64, &Page)> {
        self.pages.iter().map(|(number, page)| (*number, page))
    }

    pub(super) fn has_pages(&self, start: u64, end: u64) -> bool {
        self.pages.range(start..end).next().is_some()
    }

    pub(super) fn marks(&self) -> &RunMap<Mark> {
        &self.marks
    }
}
