//! Internal snapshots: created, applied and deleted as change sets.

use crate::entry::OFFSET_MASK;
use crate::error::{Error, Result};
use crate::header::MAX_SNAPSHOTS;
use crate::image::Qcow2;
use crate::shadow::Qcow2Shadow;
use crate::snapshot_table::{MAX_TABLE, Snapshot};
use crate::state::{State, table_bytes};
use crate::types::MAX_L1_BYTES;
use disksmith_storage::{self as storage, Shadow, Storage};
use std::sync::Arc;

/// The longest name of a snapshot that QEMU keeps, in bytes.
pub const MAX_SNAPSHOT_NAME: usize = 255;

/// A snapshot that shall be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewSnapshot {
    /// Its name, at most [`MAX_SNAPSHOT_NAME`] bytes; several snapshots may have the same. Its id is the next number.
    pub name: Vec<u8>,
    /// When it is taken, seconds since 1970.
    pub date_seconds: u32,
    /// The rest of that time, in nanoseconds.
    pub date_nanoseconds: u32,
    /// How long the guest has been running, in nanoseconds; 0 where nobody knows.
    pub vm_clock: u64,
}

/// What a snapshot is looked up by; of several, the first one is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKey<'a> {
    /// The id.
    Id(&'a [u8]),
    /// The name: how `qemu-img snapshot -d` looks for it.
    Name(&'a [u8]),
    /// The id, and when no snapshot has it the name: how `qemu-img snapshot -a` looks for it.
    IdOrName(&'a [u8]),
    /// The name, and when no snapshot has it the id.
    NameOrId(&'a [u8]),
}

impl SnapshotKey<'_> {
    /// The index of the snapshot in the image's list.
    #[must_use]
    pub fn find(self, list: &[Snapshot]) -> Option<usize> {
        let id = |key: &[u8]| list.iter().position(|s| s.id == key);
        let name = |key: &[u8]| list.iter().position(|s| s.name == key);
        match self {
            Self::Id(key) => id(key),
            Self::Name(key) => name(key),
            Self::IdOrName(key) => id(key).or_else(|| name(key)),
            Self::NameOrId(key) => name(key).or_else(|| id(key)),
        }
    }

    pub(crate) fn text(self) -> String {
        let (Self::Id(key) | Self::Name(key) | Self::IdOrName(key) | Self::NameOrId(key)) = self;
        String::from_utf8_lossy(key).into_owned()
    }
}

impl Qcow2 {
    /// Makes a snapshot of the disk as it is now, in one step that happens wholly or not at all.
    ///
    /// # Errors
    /// Those of [`Qcow2::shadow`] and of [`Qcow2Shadow::create_snapshot`].
    pub fn create_snapshot(self: &Arc<Self>, new: &NewSnapshot) -> storage::Result<Snapshot> {
        self.in_one_step(|edit| edit.create_snapshot(new))
    }

    /// Gives the disk the contents and the size of a snapshot, wholly or not at all.
    ///
    /// # Errors
    /// Those of [`Qcow2::shadow`] and of [`Qcow2Shadow::apply_snapshot`].
    pub fn apply_snapshot(self: &Arc<Self>, key: SnapshotKey<'_>) -> storage::Result<Snapshot> {
        self.in_one_step(|edit| edit.apply_snapshot(key))
    }

    /// Deletes a snapshot, wholly or not at all.
    ///
    /// # Errors
    /// Those of [`Qcow2::shadow`] and of [`Qcow2Shadow::delete_snapshot`].
    pub fn delete_snapshot(self: &Arc<Self>, key: SnapshotKey<'_>) -> storage::Result<Snapshot> {
        self.in_one_step(|edit| edit.delete_snapshot(key))
    }

    fn in_one_step(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Qcow2Shadow) -> Result<Snapshot>,
    ) -> storage::Result<Snapshot> {
        let mut edit = Box::new(self.change_set()?);
        let snapshot = change(&mut edit)?;
        edit.prepare()?.switch()?;
        Ok(snapshot)
    }
}

impl Qcow2Shadow {
    /// The internal snapshots as they will be after the change set.
    ///
    /// # Errors
    /// When the snapshot table cannot be read or is damaged.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        Ok(self.engine.lock().load_snapshots()?.0)
    }

    /// Makes a snapshot of the disk as it is now, with all changes made here before. Later writes leave it alone.
    ///
    /// # Errors
    /// When the name is too long, the image has 65536 snapshots or its refcounts are too narrow to count one more
    /// reference, and when the image is damaged. The change set is at its end then, unless only the name was wrong.
    pub fn create_snapshot(&mut self, new: &NewSnapshot) -> Result<Snapshot> {
        if new.name.len() > MAX_SNAPSHOT_NAME {
            return Err(Error::request(format!(
                "the name of a snapshot must not be longer than {MAX_SNAPSHOT_NAME} bytes"
            )));
        }
        self.change(|state| state.add_snapshot(new))
    }

    /// Gives the disk the contents and the size of a snapshot. What was there before is lost.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`]; [`Error::HasBitmaps`], as QEMU refuses it; and when the image is damaged. The
    /// change set is at its end then, unless there is no such snapshot.
    pub fn apply_snapshot(&mut self, key: SnapshotKey<'_>) -> Result<Snapshot> {
        let index = self.find(key)?;
        self.change(|state| state.apply_snapshot(index))
    }

    /// Deletes a snapshot: clusters that nothing else uses are given back after the switch.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`], and when the image is damaged. The change set is at its end then, unless there is
    /// no such snapshot.
    pub fn delete_snapshot(&mut self, key: SnapshotKey<'_>) -> Result<Snapshot> {
        let index = self.find(key)?;
        self.change(|state| state.remove_snapshot(index))
    }

    fn find(&self, key: SnapshotKey<'_>) -> Result<usize> {
        key.find(&self.snapshots()?).ok_or_else(|| Error::NoSuchSnapshot {
            image: self.name(),
            name: key.text(),
        })
    }

    /// Changes the tables. A change that fails in the middle makes the change set useless: it ends.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        if self.claim.is_none() {
            return Err(storage::Error::ReadOnly { object: self.name() }.into());
        }
        let result = {
            let _io = self.engine.exclusive();
            self.engine.forget_inflated();
            let mut state = self.engine.lock();
            state
                .begin_metadata()
                .and_then(|()| change(&mut state))
                .and_then(|done| {
                    // Whatever a damaged snapshot made of the refcounts: no table of the image may be free now.
                    state.verify()?;
                    Ok(done)
                })
        };
        if result.is_err()
            && let Some(mut claim) = self.claim.take()
        {
            // The first error is the one that matters.
            let _ = claim.cut();
        }
        result
    }
}

impl State {
    /// The snapshots, and the length of their table in bytes.
    pub(crate) fn load_snapshots(&self) -> Result<(Vec<Snapshot>, u64)> {
        Snapshot::load_table(
            &*self.core.file,
            self.header.snapshots_offset,
            self.header.snapshots,
        )
    }

    fn snapshot_at(&self, index: usize) -> Result<Snapshot> {
        let (mut list, _) = self.load_snapshots()?;
        if index >= list.len() {
            return Err(Error::request("there is no such snapshot"));
        }
        Ok(list.swap_remove(index))
    }

    fn add_snapshot(&mut self, new: &NewSnapshot) -> Result<Snapshot> {
        let (mut list, _) = self.load_snapshots()?;
        if list.len() as u64 >= u64::from(MAX_SNAPSHOTS) {
            return Err(Error::TooLarge {
                image: self.core.name.clone(),
                what: "an image cannot have more than 65536 snapshots",
            });
        }
        self.share_active()?;
        let l1_offset = self.write_beside(&table_bytes(&self.l1))?;
        let snapshot = Snapshot {
            l1_offset,
            l1_entries: self.l1.len() as u32,
            id: next_id(&list).to_string().into_bytes(),
            name: new.name.clone(),
            date_seconds: new.date_seconds,
            date_nanoseconds: new.date_nanoseconds,
            vm_clock: new.vm_clock,
            vm_state_size: 0,
            disk_size: Some(self.header.size),
            instructions: Some(0),
            extra: Vec::new(),
        };
        list.push(snapshot.clone());
        self.replace_snapshots(list)?;
        self.settle()?;
        Ok(snapshot)
    }

    fn apply_snapshot(&mut self, index: usize) -> Result<Snapshot> {
        if self.header.bitmaps().is_some() {
            return Err(Error::HasBitmaps {
                image: self.core.name.clone(),
            });
        }
        let snapshot = self.snapshot_at(index)?;
        let size = snapshot.disk_size.unwrap_or(self.header.size);
        let mut l1 = self.snapshot_l1(&snapshot)?;
        let needed = self.core.geometry.l1_entries(size).max(self.l1.len() as u64);
        if needed.saturating_mul(8) > MAX_L1_BYTES {
            return Err(Error::TooLarge {
                image: self.core.name.clone(),
                what: "the L1 table would exceed 32 MiB",
            });
        }
        l1.resize((needed as usize).max(l1.len()), 0);
        let theirs = self.distinct_tables(&l1, snapshot.l1_offset)?;
        let ours = self.distinct_tables(&self.l1, self.header.l1_offset)?;
        // What both have keeps the number of its paths.
        for table in l1.iter().filter(|table| **table != 0 && !ours.contains(table)) {
            self.add_path(*table)?;
        }
        if !l1.is_empty() {
            let old = std::mem::replace(&mut self.l1, l1);
            self.l1_dirty.insert(0);
            for table in old.iter().map(|entry| entry & OFFSET_MASK) {
                if table != 0 && !theirs.contains(&table) {
                    self.drop_path(table)?;
                    self.settle()?;
                }
            }
        }
        self.header.size = size;
        self.size = size & !511;
        self.correct_copied()?;
        Ok(snapshot)
    }

    fn remove_snapshot(&mut self, index: usize) -> Result<Snapshot> {
        let geometry = self.core.geometry;
        let (mut list, _) = self.load_snapshots()?;
        if index >= list.len() {
            return Err(Error::request("there is no such snapshot"));
        }
        let snapshot = list.remove(index);
        for table in self.snapshot_l1(&snapshot)? {
            if table != 0 {
                self.drop_path(table)?;
                self.settle()?;
            }
        }
        let bytes = u64::from(snapshot.l1_entries) * 8;
        if bytes > 0 {
            self.release(
                snapshot.l1_offset >> geometry.cluster_bits,
                geometry.clusters(bytes),
            );
        }
        self.replace_snapshots(list)?;
        self.correct_copied()?;
        Ok(snapshot)
    }

    /// Writes the snapshot table to a new place, and releases the old one.
    pub(crate) fn replace_snapshots(&mut self, mut list: Vec<Snapshot>) -> Result<()> {
        let geometry = self.core.geometry;
        let (_, old_len) = self.load_snapshots()?;
        let old = self.header.snapshots_offset;
        let mut bytes = Vec::new();
        for snapshot in &mut list {
            snapshot.complete(self.header.size);
            if snapshot.encode(&mut bytes).is_none() || bytes.len() as u64 > MAX_TABLE {
                return Err(Error::TooLarge {
                    image: self.core.name.clone(),
                    what: "the snapshot table, or an entry of it, would be too long",
                });
            }
        }
        self.header.snapshots_offset = self.write_beside(&bytes)?;
        self.header.snapshots = list.len() as u32;
        if old_len > 0 {
            if geometry.within(old) != 0 {
                return Err(self.core.corrupt(
                    "header",
                    64,
                    old,
                    "the snapshot table is not cluster aligned",
                ));
            }
            self.release(old >> geometry.cluster_bits, geometry.clusters(old_len));
        }
        Ok(())
    }

    /// Writes a table to clusters that are free on disk: where it is. An empty one has no place.
    pub(crate) fn write_beside(&mut self, bytes: &[u8]) -> Result<u64> {
        let geometry = self.core.geometry;
        if bytes.is_empty() {
            return Ok(0);
        }
        let clusters = geometry.clusters(bytes.len() as u64);
        let (first, _) = self.allocate(clusters)?;
        let mut whole = bytes.to_vec();
        whole.resize((clusters << geometry.cluster_bits) as usize, 0);
        let offset = first << geometry.cluster_bits;
        self.core.file.write_at(offset, &whole)?;
        Ok(offset)
    }
}

/// The number behind the greatest id, as QEMU counts them: what does not begin with a number counts as 0.
fn next_id(list: &[Snapshot]) -> u64 {
    let number = |id: &[u8]| {
        id.iter()
            .take_while(|byte| byte.is_ascii_digit())
            .try_fold(0u64, |sum, digit| {
                sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            })
            .unwrap_or(u64::MAX)
    };
    list.iter()
        .map(|snapshot| number(&snapshot.id))
        .max()
        .unwrap_or(0)
        .saturating_add(1)
}
