//! `disksmith cat`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::Outcome;
use crate::output::{Gathered, finish};
use clap::Args;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print files of a guest
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Absolute paths in the guest
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &CatArgs, globals: &Globals) -> Outcome {
    let mut out = Gathered::new();
    args.guest.look(globals, |guest| {
        for path in &args.paths {
            guest
                .tree()
                .copy_to(path.as_os_str().as_bytes(), &mut out, "standard output")?;
        }
        Ok(())
    })?;
    finish(std::io::Write::flush(&mut out))?;
    Ok(ExitCode::SUCCESS)
}
