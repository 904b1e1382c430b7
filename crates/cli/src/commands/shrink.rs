//! `disksmith shrink`.

use super::capacity::{CapacityArgs, fixed_clock};
use super::resize::new_size;
use super::{Globals, image_unchanged};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_guest::{ShrinkOptions, ShrinkTo, shrink};
use disksmith_image::NewSize;
use std::path::PathBuf;

/// Shrink an image with the partition and the filesystem in it, in one go
///
/// The ext2, ext3 or ext4 filesystem that lies last, its partition, the end of the partition table and the image are shrunk
/// in one transaction. Without a size, and with --report, only the smallest size is told.
#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// The image
    image: PathBuf,
    /// The new size (5G), or how much less (-5G)
    #[arg(allow_hyphen_values = true, value_parser = new_size, conflicts_with_all = ["minimum", "report"])]
    size: Option<NewSize>,
    /// As small as the files in it allow
    #[arg(long, conflicts_with = "report")]
    minimum: bool,
    /// Only tell how small it could be
    #[arg(long)]
    report: bool,
    #[command(flatten)]
    edit: CapacityArgs,
}

pub(crate) fn run(args: &ShrinkArgs, globals: &Globals) -> Outcome {
    let to = match args.size {
        Some(size) => ShrinkTo::Size(size),
        None if args.minimum => ShrinkTo::Minimum,
        None if args.report || args.edit.dry_run => ShrinkTo::Report,
        None => {
            return Err(Failure::usage("no size is given")
                .or_hint("give a size (5G, -5G), or --minimum; --report tells how small it could be"));
        }
    };
    let options = ShrinkOptions {
        to,
        clock: fixed_clock()?,
    };
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    let report = shrink(&args.edit.disk(&args.image), &args.edit.transaction()?, &options)
        .map_err(|error| unchanged(Failure::from(error)))?;
    args.edit.print(&report, globals)
}
