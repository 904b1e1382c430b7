//! `disksmith fstrim`.

use super::sparsify::ThinArgs;
use super::{Globals, ImageFormat, image_unchanged};
use crate::clock;
use crate::failure::Outcome;
use crate::output::{OutputFormat, print};
use clap::Args;
use disksmith_disks::{VolumeOutcome, trim};
use disksmith_image::{DiskSpec, Output, human_size};
use std::path::PathBuf;
use std::process::ExitCode;

/// Give back the free space of a guest's filesystems, in place, as fstrim does in the guest
#[derive(Debug, Args)]
pub(crate) struct FstrimArgs {
    /// The image
    #[arg(short = 'a', long = "add", value_name = "IMAGE")]
    image: PathBuf,
    /// The image's format, instead of detecting it
    #[arg(long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Only this volume (/dev/sda1); several
    #[arg(short = 'm', long = "mount", value_name = "DEVICE")]
    devices: Vec<String>,
    #[command(flatten)]
    how: ThinArgs,
}

pub(crate) fn run(args: &FstrimArgs, globals: &Globals) -> Outcome {
    let disk = DiskSpec {
        path: args.image.clone(),
        format: args.format.map(Into::into),
        output: Output::InPlace,
    };
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    let report = trim(&disk, &args.how.transaction()?, &args.devices, clock::now()?)
        .map_err(|error| unchanged(error.into()))?;
    if args.how.print == OutputFormat::Json {
        return args.how.report(&report);
    }
    for volume in &report.volumes {
        match &volume.outcome {
            VolumeOutcome::Trimmed { free, .. } => {
                print(format!(
                    "{}: {} ({free} bytes) trimmed\n",
                    volume.device,
                    human_size(*free)
                ))?;
            }
            VolumeOutcome::Skipped { reason } => {
                globals.say(|| format!("{}: left alone: {reason}", volume.device));
            }
            VolumeOutcome::Zeroed | VolumeOutcome::Ignored => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
