//! Several journal files as one sequence of entries.

use crate::blocks::JournalSource;
use crate::entry::Entry;
use crate::error::Result;
use crate::file::{JournalFile, Values};
use std::cmp::Ordering;

/// Journal files that are read together, the oldest entry first. An entry that two files hold comes once.
#[derive(Debug)]
pub struct Journal<S> {
    files: Vec<(JournalFile<S>, Option<Entry>)>,
    /// The file of the last entry.
    last: usize,
}

/// More files than these do not keep what they have read.
const MANY: usize = 64;

impl<S: JournalSource> Journal<S> {
    /// Joins files.
    ///
    /// # Errors
    /// Those of reading.
    pub fn new(files: Vec<JournalFile<S>>) -> Result<Self> {
        let many = files.len() > MANY;
        let files = files.into_iter().map(|mut file| {
            let entry = file.next_entry()?;
            if many {
                file.forget();
            }
            Ok((file, entry))
        });
        Ok(Self {
            files: files.collect::<Result<_>>()?,
            last: 0,
        })
    }

    /// The next entry, and the values of the fields `names` of it (see [`JournalFile::fields`]).
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_with(&mut self, names: &[&[u8]]) -> Result<Option<(Entry, Values)>> {
        let mut best: Option<usize> = None;
        for (at, (file, entry)) in self.files.iter().enumerate() {
            let Some(entry) = entry else { continue };
            let first = best.and_then(|b| self.files.get(b));
            let is_before = match first {
                Some((other, Some(least))) => order(file, entry, other, least) == Ordering::Less,
                _ => true,
            };
            if is_before {
                best = Some(at);
            }
        }
        let Some(best) = best else { return Ok(None) };
        if best != self.last
            && self.files.len() > MANY
            && let Some((file, _)) = self.files.get_mut(self.last)
        {
            file.forget();
        }
        self.last = best;
        let Some((_, slot)) = self.files.get_mut(best) else {
            return Ok(None);
        };
        let Some(entry) = slot.take() else { return Ok(None) };
        self.drop_copies(best, &entry)?;
        let Some((file, slot)) = self.files.get_mut(best) else {
            return Ok(None);
        };
        let values = file.fields(&entry, names)?;
        *slot = file.next_entry()?;
        Ok(Some((entry, values)))
    }

    /// Steps over the same entry in other files.
    fn drop_copies(&mut self, best: usize, entry: &Entry) -> Result<()> {
        for at in 0..self.files.len() {
            let same = match (self.files.get(at), self.files.get(best)) {
                (Some((file, Some(other))), Some((own, _))) if at != best => {
                    order(file, other, own, entry) == Ordering::Equal
                }
                _ => false,
            };
            if let Some((file, slot)) = self.files.get_mut(at).filter(|_| same) {
                *slot = file.next_entry()?;
            }
        }
        Ok(())
    }

    /// How many structures were damaged, and left out.
    pub fn damaged(&self) -> u64 {
        self.files.iter().map(|(file, _)| file.damaged()).sum()
    }
}

/// Which of two entries was first, as far as the files can tell: by their numbers where both count alike, by the monotonic clock
/// of one boot, by the time of day.
fn order<S: JournalSource>(
    file: &JournalFile<S>,
    entry: &Entry,
    other: &JournalFile<S>,
    than: &Entry,
) -> Ordering {
    if entry.boot_id == than.boot_id
        && entry.monotonic == than.monotonic
        && entry.realtime == than.realtime
        && entry.hash == than.hash
    {
        return Ordering::Equal;
    }
    if file.seqnum_id() == other.seqnum_id() {
        let by_number = entry.sequence.cmp(&than.sequence);
        if by_number != Ordering::Equal {
            return by_number;
        }
    }
    if entry.boot_id == than.boot_id {
        let by_boot = entry.monotonic.cmp(&than.monotonic);
        if by_boot != Ordering::Equal {
            return by_boot;
        }
    }
    entry
        .realtime
        .cmp(&than.realtime)
        .then(entry.hash.cmp(&than.hash))
        // two that nothing tells apart are still two
        .then(Ordering::Less)
}
