//! `disksmith qemu-img`: the face of qemu-img, as an entry in the help.

use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

/// Behave as qemu-img: the same subcommands, arguments, messages and exit status
///
/// The program does so too when it is called by that name: `ln -s disksmith qemu-img`.
#[derive(Debug, Args)]
pub(crate) struct QemuImgArgs {
    /// A subcommand of qemu-img and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(args: &QemuImgArgs) -> ExitCode {
    crate::faces::qemu_img::run(&args.arguments)
}
