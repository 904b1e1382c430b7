//! `disksmith tar-out`.

use super::Globals;
use super::compression_args::Compression;
use super::guest_args::GuestArgs;
use super::streamed_file::write_streamed;
use crate::failure::{Failure, Outcome};
use crate::output::Gathered;
use clap::Args;
use disksmith_guest::tar_error;
use disksmith_vfs::{CopyReport, TarError, TarOutOptions, Tree};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Pack a directory of a guest into a tar archive
///
/// Names begin with ./, owners are numbers. Times have their fractions, and holes are kept.
#[derive(Debug, Args)]
pub(crate) struct TarOutArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// A directory of the guest
    directory: PathBuf,
    /// The archive; - is standard output
    archive: PathBuf,
    /// Compress it
    #[arg(long, value_name = "KIND", default_value = "none")]
    compression: Compression,
    /// Pack extended attributes
    #[arg(long)]
    xattrs: bool,
    /// Pack SELinux labels
    #[arg(long)]
    selinux: bool,
    /// Pack access control lists
    #[arg(long)]
    acls: bool,
    /// Write holes as zeroes, for programs that know no sparse files
    #[arg(long)]
    no_sparse: bool,
    /// Leave out what has such a name, with everything below; may be given several times
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
}

pub(crate) fn run(args: &TarOutArgs, globals: &Globals) -> Outcome {
    let options = TarOutOptions {
        xattrs: args.xattrs,
        selinux: args.selinux,
        acls: args.acls,
        sparse: !args.no_sparse,
        nanoseconds: true,
        exclude: args.exclude.iter().map(|p| p.clone().into_vec()).collect(),
    };
    let directory = args.directory.as_os_str().as_bytes();
    let report = args.guest.look(globals, |guest| {
        tar_out(guest.tree(), directory, &args.archive, args.compression, &options)
    })?;
    log::info!("{report:?}");
    for skipped in &report.skipped {
        if !globals.quiet {
            eprintln!(
                "disksmith: warning: {}: a socket, which no archive can hold",
                String::from_utf8_lossy(&skipped.path)
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error of writing that compression reports is one of the archive.
struct Packing(TarError);

impl From<std::io::Error> for Packing {
    fn from(error: std::io::Error) -> Self {
        Self(TarError::Write(error))
    }
}

/// Packs a directory into a file, or to standard output.
pub(crate) fn tar_out(
    tree: &Tree,
    directory: &[u8],
    archive: &Path,
    compression: Compression,
    options: &TarOutOptions,
) -> disksmith_guest::Result<CopyReport> {
    // before the file is made
    if !tree.metadata(directory)?.is_dir() {
        return Err(disksmith_guest::Error::Files(
            disksmith_vfs::Error::NotADirectory {
                path: String::from_utf8_lossy(directory).into_owned(),
            },
        ));
    }
    let pack = |mut file: &mut dyn Write| {
        let mut report = CopyReport::default();
        compression
            .compress(&mut file, |out| {
                report = tree.tar_out(directory, out, options).map_err(Packing)?;
                Ok::<_, Packing>(())
            })
            .map_err(|Packing(error)| tar_error(error))?;
        Ok(report)
    };
    if archive.as_os_str() == "-" {
        return pack(&mut Gathered::new());
    }
    write_streamed(archive, pack)
}

/// Words of the old tool that stand behind the archive: `compress:gzip`, `xattrs:true`.
pub(crate) fn old_option(word: &str) -> Option<(&str, &str)> {
    word.split_once(':')
}

/// What the old tool calls a kind of compression.
pub(crate) fn old_compression(name: &str) -> Outcome<Compression> {
    Ok(match name {
        "gzip" => Compression::Gzip,
        "bzip2" => Compression::Bzip2,
        "xz" => Compression::Xz,
        "zstd" => Compression::Zstd,
        other => {
            return Err(Failure::usage(format!(
                "compress:{other}: disksmith knows gzip, bzip2, xz and zstd"
            )));
        }
    })
}
