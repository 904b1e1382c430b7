//! Giving guest clusters their places before anything is written to them.

use crate::create::Preallocation;
use crate::entry::{COPIED, L2Entry};
use crate::error::Result;
use crate::image::Qcow2;
use crate::state::State;
use disksmith_storage::{Storage, ZeroMode};

impl Qcow2 {
    /// Gives each guest cluster from `from` on and before `to` (bytes) that is nowhere in this image its place, and
    /// takes the host's space for it where `mode` says so. Subclusters stay unallocated, so that what is below this
    /// image still shows.
    ///
    /// # Errors
    /// When the image cannot grow so far.
    pub(crate) fn preallocate(&self, from: u64, to: u64, mode: Preallocation) -> Result<()> {
        if mode == Preallocation::Off || from >= to {
            return Ok(());
        }
        let geometry = self.geometry();
        let (mut cluster, end) = (from >> geometry.cluster_bits, geometry.clusters(to));
        while cluster < end {
            let (at, len) = {
                let _io = self.engine.exclusive();
                let mut state = self.engine.lock();
                state.begin()?;
                let Some((first, count)) = state.place_clusters(cluster, end - cluster)? else {
                    cluster += 1;
                    continue;
                };
                cluster += count;
                (first << geometry.cluster_bits, count << geometry.cluster_bits)
            };
            let data = self.engine.core.data();
            // A data file may end inside its last cluster.
            let len = len.min(data.size().saturating_sub(at));
            match mode {
                Preallocation::Falloc => data.write_zeroes(at, len, ZeroMode::Keep)?,
                Preallocation::Full => write_out_zeroes(&**data, at, len)?,
                _ => {}
            }
        }
        Ok(())
    }
}

pub(crate) fn write_out_zeroes(file: &dyn Storage, at: u64, len: u64) -> Result<()> {
    let zeroes = vec![0; len.min(1 << 20) as usize];
    let mut done = 0;
    while done < len {
        let n = (len - done).min(zeroes.len() as u64);
        file.write_at(at + done, zeroes.get(..n as usize).unwrap_or(&[]))?;
        done += n;
    }
    Ok(())
}

impl State {
    /// Gives places to at most `wanted` clusters that follow each other: the first place, and how many. `None` where the
    /// first one has one already.
    pub(crate) fn place_clusters(&mut self, cluster: u64, wanted: u64) -> Result<Option<(u64, u64)>> {
        let geometry = self.core.geometry;
        let (l1, index) = self.indices(cluster);
        let most = (geometry.l2_entries() - index).min(wanted);
        let mut free = 0;
        while free < most && self.entry(cluster + free)? == L2Entry::default() {
            free += 1;
        }
        if free == 0 {
            return Ok(None);
        }
        self.own_l2(l1)?;
        let (first, count) = if self.core.has_data_file() {
            (cluster, free)
        } else {
            let (first, count, _) = self.allocate_run(free)?;
            (first, count)
        };
        for i in 0..count {
            let entry = L2Entry {
                descriptor: COPIED | (first + i) << geometry.cluster_bits,
                bitmap: 0,
            };
            self.set_entry(cluster + i, entry)?;
        }
        Ok(Some((first, count)))
    }
}
