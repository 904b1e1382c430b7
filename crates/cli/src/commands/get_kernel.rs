//! `disksmith get-kernel`.

use super::Globals;
use super::guest_args::GuestArgs;
use super::streamed_file::write_streamed;
use crate::failure::Outcome;
use clap::Args;
use disksmith_guest::{Guest, newest_kernel, unversioned_name};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Take the newest kernel and its initial RAM disk out of a guest
#[derive(Debug, Args)]
pub(crate) struct GetKernelArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// The folder that the files go into
    #[arg(
        short = 'o',
        short_alias = 'd',
        long = "directory",
        value_name = "DIR",
        default_value = "."
    )]
    directory: PathBuf,
    /// What goes before the names of the files, with a dash behind it
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Names without version: vmlinuz, initrd.img
    #[arg(long)]
    unversioned_names: bool,
}

pub(crate) fn run(args: &GetKernelArgs, globals: &Globals) -> Outcome {
    args.guest.look(globals, |guest| {
        let plan = KernelNames {
            directory: &args.directory,
            prefix: args.prefix.as_deref(),
            unversioned: args.unversioned_names,
        };
        take_kernel(guest, &plan, &mut |from, to| {
            globals.say(|| format!("{} -> {}", String::from_utf8_lossy(from), to.display()));
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Where the files of a kernel go.
#[derive(Debug)]
pub(crate) struct KernelNames<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) prefix: Option<&'a str>,
    pub(crate) unversioned: bool,
}

/// Copies the newest kernel and its initial RAM disk; each is told of before it is copied.
pub(crate) fn take_kernel(
    guest: &Guest,
    names: &KernelNames<'_>,
    tell: &mut dyn FnMut(&[u8], &Path),
) -> disksmith_guest::Result<()> {
    let found = newest_kernel(guest.tree())?;
    for from in std::iter::once(found.kernel).chain(found.initrd) {
        let base = match from.rsplit(|b| *b == b'/').next() {
            Some(name) if !names.unversioned => name,
            _ => unversioned_name(&from),
        };
        let mut name = Vec::new();
        if let Some(prefix) = names.prefix {
            name.extend_from_slice(prefix.as_bytes());
            name.push(b'-');
        }
        name.extend_from_slice(base);
        let to = names.directory.join(OsStr::from_bytes(&name));
        tell(&from, &to);
        copy(guest, &from, &to)?;
    }
    Ok(())
}

/// Copies a file out: the new one appears when it is complete, in the place of an old one.
fn copy(guest: &Guest, from: &[u8], to: &Path) -> disksmith_guest::Result<()> {
    write_streamed(to, |out| {
        guest.tree().copy_to(from, out, &to.display().to_string())?;
        Ok(())
    })
}
