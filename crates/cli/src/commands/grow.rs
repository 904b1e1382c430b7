//! `disksmith grow`.

use super::capacity::{CapacityArgs, fixed_clock};
use super::resize::new_size;
use super::{Globals, image_unchanged};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_guest::{GrowOptions, grow};
use disksmith_image::NewSize;
use std::path::PathBuf;

/// Grow an image with the partition and the filesystem in it, in one go
///
/// The image, the end of its partition table, the partition that lies last (same number and identifiers) and the ext2, ext3
/// or ext4 filesystem in it are grown in one transaction. What cannot be grown from outside is named, and the exit status
/// is 8 then.
#[derive(Debug, Args)]
pub(crate) struct GrowArgs {
    /// The image
    image: PathBuf,
    /// The new size (20G), or how much more (+5G); without one, what is in the image fills it
    #[arg(value_parser = new_size)]
    size: Option<NewSize>,
    /// The partition that gets the room, instead of the last one
    #[arg(short = 'p', long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// Grow image and partition only
    #[arg(long)]
    no_filesystem: bool,
    #[command(flatten)]
    edit: CapacityArgs,
}

pub(crate) fn run(args: &GrowArgs, globals: &Globals) -> Outcome {
    let options = GrowOptions {
        size: args.size,
        partition: args.partition,
        keep_filesystem: args.no_filesystem,
        clock: fixed_clock()?,
    };
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    let report = grow(&args.edit.disk(&args.image), &args.edit.transaction()?, &options)
        .map_err(|error| unchanged(Failure::from(error)))?;
    args.edit.print(&report, globals)
}
