//! Refcount blocks: whether they are where they can be, and whether their refcounts are right.

use super::{Checker, Finding, Repair};
use crate::error::Result;
use crate::io::read_padded;
use crate::refcount;

/// Low bits of refcount table entries that must be zero.
const RESERVED: u64 = 0x1ff;
/// Bits of refcount table entries that are the block's place.
const OFFSET: u64 = !RESERVED;

/// A file is made longer for a block that lies beyond its end by no more than this, and its length.
const MOST_GROWTH: u64 = 64 << 20;

impl Checker<'_> {
    pub(super) fn walk_blocks(&mut self, fix: bool) -> Result<()> {
        let geometry = self.core.geometry;
        for index in 0..self.refcount_table.len() as u64 {
            let entry = self.refcount_table.get(index as usize).copied().unwrap_or(0);
            let offset = entry & OFFSET;
            if entry == 0 {
                continue;
            }
            if entry & RESERVED != 0 {
                self.corrupt(Finding::TableReserved { index });
                self.rebuild = true;
            } else if geometry.within(offset) != 0 {
                self.corrupt(Finding::BlockMisaligned { index });
                self.rebuild = true;
            } else if offset >> geometry.cluster_bits >= self.clusters {
                self.tell(Finding::BlockOutside { index, repaired: fix });
                self.report.corruptions += 1;
                if fix && self.grow_to(offset)? {
                    self.report.corruptions -= 1;
                    self.report.corruptions_fixed += 1;
                    self.count(offset, geometry.cluster_size());
                } else if fix {
                    self.rebuild = true;
                    let impossible = offset > (i64::MAX as u64) - geometry.cluster_size();
                    self.tell(Finding::CannotGrow { impossible });
                }
            } else {
                self.count(offset, geometry.cluster_size());
                let references = self.counts.get(offset >> geometry.cluster_bits);
                if references != 1 {
                    self.corrupt(Finding::BlockShared { index, references });
                    self.rebuild = true;
                }
            }
        }
        Ok(())
    }

    /// Makes the file reach to the end of the block at `offset`, which then reads as zeroes, as far as that is sensible.
    fn grow_to(&mut self, offset: u64) -> Result<bool> {
        let geometry = self.core.geometry;
        let end = offset.saturating_add(geometry.cluster_size());
        let plausible = self
            .core
            .file
            .size()
            .saturating_mul(2)
            .saturating_add(MOST_GROWTH);
        if end > plausible || geometry.clusters(end) > i32::MAX as u64 {
            return Ok(false);
        }
        if self.core.file.set_size(end).is_err() {
            return Ok(false);
        }
        self.clusters = self.clusters.max(geometry.clusters(end));
        Ok(true)
    }

    /// Where a refcount block is, as far as its entry says so.
    pub(super) fn block_offset(&self, index: u64) -> Option<u64> {
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| self.refcount_table.get(index))?;
        Some(entry & OFFSET).filter(|offset| *offset != 0)
    }

    /// Brings a block into memory: `Some(false)` where there is none, `None` where it cannot be read.
    fn load_block(&mut self, index: u64) -> Result<Option<bool>> {
        let geometry = self.core.geometry;
        let Some(offset) = self.block_offset(index) else {
            return Ok(Some(false));
        };
        if geometry.within(offset) != 0 {
            if !std::mem::replace(&mut self.told_unusable, true) {
                self.tell(Finding::BlockUnusable { offset, index });
            }
            return Ok(None);
        }
        if offset > (i64::MAX as u64) - geometry.cluster_size() {
            return Ok(None);
        }
        if self.block.0 != offset {
            self.block.1.resize(geometry.cluster_size() as usize, 0);
            // Not taken for the block of before if reading fails.
            self.block.0 = 0;
            read_padded(&*self.core.file, offset, &mut self.block.1)?;
            self.block.0 = offset;
        }
        Ok(Some(true))
    }

    /// The refcount of a cluster, as the file says it; `None` where that cannot be read.
    pub(super) fn refcount_of(&mut self, cluster: u64) -> Result<Option<u64>> {
        let geometry = self.core.geometry;
        Ok(match self.load_block(cluster >> geometry.block_bits())? {
            None => None,
            Some(false) => Some(0),
            Some(true) => {
                let within = (cluster & (geometry.block_entries() - 1)) as usize;
                Some(refcount::get(&self.block.1, geometry.refcount_order, within))
            }
        })
    }

    /// Sets the refcount of a cluster whose block there is.
    pub(super) fn write_refcount(&mut self, cluster: u64, count: u64) -> Result<()> {
        let geometry = self.core.geometry;
        if self.load_block(cluster >> geometry.block_bits())? == Some(true) {
            let within = (cluster & (geometry.block_entries() - 1)) as usize;
            refcount::set(&mut self.block.1, geometry.refcount_order, within, count);
            self.core.file.write_at(self.block.0, &self.block.1)?;
        }
        Ok(())
    }

    /// Compares the refcounts with the references, and mends in place what may be. Gives the highest cluster in use.
    pub(super) fn compare_refcounts(&mut self, repair: Repair) -> Result<u64> {
        let geometry = self.core.geometry;
        let mut highest = 0;
        for index in 0..self.clusters.div_ceil(geometry.block_entries()) {
            let first = index << geometry.block_bits();
            let end = (first + geometry.block_entries()).min(self.clusters);
            match self.load_block(index)? {
                Some(true) => {
                    if self.compare_block(first, end, repair, &mut highest) {
                        self.core.file.write_at(self.block.0, &self.block.1)?;
                    }
                }
                Some(false) => {
                    let mut from = first;
                    while let Some(cluster) = self.counts.next_used(from, end) {
                        highest = cluster;
                        self.rebuild = true;
                        self.corrupt(Finding::Refcount {
                            cluster,
                            refcount: 0,
                            references: self.counts.get(cluster),
                            repaired: false,
                        });
                        from = cluster + 1;
                    }
                }
                None => {
                    for cluster in first..end {
                        self.report.check_errors += 1;
                        self.tell(Finding::RefcountUnreadable { cluster });
                    }
                }
            }
        }
        Ok(highest)
    }

    /// Compares the clusters of the block in memory. Says whether it changed.
    fn compare_block(&mut self, first: u64, end: u64, repair: Repair, highest: &mut u64) -> bool {
        let order = self.core.geometry.refcount_order;
        let mut changed = false;
        for cluster in first..end {
            let within = (cluster - first) as usize;
            let refcount = refcount::get(&self.block.1, order, within);
            let references = self.counts.get(cluster);
            if refcount > 0 || references > 0 {
                *highest = cluster;
            }
            if refcount == references {
                continue;
            }
            self.rebuild |= refcount == 0;
            let leaked = refcount > references;
            let repaired = match repair {
                Repair::None => false,
                Repair::Leaks => leaked && !self.blind,
                Repair::All if leaked => !self.blind,
                Repair::All => refcount > 0 || self.blind,
            };
            self.tell(Finding::Refcount {
                cluster,
                refcount,
                references,
                repaired,
            });
            let number = match (leaked, repaired) {
                (true, true) => &mut self.report.leaks_fixed,
                (true, false) => &mut self.report.leaks,
                (false, true) => &mut self.report.corruptions_fixed,
                (false, false) => &mut self.report.corruptions,
            };
            *number += 1;
            if repaired {
                refcount::set(&mut self.block.1, order, within, references);
                changed = true;
            }
        }
        changed
    }
}
