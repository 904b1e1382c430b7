//! `disksmith tar-in`.

use super::Globals;
use super::compression_args::Compression;
use super::copy_in::tell;
use super::guest_args::{EditArgs, GuestArgs};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_guest::tar_in;
use disksmith_vfs::TarInOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Unpack a tar archive into a directory of a guest
///
/// Owners are taken by number. No member gets out of the directory, whatever its name or the links of the archive are; one that tries
/// makes all of it fail, and the image stays as it was.
#[derive(Debug, Args)]
pub(crate) struct TarInArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    edit: EditArgs,
    /// The archive; - is standard input
    archive: PathBuf,
    /// A directory of the guest
    directory: PathBuf,
    /// How the archive is compressed, instead of looking at its first bytes
    #[arg(long, value_name = "KIND")]
    compression: Option<Compression>,
    /// Unpack extended attributes
    #[arg(long)]
    xattrs: bool,
    /// Unpack SELinux labels
    #[arg(long)]
    selinux: bool,
    /// Unpack access control lists
    #[arg(long)]
    acls: bool,
    /// Leave files without a label that the archive has none for, and do not tell a guest with SELinux to relabel
    #[arg(long)]
    no_selinux_relabel: bool,
}

pub(crate) fn run(args: &TarInArgs, globals: &Globals) -> Outcome {
    let input = Compression::decompress(args.compression, open(&args.archive)?)?;
    let options = TarInOptions {
        xattrs: args.xattrs,
        selinux: args.selinux,
        acls: args.acls,
    };
    let taken = args.edit.edit(&args.guest, globals, |guest| {
        let directory = args.directory.as_os_str().as_bytes();
        tar_in(guest.tree(), input, directory, options, !args.no_selinux_relabel)
    })?;
    tell(&taken, globals);
    Ok(ExitCode::SUCCESS)
}

/// An archive that is named on the command line.
pub(crate) fn open(archive: &Path) -> Outcome<Box<dyn Read>> {
    if archive.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(archive).map_err(|e| Failure::io("open", archive, &e))?;
    Ok(Box::new(file))
}
