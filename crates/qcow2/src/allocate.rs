//! Refcounts, and the search for free clusters (specification: "Host cluster management").
//!
//! While a change set is open there are two sets of refcounts: those on disk, which nobody changes, and the new
//! ones, whose blocks are copied when they are first touched. A cluster is free when both call it free, and it
//! belongs to the change set when only the old ones do.

use crate::error::{Error, Result};
use crate::refcount;
use crate::state::{Mode, State};
use crate::types::{MAX_HOST_OFFSET, MAX_REFCOUNT_TABLE_BYTES};
use std::sync::Arc;

/// The file grows in steps of this many bytes; what is too much is cut off again.
const GROWTH: u64 = 8 << 20;

impl State {
    /// Where the block of a refcount table entry lies; `None` where there is none.
    fn block_at(&self, entry: u64, index: u64) -> Result<Option<u64>> {
        if entry == 0 {
            return Ok(None);
        }
        if self.core.geometry.within(entry) != 0 || entry >= MAX_HOST_OFFSET {
            let at = self.header.refcount_table_offset + index * 8;
            return Err(self.core.corrupt(
                "refcount table entry",
                at,
                entry,
                "the block is not cluster aligned",
            ));
        }
        Ok(Some(entry))
    }

    fn block(&self, index: u64) -> Result<Option<u64>> {
        let entry = usize::try_from(index)
            .ok()
            .and_then(|i| self.refcount_table.get(i))
            .copied();
        self.block_at(entry.unwrap_or(0), index)
    }

    fn old_block(&self, index: u64) -> Result<Option<u64>> {
        match &self.mode {
            Mode::Direct => self.block(index),
            Mode::Shadow { old_table } => {
                let entry = usize::try_from(index)
                    .ok()
                    .and_then(|i| old_table.get(i))
                    .copied();
                self.block_at(entry.unwrap_or(0), index)
            }
        }
    }

    /// Slice offset of a refcount, and its index in that slice.
    fn position(&self, block: u64, cluster: u64) -> (u64, usize) {
        let geometry = &self.core.geometry;
        let index = cluster & (geometry.block_entries() - 1);
        let byte = refcount::byte_offset(geometry.refcount_order, index);
        let slice = byte & !(self.blocks.slice_size() - 1);
        let first = (slice << 3) >> geometry.refcount_order;
        (block + slice, (index - first) as usize)
    }

    fn count_in(&mut self, block: Option<u64>, cluster: u64) -> Result<u64> {
        let Some(block) = block else { return Ok(0) };
        let (slice, index) = self.position(block, cluster);
        let order = self.core.geometry.refcount_order;
        Ok(refcount::get(
            self.blocks.get(&*self.core.file, slice)?,
            order,
            index,
        ))
    }

    /// The refcount of a host cluster, with all changes made.
    pub(crate) fn refcount(&mut self, cluster: u64) -> Result<u64> {
        let block = self.block(cluster >> self.core.geometry.block_bits())?;
        self.count_in(block, cluster)
    }

    /// The refcount of a host cluster on disk while a change set is open (otherwise the current one).
    pub(crate) fn old_refcount(&mut self, cluster: u64) -> Result<u64> {
        let block = self.old_block(cluster >> self.core.geometry.block_bits())?;
        self.count_in(block, cluster)
    }

    /// Whether a cluster that is in use was allocated by the open change set.
    pub(crate) fn is_new(&mut self, cluster: u64) -> Result<bool> {
        Ok(self.old_refcount(cluster)? == 0)
    }

    /// Sets a refcount.
    pub(crate) fn set_refcount(&mut self, cluster: u64, value: u64) -> Result<()> {
        let geometry = self.core.geometry;
        if value > geometry.refcount_max() {
            return Err(Error::RefcountOverflow {
                image: self.core.name.clone(),
                offset: cluster << geometry.cluster_bits,
                max: geometry.refcount_max(),
            });
        }
        let index = cluster >> geometry.block_bits();
        self.own_block(index)?;
        let Some(block) = self.block(index)? else {
            return Ok(());
        };
        let (slice, at) = self.position(block, cluster);
        let bytes = self.blocks.get_mut(&*self.core.file, slice)?;
        refcount::set(bytes, geometry.refcount_order, at, value);
        Ok(())
    }

    /// Makes the refcount block `index` exist and be one that can be changed. Says whether clusters were allocated for that.
    fn own_block(&mut self, index: u64) -> Result<bool> {
        let geometry = self.core.geometry;
        let (new, old) = (self.block(index)?, self.old_block(index)?);
        match (new, old) {
            (None, _) => {
                self.create_block(index, index << geometry.block_bits(), true)?;
                Ok(true)
            }
            (Some(new), Some(old)) if new == old && !matches!(self.mode, Mode::Direct) => {
                let first = index << geometry.block_bits();
                let inside = self.find_free(first, first + geometry.block_entries())?;
                let target = match inside {
                    Some(cluster) => cluster,
                    None => self.allocate(1)?.0,
                };
                // Allocating may have copied this very block already? No: it holds no free cluster.
                self.take(target, 1)?;
                let at = target << geometry.cluster_bits;
                let mut done = 0;
                while done < geometry.cluster_size() {
                    let copy: Box<[u8]> = self.blocks.get(&*self.core.file, old + done)?.into();
                    self.blocks.put(at + done, copy);
                    done += self.blocks.slice_size();
                }
                self.set_block(index, at);
                if inside.is_some() {
                    let (slice, i) = self.position(at, target);
                    let bytes = self.blocks.get_mut(&*self.core.file, slice)?;
                    refcount::set(bytes, geometry.refcount_order, i, 1);
                }
                self.release(old >> geometry.cluster_bits, 1);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Makes a new refcount block at `cluster`, by default the first of those it counts, and then counts it.
    fn create_block(&mut self, index: u64, cluster: u64, is_first: bool) -> Result<()> {
        let geometry = self.core.geometry;
        if index >= MAX_REFCOUNT_TABLE_BYTES / 8 {
            return Err(Error::TooLarge {
                image: self.core.name.clone(),
                what: "the refcount table would exceed 8 MiB",
            });
        }
        if index as usize >= self.refcount_table.len() {
            let per_cluster = geometry.cluster_size() / 8;
            self.refcount_table
                .resize((index + 1).next_multiple_of(per_cluster) as usize, 0);
        }
        self.take(cluster, 1)?;
        let at = cluster << geometry.cluster_bits;
        let mut done = 0;
        while done < geometry.cluster_size() {
            let mut slice = vec![0; self.blocks.slice_size() as usize].into_boxed_slice();
            if is_first && done == 0 {
                refcount::set(&mut slice, geometry.refcount_order, 0, 1);
            }
            self.blocks.put(at + done, slice);
            done += self.blocks.slice_size();
        }
        self.set_block(index, at);
        Ok(())
    }

    fn set_block(&mut self, index: u64, offset: u64) {
        if let Some(entry) = self.refcount_table.get_mut(index as usize) {
            *entry = offset;
            self.refcount_table_dirty.insert(index / 64);
        }
    }

    /// The first free cluster at or behind `from` and before `end`.
    pub(crate) fn find_free(&mut self, from: u64, end: u64) -> Result<Option<u64>> {
        let geometry = self.core.geometry;
        let order = geometry.refcount_order;
        let mut cluster = from;
        while cluster < end {
            if cluster >= MAX_HOST_OFFSET >> geometry.cluster_bits {
                return Err(Error::TooLarge {
                    image: self.core.name.clone(),
                    what: "the file would exceed the 2^56 bytes that tables can address",
                });
            }
            let index = cluster >> geometry.block_bits();
            let (new, old) = (self.block(index)?, self.old_block(index)?);
            let Some(new) = new else { return Ok(Some(cluster)) };
            let (slice, at) = self.position(new, cluster);
            self.blocks.get(&*self.core.file, slice)?;
            let mut old_slice = None;
            if let Some(old) = old.filter(|old| *old != new) {
                let (slice, _) = self.position(old, cluster);
                self.blocks.get(&*self.core.file, slice)?;
                old_slice = Some(slice);
            }
            let count = (self.blocks.slice_size() << 3 >> order) as usize;
            let bytes = self.blocks.peek(slice).unwrap_or(&[]);
            let old_bytes = old_slice.and_then(|o| self.blocks.peek(o));
            let free = (at..count).find(|i| {
                refcount::get(bytes, order, *i) == 0
                    && old_bytes.is_none_or(|old| refcount::get(old, order, *i) == 0)
            });
            match free {
                Some(i) => {
                    let found = cluster + (i - at) as u64;
                    return Ok((found < end).then_some(found));
                }
                None => cluster += (count - at) as u64,
            }
        }
        Ok(None)
    }

    fn is_free(&mut self, cluster: u64) -> Result<bool> {
        Ok(self.find_free(cluster, cluster + 1)?.is_some())
    }

    /// Notes that clusters are taken: the file reaches to their end.
    fn take(&mut self, first: u64, count: u64) -> Result<()> {
        let end = (first + count) << self.core.geometry.cluster_bits;
        if end > self.file_len {
            let len = end.saturating_add(if self.core.ordered { GROWTH } else { 4 * GROWTH });
            self.core.file.set_size(len)?;
            self.file_len = len;
        }
        self.virgin = self.virgin.max(end);
        Ok(())
    }

    /// Cuts the file to what is in use, where it was grown in advance.
    pub(crate) fn trim(&mut self) -> Result<()> {
        if self.file_len > self.virgin {
            self.core.file.set_size(self.virgin)?;
            self.file_len = self.virgin;
        }
        Ok(())
    }

    /// Allocates one to `wanted` clusters that follow each other: the first, and how many.
    pub(crate) fn allocate_run(&mut self, wanted: u64) -> Result<(u64, u64, bool)> {
        self.search(wanted, false)
    }

    /// Allocates exactly `count` clusters that follow each other. Says whether they are known to read as zeroes.
    pub(crate) fn allocate(&mut self, count: u64) -> Result<(u64, bool)> {
        let (first, _, fresh) = self.search(count, true)?;
        Ok((first, fresh))
    }

    fn search(&mut self, wanted: u64, exactly: bool) -> Result<(u64, u64, bool)> {
        let geometry = self.core.geometry;
        let wanted = wanted.max(1);
        if exactly && wanted > geometry.block_entries() / 2 {
            let (first, fresh) = self.allocate_table(wanted)?;
            return Ok((first, wanted, fresh));
        }
        let mut from = self.hint;
        loop {
            let Some(first) = self.find_free(from, u64::MAX)? else {
                return Err(Error::TooLarge {
                    image: self.core.name.clone(),
                    what: "no cluster is free",
                });
            };
            if from == self.hint {
                self.hint = first;
                from = first;
            }
            let mut count = 1;
            while count < wanted && self.is_free(first + count)? {
                count += 1;
            }
            if exactly && count < wanted {
                from = first + count;
                continue;
            }
            // Blocks that must be made first may take clusters of this very run: then look again.
            let blocks = (first >> geometry.block_bits())..=((first + count - 1) >> geometry.block_bits());
            let mut again = false;
            for index in blocks {
                again |= self.own_block(index)?;
            }
            if again {
                continue;
            }
            let fresh = first << geometry.cluster_bits >= self.virgin;
            self.take(first, count)?;
            for cluster in first..first + count {
                self.set_refcount(cluster, 1)?;
            }
            if self.hint == first {
                self.hint = first + count;
            }
            return Ok((first, count, fresh));
        }
    }

    /// Allocates a table so long that refcount blocks, each at the start of what it counts, would lie in its way:
    /// behind all blocks there are, with its own blocks behind it.
    fn allocate_table(&mut self, count: u64) -> Result<(u64, bool)> {
        let geometry = self.core.geometry;
        let index = self
            .refcount_table
            .iter()
            .rposition(|e| *e != 0)
            .map_or(0, |i| i as u64 + 1);
        let first = index << geometry.block_bits();
        let mut blocks = 0;
        loop {
            let needed = (count + blocks).div_ceil(geometry.block_entries());
            if needed <= blocks {
                break;
            }
            blocks = needed;
        }
        let fresh = first << geometry.cluster_bits >= self.virgin;
        for i in 0..blocks {
            self.create_block(index + i, first + count + i, false)?;
        }
        self.take(first, count)?;
        for cluster in first..first + count + blocks {
            self.set_refcount(cluster, 1)?;
        }
        Ok((first, fresh))
    }

    /// Finds room for `len` bytes of compressed data; the clusters it touches are counted once more.
    pub(crate) fn allocate_bytes(&mut self, len: u64) -> Result<u64> {
        let geometry = self.core.geometry;
        let used = geometry.within(self.compressed_end);
        if used != 0 {
            let offset = self.compressed_end;
            let cluster = offset >> geometry.cluster_bits;
            let more = geometry.clusters(len.saturating_sub(geometry.cluster_size() - used));
            let count = self.refcount(cluster)?;
            if count > 0 && count < geometry.refcount_max() && self.take_exactly(cluster + 1, more)? {
                self.set_refcount(cluster, count + 1)?;
                self.compressed_end = offset + len;
                return Ok(offset);
            }
        }
        let (first, _) = self.allocate(geometry.clusters(len))?;
        let offset = first << geometry.cluster_bits;
        self.compressed_end = offset + len;
        Ok(offset)
    }

    /// Takes these very clusters, if they are free.
    fn take_exactly(&mut self, first: u64, count: u64) -> Result<bool> {
        for cluster in first..first + count {
            self.own_block(cluster >> self.core.geometry.block_bits())?;
        }
        for cluster in first..first + count {
            if !self.is_free(cluster)? {
                return Ok(false);
            }
        }
        if count > 0 {
            self.take(first, count)?;
        }
        for cluster in first..first + count {
            self.set_refcount(cluster, 1)?;
        }
        Ok(true)
    }

    /// Drops one reference of each of these clusters, once the tables that held it are safe.
    pub(crate) fn release(&mut self, first: u64, count: u64) {
        if let Some(last) = self.releases.last_mut()
            && last.0 + last.1 == first
        {
            last.1 += count;
        } else {
            self.releases.push((first, count));
        }
    }

    /// Drops the references that wait for it. Gives the clusters that became free.
    pub(crate) fn settle(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut freed: Vec<(u64, u64)> = Vec::new();
        while let Some((first, count)) = self.releases.pop() {
            for cluster in first..first.saturating_add(count) {
                let bits = self.core.geometry.cluster_bits;
                let count = self.refcount(cluster)?;
                if count == 0 {
                    let at = cluster << bits;
                    return Err(self
                        .core
                        .corrupt("refcount of the cluster", at, 0, "it is in use"));
                }
                self.set_refcount(cluster, count - 1)?;
                if count > 1 {
                    continue;
                }
                self.hint = self.hint.min(cluster);
                if matches!(self.mode, Mode::Direct) && self.protected.contains(&cluster) {
                    Arc::make_mut(&mut self.protected).remove(&cluster);
                }
                let at = cluster << bits;
                self.l2.forget(at, 1 << bits);
                if self.is_new(cluster)? {
                    self.blocks.forget(at, 1 << bits);
                }
                if self.compressed_end >> bits == cluster {
                    self.compressed_end = 0;
                }
                match freed.last_mut() {
                    Some(last) if last.0 + last.1 == cluster => last.1 += 1,
                    _ => freed.push((cluster, 1)),
                }
            }
        }
        Ok(freed)
    }
}
