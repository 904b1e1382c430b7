//! `disksmith bitmap`.

use super::gate_args::GateArgs;
use super::{Globals, ImageFormat, image_unchanged, parse_size};
use crate::failure::{Failure, Outcome};
use crate::output::print;
use clap::{Args, Subcommand};
use disksmith_image::{BitmapChange, ChangeOptions, Image, OpenOptions, bitmaps_of, change_bitmap};
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitCode;

/// Record inside a qcow2 image which parts of its disk change: persistent dirty bitmaps
///
/// Whatever happens in the middle of it, the image holds the old bitmaps or the new ones.
#[derive(Debug, Args)]
pub(crate) struct BitmapArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the bitmaps
    List(ImageArgs),
    /// Make a bitmap, which records changes from now on
    Add {
        #[command(flatten)]
        named: NamedArgs,
        /// So many bytes of the disk share a bit: a power of two, at least 512
        #[arg(short = 'g', long, value_name = "SIZE", value_parser = parse_size)]
        granularity: Option<u64>,
        /// Record nothing for now
        #[arg(long)]
        disabled: bool,
    },
    /// Remove a bitmap
    Remove(NamedArgs),
    /// Make a bitmap forget what it recorded
    Clear(NamedArgs),
    /// Let a bitmap record changes from now on
    Enable(NamedArgs),
    /// Let a bitmap record no more changes
    Disable(NamedArgs),
    /// Add to a bitmap what others recorded
    Merge {
        #[command(flatten)]
        named: NamedArgs,
        /// The bitmaps that are added
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<OsString>,
        /// The image whose bitmaps are added
        #[arg(short = 'b', long, value_name = "IMAGE")]
        from: Option<PathBuf>,
        /// The format of that image, instead of detecting it
        #[arg(short = 'F', long, value_name = "FORMAT", requires = "from")]
        from_format: Option<ImageFormat>,
    },
}

#[derive(Debug, Args)]
struct ImageArgs {
    /// The image
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    #[command(flatten)]
    gate: GateArgs,
}

#[derive(Debug, Args)]
struct NamedArgs {
    #[command(flatten)]
    image: ImageArgs,
    /// The bitmap
    bitmap: OsString,
}

pub(crate) fn run(args: &BitmapArgs, globals: &Globals) -> Outcome {
    let mut source = None;
    let (named, changes, done) = match &args.action {
        Action::List(image) => return list(image, globals),
        Action::Add {
            named,
            granularity,
            disabled,
        } => {
            let mut changes = vec![BitmapChange::Add(*granularity)];
            if *disabled {
                changes.push(BitmapChange::Disable);
            }
            (named, changes, "made")
        }
        Action::Remove(named) => (named, vec![BitmapChange::Remove], "removed"),
        Action::Clear(named) => (named, vec![BitmapChange::Clear], "cleared"),
        Action::Enable(named) => (named, vec![BitmapChange::Enable], "enabled"),
        Action::Disable(named) => (named, vec![BitmapChange::Disable], "disabled"),
        Action::Merge {
            named,
            sources,
            from,
            from_format,
        } => {
            if let Some(from) = from {
                let open = OpenOptions::read().format(from_format.map(Into::into));
                let open = open.gate(named.image.gate.gate());
                source = Some(Image::open(from, &open.without_backing().metadata_only())?);
            }
            let merge = |name: &OsString| BitmapChange::Merge(name.clone().into_vec());
            (named, sources.iter().map(merge).collect(), "merged")
        }
    };
    let how = ChangeOptions {
        format: named.image.format.map(Into::into),
        gate: named.image.gate.gate(),
        ..ChangeOptions::default()
    };
    let path = named.image.image.as_path();
    let unchanged = image_unchanged(std::slice::from_ref(&named.image.image));
    change_bitmap(path, named.bitmap.as_bytes(), &changes, source.as_ref(), &how)
        .map_err(|e| unchanged(Failure::from(e)))?;
    globals.say(|| {
        format!(
            "{}: {done} bitmap '{}'",
            path.display(),
            named.bitmap.to_string_lossy()
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ImageArgs, globals: &Globals) -> Outcome {
    let open = OpenOptions::read()
        .format(args.format.map(Into::into))
        .gate(args.gate.gate())
        .without_backing()
        .metadata_only();
    let bitmaps = bitmaps_of(&Image::open(&args.image, &open)?)?;
    if bitmaps.is_empty() {
        globals.say(|| format!("{} has no bitmaps", args.image.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{:<24} {:>11} STATE\n", "NAME", "GRANULARITY");
    for bitmap in &bitmaps {
        let state = match (bitmap.is_consistent(), bitmap.is_enabled()) {
            (false, _) => "inconsistent",
            (true, true) => "recording",
            (true, false) => "disabled",
        };
        let granularity = 1u64 << bitmap.granularity_bits.min(63);
        let name: String = String::from_utf8_lossy(&bitmap.name)
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        // writing into a text cannot fail
        let _ = writeln!(text, "{name:<24} {granularity:>11} {state}");
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}
