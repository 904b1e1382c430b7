//! `disksmith resize`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, image_unchanged, parse_size};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::{Args, ValueEnum};
use disksmith_image::{NewSize, ResizeOptions, human_size, resize};
use disksmith_qcow2::Preallocation;
use std::path::PathBuf;
use std::process::ExitCode;

/// Give the disk in an image another size
///
/// Partitions and filesystems in it stay as they are.
#[derive(Debug, Args)]
pub(crate) struct ResizeArgs {
    /// The image
    image: PathBuf,
    /// The new size (20G), or the difference (+5G, -5G)
    #[arg(allow_hyphen_values = true, value_parser = new_size)]
    size: NewSize,
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

fn new_size(text: &str) -> Result<NewSize, String> {
    Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(more), _) => NewSize::Grow(parse_size(more)?),
        (_, Some(less)) => NewSize::Shrink(parse_size(less)?),
        _ => NewSize::To(parse_size(text)?),
    })
}

pub(crate) fn run(args: &ResizeArgs, globals: &Globals) -> Outcome {
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
    let size = resize(&args.image, args.size, &options).map_err(|e| unchanged(Failure::from(e)))?;
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
