//! Contents and metadata of files.

use crate::boot_sector::corrupt;
use crate::directory_entry::{RawEntry, ShortEntry, Slot};
use crate::file_system::{Fat, Inode, ROOT};
use crate::fragments::Fragments;
use crate::operation::Operation;
use disksmith_storage::ZeroMode;
use disksmith_vfs::{Error, InodeNo, MetadataChange, Result, Timestamp};
use std::sync::Arc;

pub(crate) fn check_permissions(name: &[u8], permissions: Option<u16>) -> Result<()> {
    match permissions {
        Some(bits) if bits > 0o7777 => Err(Error::InvalidArgument {
            path: String::from_utf8_lossy(name).into_owned(),
            reason: "permission bits above 0o7777",
        }),
        _ => Ok(()),
    }
}

impl Fat {
    /// The entry of a regular file, and where it lies.
    fn regular(&self, inode: InodeNo) -> Result<(u64, ShortEntry)> {
        match self.inode(inode)? {
            Inode::Entry(entry, offset) if !entry.is_dir() => Ok((offset, entry)),
            _ => Err(Error::IsADirectory {
                path: format!("inode {inode}"),
            }),
        }
    }

    pub(crate) fn write_file(
        &self,
        operation: &mut Operation,
        inode: InodeNo,
        offset: u64,
        data: &[u8],
    ) -> Result<()> {
        let (at, entry) = self.regular(inode)?;
        if data.is_empty() {
            return Ok(());
        }
        let end = self.checked_end(inode, offset.checked_add(data.len() as u64))?;
        let size = entry.size.max(end);
        let fragments = self.resized(operation, inode, &entry, at, size)?;
        self.zero(&fragments, u64::from(entry.size), offset)?;
        let (mut place_at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (place, run) = fragments.locate(&self.boot, place_at)?;
            let n = rest.len().min(usize::try_from(run).unwrap_or(usize::MAX));
            let (part, tail) = rest.split_at(n);
            self.overlay.base().write_at(place, part)?;
            place_at += n as u64;
            rest = tail;
        }
        self.note_size(inode, at, size, fragments)
    }

    pub(crate) fn resize_file(&self, operation: &mut Operation, inode: InodeNo, size: u64) -> Result<()> {
        let (at, entry) = self.regular(inode)?;
        let size = self.checked_end(inode, Some(size))?;
        let fragments = self.resized(operation, inode, &entry, at, size)?;
        self.zero(&fragments, u64::from(entry.size), u64::from(size))?;
        self.note_size(inode, at, size, fragments)
    }

    fn checked_end(&self, inode: InodeNo, end: Option<u64>) -> Result<u32> {
        end.and_then(|end| u32::try_from(end).ok())
            .ok_or_else(|| Error::FileTooLarge {
                path: format!("inode {inode}"),
            })
    }

    /// Gives a file the clusters that it needs for a size, and no more where it shrinks.
    fn resized(
        &self,
        operation: &mut Operation,
        inode: InodeNo,
        entry: &ShortEntry,
        at: u64,
        size: u32,
    ) -> Result<Fragments> {
        let mut fragments = (*self.fragments(inode, entry.first_cluster)?).clone();
        if entry.first_cluster != 0 {
            self.table.check_alone(entry.first_cluster, fragments.from(0))?;
        }
        let needed = size.div_ceil(self.boot.cluster_len);
        let held = fragments.clusters();
        if needed > held {
            let taken = self.allocate(operation, needed - held, fragments.last())?;
            if let (0, Some(first)) = (held, taken.first()) {
                self.change_entry(at, |entry| entry.set_first_cluster(*first, self.boot.kind))?;
            }
            taken.into_iter().for_each(|cluster| fragments.push(cluster));
        } else if needed < held && size < entry.size {
            self.free(operation, fragments.from(needed))?;
            fragments.truncate(needed);
            match fragments.last() {
                Some(last) => self.table.set(last, crate::fat_table::FatEntry::End)?,
                None => self.change_entry(at, |entry| entry.set_first_cluster(0, self.boot.kind))?,
            }
        }
        Ok(fragments)
    }

    /// Makes a range of a file zeroes, which did not belong to it so far.
    fn zero(&self, fragments: &Fragments, from: u64, to: u64) -> Result<()> {
        let mut at = from;
        while at < to {
            let (place, run) = fragments.locate(&self.boot, at)?;
            let len = run.min(to - at);
            self.overlay.base().write_zeroes(place, len, ZeroMode::Unmap)?;
            at += len;
        }
        Ok(())
    }

    fn note_size(&self, inode: InodeNo, at: u64, size: u32, fragments: Fragments) -> Result<()> {
        let now = (self.clock)();
        self.change_entry(at, |entry| {
            entry.set_size(size);
            entry.set_modified(now);
            entry.set_archive();
        })?;
        self.remember(inode, Arc::new(fragments));
        Ok(())
    }

    pub(crate) fn change_metadata(&self, inode: InodeNo, change: &MetadataChange) -> Result<()> {
        check_permissions(format!("inode {inode}").as_bytes(), change.permissions)?;
        self.check_owner(change.uid, change.gid)?;
        match self.inode(inode)? {
            // The root directory has no entry that could keep anything; what it says already can be set.
            Inode::Root if change.permissions.is_some_and(|bits| bits & 0o222 == 0) => {
                Err(self.cannot("a root directory that can only be read"))
            }
            Inode::Root => Ok(()),
            Inode::Entry(_, offset) => self.change_entry(offset, |entry| {
                if let Some(bits) = change.permissions {
                    entry.set_read_only(bits & 0o222 == 0);
                }
                if let Some(time) = change.accessed {
                    entry.set_accessed(time);
                }
                if let Some(time) = change.modified {
                    entry.set_modified(time);
                }
            }),
        }
    }

    /// Notes that a directory was changed; the root directory cannot.
    pub(crate) fn touch(&self, dir: InodeNo, time: Timestamp) -> Result<()> {
        match self.inode(dir)? {
            Inode::Entry(_, offset) if dir != ROOT => {
                self.forget_fragments(dir);
                if !self.touch_directories {
                    return Ok(());
                }
                self.change_entry(offset, |entry| entry.set_modified(time))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn first_cluster(&self, offset: u64) -> Result<u32> {
        let mut bytes = [0; 32];
        self.storage.read_at(offset, &mut bytes)?;
        match Slot::parse(&bytes, self.boot.kind) {
            Slot::Entry(entry) => Ok(entry.first_cluster),
            other => Err(corrupt(format!("the directory entry at {offset} is {other:?}"))),
        }
    }

    pub(crate) fn change_entry(&self, offset: u64, change: impl FnOnce(&mut RawEntry)) -> Result<()> {
        let mut entry = RawEntry([0; 32]);
        self.storage.read_at(offset, &mut entry.0)?;
        change(&mut entry);
        Ok(self.storage.write_at(offset, &entry.0)?)
    }

    /// Everything belongs to root, and can belong to nobody else.
    pub(crate) fn check_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        match (uid.unwrap_or(0), gid.unwrap_or(0)) {
            (0, 0) => Ok(()),
            _ => Err(self.cannot("an owner other than root")),
        }
    }
}
