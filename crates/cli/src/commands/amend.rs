//! `disksmith amend`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, image_unchanged, parse_size};
use crate::failure::{Failure, Outcome};
use clap::{Args, ValueEnum};
use disksmith_image::{AmendOptions, ChangeOptions, amend};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Change the form of a qcow2 image without copying it
///
/// Whatever happens in the middle of it, the image holds its data in the old form or in the new one.
#[derive(Debug, Args)]
pub(crate) struct AmendArgs {
    /// The image
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// The version of the format: 0.10 (v2) or 1.1 (v3)
    #[arg(long, value_name = "VERSION")]
    compat: Option<Compat>,
    /// Width of a reference count: 1, 2, 4, 8, 16, 32 or 64 bits
    #[arg(long, value_name = "BITS")]
    refcount_bits: Option<u64>,
    /// Whether programs may write reference counts late
    #[arg(long, value_name = "WHETHER")]
    lazy_refcounts: Option<Switch>,
    /// Another name for the external data file, as it is to stand in the image
    #[arg(long, value_name = "NAME")]
    data_file: Option<OsString>,
    /// Whether the external data file must always be a raw image by itself: that can only be taken back
    #[arg(long, value_name = "WHETHER")]
    data_file_raw: Option<Switch>,
    /// Size of the disk: what is behind a smaller one is thrown away
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
    /// Give another size even to a base that has clones
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compat {
    /// Version 2
    #[value(name = "0.10", alias = "v2")]
    V2,
    /// Version 3
    #[value(name = "1.1", alias = "v3")]
    V3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

pub(crate) fn run(args: &AmendArgs, globals: &Globals) -> Outcome {
    let options = AmendOptions {
        version: args.compat.map(|compat| match compat {
            Compat::V2 => 2,
            Compat::V3 => 3,
        }),
        refcount_bits: args.refcount_bits,
        lazy_refcounts: args.lazy_refcounts.map(|switch| switch == Switch::On),
        data_file: args.data_file.clone().map(OsString::into_vec),
        data_file_raw: args.data_file_raw.map(|switch| switch == Switch::On),
        size: args.size,
    };
    let how = ChangeOptions {
        format: args.format.map(Into::into),
        force: args.force,
        gate: args.gate.gate(),
        keys: args.keys.keys()?,
    };
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    amend(&args.image, &options, &how).map_err(|e| unchanged(Failure::from(e)))?;
    globals.say(|| format!("{}: amended", args.image.display()));
    Ok(ExitCode::SUCCESS)
}
