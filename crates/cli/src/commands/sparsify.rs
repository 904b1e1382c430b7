//! `disksmith sparsify`.

use super::create_options::{self, ImageOptions};
use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, Watch, image_unchanged};
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_disks::{SparsifyOptions, SparsifyReport, VolumeOutcome, sparsify, sparsify_copy};
use disksmith_image::{ConvertOptions, DiskSpec, Format, Output, TransactionOptions, human_size};
use disksmith_storage::Existing;
use std::path::PathBuf;
use std::process::ExitCode;

/// Give back the space that no file of the guest takes
///
/// In place (without OUTPUT) what is free in the guest's filesystems becomes holes, or clusters that are not allocated; swap space keeps its
/// header. With OUTPUT it is a copy that takes no space for it, and IMAGE stays as it is. What disksmith cannot look into is
/// left alone and named.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith sparsify vm1.qcow2\n  \
    disksmith sparsify -c -O qcow2 vm1.raw template.qcow2")]
pub(crate) struct SparsifyArgs {
    /// The image
    image: PathBuf,
    /// A sparse copy of it
    output: Option<PathBuf>,
    /// The image's format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Work in place; the same as naming no output
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// Leave this volume alone (/dev/sda2)
    #[arg(long, value_name = "DEVICE")]
    ignore: Vec<String>,
    /// Make everything on this volume zero: ALL ITS DATA IS LOST
    #[arg(long, value_name = "DEVICE")]
    zero: Vec<String>,
    /// Format of the copy; by default that of the image
    #[arg(
        short = 'O',
        long,
        visible_alias = "convert",
        value_name = "FORMAT",
        requires = "output"
    )]
    output_format: Option<ImageFormat>,
    /// Compress the copy (qcow2)
    #[arg(short = 'c', long, requires = "output")]
    compress: bool,
    /// Properties of the copy: cluster_size=…
    #[arg(short = 'o', value_name = "OPTIONS", requires = "output")]
    options: Vec<String>,
    #[command(flatten)]
    how: ThinArgs,
}

/// How an image is thinned.
#[derive(Debug, Args)]
pub(crate) struct ThinArgs {
    /// Show what would be given back, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Change even a base that has clones; replace a copy that exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Where the redo log of a raw image goes, if not beside it
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// How to print the result
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    pub(crate) print: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

impl ThinArgs {
    /// How the image is edited.
    pub(crate) fn transaction(&self) -> Outcome<TransactionOptions> {
        Ok(TransactionOptions {
            dry_run: self.dry_run,
            log_dir: self.log_dir.clone(),
            force: self.force,
            gate: self.gate.gate(),
            keys: self.keys.keys()?,
            ..TransactionOptions::default()
        })
    }

    /// Prints what was done.
    pub(crate) fn report(&self, report: &SparsifyReport) -> Outcome {
        if self.print == OutputFormat::Json {
            let value = serde_json::to_value(report)
                .map_err(|error| Failure::new(disksmith_storage::ErrorKind::Failed, error.to_string()))?;
            print_json(&value)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut text = String::new();
        for volume in &report.volumes {
            let done = match &volume.outcome {
                VolumeOutcome::Trimmed { free, given_back } => format!(
                    "{} given back, {} free",
                    human_size(*given_back),
                    human_size(*free)
                ),
                VolumeOutcome::Zeroed => "zeroed".into(),
                VolumeOutcome::Ignored => "ignored".into(),
                VolumeOutcome::Skipped { reason } => format!("left alone: {reason}"),
            };
            text += &format!("{} ({}): {done}\n", volume.device, volume.kind);
        }
        if !self.dry_run {
            text += &format!(
                "on the host: {} before, {} now\n",
                human_size(report.before),
                human_size(report.after)
            );
        }
        print(text)?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn run(args: &SparsifyArgs, globals: &Globals) -> Outcome {
    let disk = DiskSpec {
        path: args.image.clone(),
        format: args.format.map(Into::into),
        output: Output::InPlace,
    };
    let options = SparsifyOptions {
        only: Vec::new(),
        ignore: args.ignore.clone(),
        zero: args.zero.clone(),
        clock: clock::now()?,
    };
    let transaction = args.how.transaction()?;
    let unchanged = image_unchanged(std::slice::from_ref(&args.image));
    let Some(output) = &args.output else {
        let report = sparsify(&disk, &transaction, &options).map_err(|error| unchanged(error.into()))?;
        return args.how.report(&report);
    };
    if args.how.dry_run {
        return Err(Failure::usage("--dry-run goes without OUTPUT"));
    }
    let format: Format = match args.output_format {
        Some(format) => format.into(),
        None => format_of(&args.image, &disk, &transaction)?,
    };
    let ImageOptions { create, .. } = create_options::parse(&args.options, format)?;
    let convert = ConvertOptions {
        create,
        compress: args.compress,
        existing: if args.how.force {
            Existing::Replace
        } else {
            Existing::Refuse
        },
        ..ConvertOptions::new(format)
    };
    let watch = Watch::start("copying", globals);
    let copied = sparsify_copy(&disk, &transaction, &options, output, &convert, &watch);
    watch.finish();
    let (report, _) = copied
        .map_err(|error| Failure::from(error).unchanged(format!("no {} was made", output.display())))?;
    args.how.report(&report)
}

/// The format that an image has.
pub(crate) fn format_of(
    path: &std::path::Path,
    disk: &DiskSpec,
    transaction: &TransactionOptions,
) -> Outcome<Format> {
    let open = disksmith_image::OpenOptions::read()
        .format(disk.format)
        .gate(transaction.gate.clone())
        .keys(transaction.keys.clone())
        .lock(disksmith_storage::LockMode::None);
    let image = disksmith_image::Image::open(path, &open)?;
    let format = image.top().map_or(Format::Raw, disksmith_image::Layer::format);
    // An encrypted image is not copied into another that anybody can read, without being asked to.
    if format == Format::Luks {
        return Err(Failure::usage(
            "say with --output-format what the copy of the encrypted image shall be",
        ));
    }
    Ok(format)
}
