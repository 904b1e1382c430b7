//! Committing an edit that goes on.

use super::{CommitReport, Disk, Transaction, give_up};
use crate::error::{Error, Result};
use disksmith_storage::{Prepared, Staging, Unprepared};
use std::path::{Path, PathBuf};

/// A checkpoint that could not be made.
#[derive(Debug)]
pub struct CheckpointFailure {
    /// Why.
    pub error: Box<Error>,
    /// Whether the changes are still staged, so that it can be tried again. Else they are lost, and what the edit shows is
    /// what was committed before.
    pub staged: bool,
}

impl Transaction {
    /// Makes all changes made so far the images' state, durably, all or none, and goes on: what was handed out by
    /// [`storage`](Transaction::storage) stays in use, and shows the same. Whoever reads or writes meanwhile waits. With
    /// `dry_run` it does nothing.
    ///
    /// # Errors
    /// The images hold their old bytes then, unless the error says that the change is to be recovered. An edit whose result
    /// is a new image has no state to go on from: it can only be committed as a whole.
    pub fn checkpoint(&mut self) -> std::result::Result<CommitReport, CheckpointFailure> {
        let changed: Vec<bool> = self.disks.iter().map(|disk| disk.stage.is_dirty()).collect();
        if self.dry_run || !changed.contains(&true) {
            return Ok(CommitReport { changed });
        }
        let retry = |error: Error| CheckpointFailure {
            error: Box::new(error),
            staged: true,
        };
        for disk in &self.disks {
            if disk.output.is_some() {
                let text = "an edit whose result is a new image is committed as a whole".into();
                return Err(retry(Error::BadOption(text)));
            }
            disk.check_format().map_err(retry)?;
            // Most of the work, and what can fail for lack of space: nothing is lost by trying.
            disk.stage.drain().map_err(|e| retry(e.into()))?;
        }
        self.replace()?;
        Ok(CommitReport { changed })
    }

    /// Fails where a commit is bound to fail: where the redo log that a raw image needs has no place.
    pub fn check_commits(&self) -> Result<()> {
        for disk in &self.disks {
            let top = disk.image.top();
            if self.dry_run || disk.output.is_some() || top.is_none_or(|top| top.as_qcow2().is_some()) {
                continue;
            }
            let beside = disk.path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = self.log_dir.as_deref().or(beside).unwrap_or(Path::new("."));
            if let Err(errno) = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
                return Err(disksmith_storage::Error::NoPlaceForLog {
                    image: disk.path.clone(),
                    reason: format!("{}: {}", dir.display(), std::io::Error::from(errno)),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Prepares and switches what is staged, and begins anew.
    fn replace(&mut self) -> std::result::Result<(), CheckpointFailure> {
        let mut stages: Vec<_> = self.disks.iter().map(|disk| disk.stage.close()).collect();
        let mut prepared: Vec<(PathBuf, Box<dyn Prepared>)> = Vec::new();
        let mut result = Ok(());
        for (disk, stage) in self.disks.iter().zip(&mut stages) {
            let Some(staging) = stage.take_if(|staging| staging.is_dirty()) else {
                continue;
            };
            let (kept, tried) = disk.prepare(staging, &mut prepared);
            **stage = kept;
            if let Err(error) = tried {
                if stage.is_some() && prepared.is_empty() {
                    return Err(CheckpointFailure {
                        error: Box::new(error),
                        staged: true,
                    });
                }
                result = Err(error);
                break;
            }
        }
        let result = match result {
            Ok(()) => self.switch_all(prepared, true),
            Err(error) => {
                give_up(prepared);
                // The changes of one image are gone, so those of the others must not stay without them.
                for stage in &mut stages {
                    if let Some(Err(error)) = stage.take_if(|s| s.is_dirty()).map(Staging::abandon) {
                        log::warn!("{error}");
                    }
                }
                Err(error)
            }
        };
        let mut renewed = Ok(());
        let mut data = Vec::new();
        for (index, (disk, stage)) in self.disks.iter().zip(&mut stages).enumerate() {
            if stage.is_some() {
                continue;
            }
            // Where the switch may be half done the image says itself that it is in use.
            match disk.new_shadow(self.log_dir.as_deref()) {
                Ok((shadow, beside)) => {
                    **stage = Some(Staging::new(shadow, disk.budget));
                    data.push((index, beside));
                }
                Err(error) => renewed = Err(error),
            }
        }
        drop(stages);
        for (index, beside) in data {
            if let Some(disk) = self.disks.get_mut(index) {
                disk.data = beside;
            }
        }
        result.and(renewed).map_err(|error| CheckpointFailure {
            error: Box::new(error),
            staged: false,
        })
    }
}

impl Disk {
    /// Brings the changes of an image to where only the switch is missing; gives the staging back where it still holds them.
    fn prepare(
        &self,
        staging: Staging,
        prepared: &mut Vec<(PathBuf, Box<dyn Prepared>)>,
    ) -> (Option<Staging>, Result<()>) {
        if let Err(error) = staging.drain() {
            return (Some(staging), Err(error.into()));
        }
        let shadow = match staging.into_shadow() {
            Ok(shadow) => shadow,
            Err(error) => return (None, Err(error.into())),
        };
        match shadow.try_prepare() {
            Ok(change) => prepared.push((self.path.clone(), change)),
            Err(Unprepared { error, shadow }) => {
                let kept = shadow.map(|shadow| Staging::new(shadow, self.budget));
                return (kept, Err(error.into()));
            }
        }
        match self.data.as_ref().map(|data| data.prepare()) {
            Some(Ok(change)) => prepared.extend(change),
            Some(Err(error)) => return (None, Err(error.into())),
            None => {}
        }
        (None, Ok(()))
    }
}
