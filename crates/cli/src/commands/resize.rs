//! `disksmith resize`.

use super::capacity::{CapacityArgs, fixed_clock};
use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, image_unchanged, parse_size};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::{Args, ValueEnum};
use disksmith_guest::{GrowOptions, ShrinkOptions, ShrinkTo};
use disksmith_image::{Image, NewSize, OpenOptions, ResizeOptions, human_size, resize};
use disksmith_qcow2::Preallocation;
use std::path::PathBuf;
use std::process::ExitCode;

/// Give the disk in an image another size
///
/// Partitions and filesystems in it stay as they are, unless --fs is given.
#[derive(Debug, Args)]
pub(crate) struct ResizeArgs {
    /// The image
    image: PathBuf,
    /// The new size (20G), or the difference (+5G, -5G)
    #[arg(allow_hyphen_values = true, value_parser = new_size, required_unless_present = "fs")]
    size: Option<NewSize>,
    /// Resize the last partition and the filesystem in it too, as `grow` and `shrink` do; without a size they fill the disk
    #[arg(long, conflicts_with = "preallocation")]
    fs: bool,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Allow the disk to become smaller, which throws away what lies behind its new end
    #[arg(long)]
    shrink: bool,
    /// What is done about the space of the part that is new
    #[arg(long, value_name = "MODE", default_value = "off")]
    preallocation: PreallocationMode,
    /// Resize even a base that has clones
    #[arg(long)]
    force: bool,
    /// Where the redo log of a raw image goes, if not beside it
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PreallocationMode {
    /// Take none: the image grows as it is written
    Off,
    /// Make the tables
    Metadata,
    /// Take the space, without writing to it
    Falloc,
    /// Write zeroes to it
    Full,
}

impl From<PreallocationMode> for Preallocation {
    fn from(mode: PreallocationMode) -> Self {
        match mode {
            PreallocationMode::Off => Self::Off,
            PreallocationMode::Metadata => Self::Metadata,
            PreallocationMode::Falloc => Self::Falloc,
            PreallocationMode::Full => Self::Full,
        }
    }
}

/// Reads a size, or a difference.
pub(super) fn new_size(text: &str) -> Result<NewSize, String> {
    Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(more), _) => NewSize::Grow(parse_size(more)?),
        (_, Some(less)) => NewSize::Shrink(parse_size(less)?),
        _ => NewSize::To(parse_size(text)?),
    })
}

/// Resizes what is in the image too.
fn run_with_contents(args: &ResizeArgs, globals: &Globals) -> Outcome {
    let edit = CapacityArgs {
        format: args.format,
        dry_run: false,
        force: args.force,
        log_dir: args.log_dir.clone(),
        output: args.output,
        gate: args.gate.clone(),
        keys: args.keys.clone(),
    };
    let clock = fixed_clock()?;
    let disk = edit.disk(&args.image);
    let transaction = edit.transaction()?;
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    let open = OpenOptions::read()
        .format(disk.format)
        .gate(args.gate.gate())
        .keys(args.keys.keys()?);
    let old = Image::open(&args.image, &open)
        .map_err(|e| unchanged(Failure::from(e)))?
        .size();
    let becomes_smaller = match args.size {
        Some(NewSize::Shrink(_)) => true,
        Some(NewSize::To(bytes)) => bytes < old,
        _ => false,
    };
    let report = match args.size {
        Some(size) if becomes_smaller => {
            let to = ShrinkTo::Size(size);
            disksmith_guest::shrink(&disk, &transaction, &ShrinkOptions { to, clock })
        }
        size => {
            let options = GrowOptions {
                size,
                partition: None,
                keep_filesystem: false,
                clock,
            };
            disksmith_guest::grow(&disk, &transaction, &options)
        }
    };
    let report = report.map_err(|e| unchanged(Failure::from(e)))?;
    edit.print(&report, globals)
}

pub(crate) fn run(args: &ResizeArgs, globals: &Globals) -> Outcome {
    if args.fs {
        return run_with_contents(args, globals);
    }
    let size = args.size.ok_or_else(|| Failure::usage("no size is given"))?;
    let options = ResizeOptions {
        format: args.format.map(Into::into),
        shrink: args.shrink,
        force: args.force,
        preallocation: args.preallocation.into(),
        log_dir: args.log_dir.clone(),
        gate: args.gate.gate(),
        keys: args.keys.keys()?,
    };
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    let size = resize(&args.image, size, &options).map_err(|e| unchanged(Failure::from(e)))?;
    if args.output == OutputFormat::Json {
        print_json(&serde_json::json!({
            "image": args.image.display().to_string(),
            "virtual-size": size,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    globals.say(|| format!("{}: {} ({size} bytes)", args.image.display(), human_size(size)));
    Ok(ExitCode::SUCCESS)
}
