//! `disksmith compare`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, Watch};
use crate::failure::Outcome;
use crate::output::print;
use clap::Args;
use disksmith_image::{Image, OpenOptions, compare};
use disksmith_storage::LockMode;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare the contents of two images
///
/// Formats, chains and sparseness do not matter, what a guest reads does. Where one image is longer, the rest must read as
/// zeroes. Exit status 0: equal; 1: different; 2 or more: an error.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The first image
    first: PathBuf,
    /// The second image
    second: PathBuf,
    /// The first image's format, instead of detecting it
    #[arg(short = 'f', value_name = "FORMAT")]
    first_format: Option<ImageFormat>,
    /// The second image's format, instead of detecting it
    #[arg(short = 'F', value_name = "FORMAT")]
    second_format: Option<ImageFormat>,
    /// Sizes, and what is allocated, must be equal too
    #[arg(short = 's', long)]
    strict: bool,
    /// Open the images even if somebody writes to them
    #[arg(short = 'U', long)]
    force_share: bool,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(crate) fn run(args: &CompareArgs, globals: &Globals) -> Outcome {
    let keys = args.keys.keys()?;
    let open = |path: &PathBuf, format: Option<ImageFormat>| {
        let mut options = OpenOptions::read()
            .format(format.map(Into::into))
            .gate(args.gate.gate())
            .keys(keys.clone());
        if args.force_share {
            options = options.lock(LockMode::ForceShare);
        }
        Image::open(path, &options)
    };
    // an error is never taken for a difference
    let failed = |failure: crate::failure::Failure| failure.status_at_least(2);
    let first = open(&args.first, args.first_format).map_err(|e| failed(e.into()))?;
    let second = open(&args.second, args.second_format).map_err(|e| failed(e.into()))?;
    let watch = Watch::start("comparing", globals);
    let result = compare(&**first.storage(), &**second.storage(), args.strict, &watch)
        .map_err(|e| failed(e.into()))?;
    watch.finish();
    if !globals.quiet {
        print(result.to_human())?;
    }
    Ok(ExitCode::from(result.exit_status()))
}
