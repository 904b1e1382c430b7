//! The contents of a file, with holes.

use std::collections::BTreeMap;

/// Unit in which contents are held, in bytes; what was never written takes nothing.
pub(super) const PAGE: u64 = 4096;

/// Bytes of a file: pages that were written, zeroes elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseBytes {
    size: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl SparseBytes {
    /// Size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many pages are held.
    pub(super) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// How many pages a write to a range would add.
    pub(super) fn pages_to_add(&self, offset: u64, len: u64) -> u64 {
        if len == 0 {
            return 0;
        }
        let first = offset / PAGE;
        let last = offset.saturating_add(len - 1) / PAGE;
        let held = self.pages.range(first..=last).count() as u64;
        (last - first + 1).saturating_sub(held)
    }

    /// Reads up to the end; returns how many bytes.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let len = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let Some(mut rest) = buf.get_mut(..len) else {
            return 0;
        };
        let mut at = offset;
        while !rest.is_empty() {
            let start = (at % PAGE) as usize;
            let n = rest.len().min(PAGE as usize - start);
            let (part, tail) = rest.split_at_mut(n);
            match self.pages.get(&(at / PAGE)).and_then(|p| p.get(start..start + n)) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
            at += n as u64;
            rest = tail;
        }
        len
    }

    /// Writes, growing where needed. The caller has checked that the end does not overflow.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let start = (at % PAGE) as usize;
            let n = rest.len().min(PAGE as usize - start);
            let (part, tail) = rest.split_at(n);
            if let Some(place) = self.page(at / PAGE).get_mut(start..start + n) {
                place.copy_from_slice(part);
            }
            at += n as u64;
            rest = tail;
        }
        if !data.is_empty() {
            self.size = self.size.max(at);
        }
    }

    /// Cuts or extends; what is new is a hole.
    pub(super) fn set_size(&mut self, size: u64) {
        if size < self.size {
            let end = self.size;
            self.zero(size, end - size);
            drop(self.pages.split_off(&size.div_ceil(PAGE)));
        }
        self.size = size;
    }

    /// Makes a range read as zeroes, giving whole pages back.
    pub(super) fn zero(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        let touched: Vec<u64> = if len == 0 {
            Vec::new()
        } else {
            self.pages
                .range(offset / PAGE..=(end - 1) / PAGE)
                .map(|(n, _)| *n)
                .collect()
        };
        for number in touched {
            let start = number.saturating_mul(PAGE);
            let from = offset.saturating_sub(start).min(PAGE) as usize;
            let to = end.saturating_sub(start).min(PAGE) as usize;
            if from == 0 && to == PAGE as usize {
                self.pages.remove(&number);
            } else if let Some(part) = self.pages.get_mut(&number).and_then(|p| p.get_mut(from..to)) {
                part.fill(0);
            }
        }
    }

    /// Takes pages for a range.
    pub(super) fn allocate(&mut self, offset: u64, len: u64) {
        if len > 0 {
            for number in offset / PAGE..=offset.saturating_add(len - 1) / PAGE {
                self.page(number);
            }
        }
    }

    /// The next range at or after `offset` that is held.
    pub(super) fn next_data(&self, offset: u64) -> Option<(u64, u64)> {
        let mut held = self.pages.range(offset / PAGE..).map(|(n, _)| *n);
        let first = held.next()?;
        let start = first.saturating_mul(PAGE).max(offset);
        let mut next = first + 1;
        while held.next() == Some(next) {
            next += 1;
        }
        let end = next.saturating_mul(PAGE).min(self.size);
        (start < end).then(|| (start, end - start))
    }

    fn page(&mut self, number: u64) -> &mut [u8] {
        self.pages
            .entry(number)
            .or_insert_with(|| vec![0; PAGE as usize].into_boxed_slice())
    }
}
