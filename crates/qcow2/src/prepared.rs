//! A change set that is complete and durable, and its switch.

use crate::cache::SliceCache;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::give_back::give_back;
use crate::header::SECTOR;
use crate::io::read_padded;
use crate::record::SwitchRecord;
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
}

impl Prepared for PreparedImage {
    fn record(&self) -> Vec<u8> {
        self.record.encode()
    }

    fn format(&self) -> &'static str {
        FORMAT
    }

    fn switch(self: Box<Self>) -> storage::Result<()> {
        self.switch_in(true)
    }

    fn switch_for_now(self: Box<Self>) -> storage::Result<()> {
        self.switch_in(false)
    }

    fn abandon(mut self: Box<Self>) -> storage::Result<()> {
        Ok(self.claim.cut()?)
    }
}

impl PreparedImage {
    /// The switch; afterwards the host gets back what only the old state used, if it shall.
    fn switch_in(mut self: Box<Self>, gives_back: bool) -> storage::Result<()> {
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
            None => file.write_at(0, &self.record.new_sector[..]),
            Some(rest) => file.write_at(0, &[&self.record.new_sector[..], rest].concat()),
        }
        .and_then(|()| file.flush())
        .map_err(|source| storage::Error::Undecided {
            image: self.state.core.name.clone(),
            source: Box::new(source),
        })?;
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
        if gives_back
            && let Err(error) = give_back(
                &*file,
                &self.state.core.geometry,
                &old_table,
                &self.state.refcount_table,
            )
        {
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
}
