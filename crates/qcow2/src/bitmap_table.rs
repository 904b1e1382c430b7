//! The contents of persistent dirty bitmaps (specification: "Bitmap table", "Bitmap data").

use crate::bitmap_directory::{BitmapEntry, TABLE_ALL_ONES, TABLE_OFFSET_MASK, TABLE_RESERVED};
use crate::core::Core;
use crate::error::Result;
use crate::io::read_padded;
use crate::state::{State, read_table, table_bytes};
use std::collections::BTreeMap;

/// QEMU's limit on the number of entries of a bitmap table.
const MAX_TABLE_ENTRIES: u64 = 0x800_0000;
/// QEMU's limit on the data of one bitmap in bytes.
pub(crate) const MAX_BITMAP_BYTES: u64 = 0x2000_0000;
/// The finest granularity: 512 bytes.
pub(crate) const MIN_GRANULARITY_BITS: u8 = 9;
/// The coarsest: 2 GiB.
pub(crate) const MAX_GRANULARITY_BITS: u8 = 31;

/// What one entry of a bitmap table stands for: as many bits as a cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// No bit is set.
    Zeroes,
    /// All are.
    Ones,
    /// These; bit 0 of the first byte comes first.
    Bits(Vec<u8>),
}

impl Part {
    /// The bits as bytes.
    pub(crate) fn into_bytes(self, size: u64) -> Vec<u8> {
        match self {
            Self::Zeroes => vec![0; size as usize],
            Self::Ones => vec![0xff; size as usize],
            Self::Bits(bytes) => bytes,
        }
    }

    /// The bits in their shortest form; those from `valid` on are not there.
    fn reduced(self, size: u64, valid: u64) -> Self {
        let mut bytes = match self {
            Self::Ones if valid < size * 8 => self.into_bytes(size),
            Self::Bits(bytes) => bytes,
            short => return short,
        };
        let whole = (valid / 8).min(size) as usize;
        if let Some((first, rest)) = bytes.get_mut(whole..).and_then(<[u8]>::split_first_mut) {
            *first &= (1u16 << (valid % 8)).wrapping_sub(1) as u8;
            rest.fill(0);
        }
        if bytes.iter().all(|byte| *byte == 0) {
            Self::Zeroes
        } else if bytes.iter().all(|byte| *byte == 0xff) {
            Self::Ones
        } else {
            Self::Bits(bytes)
        }
    }
}

/// Sets the bits `first..end`.
pub(crate) fn set_bits(bytes: &mut [u8], first: u64, end: u64) {
    let mut at = first;
    while at < end {
        if at.is_multiple_of(8) && end - at >= 8 {
            let whole = ((end - at) / 8) as usize;
            let start = (at / 8) as usize;
            if let Some(part) = bytes.get_mut(start..start + whole) {
                part.fill(0xff);
            }
            at += whole as u64 * 8;
            continue;
        }
        if let Some(byte) = bytes.get_mut((at / 8) as usize) {
            *byte |= 1 << (at % 8);
        }
        at += 1;
    }
}

/// Ranges of guest bytes, first to one past the last, that do not touch each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ranges {
    map: BTreeMap<u64, u64>,
    /// So many low bits are rounded away, to keep the number of ranges bounded.
    rounding: u32,
}

impl Ranges {
    /// More ranges than this are not kept apart.
    const MAX: usize = 1 << 18;

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.map.iter().map(|(first, end)| (*first, *end))
    }

    /// Adds a range.
    pub(crate) fn insert(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let unit = 1u64 << self.rounding;
        let mut first = first & !(unit - 1);
        let mut end = end.checked_next_multiple_of(unit).unwrap_or(u64::MAX);
        if let Some((start, stop)) = self.map.range(..=first).next_back()
            && *stop >= first
        {
            first = *start;
            end = end.max(*stop);
        }
        while let Some((start, stop)) = self.map.range(first..=end).next().map(|(a, b)| (*a, *b)) {
            end = end.max(stop);
            self.map.remove(&start);
        }
        self.map.insert(first, end);
        if self.map.len() > Self::MAX {
            self.rounding = (self.rounding + 2).clamp(16, 62);
            for (first, end) in std::mem::take(&mut self.map) {
                self.insert(first, end);
            }
        }
    }
}

/// A bitmap's table and the sizes that follow from the disk's.
#[derive(Debug)]
pub(crate) struct BitmapTable {
    pub(crate) granularity_bits: u8,
    pub(crate) entries: Vec<u64>,
}

/// Number of bits that a disk of `size` bytes has.
pub(crate) fn bit_count(size: u64, granularity_bits: u8) -> u64 {
    size.div_ceil(1 << granularity_bits.min(63))
}

/// Number of table entries that a disk of `size` bytes needs.
pub(crate) fn entry_count(core: &Core, size: u64, granularity_bits: u8) -> u64 {
    bit_count(size, granularity_bits).div_ceil(core.geometry.cluster_size() * 8)
}

impl BitmapTable {
    /// Reads the table of a bitmap, and checks it.
    pub(crate) fn load(core: &Core, entry: &BitmapEntry) -> Result<Self> {
        let fail = |value, problem| Err(core.corrupt("bitmap table", entry.table_offset, value, problem));
        let count = u64::from(entry.table_entries);
        if !(MIN_GRANULARITY_BITS..=MAX_GRANULARITY_BITS).contains(&entry.granularity_bits) {
            return fail(entry.granularity_bits.into(), "no such granularity");
        }
        if core.geometry.within(entry.table_offset) != 0 || entry.table_offset == 0 && count > 0 {
            return fail(entry.table_offset, "it is not cluster aligned");
        }
        if count > MAX_TABLE_ENTRIES
            || count * core.geometry.cluster_size() > MAX_BITMAP_BYTES.max(core.geometry.cluster_size())
        {
            return fail(count, "it is too long");
        }
        if entry
            .table_offset
            .checked_add(count * 8)
            .is_none_or(|end| end > core.file.size().next_multiple_of(core.geometry.cluster_size()))
        {
            return fail(count, "it lies outside of the file");
        }
        let entries = read_table(core, entry.table_offset, count)?;
        for value in &entries {
            let offset = value & TABLE_OFFSET_MASK;
            if value & TABLE_RESERVED != 0 || offset != 0 && value & TABLE_ALL_ONES != 0 {
                return fail(*value, "reserved bits are set");
            }
            if core.geometry.within(offset) != 0 || offset >= core.file.size().max(1) {
                return fail(*value, "an entry leads to no cluster of the file");
            }
        }
        Ok(Self {
            granularity_bits: entry.granularity_bits,
            entries,
        })
    }

    /// The part of an entry.
    pub(crate) fn part(&self, core: &Core, index: usize) -> Result<Part> {
        let entry = self.entries.get(index).copied().unwrap_or(0);
        Ok(match entry & TABLE_OFFSET_MASK {
            0 if entry & TABLE_ALL_ONES != 0 => Part::Ones,
            0 => Part::Zeroes,
            offset => {
                let mut bytes = vec![0; core.geometry.cluster_size() as usize];
                read_padded(&*core.file, offset, &mut bytes)?;
                Part::Bits(bytes)
            }
        })
    }

    /// The ranges of the disk whose bits are set, without those beyond `size`.
    pub(crate) fn dirty(&self, core: &Core, size: u64, mut visit: impl FnMut(u64, u64)) -> Result<()> {
        let per_part = core.geometry.cluster_size() * 8;
        let bits = bit_count(size, self.granularity_bits);
        let g = u32::from(self.granularity_bits);
        let mut emit = |first: u64, end: u64| {
            let end = end.min(bits);
            if first < end {
                visit(first << g, (end << g).min(size));
            }
        };
        for index in 0..self.entries.len() {
            let start = index as u64 * per_part;
            match self.part(core, index)? {
                Part::Zeroes => {}
                Part::Ones => emit(start, start + per_part),
                Part::Bits(bytes) => {
                    let mut run: Option<u64> = None;
                    for (i, byte) in bytes.iter().enumerate() {
                        if *byte == 0 && run.is_none() {
                            continue;
                        }
                        for bit in 0..8u64 {
                            let at = start + i as u64 * 8 + bit;
                            match (byte >> bit & 1 != 0, run) {
                                (true, None) => run = Some(at),
                                (false, Some(first)) => {
                                    emit(first, at);
                                    run = None;
                                }
                                _ => {}
                            }
                        }
                    }
                    if let Some(first) = run {
                        emit(first, start + per_part);
                    }
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// Writes a bitmap beside what is there: its bits with those of `dirty` set, or only those with `anew`, for a disk of
    /// `size` bytes. The clusters that the old one alone used are released. Gives the new entry.
    pub(crate) fn rewrite_bitmap(
        &mut self,
        entry: &BitmapEntry,
        size: u64,
        dirty: &Ranges,
        anew: bool,
    ) -> Result<BitmapEntry> {
        let core = std::sync::Arc::clone(&self.core);
        let geometry = core.geometry;
        let cluster = geometry.cluster_size();
        let old = BitmapTable::load(&core, entry)?;
        let g = entry.granularity_bits;
        let (bits, per_part) = (bit_count(size, g), cluster * 8);
        let count = entry_count(&core, size, g);
        let mut table = vec![0u64; count as usize];
        // Which parts get bits, by index.
        let mut sets: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (first, end) in dirty.iter() {
            let (mut at, end) = (first >> g, end.min(size).div_ceil(1 << g));
            while at < end {
                let index = at / per_part;
                let stop = end.min((index + 1) * per_part);
                sets.entry(index)
                    .or_default()
                    .push((at - index * per_part, stop - index * per_part));
                at = stop;
            }
        }
        for index in 0..old.entries.len().max(table.len()) {
            let value = old.entries.get(index).copied().unwrap_or(0);
            let set = sets.get(&(index as u64));
            let cut = ((index as u64) + 1) * per_part > bits;
            let offset = value & TABLE_OFFSET_MASK;
            if let Some(new) = table.get_mut(index) {
                if !anew && set.is_none() && !cut {
                    *new = value;
                    continue;
                }
                let before = if anew {
                    Part::Zeroes
                } else {
                    old.part(&core, index)?
                };
                let mut after = before.clone();
                if let Some(set) = set {
                    let mut bytes = after.into_bytes(cluster);
                    for (first, end) in set {
                        set_bits(&mut bytes, *first, *end);
                    }
                    after = Part::Bits(bytes);
                }
                let after = after.reduced(
                    cluster,
                    bits.saturating_sub(index as u64 * per_part).min(per_part),
                );
                if !anew && after == before {
                    *new = value;
                    continue;
                }
                *new = match after {
                    Part::Zeroes => 0,
                    Part::Ones => TABLE_ALL_ONES,
                    Part::Bits(bytes) => self.write_beside(&bytes)?,
                };
            }
            if offset != 0 {
                self.release(offset >> geometry.cluster_bits, 1);
            }
        }
        if !old.entries.is_empty() {
            self.release(
                entry.table_offset >> geometry.cluster_bits,
                geometry.clusters(old.entries.len() as u64 * 8),
            );
        }
        Ok(BitmapEntry {
            table_offset: self.write_beside(&table_bytes(&table))?,
            table_entries: table.len() as u32,
            ..entry.clone()
        })
    }

    /// Releases the clusters of a bitmap.
    pub(crate) fn release_bitmap(&mut self, entry: &BitmapEntry) -> Result<()> {
        let geometry = self.core.geometry;
        let table = BitmapTable::load(&self.core, entry)?;
        for value in &table.entries {
            if value & TABLE_OFFSET_MASK != 0 {
                self.release((value & TABLE_OFFSET_MASK) >> geometry.cluster_bits, 1);
            }
        }
        if !table.entries.is_empty() {
            self.release(
                entry.table_offset >> geometry.cluster_bits,
                geometry.clusters(table.entries.len() as u64 * 8),
            );
        }
        Ok(())
    }
}
