//! Opening: features, recovery of the journal, and what forbids writing. And [`Core::sync`], which leaves a clean filesystem.

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat};
use crate::filesystem::OpenOptions;
use crate::journal::{FastCommitRecord, Log, LogRun, RecoveredView, Recovery, RecoveryLimits};
use crate::mapping::Mapped;
use crate::superblock::{STATE_ERROR, STATE_VALID};
use disksmith_storage::StorageRef;
use std::sync::Arc;

/// Opens the state of a filesystem, and tells why it must not be written, if so.
pub(crate) fn open(storage: StorageRef, options: &OpenOptions) -> Result<(Core, Option<String>)> {
    let new =
        |storage: StorageRef, check| Core::open(storage, options.cache_bytes, options.clock.clone(), check);
    let mut core = new(storage.clone(), false)?;
    let mut read_only = forbids_writing(&core, options);
    if read_only.is_none() {
        core.check_lost_checksum()?;
    }
    if core.geometry.has_incompat(Incompat::RECOVER) {
        if core.superblock.journal_inode == 0 {
            return Err(Error::UnsupportedFeatures {
                names: "an external journal that needs recovery".into(),
            });
        }
        if read_only.is_none() {
            core.check_mmp()?;
        }
        let recovery = core.plan_recovery()?;
        let error_number = recovery.error_number();
        let fast_commits = recovery.fast_commits();
        if read_only.is_none() {
            recovery.write_blocks(&*storage)?;
            core = new(storage.clone(), true)?;
            core.update_superblock(|sb| {
                sb.feature_incompat &= !Incompat::RECOVER.bits();
                if error_number != 0 {
                    sb.state |= STATE_ERROR;
                }
            });
            if !fast_commits.is_empty() {
                core.replay(fast_commits)?;
                // The journal lets go of them only when they are in the filesystem.
                core.sync()?;
            }
            recovery.empty_journal(&*storage)?;
        } else {
            let view = RecoveredView::new(storage, &recovery)?;
            core = new(Arc::new(view), true)?;
            if !fast_commits.is_empty() {
                core.replay(fast_commits)?;
            }
        }
        return Ok((core, read_only));
    }
    core.check_groups()?;
    if read_only.is_none() {
        core.check_mmp()?;
        if !core.geometry.has_compat(Compat::HAS_JOURNAL) && core.superblock.state & STATE_VALID == 0 {
            read_only =
                Some("it has no journal and was not unmounted cleanly: run e2fsck on a copy first".into());
        }
    }
    Ok((core, read_only))
}

fn forbids_writing(core: &Core, options: &OpenOptions) -> Option<String> {
    if !options.writable {
        return Some("it was opened for reading".into());
    }
    if !core.storage.is_writable() {
        return Some(format!("{} is read-only", core.storage.name()));
    }
    if let Some(names) = core.geometry.features.read_only_reason() {
        return Some(format!(
            "writing is not supported with the features it uses: {names}"
        ));
    }
    if core.geometry.has_compat(Compat::HAS_JOURNAL) && core.superblock.journal_inode == 0 {
        return Some("its journal is on another device".into());
    }
    None
}

impl Core {
    fn replay(&mut self, records: &[FastCommitRecord]) -> Result<()> {
        self.begin();
        match self
            .replay_fast_commits(records)
            .and_then(|()| self.settle_quotas())
        {
            Ok(()) => {
                self.keep();
                log::info!("replayed {} records of fast commits", records.len());
                Ok(())
            }
            Err(error) => {
                self.kept_back = None;
                self.give_up();
                Err(error)
            }
        }
    }

    /// Where the journal lies, and what it would give back.
    fn plan_recovery(&self) -> Result<Recovery> {
        let node = self.load_any(self.superblock.journal_inode)?;
        let blocks = node.rec.size() >> self.geometry.block_shift;
        if !node.rec.is_file() || blocks > u64::from(u32::MAX) {
            return Err(node.corrupt("i_size", node.rec.size(), "no journal"));
        }
        let mut runs = Vec::new();
        let mut at = 0;
        while at < blocks {
            let (mapped, len) = self.map(&node, at, blocks - at)?;
            let Mapped::Data(physical) = mapped else {
                return Err(node.corrupt("i_block", at, "a journal with a hole"));
            };
            runs.push(LogRun {
                logical: at as u32,
                physical,
                len: len as u32,
            });
            at += len;
        }
        let log = Log::open(
            &*self.storage,
            runs,
            blocks,
            self.geometry.block_size,
            self.geometry.blocks_count,
        )?;
        Ok(Recovery::plan(log, &*self.storage, RecoveryLimits::default())?)
    }

    /// Writes everything that is only in memory, and leaves a clean filesystem. The storage is not flushed.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.pack_trees()?;
        let buried = self.bury_nameless();
        let written = self.write_clean();
        if let Some(buried) = buried {
            self.exhume_nameless(buried);
        }
        if written? {
            self.discard_freed()?;
        }
        Ok(())
    }

    /// Writes everything; tells whether there was anything.
    fn write_clean(&mut self) -> Result<bool> {
        let changed = self.write_out()?;
        if !changed && !self.counts_differ() {
            self.release_mmp()?;
            return Ok(false);
        }
        let now = self.now().seconds.max(0) as u64;
        self.update_superblock(|sb| {
            sb.state |= STATE_VALID;
            sb.write_time = now as u32;
            sb.write_time_hi = (now >> 32) as u8;
        });
        self.write_superblock()?;
        self.release_mmp()?;
        Ok(true)
    }
}
