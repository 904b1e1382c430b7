//! `disksmith umount`.

use super::Globals;
use super::mount::{MountRecord, is_mounted};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_storage::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

/// End a mount, and wait until everything changed in it is committed
#[derive(Debug, Args)]
pub(crate) struct UmountArgs {
    /// The directories
    #[arg(required = true, value_name = "DIR")]
    places: Vec<PathBuf>,
    /// Take it away even while somebody uses it, for whom it stays until then
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
                    ErrorKind::NotFound,
                    format!("nothing is mounted at {}", place.display()),
                ));
            }
        }
        let record = MountRecord::of(&place);
        disksmith_export::unmount(&place, args.lazy)?;
        if args.lazy {
            continue;
        }
        if let Some(failed) = record.and_then(MountRecord::wait) {
            return Err(Failure::new(
                ErrorKind::Failed,
                format!("{} is unmounted, but {failed}", place.display()),
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
