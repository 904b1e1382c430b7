//! `disksmith commit`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, Watch};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::Args;
use disksmith_image::{CommitOptions, Committed, commit, human_size};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write what an overlay holds into an image below it
///
/// Without --top and --base: into the next image below, and the overlay is emptied. With them: a part of the chain. The overlays above that part are
/// set upon the base. At every moment the guest's disk reads the same from the top of the chain.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith commit vm1.qcow2\n  \
    disksmith commit --base base.qcow2 vm1.qcow2\n  \
    disksmith commit --top snap2.qcow2 --base snap1.qcow2 --delete vm1.qcow2")]
pub(crate) struct CommitArgs {
    /// The image at the top of the chain
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// The first image of the chain whose contents go down, if not the topmost
    #[arg(long, value_name = "FILE")]
    top: Option<PathBuf>,
    /// The image that they go to, if not the next below
    #[arg(short = 'b', long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Leave the image at the top of the chain as it is, instead of emptying it and setting it upon the base
    #[arg(short = 'd', long, alias = "drop")]
    keep: bool,
    /// Another image that stands on the one whose contents go down: it shall stand on the base
    #[arg(long, value_name = "FILE")]
    overlay: Vec<PathBuf>,
    /// Remove the images that nothing needs any more
    #[arg(long)]
    delete: bool,
    /// Commit even where other images stand on those that change
    #[arg(long)]
    force: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(crate) fn run(args: &CommitArgs, globals: &Globals) -> Outcome {
    let options = CommitOptions {
        format: args.format.map(Into::into),
        top: args.top.clone(),
        base: args.base.clone(),
        keep_top: args.keep,
        overlays: args.overlay.clone(),
        delete: args.delete,
        force: args.force,
        gate: args.gate.gate(),
        keys: args.keys.keys()?,
        ..CommitOptions::default()
    };
    let watch = Watch::start("committing", globals);
    let result = commit(&args.image, &options, &watch);
    watch.finish();
    let done = result.map_err(|error| {
        Failure::from(error).unchanged(format!(
            "what is read from {}; run this again once the cause is gone",
            args.image.display()
        ))
    })?;
    match args.output {
        OutputFormat::Json => print_json(&value(&done))?,
        OutputFormat::Human => globals.say(|| {
            format!(
                "{}: {} of data from {}{}",
                done.base.display(),
                human_size(done.data),
                done.top.display(),
                if done.emptied { ", which is empty now" } else { "" }
            )
        }),
    }
    Ok(ExitCode::SUCCESS)
}

fn value(done: &Committed) -> serde_json::Value {
    let names = |list: &[PathBuf]| -> Vec<String> { list.iter().map(|p| p.display().to_string()).collect() };
    json!({
        "top": done.top.display().to_string(),
        "base": done.base.display().to_string(),
        "virtual-size": done.virtual_size,
        "data": done.data,
        "emptied": done.emptied,
        "moved": names(&done.moved),
        "deleted": names(&done.deleted),
    })
}
