//! Persistent dirty bitmaps of an image that is changed.
//!
//! A bitmap with the automatic flag must have the bit of every cluster that changes. Before the first change all
//! its bits are set, in place: bits too many cost the next incremental backup time, bits too few its soundness.

use crate::bitmap_directory::{AUTO, BitmapEntry, IN_USE, TABLE_ALL_ONES, TABLE_OFFSET_MASK, TABLE_RESERVED};
use crate::error::Result;
use crate::state::{State, read_table, table_bytes};
use crate::types::MAX_L1_BYTES;

impl State {
    /// Sets all bits of the bitmaps that must be kept up to date, durably.
    pub(crate) fn mark_bitmaps(&mut self) -> Result<()> {
        let Some(place) = self.header.bitmaps().copied() else {
            return Ok(());
        };
        let file = self.core.file.clone();
        let list = BitmapEntry::load_directory(&*file, &place)?;
        let size = self.core.geometry.cluster_size();
        let ones = vec![0xff; size as usize];
        for bitmap in list
            .iter()
            .filter(|b| b.flags & AUTO != 0 && b.flags & IN_USE == 0)
        {
            let bytes = u64::from(bitmap.table_entries).saturating_mul(8);
            self.must_be_ours(bitmap.table_offset, bytes)?;
            let mut table = read_table(&self.core, bitmap.table_offset, bitmap.table_entries.into())?;
            for entry in &mut table {
                match *entry & TABLE_OFFSET_MASK {
                    _ if *entry & TABLE_RESERVED != 0 => {
                        return Err(self.core.corrupt(
                            "bitmap table",
                            bitmap.table_offset,
                            *entry,
                            "reserved bits are set",
                        ));
                    }
                    0 => *entry = TABLE_ALL_ONES,
                    cluster => {
                        self.must_be_ours(cluster, size)?;
                        file.write_at(cluster, &ones)?;
                    }
                }
            }
            file.write_at(bitmap.table_offset, &table_bytes(&table))?;
        }
        self.core.barrier()
    }

    /// A part of a bitmap is overwritten in place: it must be the only use of its clusters.
    fn must_be_ours(&mut self, offset: u64, len: u64) -> Result<()> {
        let geometry = self.core.geometry;
        let inside = len <= MAX_L1_BYTES
            && geometry.within(offset) == 0
            && offset
                .checked_add(len)
                .is_some_and(|end| end <= self.file_len.next_multiple_of(geometry.cluster_size()));
        if !inside {
            return Err(self
                .core
                .corrupt("bitmap table", offset, len, "it is out of place"));
        }
        for cluster in offset >> geometry.cluster_bits..geometry.clusters(offset + len) {
            if self.protected.contains(&cluster) || self.old_refcount(cluster)? != 1 {
                let at = cluster << geometry.cluster_bits;
                return Err(self
                    .core
                    .corrupt("bitmap cluster", at, 0, "it is not used by the bitmap alone"));
            }
        }
        Ok(())
    }
}
