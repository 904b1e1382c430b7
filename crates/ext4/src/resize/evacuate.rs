//! Making room: which clusters have to be free, and moving what files have in them.

use super::Resizer;
use super::block_set::BlockSet;
use crate::error::{Error, Result};
use disksmith_storage::copy;
use std::ops::Range;

/// Where clusters went.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Old first cluster, length, new first cluster; ascending.
    runs: Vec<(u64, u64, u64)>,
    clusters: u64,
}

impl Moves {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many clusters were moved.
    pub(super) fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Runs are added in ascending order.
    fn add(&mut self, from: u64, len: u64, to: u64) {
        self.runs.push((from, len, to));
        self.clusters += len;
    }

    /// Where a cluster is now, and for how many more (at most `len` in all) that goes on in one piece.
    pub(super) fn look_up(&self, cluster: u64, len: u64) -> (u64, u64) {
        let next = self.runs.partition_point(|(from, _, _)| *from <= cluster);
        if let Some((from, run, to)) = next.checked_sub(1).and_then(|i| self.runs.get(i))
            && cluster - from < *run
        {
            let within = cluster - from;
            return (to + within, len.min(run - within));
        }
        let until = self.runs.get(next).map_or(u64::MAX, |(from, _, _)| *from);
        (cluster, len.min(until - cluster))
    }
}

impl Resizer {
    /// Finds what has to make room and marks it as taken, frees what nobody needs any more, and finds new places for
    /// bitmaps and inode tables that are in the way.
    pub(super) fn plan_room(&mut self) -> Result<()> {
        let old_clusters = self.old.clusters();
        let new_clusters = self.new.clusters();
        let kept = self.old.g.groups.min(self.new.g.groups);
        let base = |layout: &super::layout::Layout, groups: u32| {
            let ranges = (0..groups).map(|g| layout.clusters_of(&layout.base(g))).collect();
            BlockSet::new(ranges)
        };
        let old_base = base(&self.old, self.old.g.groups);
        let new_base = base(&self.new, kept);
        let tables = |groups: Range<u32>| {
            let ranges = groups
                .filter_map(|g| self.old_groups.get(g as usize))
                .flat_map(|desc| self.old.tables(desc).map(|blocks| self.old.clusters_of(&blocks)))
                .collect();
            BlockSet::new(ranges)
        };
        let kept_tables = tables(0..kept);
        let dead_tables = tables(kept..self.old.g.groups);
        let all_tables = tables(0..self.old.g.groups);

        let mut evacuated: Vec<Range<u64>> = new_base.without(&old_base).ranges().to_vec();
        evacuated.push(new_clusters.min(old_clusters)..old_clusters);
        let evacuated = BlockSet::new(evacuated);

        // The bits of the last groups change their meaning.
        if self.new.g.blocks_count != self.old.g.blocks_count {
            self.space.touch(self.old.g.groups - 1)?;
            self.space.touch(kept - 1)?;
        }
        let structures = [&old_base, &all_tables];
        let mut to_move = self.file_clusters(&evacuated, structures)?;
        self.space.forget_beyond();

        let within = |set: &BlockSet| -> Vec<Range<u64>> {
            set.ranges()
                .iter()
                .map(|r| r.start..r.end.min(new_clusters))
                .filter(|r| r.start < r.end)
                .collect()
        };
        for range in within(&dead_tables.without(&kept_tables).without(&new_base)) {
            self.space.fill(&range, false)?;
        }
        for range in within(&old_base.without(&new_base).without(&kept_tables)) {
            self.space.fill(&range, false)?;
        }
        for range in within(&evacuated) {
            self.space.fill(&range, true)?;
        }
        let placed = self.place_within_groups(&evacuated, &all_tables, kept)?;
        if !placed.is_empty() {
            // What stands there and is no structure has to go, whatever it is.
            let more = BlockSet::new(placed).without(&evacuated).without(&all_tables);
            to_move.extend(self.file_clusters(&more, structures)?);
            to_move.sort_unstable_by_key(|run| run.start);
            for range in within(&more) {
                self.space.fill(&range, true)?;
            }
        }
        self.replace_tables(&evacuated, kept)?;
        self.to_move = to_move;
        Ok(())
    }

    /// The runs of clusters in a set that files have; `structures` are no files.
    fn file_clusters(&mut self, set: &BlockSet, structures: [&BlockSet; 2]) -> Result<Vec<Range<u64>>> {
        let [base, tables] = structures;
        let mut found = Vec::new();
        for range in set.ranges() {
            for part in self.by_group(range) {
                let (group, _) = self.new.group_of(part.start);
                if self.is_plain(group) {
                    continue;
                }
                self.space.load(group)?;
                for run in self.space.taken_in(&part) {
                    for run in base.gaps(run) {
                        found.extend(tables.gaps(run));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Splits a range at the borders of groups.
    fn by_group(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let per_group = u64::from(self.new.g.clusters_per_group);
        let mut parts = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / per_group + 1) * per_group);
            parts.push(at..end);
            at = end;
        }
        parts
    }

    /// Whether an old group holds nothing but structures.
    fn is_plain(&self, group: u32) -> bool {
        self.old.g.features.has_group_checksums()
            && self
                .old_groups
                .get(group as usize)
                .is_none_or(|desc| desc.has(crate::group_descriptor::GROUP_BLOCK_UNINIT))
    }

    /// Copies what files have in the way to other places.
    pub(super) fn move_file_blocks(&mut self) -> Result<()> {
        let wanted: u64 = self.to_move.iter().map(|r| r.end - r.start).sum();
        let storage = self.storage.clone();
        for run in std::mem::take(&mut self.to_move) {
            let mut at = run.start;
            while at < run.end {
                let place = self.space.take(run.end - at)?;
                let len = place.end - place.start;
                let from = self.old.block_of(at);
                let blocks = (len << self.old.g.cluster_shift).min(self.old.g.blocks_count - from);
                let to = self.new.block_of(place.start);
                if to + blocks > self.new.g.blocks_count {
                    return Err(Error::NoSpace { what: "blocks" });
                }
                let offset = |block| self.old.g.offset(block);
                copy(
                    &*storage,
                    offset(from),
                    &*storage,
                    offset(to),
                    offset(blocks),
                    false,
                )?;
                self.moves.add(at, len, place.start);
                at += len;
            }
        }
        log::debug!("{}: moved {wanted} clusters", storage.name());
        Ok(())
    }

    /// Where a block is now.
    pub(super) fn translate(&self, block: u64) -> u64 {
        self.translate_run(block, 1).0
    }

    /// Where a run of blocks is now, and how many of them lie there in one piece.
    pub(super) fn translate_run(&self, block: u64, len: u64) -> (u64, u64) {
        let shift = self.old.g.cluster_shift;
        let within = block.saturating_sub(self.old.g.first_data_block) & ((1 << shift) - 1);
        let clusters = (within + len).div_ceil(1 << shift);
        let (cluster, run) = self.moves.look_up(self.old.cluster_of(block), clusters);
        let blocks = (run << shift) - within;
        (self.new.block_of(cluster) + within, len.min(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_looked_up_in_pieces() {
        let mut moves = Moves::default();
        moves.add(10, 5, 100);
        moves.add(15, 5, 200);
        assert_eq!(moves.look_up(3, 50), (3, 7));
        assert_eq!(moves.look_up(12, 50), (102, 3));
        assert_eq!(moves.look_up(15, 2), (200, 2));
        assert_eq!(moves.look_up(20, 9), (20, 9));
        assert_eq!(moves.clusters(), 10);
    }
}
