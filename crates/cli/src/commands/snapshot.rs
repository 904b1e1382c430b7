//! `disksmith snapshot`.

mod states;

use super::gate_args::GateArgs;
use super::{Globals, ImageFormat, image_unchanged, local_date};
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print};
use clap::{Args, Subcommand};
use disksmith_image::{
    NewSnapshot, SnapshotKey, SnapshotOptions, apply_snapshot, create_snapshot, delete_snapshot,
    list_snapshots, snapshot_table,
};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Keep states of the disk inside a qcow2 image, and go back to them
///
/// Whatever happens in the middle of it, the image holds the old state or the new one.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the snapshots
    List {
        #[command(flatten)]
        image: ImageArgs,
        /// Show which state of the disk came from which, and what each does not share with that one
        #[arg(long)]
        tree: bool,
        /// How to print the tree
        #[arg(long, value_name = "FORMAT", default_value = "human", requires = "tree")]
        output: OutputFormat,
        #[command(flatten)]
        gate: GateArgs,
    },
    /// Make a snapshot of the disk as it is
    Create(NamedArgs),
    /// Give the disk the contents and the size of a snapshot; what it holds now is lost
    Apply {
        #[command(flatten)]
        named: NamedArgs,
        /// Change even a base that has clones
        #[arg(long)]
        force: bool,
    },
    /// Delete a snapshot
    Delete(NamedArgs),
    /// Tell where the disks of two snapshots differ, or that of one and the disk as it is now
    Diff(states::DiffArgs),
    /// Make an image of the disk that a snapshot holds
    Export(states::ExportArgs),
    /// Keep the disk of another image as a snapshot of this one
    Import(states::ImportArgs),
}

#[derive(Debug, Args)]
struct ImageArgs {
    /// The image
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
}

#[derive(Debug, Args)]
struct NamedArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// The snapshot's name (to apply one or to delete it, its id will do)
    name: OsString,
    #[command(flatten)]
    gate: GateArgs,
}

pub(crate) fn run(args: &SnapshotArgs, globals: &Globals) -> Outcome {
    let (named, force) = match &args.action {
        Action::List {
            image,
            tree: true,
            output,
            gate,
        } => return states::tree(image, gate, *output),
        Action::List { image, gate, .. } => return list(image, gate, globals),
        Action::Diff(diff) => return states::diff(diff, globals),
        Action::Export(export) => return states::export(export, globals),
        Action::Import(import) => return states::import(import, globals),
        Action::Apply { named, force } => (named, *force),
        Action::Create(named) | Action::Delete(named) => (named, false),
    };
    let options = SnapshotOptions {
        format: named.image.format.map(Into::into),
        force,
        gate: named.gate.gate(),
    };
    let (path, name) = (named.image.image.as_path(), named.name.as_bytes());
    let (done, result) = match &args.action {
        Action::Create(_) => {
            let now = clock::now()?;
            let new = NewSnapshot {
                name: name.to_vec(),
                date_seconds: u32::try_from(now.seconds).unwrap_or(u32::MAX),
                date_nanoseconds: now.nanoseconds,
                vm_clock: 0,
            };
            ("made", create_snapshot(path, &new, &options))
        }
        Action::Delete(_) => (
            "deleted",
            delete_snapshot(path, SnapshotKey::NameOrId(name), &options),
        ),
        _ => (
            "applied",
            apply_snapshot(path, SnapshotKey::IdOrName(name), &options),
        ),
    };
    let unchanged = image_unchanged(std::slice::from_ref(&named.image.image));
    let snapshot = result.map_err(|e| unchanged(Failure::from(e)))?;
    globals.say(|| {
        format!(
            "{}: {done} snapshot {} '{}'",
            path.display(),
            snapshot.id,
            snapshot.name
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ImageArgs, gate: &GateArgs, globals: &Globals) -> Outcome {
    let options = SnapshotOptions {
        format: args.format.map(Into::into),
        gate: gate.gate(),
        ..SnapshotOptions::default()
    };
    let snapshots = list_snapshots(&args.image, &options)?;
    if snapshots.is_empty() {
        globals.say(|| format!("{} has no snapshots", args.image.display()));
    } else {
        print(snapshot_table(&snapshots, &local_date))?;
    }
    Ok(ExitCode::SUCCESS)
}
