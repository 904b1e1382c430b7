//! An image at work: reading and writing guest bytes, for direct writing and for change sets alike.

use crate::compression::decompress_cluster;
use crate::core::Core;
use crate::entry::{CompressedAt, Held, L2Entry};
use crate::error::{Error, Result};
use crate::feature::Autoclear;
use crate::io::read_padded;
use crate::state::{Mode, Run, State};
use disksmith_storage::ZeroMode;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Memory for decompressed clusters, in bytes (but at least one cluster).
const INFLATED_CACHE: u64 = 2 << 20;
/// So many waiting releases make a write end with a flush.
const MAX_RELEASES: usize = 1 << 16;

type Inflated = VecDeque<(CompressedAt, Arc<Vec<u8>>)>;

/// The engine. Locks are taken in the order `io`, `state`, `inflated`; `state` is never held while guest data is
/// read or written.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) core: Arc<Core>,
    state: Mutex<State>,
    /// Signalled when an entry of `State::in_flight` goes.
    landed: Condvar,
    /// How many threads wait for it; changed only with the state locked.
    waiting: AtomicUsize,
    /// Held shared by every read and write, and exclusively where clusters are given back.
    io: RwLock<()>,
    inflated: Mutex<Inflated>,
}

/// What to do with the next part of a write.
enum Step {
    /// Write into clusters that are there: host offset, length.
    InPlace(u64, u64),
    /// Fill clusters anew.
    Fill(Fill),
}

/// Clusters that are filled and then entered into their L2 table.
struct Fill {
    /// First guest cluster.
    cluster: u64,
    count: u64,
    /// Where they go.
    host: u64,
    /// Whether the target is known to read as zeroes.
    fresh: bool,
    /// Whether the target belonged to the entry before.
    kept: bool,
}

impl Engine {
    pub(crate) fn new(state: State) -> Self {
        Self {
            core: Arc::clone(&state.core),
            state: Mutex::new(state),
            landed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            io: RwLock::new(()),
            inflated: Mutex::new(VecDeque::new()),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.io.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn exclusive(&self) -> RwLockWriteGuard<'_, ()> {
        self.io.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads guest bytes; the range lies inside the disk.
    pub(crate) fn read(&self, pos: u64, buf: &mut [u8]) -> Result<()> {
        let _io = self.shared();
        self.read_inside(pos, buf)
    }

    fn read_inside(&self, mut pos: u64, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let run = self.lock().map(pos, buf.len() as u64)?;
            let (part, rest) = buf.split_at_mut((run.len as usize).min(buf.len()));
            match run.held {
                Held::Nowhere => self.read_backing(pos, part)?,
                Held::Zero | Held::ZeroAllocated(_) => part.fill(0),
                Held::Data(at) => self.core.read_data(at, pos, part)?,
                Held::Compressed(at) => self.read_compressed(at, pos, part)?,
            }
            pos += part.len() as u64;
            buf = rest;
        }
        Ok(())
    }

    fn read_backing(&self, pos: u64, buf: &mut [u8]) -> Result<()> {
        let there = self.core.backed(pos).min(buf.len() as u64) as usize;
        let (head, tail) = buf.split_at_mut(there);
        if let Some(backing) = self.core.backing.as_ref().filter(|_| !head.is_empty()) {
            backing.read_at(pos, head)?;
        }
        tail.fill(0);
        Ok(())
    }

    fn read_compressed(&self, at: CompressedAt, pos: u64, buf: &mut [u8]) -> Result<()> {
        let geometry = &self.core.geometry;
        let whole = buf.len() as u64 == geometry.cluster_size();
        let cluster = self.inflate(at, !whole)?;
        let within = geometry.within(pos) as usize;
        match cluster.get(within..within + buf.len()) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => {
                return Err(self
                    .core
                    .corrupt("compressed cluster", at.offset, at.len, "it is too short"));
            }
        }
        Ok(())
    }

    fn inflate(&self, at: CompressedAt, keep: bool) -> Result<Arc<Vec<u8>>> {
        let lock = || self.inflated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cluster)) = lock().iter().find(|(key, _)| *key == at) {
            return Ok(Arc::clone(cluster));
        }
        let mut packed = vec![0; at.len as usize];
        read_padded(&*self.core.file, at.offset, &mut packed)?;
        let size = self.core.geometry.cluster_size();
        let cluster = decompress_cluster(self.core.compression, &packed, size as usize)
            .map(Arc::new)
            .ok_or_else(|| {
                self.core
                    .corrupt("compressed cluster", at.offset, at.len, "it does not decompress")
            })?;
        if keep {
            let mut cache = lock();
            cache.push_front((at, Arc::clone(&cluster)));
            cache.truncate((INFLATED_CACHE / size).max(1) as usize);
        }
        Ok(cluster)
    }

    pub(crate) fn forget_inflated(&self) {
        self.inflated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Writes guest bytes; the range lies inside the disk.
    pub(crate) fn write(&self, pos: u64, buf: &[u8]) -> Result<()> {
        {
            let _io = self.shared();
            self.write_inside(pos, buf)?;
        }
        self.relieve()
    }

    /// Flushes when too many releases wait.
    fn relieve(&self) -> Result<()> {
        if self.lock().releases.len() > MAX_RELEASES {
            self.flush()?;
        }
        Ok(())
    }

    fn write_inside(&self, mut pos: u64, mut buf: &[u8]) -> Result<()> {
        while !buf.is_empty() {
            let step = self.plan(pos, buf.len() as u64)?;
            let done = match step {
                Step::InPlace(at, len) => {
                    let part = buf.get(..len as usize).unwrap_or(buf);
                    self.core.write_data(at, pos, part)?;
                    part.len()
                }
                Step::Fill(fill) => {
                    let result = self.fill(&fill, pos, buf);
                    let mut state = self.lock();
                    let result = match result {
                        Ok(done) => state.enter(&fill).map(|()| done),
                        Err(error) => {
                            if !fill.kept && !self.core.has_data_file() {
                                state.release(fill.host >> self.core.geometry.cluster_bits, fill.count);
                            }
                            Err(error)
                        }
                    };
                    self.land(&mut state, fill.cluster);
                    result?
                }
            };
            pos += done as u64;
            buf = buf.get(done..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Waits until nobody fills any of these guest clusters.
    fn lock_clusters(&self, first: u64, end: u64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while state.in_flight.iter().any(|f| f.0 < end && first < f.1) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        state
    }

    /// What was in flight from this guest cluster on has landed. Waking costs a system call, so only where somebody waits.
    fn land(&self, state: &mut State, cluster: u64) {
        state.in_flight.retain(|f| f.0 != cluster);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.landed.notify_all();
        }
    }

    fn plan(&self, pos: u64, len: u64) -> Result<Step> {
        let bits = self.core.geometry.cluster_bits;
        let mut state = self.lock_clusters(pos >> bits, ((pos + len - 1) >> bits) + 1);
        state.begin()?;
        state.note_dirty(pos, len)?;
        let step = state.plan(pos, len)?;
        if let Step::Fill(fill) = &step {
            state.in_flight.push((fill.cluster, fill.cluster + fill.count));
        }
        Ok(step)
    }

    /// Writes the clusters of `fill`, whose first guest byte that changes is at `pos`. Gives how much of `buf` went.
    fn fill(&self, fill: &Fill, pos: u64, buf: &[u8]) -> Result<usize> {
        let geometry = &self.core.geometry;
        let size = geometry.cluster_size();
        let within = geometry.within(pos);
        if within == 0 && buf.len() as u64 >= size {
            let len = (fill.count * size) as usize;
            self.core
                .write_data(fill.host, pos, buf.get(..len).unwrap_or(buf))?;
            return Ok(len);
        }
        let part = buf
            .get(..((size - within) as usize).min(buf.len()))
            .unwrap_or(buf);
        let start = pos - within;
        // With an external data file the last cluster may end with the file.
        let end = (start + size).min(data_limit(&self.core, start + size));
        let there = end.min(self.lock().size).saturating_sub(start) as usize;
        if fill.fresh && !self.core.encryption.is_on() && self.reads_as_zero(start, there as u64)? {
            self.core.write_data(fill.host + within, pos, part)?;
            return Ok(part.len());
        }
        let mut cluster = vec![0; (end - start) as usize];
        if let Some(old) = cluster.get_mut(..there) {
            self.read_inside(start, old)?;
        }
        if let Some(new) = cluster.get_mut(within as usize..within as usize + part.len()) {
            new.copy_from_slice(part);
        }
        self.core.write_data(fill.host, start, &cluster)?;
        Ok(part.len())
    }

    /// Whether a range is known to read as zeroes without reading it.
    fn reads_as_zero(&self, pos: u64, len: u64) -> Result<bool> {
        let mut done = 0;
        while done < len {
            let run = self.lock().map(pos + done, len - done)?;
            match run.held {
                Held::Zero | Held::ZeroAllocated(_) => {}
                Held::Nowhere if self.core.backed(pos + done) == 0 => {}
                _ => return Ok(false),
            }
            done += run.len;
        }
        Ok(true)
    }

    /// Makes a range read as zeroes.
    pub(crate) fn write_zeroes(&self, pos: u64, len: u64, keep: bool) -> Result<()> {
        let raw = self.lock().header.autoclear.contains(Autoclear::DATA_FILE_RAW);
        if let Some(data) = self.core.data_file.as_ref().filter(|_| raw) {
            // Who reads that file by itself must see the zeroes too.
            self.lock().begin()?;
            let there = len.min(data.size().saturating_sub(pos));
            let mode = if keep { ZeroMode::Keep } else { ZeroMode::Unmap };
            data.write_zeroes(pos, there, mode)?;
        }
        self.per_cluster(pos, len, true, |state, cluster, count| {
            state.zero_clusters(cluster, count, keep)
        })?;
        self.relieve()
    }

    /// Gives clusters back that lie wholly in a range.
    pub(crate) fn discard(&self, pos: u64, len: u64) -> Result<()> {
        self.per_cluster(pos, len, false, |state, cluster, count| {
            state.discard_clusters(cluster, count)?;
            Ok(count)
        })?;
        self.relieve()
    }

    /// Runs `whole` over the whole clusters of a range; it says how many it did, and what it cannot do is written as
    /// zeroes, as are (with `edges`) the parts of clusters at both ends.
    fn per_cluster(
        &self,
        pos: u64,
        len: u64,
        edges: bool,
        whole: impl Fn(&mut State, u64, u64) -> Result<u64>,
    ) -> Result<()> {
        let geometry = &self.core.geometry;
        let size = geometry.cluster_size();
        let end = pos + len;
        self.lock().note_dirty(pos, len)?;
        let disk_end = self.lock().size;
        let first = pos.next_multiple_of(size);
        let last = if end == disk_end {
            end.next_multiple_of(size)
        } else {
            end & !(size - 1)
        };
        if first >= last {
            return if edges { self.zero_bytes(pos, len) } else { Ok(()) };
        }
        if edges {
            self.zero_bytes(pos, first - pos)?;
            self.zero_bytes(last, end.saturating_sub(last))?;
        }
        let (mut cluster, stop) = (first / size, last / size);
        while cluster < stop {
            let done = {
                let _io = self.exclusive();
                let mut state = self.lock();
                state.begin()?;
                whole(&mut state, cluster, stop - cluster)?
            };
            cluster += done;
            if done == 0 {
                let at = cluster * size;
                self.zero_bytes(at, size.min(disk_end - at))?;
                cluster += 1;
            }
        }
        Ok(())
    }

    /// Writes zero bytes where a range does not read as zeroes.
    fn zero_bytes(&self, pos: u64, len: u64) -> Result<()> {
        if len == 0 || self.reads_as_zero(pos, len)? {
            return Ok(());
        }
        let zeroes = vec![0; len.min(1 << 20) as usize];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(zeroes.len() as u64);
            let _io = self.shared();
            self.write_inside(pos + done, zeroes.get(..n as usize).unwrap_or(&[]))?;
            done += n;
        }
        Ok(())
    }

    /// Stores a compressed cluster.
    pub(crate) fn write_compressed(&self, cluster: u64, packed: &[u8]) -> Result<()> {
        {
            let _io = self.shared();
            let (offset, bits) = {
                let mut state = self.lock_clusters(cluster, cluster + 1);
                state.begin()?;
                let size = self.core.geometry.cluster_size();
                state.note_dirty(cluster * size, size)?;
                let (l1, _) = state.indices(cluster);
                state.own_l2(l1)?;
                let offset = state.allocate_bytes(packed.len() as u64)?;
                state.in_flight.push((cluster, cluster + 1));
                (offset, self.core.geometry.cluster_bits)
            };
            let written = self.core.file.write_at(offset, packed).map_err(Error::from);
            let mut state = self.lock();
            let result = written.and_then(|()| state.enter_compressed(cluster, offset, packed.len() as u64));
            if result.is_err() {
                let last = (offset + packed.len() as u64 - 1) >> bits;
                state.release(offset >> bits, last - (offset >> bits) + 1);
            }
            self.land(&mut state, cluster);
            result?;
        }
        self.relieve()
    }

    /// Makes everything written so far durable, and gives back what was released.
    pub(crate) fn flush(&self) -> Result<()> {
        let _io = self.exclusive();
        if let Some(data) = &self.core.data_file {
            data.flush()?;
        }
        let mut state = self.lock();
        let freed = state.flush()?;
        if !freed.is_empty() {
            self.forget_inflated();
            let bits = self.core.geometry.cluster_bits;
            for (first, count) in freed {
                // Best effort: the space is free for the image whether or not the host gets it back.
                let len = (count << bits).min(state.file_len.saturating_sub(first << bits));
                let _ = self.core.file.discard(first << bits, len);
            }
        }
        Ok(())
    }
}

/// Where the last byte that can be written lies, for a cluster that ends at `end`.
fn data_limit(core: &Core, end: u64) -> u64 {
    core.data_file.as_ref().map_or(end, |f| f.size())
}

impl State {
    /// Whether the host cluster of an entry can be overwritten without anybody seeing it who should not.
    fn is_ours(&mut self, entry: L2Entry) -> Result<bool> {
        if self.core.has_data_file() {
            return Ok(true);
        }
        let cluster = entry.offset() >> self.core.geometry.cluster_bits;
        if !entry.is_copied() || self.protected.contains(&cluster) {
            return Ok(false);
        }
        Ok(matches!(self.mode, Mode::Direct) || self.is_new(cluster)?)
    }

    /// Whether a cluster whose contents do not count now can be filled where it is.
    fn is_fillable(&mut self, entry: L2Entry) -> Result<bool> {
        let geometry = self.core.geometry;
        let cluster = entry.offset() >> geometry.cluster_bits;
        if !entry.has_cluster(self.core.has_data_file())
            || !entry.is_copied()
            || self.protected.contains(&cluster)
        {
            return Ok(false);
        }
        Ok(match self.mode {
            Mode::Direct => true,
            // What the image on disk reads as zeroes is invisible there.
            Mode::Shadow { .. } => {
                self.is_new(cluster)? || (entry.is_all_zero(&geometry) && self.old_refcount(cluster)? == 1)
            }
        })
    }

    fn plan(&mut self, pos: u64, len: u64) -> Result<Step> {
        let geometry = self.core.geometry;
        let size = geometry.cluster_size();
        let cluster = pos >> geometry.cluster_bits;
        let run = self.map(pos, len)?;
        if let Run {
            held: Held::Data(at),
            len,
        } = run
        {
            let entry = self.entry(cluster)?;
            if self.is_ours(entry)? {
                // As far as the following clusters are ours too.
                let mut end = (size - geometry.within(pos)).min(len);
                let mut next = cluster + 1;
                while end < len {
                    let entry = self.entry(next)?;
                    if !self.is_ours(entry)? {
                        break;
                    }
                    end = (end + size).min(len);
                    next += 1;
                }
                return Ok(Step::InPlace(at, end));
            }
        }
        let (l1, index) = self.indices(cluster);
        self.own_l2(l1)?;
        let entry = self.entry(cluster)?;
        if self.core.has_data_file() {
            let host = cluster << geometry.cluster_bits;
            return Ok(Step::Fill(Fill {
                cluster,
                count: 1,
                host,
                fresh: false,
                kept: true,
            }));
        }
        if self.is_fillable(entry)? {
            let host = entry.offset();
            return Ok(Step::Fill(Fill {
                cluster,
                count: 1,
                host,
                fresh: false,
                kept: true,
            }));
        }
        let mut wanted = 1;
        if geometry.within(pos) == 0 {
            let whole = (len / size).min(geometry.l2_entries() - index);
            while wanted < whole {
                let entry = self.entry(cluster + wanted)?;
                if self.is_fillable(entry)? {
                    break;
                }
                wanted += 1;
            }
        }
        let (first, count, fresh) = self.allocate_run(wanted)?;
        let host = first << geometry.cluster_bits;
        Ok(Step::Fill(Fill {
            cluster,
            count,
            host,
            fresh,
            kept: false,
        }))
    }

    /// Enters filled clusters into their L2 table, and releases what the entries held before.
    fn enter(&mut self, fill: &Fill) -> Result<()> {
        let geometry = self.core.geometry;
        for i in 0..fill.count {
            let old = self.entry(fill.cluster + i)?;
            let host = fill.host + (i << geometry.cluster_bits);
            self.set_entry(fill.cluster + i, L2Entry::data(host, &geometry))?;
            if !fill.kept || old.is_compressed() {
                self.release_entry(old);
            }
        }
        Ok(())
    }

    fn enter_compressed(&mut self, cluster: u64, offset: u64, len: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let Some(descriptor) = crate::entry::CompressedAt::encode(offset, len, &geometry) else {
            return Err(Error::TooLarge {
                image: self.core.name.clone(),
                what: "a compressed cluster lies beyond what its table entry can address",
            });
        };
        let old = self.entry(cluster)?;
        self.set_entry(
            cluster,
            L2Entry {
                descriptor,
                bitmap: 0,
            },
        )?;
        self.release_entry(old);
        Ok(())
    }

    /// Releases the clusters that an entry held.
    pub(crate) fn release_entry(&mut self, old: L2Entry) {
        let geometry = self.core.geometry;
        if old.is_compressed() {
            let (first, last) = CompressedAt::parse(old.descriptor, &geometry).clusters(&geometry);
            self.release(first, last - first + 1);
        } else if old.has_cluster(false) && !self.core.has_data_file() {
            self.release(old.offset() >> geometry.cluster_bits, 1);
        }
    }

    /// The run of clusters from `cluster` on, at most `count`, that are nowhere in this image.
    fn nowhere(&mut self, cluster: u64, count: u64) -> Result<u64> {
        let geometry = self.core.geometry;
        let run = self.map(cluster << geometry.cluster_bits, count << geometry.cluster_bits)?;
        if run.held != Held::Nowhere {
            return Ok(0);
        }
        // The last cluster of the disk may be cut off by its end.
        let to_end = (cluster << geometry.cluster_bits) + run.len >= self.size;
        Ok(if to_end {
            count
        } else {
            run.len >> geometry.cluster_bits
        })
    }

    /// Makes whole clusters read as zeroes: gives how many of them (at least 1), or 0 when the first one must be
    /// overwritten with zero bytes.
    fn zero_clusters(&mut self, cluster: u64, count: u64, keep: bool) -> Result<u64> {
        let geometry = self.core.geometry;
        let pos = cluster << geometry.cluster_bits;
        let backed = self.core.backed(pos) > 0;
        let absent = self.nowhere(cluster, count)?;
        if absent > 0 && !backed {
            return Ok(absent);
        }
        let old = self.entry(cluster)?;
        if old.is_all_zero(&geometry) && (keep || !old.has_cluster(self.core.has_data_file())) {
            return Ok(1);
        }
        if self.core.has_data_file() && old.has_cluster(true) {
            let (l1, _) = self.indices(cluster);
            self.own_l2(l1)?;
            let raw = self.header.autoclear.contains(Autoclear::DATA_FILE_RAW);
            let new = if keep || raw {
                old.zeroed_in_place(&geometry)
            } else {
                L2Entry::zero(&geometry)
            };
            self.set_entry(cluster, new)?;
            if !keep && !raw {
                self.discard_data(cluster, 1)?;
            }
            return Ok(1);
        }
        let empty = if self.core.version >= 3 {
            L2Entry::zero(&geometry)
        } else if !backed {
            L2Entry::default()
        } else {
            return Ok(0);
        };
        let (l1, _) = self.indices(cluster);
        self.own_l2(l1)?;
        if keep && self.core.version >= 3 && old.has_cluster(false) && self.is_ours(old)? {
            self.set_entry(cluster, old.zeroed_in_place(&geometry))?;
            return Ok(1);
        }
        self.set_entry(cluster, empty)?;
        self.release_entry(old);
        Ok(1)
    }

    fn discard_clusters(&mut self, cluster: u64, count: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let mut at = cluster;
        // Clusters of the data file that nothing leads to any more.
        let mut run = (cluster, 0);
        while at < cluster + count {
            let absent = self.nowhere(at, cluster + count - at)?;
            if absent > 0 {
                at += absent;
                continue;
            }
            let backed = self.core.backed(at << geometry.cluster_bits) > 0;
            let old = self.entry(at)?;
            let held = old.is_compressed() || old.has_cluster(self.core.has_data_file());
            let raw = self.header.autoclear.contains(Autoclear::DATA_FILE_RAW);
            if held && !raw && (!backed || self.core.version >= 3) {
                let (l1, _) = self.indices(at);
                self.own_l2(l1)?;
                self.set_entry(
                    at,
                    if backed {
                        L2Entry::zero(&geometry)
                    } else {
                        L2Entry::default()
                    },
                )?;
                self.release_entry(old);
                if run.0 + run.1 != at {
                    self.discard_data(run.0, run.1)?;
                    run = (at, 0);
                }
                run.1 += 1;
            }
            at += 1;
        }
        self.discard_data(run.0, run.1)
    }

    /// Gives the host back what the external data file, if there is one, holds of clusters that read as zeroes from now on: whether
    /// their entries say so already, or not before the next flush, makes no difference to what is read.
    fn discard_data(&self, cluster: u64, count: u64) -> Result<()> {
        let Some(data) = &self.core.data_file else {
            return Ok(());
        };
        let offset = cluster << self.core.geometry.cluster_bits;
        let len = (count << self.core.geometry.cluster_bits).min(data.size().saturating_sub(offset));
        if len > 0 {
            data.discard(offset, len)?;
        }
        Ok(())
    }
}
