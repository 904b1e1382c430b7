//! What every change of the filesystem is wrapped in.

use crate::boot_sector::FIRST_CLUSTER;
use crate::fat_table::FatEntry;
use crate::file_system::{Fat, KIND};
use crate::fs_info::FsInfo;
use disksmith_vfs::{Error, InodeNo, Result};
use std::sync::PoisonError;

/// What is known of free clusters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Space {
    /// How many there are, once they were counted.
    pub(crate) free: Option<u32>,
    /// The cluster that was allocated last; the search goes on behind it.
    pub(crate) last: u32,
}

/// A change in the making.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) space: Space,
    freed: Vec<u32>,
    /// Entries that moved, from where to where.
    pub(crate) moved: Vec<(u64, u64)>,
    /// Entries that changed places.
    pub(crate) swapped: Vec<(u64, u64)>,
    /// Entries that are gone.
    pub(crate) removed: Vec<u64>,
    /// Directories whose parent changed.
    pub(crate) reparented: Vec<(InodeNo, InodeNo)>,
}

impl Fat {
    /// Does a change, wholly or not at all.
    pub(crate) fn operate<T>(&self, change: impl FnOnce(&mut Operation) -> Result<T>) -> Result<T> {
        self.check_writable()?;
        let _operation = self.gate.enter();
        let _alone = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        let space = self.counted_space()?;
        let mut operation = Operation {
            space,
            freed: Vec::new(),
            moved: Vec::new(),
            swapped: Vec::new(),
            removed: Vec::new(),
            reparented: Vec::new(),
        };
        let done = change(&mut operation).and_then(|value| {
            self.store_space(&operation.space)?;
            self.overlay.commit()?;
            Ok(value)
        });
        match &done {
            Ok(_) => self.finish(operation),
            Err(_) => {
                self.overlay.abandon();
                self.table.forget();
                self.forget_all();
            }
        }
        done
    }

    fn finish(&self, operation: Operation) {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = operation.space;
        let mut inodes = self.inodes.lock().unwrap_or_else(PoisonError::into_inner);
        for offset in operation.removed {
            inodes.removed(offset);
        }
        for (from, to) in operation.moved {
            inodes.moved(from, to);
        }
        for (first, second) in operation.swapped {
            inodes.swapped(first, second);
        }
        drop(inodes);
        let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
        for (dir, parent) in operation.reparented {
            parents.insert(dir, parent);
        }
        drop(parents);
        let mut freed = operation.freed.into_iter().peekable();
        while let Some(first) = freed.next() {
            let mut count = 1;
            while freed.peek().copied() == first.checked_add(count) {
                freed.next();
                count += 1;
            }
            let len = u64::from(count) * u64::from(self.boot.cluster_len);
            // A hint that could not be taken changes nothing.
            if let Err(error) = self.overlay.base().discard(self.boot.cluster_offset(first), len) {
                log::debug!("{}: discarding: {error}", self.overlay.base().name());
            }
        }
    }

    /// Free space, counted where that was not done yet.
    pub(crate) fn counted_space(&self) -> Result<Space> {
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let surveyed = self.table.survey()?;
        if space.free.is_none() {
            space.free = match surveyed {
                Some(free) => Some(free),
                None => Some(u32::try_from(self.count_free()?).unwrap_or(u32::MAX)),
            };
            if let Some(offset) = self.boot.fs_info_offset {
                let info = FsInfo::load(&*self.storage, offset)?;
                space.last = info.map_or(0, |info| info.last);
            }
        }
        Ok(*space)
    }

    fn store_space(&self, space: &Space) -> Result<()> {
        let (Some(offset), Some(free)) = (self.boot.fs_info_offset, space.free) else {
            return Ok(());
        };
        let new = FsInfo {
            free,
            last: space.last,
        };
        match FsInfo::load(&*self.storage, offset)? {
            Some(old) if old != new => new.store(&*self.storage, offset),
            _ => Ok(()),
        }
    }

    /// Takes clusters and makes a chain of them, which goes on from `after`.
    pub(crate) fn allocate(
        &self,
        operation: &mut Operation,
        count: u32,
        after: Option<u32>,
    ) -> Result<Vec<u32>> {
        let no_space = || Error::NoSpace {
            filesystem: KIND.into(),
            what: "blocks",
        };
        let free = operation.space.free.unwrap_or(0);
        if count > free {
            return Err(no_space());
        }
        let mut taken = Vec::with_capacity(count as usize);
        let clusters = self.boot.clusters;
        let start = match operation.space.last {
            last if self.boot.has_cluster(last) => last - FIRST_CLUSTER + 1,
            _ => 0,
        };
        let all = (start..clusters).chain(0..start.min(clusters));
        for cluster in all.map(|index| index + FIRST_CLUSTER) {
            if taken.len() == count as usize {
                break;
            }
            // a free one to which a damaged chain leads would belong to two files
            if self.table.get(cluster)? == FatEntry::Free && !self.table.is_led_to(cluster) {
                taken.push(cluster);
            }
        }
        if taken.len() < count as usize {
            return Err(no_space());
        }
        let next = taken.iter().skip(1).map(|next| FatEntry::Next(*next));
        for (cluster, entry) in taken.iter().zip(next.chain([FatEntry::End])) {
            self.table.set(*cluster, entry)?;
        }
        if let (Some(after), Some(first)) = (after, taken.first()) {
            self.table.set(after, FatEntry::Next(*first))?;
        }
        operation.space.free = Some(free - count);
        operation.space.last = taken.last().copied().unwrap_or(operation.space.last);
        Ok(taken)
    }

    /// Gives clusters back.
    pub(crate) fn free(&self, operation: &mut Operation, clusters: impl Iterator<Item = u32>) -> Result<()> {
        for cluster in clusters {
            if self.table.get(cluster)? != FatEntry::Free {
                self.table.set(cluster, FatEntry::Free)?;
                operation.space.free = operation.space.free.map(|free| free.saturating_add(1));
                operation.freed.push(cluster);
            }
        }
        Ok(())
    }
}
