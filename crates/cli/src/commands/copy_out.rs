//! `disksmith copy-out`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_vfs::{CopyOutOptions, Tree};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy files and directories out of a guest
///
/// Nothing is written outside of the destination, whatever the guest's names and links are. Owners are kept when root runs this.
#[derive(Debug, Args)]
pub(crate) struct CopyOutArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Absolute paths in the guest, or shell patterns of them, then a directory of this host
    #[arg(required = true, num_args = 1.., value_names = ["PATH", "DIRECTORY"])]
    paths: Vec<PathBuf>,
    /// Copy extended attributes, too
    #[arg(long)]
    xattrs: bool,
}

/// What a path means: the file of that name, or else what matches it as a shell pattern.
fn named(tree: &Tree, path: &[u8]) -> disksmith_guest::Result<Vec<Vec<u8>>> {
    let is_pattern = path.iter().any(|b| b"*?[{".contains(b));
    if !is_pattern || tree.symlink_metadata(path).is_ok() {
        return Ok(vec![path.to_vec()]);
    }
    let found = tree.glob(path)?;
    if found.is_empty() {
        return Err(disksmith_guest::Error::GuestPath {
            path: String::from_utf8_lossy(path).into_owned(),
            reason: "nothing matches it".into(),
        });
    }
    Ok(found)
}

pub(crate) fn run(args: &CopyOutArgs, globals: &Globals) -> Outcome {
    let Some((directory, paths)) = args.paths.split_last().filter(|(_, paths)| !paths.is_empty()) else {
        return Err(Failure::usage(
            "copy-out needs a path in the guest and a directory",
        ));
    };
    if !directory.is_dir() {
        return Err(
            Failure::usage(format!("{} is not a directory", directory.display()))
                .or_hint("the last argument is the directory of this host that everything goes to"),
        );
    }
    let mut reports = Vec::new();
    args.guest
        .look(globals, |guest| {
            let options = CopyOutOptions {
                xattrs: args.xattrs,
                ..CopyOutOptions::default()
            };
            for path in paths {
                for path in named(guest.tree(), path.as_os_str().as_bytes())? {
                    reports.push(guest.tree().copy_out(path, directory, options)?);
                }
            }
            Ok(())
        })
        .map_err(|failure| {
            failure.unchanged(format!(
                "the guest; what was copied before stays in {}",
                directory.display()
            ))
        })?;
    log::info!("{reports:?}");
    Ok(ExitCode::SUCCESS)
}
