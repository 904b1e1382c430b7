//! The tables of an open image, and how guest offsets are looked up in them.

use crate::bitmaps::Dirtied;
use crate::cache::SliceCache;
use crate::core::Core;
use crate::entry::{COPIED, Held, L2Entry, OFFSET_MASK};
use crate::error::Result;
use crate::header::Header;
use crate::header_area::HeaderChange;
use crate::io::read_padded;
use byteorder::{BigEndian, ByteOrder};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Memory for L2 slices, in bytes.
pub(crate) const L2_CACHE: u64 = 8 << 20;
/// Memory for slices of refcount blocks, in bytes.
pub(crate) const REFCOUNT_CACHE: u64 = 4 << 20;

/// How changes reach the file.
#[derive(Debug)]
pub(crate) enum Mode {
    /// In place, in an order that is safe at every instant.
    Direct,
    /// Into clusters that the refcounts on disk call free. Holds the refcount table on disk.
    Shadow {
        /// Its entries.
        old_table: Arc<Vec<u64>>,
    },
}

/// Everything that changes while an image is open; always behind a lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Arc<Core>,
    pub(crate) header: Header,
    /// The first 512 bytes of the file as they are on disk.
    pub(crate) sector: Box<[u8; 512]>,
    pub(crate) mode: Mode,
    /// Size of the guest's disk in bytes.
    pub(crate) size: u64,
    pub(crate) l1: Vec<u64>,
    /// 512-byte parts of the L1 table that differ from the disk.
    pub(crate) l1_dirty: BTreeSet<u64>,
    pub(crate) refcount_table: Vec<u64>,
    /// 512-byte parts of the refcount table that differ from the disk.
    pub(crate) refcount_table_dirty: BTreeSet<u64>,
    pub(crate) l2: SliceCache,
    pub(crate) blocks: SliceCache,
    /// No cluster below this one is free.
    pub(crate) hint: u64,
    /// Length of the file in bytes.
    pub(crate) file_len: u64,
    /// From here on the file holds nothing but zeroes, and nothing is allocated.
    pub(crate) virgin: u64,
    /// Where the next compressed cluster may go on; 0 is nowhere.
    pub(crate) compressed_end: u64,
    /// References to drop once the tables that held them are safe: first cluster, number of clusters.
    pub(crate) releases: Vec<(u64, u64)>,
    /// Clusters of metadata that no entry of the image may rightly point to.
    pub(crate) protected: Arc<HashSet<u64>>,
    /// Guest clusters that some thread is filling: first, one past the last.
    pub(crate) in_flight: Vec<(u64, u64)>,
    /// Whether anything was changed.
    pub(crate) modified: bool,
    /// Whether a change set is open over this image.
    pub(crate) shadowed: bool,
    /// What the bitmaps that follow the guest's writes do not know yet.
    pub(crate) dirtied: Dirtied,
    /// The new content of the header cluster, once a change set that needs one is prepared.
    pub(crate) area: Option<Box<HeaderChange>>,
}

/// A run of guest bytes that are held in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) held: Held,
    pub(crate) len: u64,
}

/// Reads a table of big-endian 64-bit numbers.
pub(crate) fn read_table(core: &Core, offset: u64, entries: u64) -> Result<Vec<u64>> {
    // What lies beyond the end of the file is zero: memory is taken for the entries, whose number is capped.
    let mut table = vec![0u64; entries as usize];
    let mut bytes = vec![0u8; 64 * 1024];
    let there = core.file.size().saturating_sub(offset).div_ceil(8).min(entries) as usize;
    let mut at = offset;
    for chunk in table.get_mut(..there).unwrap_or(&mut []).chunks_mut(8192) {
        let Some(bytes) = bytes.get_mut(..chunk.len() * 8) else {
            break;
        };
        read_padded(&*core.file, at, bytes)?;
        BigEndian::read_u64_into(bytes, chunk);
        at += bytes.len() as u64;
    }
    Ok(table)
}

/// Encodes a table of big-endian 64-bit numbers.
pub(crate) fn table_bytes(table: &[u64]) -> Vec<u8> {
    let mut bytes = vec![0u8; table.len() * 8];
    BigEndian::write_u64_into(table, &mut bytes);
    bytes
}

impl State {
    /// Reads the L1 table and the refcount table.
    pub(crate) fn load(core: Arc<Core>, header: Header) -> Result<Self> {
        let mut sector = Box::new([0u8; 512]);
        read_padded(&*core.file, 0, &mut sector[..])?;
        let l1 = read_table(&core, header.l1_offset, header.l1_entries.into())?;
        let entries = (u64::from(header.refcount_table_clusters) << core.geometry.cluster_bits) / 8;
        let refcount_table = read_table(&core, header.refcount_table_offset, entries)?;
        let cluster_size = core.geometry.cluster_size();
        let file_len = core.file.size();
        Ok(Self {
            size: header.size & !511,
            header,
            sector,
            mode: Mode::Direct,
            l1,
            l1_dirty: BTreeSet::new(),
            refcount_table,
            refcount_table_dirty: BTreeSet::new(),
            l2: SliceCache::new(cluster_size, L2_CACHE),
            blocks: SliceCache::new(cluster_size, REFCOUNT_CACHE),
            hint: 0,
            file_len,
            virgin: file_len.next_multiple_of(cluster_size),
            compressed_end: 0,
            releases: Vec::new(),
            protected: Arc::default(),
            in_flight: Vec::new(),
            modified: false,
            shadowed: false,
            dirtied: Dirtied::default(),
            area: None,
            core,
        })
    }

    /// The L2 table of an L1 entry: `None` where there is none.
    pub(crate) fn l2_table(&self, l1_index: u64) -> Result<Option<u64>> {
        let entry = usize::try_from(l1_index)
            .ok()
            .and_then(|i| self.l1.get(i))
            .copied()
            .unwrap_or(0);
        let offset = entry & OFFSET_MASK;
        if offset == 0 {
            return Ok(None);
        }
        if self.core.geometry.within(offset) != 0 {
            let at = self.header.l1_offset + l1_index * 8;
            return Err(self
                .core
                .corrupt("L1 entry", at, entry, "the L2 table is not cluster aligned"));
        }
        Ok(Some(offset))
    }

    /// Splits a guest cluster index into L1 and L2 index.
    pub(crate) fn indices(&self, cluster: u64) -> (u64, u64) {
        let bits = self.core.geometry.l2_bits();
        (cluster >> bits, cluster & ((1 << bits) - 1))
    }

    /// Where the slice with L2 entry `index` of the table at `table` starts, and the byte in it.
    fn l2_position(&self, table: u64, index: u64) -> (u64, usize) {
        let byte = index * self.core.geometry.l2_entry_size();
        let within = byte & (self.l2.slice_size() - 1);
        (table + byte - within, within as usize)
    }

    /// The L2 entry of the table at `table`.
    pub(crate) fn l2_entry(&mut self, table: u64, index: u64) -> Result<L2Entry> {
        let (slice, at) = self.l2_position(table, index);
        let extended = self.core.geometry.extended_l2;
        let bytes = self.l2.get(&*self.core.file, slice)?;
        let word = |at: usize| bytes.get(at..at + 8).map_or(0, BigEndian::read_u64);
        Ok(L2Entry {
            descriptor: word(at),
            bitmap: if extended { word(at + 8) } else { 0 },
        })
    }

    /// The L2 entry of a guest cluster; all zero where there is no table.
    pub(crate) fn entry(&mut self, cluster: u64) -> Result<L2Entry> {
        let (l1, index) = self.indices(cluster);
        match self.l2_table(l1)? {
            None => Ok(L2Entry::default()),
            Some(table) => {
                let entry = self.l2_entry(table, index)?;
                self.check_entry(entry, table, index)?;
                Ok(entry)
            }
        }
    }

    pub(crate) fn check_entry(&self, entry: L2Entry, table: u64, index: u64) -> Result<()> {
        let core = &self.core;
        let at = || table + index * core.geometry.l2_entry_size();
        let fail = |problem| Err(core.corrupt("L2 entry", at(), entry.descriptor, problem));
        if entry.is_compressed() {
            if core.has_data_file() {
                return fail("a compressed cluster in an image with an external data file");
            }
            return Ok(());
        }
        if core.geometry.within(entry.offset()) != 0 {
            return fail("the cluster is not aligned");
        }
        if core.version < 3 && entry.descriptor & crate::entry::ZERO != 0 {
            return fail("a zero cluster in an image of version 2");
        }
        if core.geometry.extended_l2 && entry.bitmap & (entry.bitmap >> 32) & 0xffff_ffff != 0 {
            return fail("a subcluster is both allocated and zero");
        }
        Ok(())
    }

    /// Sets the L2 entry of a guest cluster whose table is writable in place.
    pub(crate) fn set_entry(&mut self, cluster: u64, entry: L2Entry) -> Result<()> {
        let (l1, index) = self.indices(cluster);
        let Some(table) = self.l2_table(l1)? else {
            return Err(self
                .core
                .corrupt("L1 entry", self.header.l1_offset + l1 * 8, 0, "no L2 table"));
        };
        let (slice, at) = self.l2_position(table, index);
        let extended = self.core.geometry.extended_l2;
        let bytes = self.l2.get_mut(&*self.core.file, slice)?;
        if let Some(word) = bytes.get_mut(at..at + 8) {
            BigEndian::write_u64(word, entry.descriptor);
        }
        if extended && let Some(word) = bytes.get_mut(at + 8..at + 16) {
            BigEndian::write_u64(word, entry.bitmap);
        }
        Ok(())
    }

    /// How the bytes at `pos` are held, for the longest run up to `limit` bytes. `pos` lies inside the disk.
    pub(crate) fn map(&mut self, pos: u64, limit: u64) -> Result<Run> {
        let limit = limit.min(self.size.saturating_sub(pos)).max(1);
        let mut run = self.map_one(pos, limit)?;
        while run.len < limit {
            let next = self.map_one(pos + run.len, limit - run.len)?;
            let joined = match (run.held, next.held) {
                (Held::Nowhere, Held::Nowhere) | (Held::Zero, Held::Zero) => true,
                (Held::Data(a), Held::Data(b)) | (Held::ZeroAllocated(a), Held::ZeroAllocated(b)) => {
                    a.checked_add(run.len) == Some(b)
                }
                _ => false,
            };
            if !joined {
                break;
            }
            run.len += next.len;
        }
        run.len = run.len.min(limit);
        Ok(run)
    }

    fn map_one(&mut self, pos: u64, limit: u64) -> Result<Run> {
        let geometry = self.core.geometry;
        let cluster = pos >> geometry.cluster_bits;
        let (l1, index) = self.indices(cluster);
        let Some(table) = self.l2_table(l1)? else {
            let mut end = l1 + 1;
            let wanted = pos.saturating_add(limit) >> (geometry.l2_bits() + geometry.cluster_bits);
            while end <= wanted && self.l1.get(end as usize).is_none_or(|e| e & OFFSET_MASK == 0) {
                end += 1;
            }
            let len = end.saturating_mul(geometry.l1_entry_span()) - pos;
            return Ok(Run {
                held: Held::Nowhere,
                len,
            });
        };
        let entry = self.l2_entry(table, index)?;
        self.check_entry(entry, table, index)?;
        let within = geometry.within(pos);
        let unit = geometry.subcluster_size();
        let data_file = self.core.has_data_file();
        let left = |unit: u64| unit - (within & (unit - 1));
        Ok(match entry.held((within / unit) as u32, &geometry, data_file) {
            Held::Data(at) => Run {
                held: Held::Data(at + (within & (unit - 1))),
                len: left(unit),
            },
            Held::ZeroAllocated(at) => Run {
                held: Held::ZeroAllocated(at + (within & (unit - 1))),
                len: left(unit),
            },
            Held::Compressed(at) => Run {
                held: Held::Compressed(at),
                len: left(geometry.cluster_size()),
            },
            held => Run {
                held,
                len: left(unit),
            },
        })
    }

    /// Where bytes would lie that are nowhere yet, if their cluster has its place already, and for how many of the
    /// `len` bytes from `pos` on that is so.
    pub(crate) fn unused_place(&mut self, pos: u64, len: u64) -> Result<(Option<u64>, u64)> {
        let geometry = self.core.geometry;
        if !geometry.extended_l2 {
            return Ok((None, len));
        }
        let (mut place, mut done) = (None, 0);
        while done < len {
            let at = pos + done;
            let (l1, index) = self.indices(at >> geometry.cluster_bits);
            let (here, n) = match self.l2_table(l1)? {
                None => (None, geometry.l1_entry_span() - at % geometry.l1_entry_span()),
                Some(table) => {
                    let entry = self.l2_entry(table, index)?;
                    let within = geometry.within(at);
                    let here = entry
                        .has_cluster(self.core.has_data_file())
                        .then(|| entry.offset() + within);
                    (here, geometry.cluster_size() - within)
                }
            };
            if done == 0 {
                place = here;
            } else if here != place.map(|place| place + done) {
                break;
            }
            done += n;
        }
        Ok((place, done.min(len)))
    }

    /// Makes the L2 table of an L1 entry one that can be changed in place: allocates it, or copies it when it is shared.
    pub(crate) fn own_l2(&mut self, l1_index: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let old = self.l2_table(l1_index)?;
        if let Some(table) = old
            && self.owns_l2(l1_index, table)?
        {
            return Ok(());
        }
        let (first, fresh) = self.allocate(1)?;
        let table = first << geometry.cluster_bits;
        let step = self.l2.slice_size();
        let mut at = 0;
        while at < geometry.cluster_size() {
            match old {
                Some(old) => {
                    let copy: Box<[u8]> = self.l2.get(&*self.core.file, old + at)?.into();
                    self.l2.put(table + at, copy);
                }
                // What was never written reads as zeroes already.
                None if fresh => break,
                None => self.l2.put(table + at, vec![0; step as usize].into()),
            }
            at += step;
        }
        if let Some(old) = old {
            self.release(old >> geometry.cluster_bits, 1);
        }
        if let Some(entry) = self.l1.get_mut(l1_index as usize) {
            *entry = COPIED | table;
            self.l1_dirty.insert(l1_index / 64);
        }
        Ok(())
    }

    fn owns_l2(&mut self, l1_index: u64, table: u64) -> Result<bool> {
        let copied = self.l1.get(l1_index as usize).is_some_and(|e| e & COPIED != 0);
        Ok(copied
            && (matches!(self.mode, Mode::Direct)
                || self.is_new(table >> self.core.geometry.cluster_bits)?))
    }
}
