//! `disksmith pull`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::rebase::tell;
use super::{Globals, ImageFormat, Watch, image_unchanged};
use crate::failure::{Failure, Outcome};
use crate::output::OutputFormat;
use clap::Args;
use disksmith_image::{PullOptions, pull};
use std::path::PathBuf;

/// Take what an image has from its backing files into the image itself
///
/// With --base only what lies above that one. The images below are not changed; this one needs them no more. Whatever happens in the middle of it, the
/// image needs all of them or those below the base.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith pull vm1.qcow2\n  \
    disksmith pull --base template.qcow2 vm1.qcow2")]
pub(crate) struct PullArgs {
    /// The image
    image: PathBuf,
    /// The image of the chain that it shall stand on afterwards, if on any
    #[arg(short = 'b', long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Compress what is copied
    #[arg(short = 'c', long)]
    compress: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(crate) fn run(args: &PullArgs, globals: &Globals) -> Outcome {
    let options = PullOptions {
        format: args.format.map(Into::into),
        base: args.base.clone(),
        compress: args.compress,
        gate: args.gate.gate(),
        keys: args.keys.keys()?,
        ..PullOptions::default()
    };
    let watch = Watch::start("pulling", globals);
    let result = pull(&args.image, &options, &watch);
    watch.finish();
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    tell(
        &result.map_err(|e| unchanged(Failure::from(e)))?,
        args.output,
        globals,
    )
}
