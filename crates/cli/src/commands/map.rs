//! `disksmith map`.

use super::ImageFormat;
use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print};
use clap::Args;
use disksmith_image::{Image, OpenOptions, map, map_to_human, map_to_json};
use disksmith_storage::{ErrorKind, LockMode};
use std::path::PathBuf;
use std::process::ExitCode;

/// Show which ranges of an image hold data, and where
#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    /// The image
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Open the image even if somebody writes to it
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

pub(crate) fn run(args: &MapArgs) -> Outcome {
    let mut options = OpenOptions::read()
        .format(args.format.map(Into::into))
        .gate(args.gate.gate())
        .keys(args.keys.keys()?);
    if args.force_share {
        options = options.lock(LockMode::ForceShare);
    }
    let image = Image::open(&args.image, &options)?;
    let entries = map(&**image.storage(), 0, image.size())?;
    print(match args.output {
        OutputFormat::Json => map_to_json(&entries),
        OutputFormat::Human => map_to_human(&entries).ok_or_else(|| {
            Failure::new(
                ErrorKind::Unsupported,
                format!(
                    "{}: compressed or encrypted data has no place that a table could show",
                    args.image.display()
                ),
            )
            .or_hint("use --output json")
        })?,
    })?;
    Ok(ExitCode::SUCCESS)
}
