//! The file allocation table, FAT specification 1.03, "FAT Data Structure".

use crate::boot_sector::{BootSector, FIRST_CLUSTER, FatKind, corrupt};
use crate::links::Links;
use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::StorageRef;
use disksmith_vfs::Result;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Bytes read at a time.
const PAGE: u64 = 4096;
/// Pages that are kept: 2 MiB.
const MAX_PAGES: usize = 512;

/// What an entry of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FatEntry {
    /// The cluster is free.
    Free,
    /// The next cluster of the chain; the number exists.
    Next(u32),
    /// The last cluster of its chain.
    End,
    /// Not to be used.
    Bad,
    /// A number that no cluster has.
    Invalid(u32),
}

/// The table, through a cache of bounded size.
#[derive(Debug)]
pub(crate) struct FatTable {
    storage: StorageRef,
    boot: BootSector,
    offset: u64,
    pages: Mutex<HashMap<u64, Box<[u8]>>>,
    /// What leads where, once the table was gone through for a change.
    links: Mutex<Option<Links>>,
}

impl FatTable {
    pub(crate) fn new(storage: StorageRef, boot: &BootSector) -> Self {
        let offset = boot.fat_offset + u64::from(boot.active_fat) * boot.fat_len;
        Self {
            storage,
            boot: boot.clone(),
            offset,
            pages: Mutex::default(),
            links: Mutex::default(),
        }
    }

    /// What the table says of a cluster.
    pub(crate) fn get(&self, cluster: u32) -> Result<FatEntry> {
        let value = self.raw(cluster)?;
        let (bad, end) = match self.boot.kind {
            FatKind::Fat12 => (0xff7, 0xff8),
            FatKind::Fat16 => (0xfff7, 0xfff8),
            FatKind::Fat32 => (0x0fff_fff7, 0x0fff_fff8),
        };
        Ok(match value {
            0 => FatEntry::Free,
            _ if value >= end => FatEntry::End,
            _ if value == bad => FatEntry::Bad,
            _ if self.boot.has_cluster(value) => FatEntry::Next(value),
            _ => FatEntry::Invalid(value),
        })
    }

    /// Whether entry 1 says that the filesystem was not unmounted. A FAT12 has no such bit.
    pub(crate) fn is_dirty(&self) -> Result<bool> {
        Ok(match self.boot.kind {
            FatKind::Fat12 => false,
            FatKind::Fat16 => self.raw(1)? & 0x8000 == 0,
            FatKind::Fat32 => self.raw(1)? & 0x0800_0000 == 0,
        })
    }

    /// Sets what the table, and its copies, say of a cluster.
    pub(crate) fn set(&self, cluster: u32, entry: FatEntry) -> Result<()> {
        let end = match self.boot.kind {
            FatKind::Fat12 => 0xfff,
            FatKind::Fat16 => 0xffff,
            FatKind::Fat32 => 0x0fff_ffff,
        };
        let value = match entry {
            FatEntry::Free => 0,
            FatEntry::Next(next) | FatEntry::Invalid(next) => next & end,
            FatEntry::Bad => end - 8,
            FatEntry::End => end,
        };
        self.note_link(self.get(cluster)?, entry);
        let (offset, len) = self.place(cluster);
        let mut bytes = [0; 4];
        self.read(offset, bytes.get_mut(..len).unwrap_or_default())?;
        let old = LittleEndian::read_u32(&bytes);
        let new = match self.boot.kind {
            FatKind::Fat12 if cluster % 2 == 1 => old & 0x000f | value << 4,
            FatKind::Fat12 => old & 0xf000 | value,
            FatKind::Fat16 => value,
            // The upper four bits belong to nobody and stay.
            FatKind::Fat32 => old & 0xf000_0000 | value,
        };
        LittleEndian::write_u32(&mut bytes, new);
        let bytes = bytes.get(..len).unwrap_or_default();
        for copy in 0..self.boot.fat_count {
            if self.boot.mirrored || copy == self.boot.active_fat {
                let start = self.boot.fat_offset + u64::from(copy) * self.boot.fat_len;
                self.storage.write_at(start + offset, bytes)?;
            }
        }
        self.patch(offset, bytes);
        Ok(())
    }

    /// Before a change: goes through the whole table, unless that was done: which clusters are free, and which lead where.
    pub(crate) fn survey(&self) -> Result<Option<u32>> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = &mut *links {
            links.keep();
            return Ok(None);
        }
        let mut found = Links::new(self.boot.clusters);
        let mut free = 0;
        for cluster in FIRST_CLUSTER..FIRST_CLUSTER + self.boot.clusters {
            match self.get(cluster)? {
                FatEntry::Free => free += 1,
                FatEntry::Next(next) => found.add(next),
                _ => {}
            }
        }
        *links = Some(found);
        Ok(Some(free))
    }

    /// Whether a cluster leads to this one, as far as the table was gone through.
    pub(crate) fn is_led_to(&self, cluster: u32) -> bool {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.as_ref().is_some_and(|links| links.is_led_to(cluster))
    }

    /// Refuses a chain of which a part belongs to another one too.
    pub(crate) fn check_alone(&self, first: u32, clusters: impl Iterator<Item = u32>) -> Result<()> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links
            .as_ref()
            .map_or(Ok(()), |links| links.check_alone(first, clusters))
    }

    /// Keeps up what leads where.
    fn note_link(&self, old: FatEntry, new: FatEntry) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(links) = links.as_mut().filter(|_| old != new) else {
            return;
        };
        let target = |entry| match entry {
            FatEntry::Next(to) => Some(to),
            _ => None,
        };
        links.change(target(old), target(new));
    }

    /// Forgets what was read, and takes back what was noted since [`survey`](Self::survey).
    pub(crate) fn forget(&self) {
        if let Some(links) = &mut *self.links.lock().unwrap_or_else(PoisonError::into_inner) {
            links.take_back();
        }
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Changes bytes of the pages that are kept.
    fn patch(&self, offset: u64, bytes: &[u8]) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, byte) in (offset..).zip(bytes) {
            if let Some(place) = pages
                .get_mut(&(at / PAGE))
                .and_then(|page| page.get_mut((at % PAGE) as usize))
            {
                *place = *byte;
            }
        }
    }

    /// Where the bytes of an entry lie in the table, and how many there are.
    fn place(&self, cluster: u32) -> (u64, usize) {
        let at = u64::from(cluster);
        match self.boot.kind {
            FatKind::Fat12 => (at + at / 2, 2),
            FatKind::Fat16 => (at * 2, 2),
            FatKind::Fat32 => (at * 4, 4),
        }
    }

    /// An entry as it is, the unused bits taken off.
    fn raw(&self, cluster: u32) -> Result<u32> {
        let (offset, len) = self.place(cluster);
        let mut bytes = [0; 4];
        self.read(offset, bytes.get_mut(..len).unwrap_or_default())?;
        let value = LittleEndian::read_u32(&bytes);
        Ok(match self.boot.kind {
            FatKind::Fat12 if cluster % 2 == 1 => value >> 4 & 0xfff,
            FatKind::Fat12 => value & 0xfff,
            FatKind::Fat16 => value,
            FatKind::Fat32 => value & 0x0fff_ffff,
        })
    }

    /// Reads bytes of the table through the cache.
    fn read(&self, mut at: u64, mut buf: &mut [u8]) -> Result<()> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        while !buf.is_empty() {
            let (number, within) = (at / PAGE, (at % PAGE) as usize);
            if !pages.contains_key(&number) {
                let start = number * PAGE;
                let mut page = vec![0; self.boot.fat_len.saturating_sub(start).min(PAGE) as usize];
                self.storage.read_at(self.offset + start, &mut page)?;
                if pages.len() >= MAX_PAGES {
                    pages.clear();
                }
                pages.insert(number, page.into_boxed_slice());
            }
            let held = pages
                .get(&number)
                .and_then(|page| page.get(within..))
                .unwrap_or_default();
            if held.is_empty() {
                return Err(corrupt(format!("the FAT ends before byte {at}")));
            }
            let n = held.len().min(buf.len());
            let (part, rest) = buf.split_at_mut(n);
            part.copy_from_slice(held.get(..n).unwrap_or_default());
            buf = rest;
            at += n as u64;
        }
        Ok(())
    }
}
