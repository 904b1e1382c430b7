//! Gathers small writes for a shadow.

mod overlay;
mod spill;

use crate::error::Result;
use crate::extent::Extent;
use crate::shadow::Shadow;
use crate::storage::{Alignment, HostSpan, Storage, ZeroMode};
use overlay::{Overlay, PAGE, Staged};
use spill::Spill;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A write of at least this many bytes goes straight to the shadow, as far as it covers whole units.
const LARGE_WRITE: u64 = 256 * 1024;

/// Holds what is written in memory, in pages of 4 KiB and in ranges of zeroes, and passes it on to a [`Shadow`] in
/// whole allocation units: when more than a budget is held, or at the end. So the shadow sees few, large writes, and
/// each of its units seldom more than once, whatever small writes a filesystem makes.
///
/// [`flush`](Storage::flush) does nothing: a staged change becomes durable by [`into_shadow`](Self::into_shadow),
/// [`Shadow::prepare`] and [`crate::Prepared::switch`]. Dropping a staging drops what is staged and the shadow.
#[derive(Debug)]
pub struct Staging {
    shadow: Box<dyn Shadow>,
    overlay: RwLock<Overlay>,
    unit: u64,
    budget: u64,
}

impl Staging {
    /// How much a staging holds in memory where nothing else is said: 32 MiB.
    pub const DEFAULT_BUDGET: u64 = 32 << 20;

    /// Stages writes to `shadow`, holding about `budget` bytes of memory at most (but a few allocation units in
    /// any case).
    pub fn new(shadow: Box<dyn Shadow>, budget: u64) -> Self {
        let unit = spill::pages_per_unit(shadow.as_ref());
        Self {
            shadow,
            overlay: RwLock::new(Overlay::new()),
            unit,
            budget: budget.max(4 * unit * PAGE),
        }
    }

    /// Passes everything on and gives the shadow back, complete.
    pub fn into_shadow(self) -> Result<Box<dyn Shadow>> {
        self.drain()?;
        Ok(self.shadow)
    }

    /// Passes everything on that is held in memory.
    pub fn drain(&self) -> Result<()> {
        self.spill(&mut self.overlay_mut()).all()
    }

    /// Throws everything away, what the shadow holds too.
    pub fn abandon(self) -> Result<()> {
        self.shadow.abandon()
    }

    /// Whether anything was changed.
    pub fn is_dirty(&self) -> bool {
        !self.overlay().is_empty() || self.shadow.is_dirty()
    }

    /// The shadow below. It does not know of what is still held in memory.
    pub fn shadow(&self) -> &dyn Shadow {
        self.shadow.as_ref()
    }

    /// Bytes of memory in use.
    pub fn memory(&self) -> u64 {
        self.overlay().memory()
    }

    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.overlay
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn spill<'a>(&'a self, overlay: &'a mut Overlay) -> Spill<'a> {
        Spill {
            overlay,
            shadow: self.shadow.as_ref(),
            unit: self.unit,
        }
    }

    /// Keeps to the budget, with some room so that this is seldom done.
    fn keep_to_budget(&self, overlay: &mut Overlay) -> Result<()> {
        if overlay.memory() <= self.budget {
            return Ok(());
        }
        self.spill(overlay).down_to(self.budget / 2)
    }

    /// Writes into pages.
    fn write_pages(&self, overlay: &mut Overlay, offset: u64, buf: &[u8]) -> Result<()> {
        let size = self.shadow.size();
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (page, within) = (at / PAGE, (at % PAGE) as usize);
            let n = rest.len().min(PAGE as usize - within);
            let (head, tail) = rest.split_at(n);
            let start = page * PAGE;
            let len = size.saturating_sub(start).min(PAGE) as usize;
            let bytes = overlay.page_mut(page, |bytes| match bytes.get_mut(..len) {
                Some(bytes) if n < len => self.shadow.read_at(start, bytes),
                _ => Ok(()),
            })?;
            if let Some(target) = bytes.get_mut(within..within + n) {
                target.copy_from_slice(head);
            }
            at += n as u64;
            rest = tail;
            self.keep_to_budget(overlay)?;
        }
        Ok(())
    }

    /// The pages that lie wholly in a range; the last page of the storage counts as whole where the range reaches
    /// the end.
    fn whole_pages(&self, offset: u64, len: u64) -> (u64, u64) {
        let end = offset + len;
        let last = if end == self.size() {
            end.div_ceil(PAGE)
        } else {
            end / PAGE
        };
        (offset.div_ceil(PAGE), last)
    }
}

impl Storage for Staging {
    fn size(&self) -> u64 {
        self.shadow.size()
    }

    fn name(&self) -> String {
        self.shadow.name()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let overlay = self.overlay();
        self.check_range(offset, buf.len() as u64)?;
        spill::read(&overlay, self.shadow.as_ref(), offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut overlay = self.overlay_mut();
        self.check_range(offset, buf.len() as u64)?;
        let unit = self.unit * PAGE;
        let (start, end) = (
            offset.checked_next_multiple_of(unit).unwrap_or(u64::MAX),
            offset + buf.len() as u64,
        );
        let end = end - end % unit;
        if end.saturating_sub(start) < LARGE_WRITE {
            return self.write_pages(&mut overlay, offset, buf);
        }
        let (head, rest) = buf.split_at((start - offset) as usize);
        let (middle, tail) = rest.split_at((end - start) as usize);
        self.shadow.write_at(start, middle)?;
        overlay.forget(start / PAGE, end / PAGE);
        self.write_pages(&mut overlay, offset, head)?;
        self.write_pages(&mut overlay, end, tail)
    }

    fn write_zeroes(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<()> {
        let mut overlay = self.overlay_mut();
        self.check_range(offset, len)?;
        let (start, end) = self.whole_pages(offset, len);
        let zeroes = [0u8; PAGE as usize];
        let mut edge = |from: u64, to: u64| {
            let n = to.saturating_sub(from) as usize;
            self.write_pages(&mut overlay, from, zeroes.get(..n).unwrap_or(&zeroes))
        };
        if start >= end {
            // At most the end of one page and the start of the next.
            let middle = start.saturating_mul(PAGE).clamp(offset, offset + len);
            edge(offset, middle)?;
            return edge(middle, offset + len);
        }
        edge(offset, start.saturating_mul(PAGE))?;
        edge(end.saturating_mul(PAGE), offset + len)?;
        overlay.zero(start, end, mode);
        self.keep_to_budget(&mut overlay)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        let mut overlay = self.overlay_mut();
        self.check_range(offset, len)?;
        let (start, end) = self.whole_pages(offset, len);
        if start < end {
            overlay.discard(start, end);
            self.keep_to_budget(&mut overlay)?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let mut overlay = self.overlay_mut();
        // Pages reach beyond the end; before it moves none may be left there.
        self.spill(&mut overlay).all()?;
        self.shadow.set_size(size)
    }

    fn extent_at(&self, offset: u64, limit: u64) -> Result<Extent> {
        let overlay = self.overlay();
        self.check_range(offset, 1)?;
        let limit = limit.max(1).min(self.size() - offset);
        let page = offset / PAGE;
        let until = |end: u64| end.saturating_mul(PAGE).saturating_sub(offset).min(limit);
        match overlay.at(page) {
            Staged::Page(_) => {
                let count = overlay.pages_in_a_row(page, limit / PAGE + 2);
                Ok(Extent::data(until(page + count.max(1))))
            }
            Staged::Zero(end) => Ok(Extent::zero(until(end))),
            Staged::Below(end) => self.shadow.extent_at(offset, until(end)),
        }
    }

    fn alignment(&self) -> Alignment {
        Alignment {
            io: PAGE,
            ..self.shadow.alignment()
        }
    }

    fn copy_range(&self, offset: u64, source: &dyn Storage, source_offset: u64, len: u64) -> Result<u64> {
        self.check_range(offset, len)?;
        let unit = self.unit * PAGE;
        if !offset.is_multiple_of(unit) || len < unit {
            return Ok(0);
        }
        // Without the lock: the source may be this very storage.
        let copied = self
            .shadow
            .copy_range(offset, source, source_offset, len - len % unit)?;
        // What was copied of a last, incomplete page is written again by the caller.
        let whole = copied - copied % PAGE;
        self.overlay_mut().forget(offset / PAGE, (offset + whole) / PAGE);
        Ok(whole)
    }

    fn host_span(&self, offset: u64, len: u64) -> Option<HostSpan<'_>> {
        let overlay = self.overlay();
        self.check_range(offset, len).ok()?;
        match overlay.at(offset / PAGE) {
            Staged::Below(end) => {
                let len = end.saturating_mul(PAGE).saturating_sub(offset).min(len);
                self.shadow.host_span(offset, len)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
