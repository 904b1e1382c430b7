//! `disksmith rebase`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, Watch, image_unchanged};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::Args;
use disksmith_image::{RebaseOptions, Rebased, human_size, rebase};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Set an image upon another backing file
///
/// What the guest would read differently is copied into the image first, so that its disk stays as it is. Whatever happens in the middle of it,
/// the image stands on its old backing file or on the new one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith rebase -b new-base.qcow2 vm1.qcow2\n  \
    disksmith rebase -b '' vm1.qcow2\n  \
    disksmith rebase -u -b ../moved/base.qcow2 -F qcow2 vm1.qcow2")]
pub(crate) struct RebaseArgs {
    /// The image
    image: PathBuf,
    /// The new backing file, as it is named from the image's own folder; an empty name for none
    #[arg(short = 'b', long, value_name = "FILE")]
    backing: OsString,
    /// The new backing file's format, instead of detecting it
    #[arg(short = 'F', long, value_name = "FORMAT")]
    backing_format: Option<ImageFormat>,
    /// The image's format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Only change the name: for a backing file that was moved
    #[arg(short = 'u', long = "unsafe", requires = "backing_format")]
    blind: bool,
    /// Compress what is copied
    #[arg(short = 'c', long)]
    compress: bool,
    /// Read the new backing file even if somebody writes to it
    #[arg(short = 'U', long)]
    force_share: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(crate) fn run(args: &RebaseArgs, globals: &Globals) -> Outcome {
    let format = args.backing_format.map(disksmith_image::Format::from);
    let options = RebaseOptions {
        format: args.format.map(Into::into),
        backing: Some(args.backing.as_bytes().to_vec()),
        backing_format: format.map(|format| format.name().to_owned()),
        blind: args.blind,
        compress: args.compress,
        share_backing: args.force_share,
        gate: args.gate.gate(),
        keys: args.keys.keys()?,
        ..RebaseOptions::default()
    };
    let watch = Watch::start("rebasing", globals);
    let result = rebase(&args.image, &options, &watch);
    watch.finish();
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    tell(
        &result.map_err(|e| unchanged(Failure::from(e)))?,
        args.output,
        globals,
    )
}

/// Says what a rebase, or a pull, did.
pub(super) fn tell(done: &Rebased, output: OutputFormat, globals: &Globals) -> Outcome {
    let backing = done
        .backing
        .as_ref()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    match output {
        OutputFormat::Json => print_json(&json!({
            "image": done.image.display().to_string(),
            "backing-filename": backing.map_or(Value::Null, Value::from),
            "backing-filename-format": done.backing_format.clone().map_or(Value::Null, Value::from),
            "data": done.data,
        }))?,
        OutputFormat::Human => globals.say(|| {
            format!(
                "{}: {}, {} of data copied",
                done.image.display(),
                backing.map_or("stands on its own".into(), |name| format!("stands on {name}")),
                human_size(done.data)
            )
        }),
    }
    Ok(ExitCode::SUCCESS)
}
