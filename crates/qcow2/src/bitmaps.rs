//! Persistent dirty bitmaps of an image that is changed: those that are enabled get the bit of everything that is written.
//!
//! A change set writes them anew with the bits of what it changed, and they switch with it. Direct writing marks them
//! as in use before the first change, durably, as QEMU does, and a flush writes their bits and takes the mark away: a
//! bitmap whose bits were not written is not trusted by anybody.

use crate::bitmap_directory::{AUTO, BitmapEntry, EXTRA_DATA_COMPATIBLE, IN_USE};
use crate::bitmap_table::Ranges;
use crate::error::Result;
use crate::state::{Mode, State};
use std::collections::BTreeSet;

/// What was written since the bitmaps were brought up to date.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirtied {
    pub(crate) ranges: Ranges,
    /// Names of bitmaps that were brought up to date by themselves.
    cleared: BTreeSet<Vec<u8>>,
    /// Whether bitmaps on disk are marked as in use by these writes, and which.
    marked: bool,
    names: BTreeSet<Vec<u8>>,
    /// Whether there are bitmaps to keep up to date, once that is known.
    wanted: Option<bool>,
}

impl Dirtied {
    /// The list of bitmaps is another one.
    pub(crate) fn look_again(&mut self) {
        self.wanted = None;
    }

    /// A bitmap was cleared: what was written before does not count for it.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        if !self.ranges.is_empty() {
            self.cleared.insert(name.to_vec());
        }
    }
}

/// Whether a bitmap must get the bits of what is written.
fn follows(entry: &BitmapEntry) -> bool {
    entry.flags & AUTO != 0
        && entry.flags & IN_USE == 0
        && (entry.extra.is_empty() || entry.flags & EXTRA_DATA_COMPATIBLE != 0)
}

impl State {
    /// Notes that a range of the disk is written. Called before it is.
    pub(crate) fn note_dirty(&mut self, pos: u64, len: u64) -> Result<()> {
        if self.header.bitmaps().is_none() {
            return Ok(());
        }
        let wanted = match self.dirtied.wanted {
            Some(wanted) => wanted,
            None => {
                let wanted = self.load_bitmaps()?.iter().any(follows);
                self.dirtied.wanted = Some(wanted);
                wanted
            }
        };
        if wanted {
            self.begin()?;
            self.dirtied.ranges.insert(pos, pos.saturating_add(len));
        }
        Ok(())
    }

    /// Marks the bitmaps that follow the writes as in use, durably, before the first direct change.
    pub(crate) fn mark_bitmaps(&mut self) -> Result<()> {
        if !matches!(self.mode, Mode::Direct)
            || self.dirtied.marked
            || self.dirtied.wanted == Some(false)
            || self.header.bitmaps().is_none()
        {
            return Ok(());
        }
        let list = self.load_bitmaps()?;
        self.dirtied.wanted = Some(list.iter().any(follows));
        let names = list.into_iter().filter(follows).map(|entry| entry.name).collect();
        if self.write_flags(|entry| entry.flags | if follows(entry) { IN_USE } else { 0 })? {
            self.core.barrier()?;
            self.dirtied.marked = true;
            self.dirtied.names = names;
        }
        Ok(())
    }

    /// Changes flags in the directory where it is. Says whether any differ.
    fn write_flags(&mut self, flags: impl Fn(&BitmapEntry) -> u32) -> Result<bool> {
        let Some(place) = self.header.bitmaps().copied() else {
            return Ok(false);
        };
        let mut at = place.directory_offset;
        let mut changed = false;
        for entry in self.load_bitmaps()? {
            let new = flags(&entry);
            if new != entry.flags {
                self.must_be_ours(at, entry.encoded_len())?;
                let offset = at.saturating_add(BitmapEntry::FLAGS_AT);
                self.core.file.write_at(offset, &new.to_be_bytes())?;
                changed = true;
            }
            at = at.saturating_add(entry.encoded_len());
        }
        Ok(changed)
    }

    /// In a change set, before it is prepared: the bitmaps get the bits of what it writes.
    pub(crate) fn add_dirtied(&mut self) -> Result<()> {
        if self.dirtied.ranges.is_empty() {
            return Ok(());
        }
        let mut list = self.load_bitmaps()?;
        let mut changed = false;
        for entry in &mut list {
            changed |= follows(entry);
            if follows(entry) {
                self.settle_dirtied(entry)?;
            }
        }
        if changed {
            self.replace_directory(&list)?;
        }
        self.dirtied = Dirtied::default();
        Ok(())
    }

    /// Gives one bitmap the bits of what was written so far.
    pub(crate) fn settle_dirtied(&mut self, entry: &mut BitmapEntry) -> Result<()> {
        if !follows(entry) || self.dirtied.cleared.contains(&entry.name) || self.dirtied.ranges.is_empty() {
            return Ok(());
        }
        let ranges = self.dirtied.ranges.clone();
        *entry = self.rewrite_bitmap(entry, self.header.size, &ranges, false)?;
        Ok(())
    }

    /// After direct writing, when everything else is durable: writes the bits, and takes the marks away.
    pub(crate) fn unmark_bitmaps(&mut self) -> Result<()> {
        if !self.dirtied.marked {
            return Ok(());
        }
        let Some(place) = self.header.bitmaps().copied() else {
            return Ok(());
        };
        let size = self.header.size;
        let (ranges, names) = (self.dirtied.ranges.clone(), self.dirtied.names.clone());
        let mut at = place.directory_offset;
        let mut places = Vec::new();
        for entry in self.load_bitmaps()? {
            if entry.flags & IN_USE != 0 && names.contains(&entry.name) {
                let new = self.rewrite_bitmap(&entry, size, &ranges, false)?;
                places.push((at, new));
            }
            at = at.saturating_add(entry.encoded_len());
        }
        // The new tables are complete and counted before anything leads to them.
        self.write_back()?;
        self.core.barrier()?;
        let file = self.core.file.clone();
        for (at, entry) in &places {
            let mut bytes = Vec::new();
            if entry.encode(&mut bytes).is_some() {
                // While it is marked, a table that is written by halves is nobody's trouble.
                file.write_at(*at, bytes.get(..12).unwrap_or(&[]))?;
            }
        }
        self.core.barrier()?;
        self.write_flags(|entry| {
            if names.contains(&entry.name) {
                entry.flags & !IN_USE
            } else {
                entry.flags
            }
        })?;
        self.core.barrier()?;
        self.dirtied = Dirtied::default();
        Ok(())
    }

    /// A part of the directory is overwritten in place: it must be the only use of its clusters.
    fn must_be_ours(&mut self, offset: u64, len: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let inside = offset
            .checked_add(len)
            .is_some_and(|end| end <= self.file_len.next_multiple_of(geometry.cluster_size()));
        if !inside {
            return Err(self
                .core
                .corrupt("bitmap directory", offset, len, "it is out of place"));
        }
        for cluster in offset >> geometry.cluster_bits..geometry.clusters(offset + len) {
            if self.protected.contains(&cluster) || self.refcount(cluster)? != 1 {
                let at = cluster << geometry.cluster_bits;
                return Err(self
                    .core
                    .corrupt("bitmap directory", at, 0, "it is not its clusters' only use"));
            }
        }
        Ok(())
    }
}
