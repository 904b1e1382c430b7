//! Which clusters are taken, group by group, loaded where they are needed.

use super::layout::Layout;
use crate::bitmap;
use crate::error::{Error, Result};
use crate::group_descriptor::{GROUP_BLOCK_UNINIT, GroupDescriptor};
use disksmith_storage::{StorageRef, read_vec};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Block bitmaps at work. A bit beyond the end of the new filesystem is no bit; groups that were never touched are not
/// here.
#[derive(Debug)]
pub(super) struct Space {
    storage: StorageRef,
    old: Layout,
    new: Layout,
    /// Descriptors of the old groups as they were, and of new ones as they are placed.
    descriptors: Vec<GroupDescriptor>,
    maps: BTreeMap<u32, Vec<u8>>,
    /// Groups whose bitmaps were changed.
    changed: BTreeSet<u32>,
    /// Everything before this cluster is taken.
    first_free: u64,
    /// There is no free run as long as this.
    longest: u64,
}

impl Space {
    /// `descriptors`: those of the old groups, and as many empty ones as there will be new groups.
    pub(super) fn new(
        storage: StorageRef,
        old: &Layout,
        new: &Layout,
        descriptors: Vec<GroupDescriptor>,
    ) -> Self {
        Self {
            storage,
            old: old.clone(),
            new: new.clone(),
            descriptors,
            maps: BTreeMap::new(),
            changed: BTreeSet::new(),
            first_free: 0,
            longest: u64::MAX,
        }
    }

    /// The bitmap of a group, where it was changed.
    pub(super) fn changed(&self, group: u32) -> Option<&[u8]> {
        self.changed
            .contains(&group)
            .then(|| self.maps.get(&group).map(Vec::as_slice))
            .flatten()
    }

    /// Tells where the structures of a new group were placed.
    pub(super) fn set_descriptor(&mut self, group: u32, desc: &GroupDescriptor) {
        if let Some(slot) = self.descriptors.get_mut(group as usize) {
            slot.clone_from(desc);
        }
    }

    /// Loads a bitmap that has to be written again.
    pub(super) fn touch(&mut self, group: u32) -> Result<()> {
        self.load(group)?;
        self.changed.insert(group);
        Ok(())
    }

    /// Gives up the bitmaps of groups that are no more.
    pub(super) fn forget_beyond(&mut self) {
        let end = self.new.g.groups;
        self.maps.retain(|group, _| *group < end);
        self.changed.retain(|group| *group < end);
    }

    /// The bitmap of a group in which nothing but its own structures takes space.
    pub(super) fn untouched(layout: &Layout, group: u32, desc: &GroupDescriptor) -> Vec<u8> {
        let mut map = vec![0; layout.g.block_size as usize];
        let all = layout.group_clusters(group);
        let tables = layout.tables(desc);
        for blocks in std::iter::once(&layout.base(group)).chain(&tables) {
            let clusters = layout.clusters_of(blocks);
            let (from, to) = (clusters.start.max(all.start), clusters.end.min(all.end));
            if from < to {
                bitmap::fill(&mut map, (from - all.start) as u32, (to - all.start) as u32, true);
            }
        }
        map
    }

    /// Loads the bitmap of an old group, or makes that of a new one.
    pub(super) fn load(&mut self, group: u32) -> Result<()> {
        if self.maps.contains_key(&group) {
            return Ok(());
        }
        let Some(desc) = self.descriptors.get(group as usize) else {
            return Ok(());
        };
        let map = if group >= self.old.g.groups {
            Self::untouched(&self.new, group, desc)
        } else if desc.has(GROUP_BLOCK_UNINIT) && self.old.g.features.has_group_checksums() {
            Self::untouched(&self.old, group, desc)
        } else {
            self.read(group, desc)?
        };
        self.maps.insert(group, map);
        Ok(())
    }

    fn read(&self, group: u32, desc: &GroupDescriptor) -> Result<Vec<u8>> {
        let g = &self.old.g;
        let offset = g.offset(desc.block_bitmap());
        let mut map = read_vec(&*self.storage, offset, g.block_size as usize)?;
        let used = map.get(..g.clusters_per_group as usize / 8).unwrap_or(&[]);
        if let Some(sum) = g.checksums.bitmap(used) {
            let wide = g.descriptor_size >= 64;
            let (want, found) = if wide {
                (sum, desc.block_bitmap_csum())
            } else {
                (sum & 0xffff, desc.block_bitmap_csum() & 0xffff)
            };
            if want != found {
                return Err(Error::corrupt(
                    format!("block bitmap of group {group}"),
                    offset,
                    "checksum",
                    found,
                    "the checksum does not match",
                ));
            }
        }
        // Bits beyond the end are set.
        let end = g.group_clusters(group);
        bitmap::fill(&mut map, end, g.clusters_per_group, false);
        Ok(map)
    }

    /// Sets or clears clusters.
    pub(super) fn fill(&mut self, clusters: &Range<u64>, on: bool) -> Result<()> {
        let mut at = clusters.start;
        if !on {
            self.first_free = self.first_free.min(at);
            self.longest = u64::MAX;
        }
        while at < clusters.end {
            let (group, within) = self.new.group_of(at);
            let n = (clusters.end - at).min(u64::from(self.new.g.clusters_per_group - within));
            self.touch(group)?;
            if let Some(map) = self.maps.get_mut(&group) {
                bitmap::fill(map, within, within + n as u32, on);
            }
            at += n;
        }
        Ok(())
    }

    /// Takes clusters of a group whose bitmap may be there already; where it is not they are known otherwise.
    pub(super) fn fill_loaded(&mut self, group: u32, clusters: &Range<u64>) {
        let (_, within) = self.new.group_of(clusters.start);
        let len = (clusters.end - clusters.start) as u32;
        if let Some(map) = self.maps.get_mut(&group) {
            bitmap::fill(map, within, within + len, true);
        }
    }

    /// The runs of taken clusters in a range of one group whose bitmap is loaded.
    pub(super) fn taken_in(&self, clusters: &Range<u64>) -> Vec<Range<u64>> {
        let (group, _) = self.new.group_of(clusters.start);
        let first = u64::from(group) * u64::from(self.new.g.clusters_per_group);
        let Some(map) = self.maps.get(&group) else {
            return Vec::new();
        };
        let (mut at, end) = ((clusters.start - first) as u32, (clusters.end - first) as u32);
        let mut runs = Vec::new();
        loop {
            let from = bitmap::next_set(map, at, end);
            if from >= end {
                return runs;
            }
            at = bitmap::next_clear(map, from, end);
            runs.push(first + u64::from(from)..first + u64::from(at));
        }
    }

    /// The first free run of at least `len` clusters in a range; runs may span groups.
    pub(super) fn find(&mut self, range: &Range<u64>, len: u64) -> Result<Option<u64>> {
        let end = range.end.min(self.new.clusters());
        let mut run: Option<u64> = None;
        let mut at = range.start;
        while at < end {
            let (group, within) = self.new.group_of(at);
            let Some(desc) = self.descriptors.get(group as usize) else {
                break;
            };
            let first = at - u64::from(within);
            let stop = ((end - first).min(u64::from(self.new.g.clusters_per_group))) as u32;
            if desc.free_clusters() == 0 && group < self.old.g.groups && !self.maps.contains_key(&group) {
                run = None;
                at = first + u64::from(stop);
                continue;
            }
            self.load(group)?;
            let Some(map) = self.maps.get(&group) else { break };
            let mut bit = within;
            while bit < stop {
                if let Some(start) = run {
                    let taken = bitmap::next_set(map, bit, stop);
                    if first + u64::from(taken) - start >= len {
                        return Ok(Some(start));
                    }
                    if taken < stop {
                        run = None;
                    }
                    bit = taken;
                } else {
                    bit = bitmap::next_clear(map, bit, stop);
                    if bit < stop {
                        run = Some(first + u64::from(bit));
                    }
                }
            }
            at = first + u64::from(stop);
        }
        Ok(None)
    }

    /// Takes a run of up to `len` clusters: all of it where there is one so long, else the first that is free.
    pub(super) fn take(&mut self, len: u64) -> Result<Range<u64>> {
        let all = self.first_free..self.new.clusters();
        if len > 1 && len < self.longest {
            if let Some(start) = self.find(&all, len)? {
                self.fill(&(start..start + len), true)?;
                return Ok(start..start + len);
            }
            self.longest = len;
        }
        let start = self.find(&all, 1)?.ok_or(Error::NoSpace { what: "blocks" })?;
        let mut end = start + 1;
        while end < all.end && end - start < len {
            let (group, _) = self.new.group_of(end);
            if self.maps.contains_key(&group) && self.taken_in(&(end..end + 1)).is_empty() {
                end += 1;
            } else {
                break;
            }
        }
        self.first_free = end;
        self.fill(&(start..end), true)?;
        Ok(start..end)
    }
}
