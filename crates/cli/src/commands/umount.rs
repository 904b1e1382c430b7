//! `disksmith umount`.

use super::Globals;
use super::mount::{MountRecord, is_mounted};
use crate::failure::{Failure, Outcome};
use clap::Args;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// End a mount, and wait until everything changed in it is committed
#[derive(Debug, Args)]
pub(crate) struct UmountArgs {
    /// The directories
    #[arg(required = true, value_name = "DIR")]
    places: Vec<PathBuf>,
    /// Take it away even while somebody uses it, for whom it stays until then, and even where its last commit will fail
    #[arg(short = 'l', long)]
    lazy: bool,
}

pub(crate) fn run(args: &UmountArgs, _globals: &Globals) -> Outcome {
    for place in &args.places {
        // One whose process was killed cannot be looked at any more.
        let place = place
            .canonicalize()
            .or_else(|_| std::path::absolute(place))
            .map_err(|e| Failure::io("find", place, &e))?;
        match is_mounted(&place) {
            Some(true) => {}
            Some(false) => {
                return Err(
                    Failure::usage(format!("{} is a mount of something else", place.display()))
                        .or_hint("umount(8) takes it away"),
                );
            }
            None => {
                return Err(Failure::new(
                    disksmith_storage::ErrorKind::NotFound,
                    format!("nothing is mounted at {}", place.display()),
                ));
            }
        }
        if !args.lazy {
            commit(&place)?;
        }
        let record = MountRecord::of(&place);
        disksmith_export::unmount(&place, args.lazy)?;
        if args.lazy {
            continue;
        }
        if let Some((failed, status)) = record.and_then(MountRecord::wait) {
            let text = format!("{} is unmounted, but {failed}", place.display());
            return Err(Failure::new(disksmith_storage::ErrorKind::Failed, text).status_at_least(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Commits what was changed while the mount still holds it. Only the lack of space is told: room can be made for it.
fn commit(place: &Path) -> Outcome<()> {
    match File::open(place).and_then(|dir| dir.sync_all()) {
        Err(error) if error.kind() == ErrorKind::StorageFull => Err(Failure::new(
            disksmith_storage::ErrorKind::NoSpace,
            format!(
                "{} stays mounted: there is no space for the last commit of what was changed in it",
                place.display()
            ),
        )
        .or_hint(
            "make room where the image (or the log of a raw one) lies, then run this again; umount --lazy gives up what is not committed",
        )),
        // The mount may not be for reading, or past helping: its end says what was lost.
        _ => Ok(()),
    }
}
