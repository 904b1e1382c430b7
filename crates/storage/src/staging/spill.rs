//! How what is staged gets into the shadow: whole allocation units, in order.

use super::overlay::{Mark, Overlay, PAGE, Staged};
use crate::error::Result;
use crate::shadow::Shadow;
use crate::storage::{ZeroMode, is_zero};

/// Neighbouring units are written with one call up to this many bytes.
const LARGEST_WRITE: u64 = 1 << 20;
/// The largest allocation unit that is gathered; there is none larger (a qcow2 cluster has at most 2 MiB).
const LARGEST_UNIT: u64 = 2 << 20;

/// An overlay on its way into the shadow below it.
pub(super) struct Spill<'a> {
    pub(super) overlay: &'a mut Overlay,
    pub(super) shadow: &'a dyn Shadow,
    /// Pages per allocation unit.
    pub(super) unit: u64,
}

/// How many pages an allocation unit of the shadow has.
pub(super) fn pages_per_unit(shadow: &dyn Shadow) -> u64 {
    let unit = shadow.alignment().allocation;
    if unit.is_power_of_two() {
        unit.clamp(PAGE, LARGEST_UNIT) / PAGE
    } else {
        1
    }
}

impl Spill<'_> {
    /// Writes everything out.
    pub(super) fn all(&mut self) -> Result<()> {
        let mut units: Vec<u64> = self.overlay.pages().map(|(page, _)| page / self.unit).collect();
        units.dedup();
        self.units(&units)?;
        self.marks()
    }

    /// Writes out until no more than `keep` bytes of memory are in use: units with the most pages first, among
    /// equals those that were not touched for longest.
    pub(super) fn down_to(&mut self, keep: u64) -> Result<()> {
        if self.overlay.memory_of_marks() > keep / 2 {
            self.marks()?;
        }
        let mut units: Vec<(u64, u64, u64)> = Vec::new();
        for (number, page) in self.overlay.pages() {
            match units.last_mut() {
                Some((unit, count, touched)) if *unit == number / self.unit => {
                    *count += 1;
                    *touched = (*touched).max(page.touched);
                }
                _ => units.push((number / self.unit, 1, page.touched)),
            }
        }
        units.sort_unstable_by_key(|(_, count, touched)| (std::cmp::Reverse(*count), *touched));
        let mut excess = self.overlay.memory().saturating_sub(keep);
        let mut chosen = Vec::new();
        for (unit, count, _) in units {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(count * PAGE);
            chosen.push(unit);
        }
        chosen.sort_unstable();
        self.units(&chosen)
    }

    /// Writes out units, given in order, that have pages.
    fn units(&mut self, units: &[u64]) -> Result<()> {
        let mut pending: Vec<u8> = Vec::new();
        let mut first = 0;
        for unit in units {
            let start = unit * self.unit;
            let full = !pending.is_empty() && pending.len() as u64 + self.unit * PAGE > LARGEST_WRITE;
            if full || first + pages(&pending) != start {
                self.write(first, &mut pending)?;
            }
            if pending.is_empty() {
                first = start;
            }
            let from = pending.len();
            self.gather(start, &mut pending)?;
            if is_zero(pending.get(from..).unwrap_or(&[])) {
                let len = (pending.len() - from) as u64;
                pending.truncate(from);
                self.write(first, &mut pending)?;
                self.shadow.write_zeroes(start * PAGE, len, ZeroMode::Unmap)?;
                self.overlay.forget(start, start + self.unit);
            }
        }
        self.write(first, &mut pending)
    }

    /// Writes what was gathered from page `first` on, and takes it out of the overlay.
    fn write(&mut self, first: u64, pending: &mut Vec<u8>) -> Result<()> {
        if !pending.is_empty() {
            self.shadow.write_at(first * PAGE, pending)?;
            self.overlay.forget(first, first + pages(pending));
            pending.clear();
        }
        Ok(())
    }

    /// Appends what a unit reads as, cut at the end of the storage.
    fn gather(&self, start: u64, into: &mut Vec<u8>) -> Result<()> {
        let from = into.len();
        let len = self
            .shadow
            .size()
            .saturating_sub(start * PAGE)
            .min(self.unit * PAGE);
        into.resize(from + len as usize, 0);
        let buf = into.get_mut(from..).unwrap_or(&mut []);
        read(self.overlay, self.shadow, start * PAGE, buf)
    }

    /// Writes out the marks. No unit that has one has pages any more, or is about to.
    fn marks(&mut self) -> Result<()> {
        let mut at = 0;
        while let Some(run) = self.overlay.marks().first_from(at) {
            let (unit, end) = (run.start / self.unit, run.end - run.end % self.unit);
            let whole = run.start % self.unit == 0 && end > run.start;
            if whole && !self.overlay.has_pages(run.start, end) {
                self.mark(run.start, end, run.value)?;
                self.overlay.forget(run.start, end);
                at = end;
            } else {
                self.unit_of_marks(unit)?;
                at = (unit + 1) * self.unit;
            }
        }
        Ok(())
    }

    /// Writes out a unit that has marks, and perhaps not everywhere.
    fn unit_of_marks(&mut self, unit: u64) -> Result<()> {
        let (start, end) = (unit * self.unit, (unit + 1) * self.unit);
        if self.overlay.has_pages(start, end) {
            return self.units(&[unit]);
        }
        let last = self.shadow.size().div_ceil(PAGE).min(end);
        let runs = self.overlay.marks().within(start, end);
        let covered: u64 = runs
            .iter()
            .map(|run| run.end.min(last).saturating_sub(run.start))
            .sum();
        let zero = runs.iter().any(|run| run.value != Mark::Discarded);
        if covered == last.saturating_sub(start) && zero {
            let keep = runs.iter().all(|run| run.value == Mark::Zero(ZeroMode::Keep));
            let mode = if keep { ZeroMode::Keep } else { ZeroMode::Unmap };
            self.mark(start, end, Mark::Zero(mode))?;
        } else {
            for run in runs {
                // A part of a unit cannot be given back.
                if run.value != Mark::Discarded || covered == last.saturating_sub(start) {
                    self.mark(run.start, run.end, run.value)?;
                }
            }
        }
        self.overlay.forget(start, end);
        Ok(())
    }

    fn mark(&self, start: u64, end: u64, mark: Mark) -> Result<()> {
        let from = start.saturating_mul(PAGE);
        let len = end
            .saturating_mul(PAGE)
            .min(self.shadow.size())
            .saturating_sub(from);
        if len == 0 {
            return Ok(());
        }
        match mark {
            Mark::Zero(mode) => self.shadow.write_zeroes(from, len, mode),
            Mark::Discarded => self.shadow.discard(from, len),
        }
    }
}

fn pages(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).div_ceil(PAGE)
}

/// Reads through the overlay. The range lies inside the storage.
pub(super) fn read(overlay: &Overlay, shadow: &dyn Shadow, offset: u64, buf: &mut [u8]) -> Result<()> {
    let (mut at, mut rest) = (offset, buf);
    while !rest.is_empty() {
        let (page, within) = (at / PAGE, at % PAGE);
        let staged = overlay.at(page);
        let end = match staged {
            Staged::Page(_) => page + 1,
            Staged::Zero(end) | Staged::Below(end) => end,
        };
        let n = end.saturating_mul(PAGE).saturating_sub(at).min(rest.len() as u64) as usize;
        let (head, tail) = rest.split_at_mut(n);
        match staged {
            Staged::Page(bytes) => {
                let from = within as usize;
                head.copy_from_slice(bytes.get(from..from + n).unwrap_or(&[]));
            }
            Staged::Zero(_) => head.fill(0),
            Staged::Below(_) => shadow.read_at(at, head)?,
        }
        at += n as u64;
        rest = tail;
    }
    Ok(())
}
