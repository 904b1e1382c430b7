//! `disksmith info`.

use super::ImageFormat;
use super::gate_args::GateArgs;
use crate::failure::Outcome;
use crate::output::{OutputFormat, print};
use clap::Args;
use disksmith_image::{ImageInfo, InfoOptions, chain_tree, chain_tree_to_human, chain_tree_to_json, info};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tell what an image is: format, sizes, backing file, snapshots
///
/// Reads headers only and takes no lock, so it works on an image that a virtual machine has open. The text and the JSON
/// are those of `qemu-img info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// The image
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Every image of the backing chain
    #[arg(long)]
    backing_chain: bool,
    /// The backing chain as a tree, with the clones found beside each image
    #[arg(long, conflicts_with = "backing_chain")]
    chain: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
}

pub(crate) fn run(args: &InfoArgs) -> Outcome {
    let options = InfoOptions {
        format: args.format.map(Into::into),
        chain: args.backing_chain,
        gate: args.gate.gate(),
    };
    if args.chain {
        let tree = chain_tree(&args.image, &options)?;
        print(match args.output {
            OutputFormat::Json => chain_tree_to_json(&tree),
            OutputFormat::Human => chain_tree_to_human(&tree),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let images = info(&args.image, &options)?;
    let text = match (args.output, args.backing_chain, images.first()) {
        (OutputFormat::Json, true, _) => ImageInfo::chain_to_json(&images),
        (OutputFormat::Human, true, _) => ImageInfo::chain_to_human(&images, &local_date),
        (OutputFormat::Json, false, Some(image)) => image.to_json(),
        (OutputFormat::Human, false, Some(image)) => image.to_human(&local_date),
        (_, false, None) => String::new(),
    };
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Seconds since 1970 as a date in this machine's time zone.
pub(crate) fn local_date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => seconds.to_string(),
    }
}
