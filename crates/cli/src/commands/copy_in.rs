//! `disksmith copy-in`.

use super::Globals;
use super::guest_args::{EditArgs, GuestArgs};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_guest::{CopyOwner, SelinuxOutcome, TakeInOptions, TakenIn, copy_in};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy files and directories of this host into a guest
///
/// Modes, owners (by number), times, links, holes and extended attributes are kept. In a guest with SELinux new files get the labels that
/// files beside them have.
#[derive(Debug, Args)]
pub(crate) struct CopyInArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    /// Files and directories of this host, then a directory of the guest
    #[arg(required = true, num_args = 1.., value_names = ["FILE", "DIRECTORY"])]
    paths: Vec<PathBuf>,
    /// What is copied belongs to root, not to the numbers that own it on this host
    #[arg(long)]
    as_root: bool,
    /// Leave extended attributes behind
    #[arg(long)]
    no_xattrs: bool,
    /// Leave new files without a label, and do not tell a guest with SELinux to relabel
    #[arg(long)]
    no_selinux_relabel: bool,
}

pub(crate) fn run(args: &CopyInArgs, globals: &Globals) -> Outcome {
    let Some((directory, sources)) = args.paths.split_last().filter(|(_, sources)| !sources.is_empty())
    else {
        return Err(Failure::usage(
            "copy-in needs a file of this host and a directory of the guest",
        ));
    };
    for source in sources {
        std::fs::symlink_metadata(source).map_err(|e| Failure::io("read", source, &e))?;
    }
    let options = TakeInOptions {
        owner: if args.as_root {
            CopyOwner::Root
        } else {
            CopyOwner::Host
        },
        xattrs: !args.no_xattrs,
        label: !args.no_selinux_relabel,
    };
    let taken = args.edit.edit(&args.guest, globals, |guest| {
        copy_in(guest.tree(), sources, directory.as_os_str().as_bytes(), options)
    })?;
    tell(&taken, globals);
    Ok(ExitCode::SUCCESS)
}

/// Says what was done about labels, and on demand how much was brought in.
pub(super) fn tell(taken: &TakenIn, globals: &Globals) {
    log::info!("{:?}", taken.report);
    if taken.selinux == SelinuxOutcome::RelabelAtBoot && !globals.quiet {
        eprintln!("disksmith: note: the guest relabels its files when it boots (/.autorelabel)");
    }
}
