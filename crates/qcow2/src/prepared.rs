//! A change set that is complete and durable, and its switch.

use crate::cache::SliceCache;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::header::SECTOR;
use crate::io::read_padded;
use crate::record::SwitchRecord;
use crate::refcount;
use crate::shadow::Claim;
use crate::state::{L2_CACHE, Mode, REFCOUNT_CACHE, State};
use disksmith_storage::{self as storage, Prepared};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The name under which [`crate::recover_switch`] is responsible for records.
pub(crate) const FORMAT: &str = "qcow2";

/// What [`disksmith_storage::Shadow::prepare`] of an image gives.
#[derive(Debug)]
pub(crate) struct PreparedImage {
    claim: Claim,
    /// The state after the switch.
    state: State,
    record: SwitchRecord,
}

impl PreparedImage {
    /// Takes the prepared state out of a change set.
    pub(crate) fn new(state: &mut State, claim: Claim) -> Result<Self> {
        let record = SwitchRecord::of(state, &claim.image.engine.lock().l1)?;
        let cluster_size = state.core.geometry.cluster_size();
        let data_file = claim.image.engine.core.data_file.clone();
        let core = match data_file {
            None => Arc::clone(&state.core),
            Some(_) => Arc::new(Core {
                data_file,
                ..(*state.core).clone()
            }),
        };
        let state = State {
            core,
            header: state.header.clone(),
            sector: state.sector.clone(),
            mode: std::mem::replace(&mut state.mode, Mode::Direct),
            size: state.size,
            l1: std::mem::take(&mut state.l1),
            l1_dirty: BTreeSet::new(),
            refcount_table: std::mem::take(&mut state.refcount_table),
            refcount_table_dirty: BTreeSet::new(),
            l2: std::mem::replace(&mut state.l2, SliceCache::new(cluster_size, L2_CACHE)),
            blocks: std::mem::replace(&mut state.blocks, SliceCache::new(cluster_size, REFCOUNT_CACHE)),
            hint: 0,
            file_len: state.file_len,
            virgin: state.virgin,
            compressed_end: 0,
            releases: Vec::new(),
            protected: std::mem::take(&mut state.protected),
            in_flight: Vec::new(),
            modified: state.modified,
            shadowed: true,
            dirtied: Default::default(),
            area: state.area.take(),
        };
        Ok(Self { claim, state, record })
    }

    /// Gives the clusters back that only the old state used.
    fn punch(&mut self, old_table: &[u64]) -> Result<()> {
        let geometry = self.state.core.geometry;
        let size = geometry.cluster_size() as usize;
        let file = Arc::clone(&self.state.core.file);
        let (mut old, mut new) = (vec![0u8; size], vec![0u8; size]);
        let changed: BTreeSet<u64> = old_table
            .iter()
            .zip(&self.state.refcount_table)
            .filter(|(old, new)| old != new && **old != 0)
            .map(|(old, _)| *old >> geometry.cluster_bits)
            .collect();
        let give_back = |first: u64, count: u64| {
            let offset = first << geometry.cluster_bits;
            let len = (count << geometry.cluster_bits).min(file.size().saturating_sub(offset));
            // The image does not need it: a host that cannot give space back is no error.
            if len > 0
                && let Err(error) = file.discard(offset, len)
            {
                log::debug!("{error}");
            }
        };
        for (index, (was, is)) in old_table.iter().zip(&self.state.refcount_table).enumerate() {
            if *was == 0 || was == is {
                continue;
            }
            read_padded(&*file, *was, &mut old)?;
            read_padded(&*file, *is, &mut new)?;
            let first = (index as u64) << geometry.block_bits();
            let mut run = (0, 0);
            for i in 0..geometry.block_entries() {
                let cluster = first + i;
                let freed = refcount::get(&new, geometry.refcount_order, i as usize) == 0
                    && refcount::get(&old, geometry.refcount_order, i as usize) != 0
                    // Still needed here, for what comes after.
                    && !changed.contains(&cluster);
                if freed && run.0 + run.1 == cluster {
                    run.1 += 1;
                } else if freed {
                    if run.1 > 0 {
                        give_back(run.0, run.1);
                    }
                    run = (cluster, 1);
                }
            }
            if run.1 > 0 {
                give_back(run.0, run.1);
            }
        }
        for cluster in changed {
            give_back(cluster, 1);
        }
        Ok(())
    }
}

impl Prepared for PreparedImage {
    fn record(&self) -> Vec<u8> {
        self.record.encode()
    }

    fn format(&self) -> &'static str {
        FORMAT
    }

    fn switch(mut self: Box<Self>) -> storage::Result<()> {
        let file = Arc::clone(&self.state.core.file);
        let mut now = [0u8; SECTOR];
        read_padded(&*file, 0, &mut now).map_err(Error::from)?;
        if now != *self.record.old_sector {
            let image = self.state.core.name.clone();
            return Err(Error::NotUntouched {
                image,
                what: "the header differs",
                offset: 0,
            }
            .into());
        }
        self.claim.undecided = true;
        let area = self.state.area.take();
        match area.as_ref().and_then(|area| area.at_once()) {
            None => file.write_at(0, &self.record.new_sector[..])?,
            Some(rest) => file.write_at(0, &[&self.record.new_sector[..], rest].concat())?,
        }
        file.flush()?;
        self.claim.undecided = false;
        self.claim.area = None;
        if let Some(Err(error)) = area.map(|area| area.tidy(&*file)) {
            log::warn!("{error}");
        }
        let old_table = match std::mem::replace(&mut self.state.mode, Mode::Direct) {
            Mode::Shadow { old_table } => old_table,
            Mode::Direct => Arc::default(),
        };
        self.state.sector = self.record.new_sector.clone();
        // The tables have moved.
        self.state.protected = Arc::default();
        if let Err(error) = self.state.verify() {
            log::warn!("{error}");
        }
        if let Err(error) = self.punch(&old_table) {
            log::warn!("{error}");
        }
        let image = Arc::clone(&self.claim.image);
        let _io = image.engine.exclusive();
        image.engine.forget_inflated();
        let mut state = image.engine.lock();
        let PreparedImage {
            claim, state: new, ..
        } = *self;
        *state = new;
        drop(state);
        // Dropping the claim opens the image for changes again.
        drop(claim);
        Ok(())
    }

    fn abandon(mut self: Box<Self>) -> storage::Result<()> {
        Ok(self.claim.cut()?)
    }
}
