//! The states a power cut can leave.

use super::journal::Event;
use super::random::Random;
use crate::memory::Memory;
use crate::storage::{Storage, ZeroMode};
use std::fmt;
use std::sync::Arc;

/// What a device writes whole or not at all.
const SECTOR: u64 = 512;

/// The storages of a journal as a power cut could have left them.
#[derive(Debug)]
pub struct CrashState {
    storages: Vec<Memory>,
    point: usize,
    of: usize,
    kind: &'static str,
    number: u64,
    marks: Vec<String>,
}

impl CrashState {
    /// A copy of a storage as the power cut left it, for the test to change at will. `number` counts recorders in
    /// the order in which they joined the journal.
    ///
    /// # Panics
    /// When there is no such storage.
    #[track_caller]
    pub fn storage(&self, number: usize) -> Arc<Memory> {
        match self.storages.get(number) {
            Some(memory) => Arc::new(memory.duplicate()),
            None => unknown(number),
        }
    }

    /// Whether the power went after [`super::Journal::mark`] was called with this name.
    pub fn passed(&self, mark: &str) -> bool {
        self.marks.iter().any(|passed| passed == mark)
    }

    /// How many events had been noted when the power went.
    pub fn point(&self) -> usize {
        self.point
    }
}

#[track_caller]
#[allow(clippy::panic)]
fn unknown(number: usize) -> ! {
    panic!("the journal has no storage {number}")
}

impl fmt::Display for CrashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "power cut after event {} of {}, {} (state {})",
            self.point, self.of, self.kind, self.number
        )
    }
}

/// The iterator behind [`super::Journal::crash_states`].
#[derive(Debug)]
pub(super) struct CrashStates {
    events: Vec<Event>,
    /// With everything up to `point`.
    latest: Vec<Memory>,
    /// With what is flushed at `point`.
    durable: Vec<Memory>,
    /// Events of each storage since its last flush.
    pending: Vec<Vec<Event>>,
    marks: Vec<String>,
    point: usize,
    /// The next state at this point: 0 is everything, 1 is what is flushed, then the random ones.
    step: u64,
    per_point: u64,
    number: u64,
    random: Random,
}

impl CrashStates {
    pub(super) fn new(initial: Vec<Memory>, events: Vec<Event>, random: u64, seed: u64) -> Self {
        let points = events.len() as u64 + 1;
        Self {
            latest: initial.iter().map(Memory::duplicate).collect(),
            pending: initial.iter().map(|_| Vec::new()).collect(),
            durable: initial,
            events,
            marks: Vec::new(),
            point: 0,
            step: 0,
            per_point: random.div_ceil(points),
            number: 0,
            random: Random::new(seed),
        }
    }

    /// Goes on to the next point; false at the end.
    fn advance(&mut self) -> bool {
        let Some(event) = self.events.get(self.point) else {
            return false;
        };
        self.point += 1;
        self.step = 0;
        match event {
            Event::Mark(name) => self.marks.push(name.clone()),
            Event::Flush { storage } => {
                if let (Some(durable), Some(latest)) =
                    (self.durable.get_mut(*storage), self.latest.get(*storage))
                {
                    *durable = latest.duplicate();
                }
                if let Some(pending) = self.pending.get_mut(*storage) {
                    pending.clear();
                }
            }
            Event::Write { storage, .. } | Event::Zero { storage, .. } | Event::SetSize { storage, .. } => {
                if let Some(latest) = self.latest.get(*storage) {
                    apply(latest, event, |_| true);
                }
                if let Some(pending) = self.pending.get_mut(*storage) {
                    pending.push(event.clone());
                }
            }
        }
        true
    }

    /// The flushed state, with some of what was pending.
    fn shuffled(&mut self) -> Vec<Memory> {
        let mut storages = Vec::with_capacity(self.durable.len());
        for (durable, pending) in self.durable.iter().zip(&self.pending) {
            let memory = durable.duplicate();
            // From "nearly all is lost" to "nearly all is there".
            let share = self.random.below(5);
            for event in pending {
                match self.random.below(6) {
                    0 | 1 => {
                        let random = &mut self.random;
                        apply(&memory, event, |_| random.below(4) < share);
                    }
                    _ if self.random.below(4) < share => apply(&memory, event, |_| true),
                    _ => {}
                }
            }
            storages.push(memory);
        }
        storages
    }
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        let has_pending = self.pending.iter().any(|pending| !pending.is_empty());
        let states = if has_pending { 2 + self.per_point } else { 1 };
        if self.step >= states && !self.advance() {
            return None;
        }
        let (kind, storages) = match self.step {
            0 => (
                "all of it on the disk",
                self.latest.iter().map(Memory::duplicate).collect(),
            ),
            1 => (
                "only the flushed part on the disk",
                self.durable.iter().map(Memory::duplicate).collect(),
            ),
            _ => ("the rest lost or torn at random", self.shuffled()),
        };
        self.step += 1;
        self.number += 1;
        Some(CrashState {
            storages,
            point: self.point,
            of: self.events.len(),
            kind,
            number: self.number,
            marks: self.marks.clone(),
        })
    }
}

/// Does an event to a memory, sector by sector, as far as `keep` says so; what lies beyond the end is lost.
fn apply(memory: &Memory, event: &Event, mut keep: impl FnMut(u64) -> bool) {
    let size = memory.size();
    match event {
        Event::Write { offset, bytes, .. } => {
            let end = (offset + bytes.len() as u64).min(size);
            let mut at = *offset;
            while at < end {
                let next = (at - at % SECTOR + SECTOR).min(end);
                if keep(at / SECTOR)
                    && let Some(part) = bytes.get((at - offset) as usize..(next - offset) as usize)
                {
                    // Inside the size, so it cannot fail.
                    let _ = memory.write_at(at, part);
                }
                at = next;
            }
        }
        Event::Zero { offset, len, .. } => {
            let end = (offset + len).min(size);
            // A large range tears into fewer pieces.
            let piece = (len / 64).next_multiple_of(SECTOR).max(SECTOR);
            let mut at = *offset;
            while at < end {
                let next = (at - at % piece + piece).min(end);
                if keep(at / SECTOR) {
                    let _ = memory.write_zeroes(at, next - at, ZeroMode::Unmap);
                }
                at = next;
            }
        }
        Event::SetSize { size, .. } => {
            if keep(0) {
                let _ = memory.set_size(*size);
            }
        }
        Event::Flush { .. } | Event::Mark(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, Recorder};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn finds_a_missing_flush() {
        for with_flush in [true, false] {
            let journal = Journal::new();
            let disk = Recorder::new(Arc::new(Memory::new(8192)), &journal);
            disk.write_at(0, &[1; 2048]).unwrap();
            if with_flush {
                disk.flush().unwrap();
            }
            disk.write_at(4096, &[1; 512]).unwrap();
            disk.flush().unwrap();
            let broken = journal
                .crash_states(200, 1)
                .filter(|state| {
                    let bytes = state.storage(0).to_vec();
                    bytes[4096] == 1 && bytes[..2048] != [1; 2048]
                })
                .count();
            assert_eq!(broken == 0, with_flush);
        }
    }

    #[test]
    fn a_flush_orders_only_its_own_storage() {
        let journal = Journal::new();
        let log = Recorder::new(Arc::new(Memory::new(512)), &journal);
        let disk = Recorder::new(Arc::new(Memory::new(512)), &journal);
        log.write_at(0, &[1; 512]).unwrap();
        disk.write_at(0, &[2; 512]).unwrap();
        disk.flush().unwrap();
        journal.mark("done");
        let seen: HashSet<(u8, u8, bool)> = journal
            .crash_states(100, 7)
            .map(|s| {
                (
                    s.storage(0).to_vec()[0],
                    s.storage(1).to_vec()[0],
                    s.passed("done"),
                )
            })
            .collect();
        assert!(seen.contains(&(0, 2, true)));
        assert!(seen.contains(&(1, 2, true)));
        assert!(!seen.iter().any(|(_, disk, done)| *done && *disk == 0));
    }

    #[test]
    fn prefixes_are_exact_and_tears_follow_sectors() {
        let journal = Journal::new();
        let disk = Recorder::new(Arc::new(Memory::new(100)), &journal);
        disk.set_size(5000).unwrap();
        disk.write_at(100, &[3; 4000]).unwrap();
        disk.write_zeroes(200, 100, ZeroMode::Keep).unwrap();
        disk.set_size(3000).unwrap();
        let mut torn = false;
        let mut last = None;
        for state in journal.crash_states(400, 3) {
            let bytes = state.storage(0).to_vec();
            if state.kind.starts_with("all") {
                last = Some(bytes.clone());
            }
            if state.point() == 2 && bytes.len() == 5000 {
                for sector in bytes[512..4096].chunks(512) {
                    assert!(sector.iter().all(|b| *b == sector[0]));
                }
                torn |= bytes[512] != bytes[2048];
            }
        }
        assert!(torn);
        let mut expected = vec![3; 3000];
        expected[..100].fill(0);
        expected[200..300].fill(0);
        assert_eq!(last.unwrap(), expected);
    }
}
