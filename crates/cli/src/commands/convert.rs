//! `disksmith convert`.

use super::create_options::{self, ImageOptions};
use super::gate_args::GateArgs;
use super::key_args::{self, KeyArgs, KeySource};
use super::{Globals, ImageFormat, Watch};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, finish, print_json};
use clap::Args;
use disksmith_image::{
    BackingFile, ConvertOptions, Format, Image, Keys, OpenOptions, convert, human_size, write_raw,
};
use disksmith_storage::{Durability, Existing, LockMode};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Convert an image to another format, or flatten a chain
///
/// The output appears under its name only when it is complete. Data is read and written by several threads; what is not
/// allocated is neither read nor written, and zeroes become holes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith convert -O raw vm1.qcow2 vm1.raw\n  \
    disksmith convert -O qcow2 -c vm1.qcow2 small.qcow2\n  \
    disksmith convert -O raw vm1.qcow2 - | ssh host 'dd of=/dev/vg/vm1'")]
pub(crate) struct ConvertArgs {
    /// The image, or several that stand one behind the other in the output; then the output (`-`: standard output, raw)
    #[arg(required = true, num_args = 1.., value_names = ["IMAGE", "OUTPUT"])]
    files: Vec<PathBuf>,
    /// The images' format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// The output's format
    #[arg(short = 'O', long, value_name = "FORMAT", default_value = "raw")]
    output_format: ImageFormat,
    /// Compress (qcow2)
    #[arg(short = 'c', long)]
    compress: bool,
    /// Properties of the output: cluster_size=…,compression_type=zstd,…
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    /// Make an overlay of this backing file, which must hold what the image's own backing file holds
    #[arg(short = 'B', long, value_name = "FILE")]
    backing: Option<String>,
    /// Format of that backing file
    #[arg(short = 'F', long, value_name = "FORMAT")]
    backing_format: Option<ImageFormat>,
    /// Zeroes of this length become holes (0: no holes)
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = super::parse_size)]
    sparse_size: Option<u64>,
    /// Write into an image that exists
    #[arg(short = 'n', long)]
    no_create: bool,
    /// With -n: the image reads as zeroes already
    #[arg(long, requires = "no_create")]
    target_is_zero: bool,
    /// Number of threads
    #[arg(short = 'm', long, value_name = "N")]
    threads: Option<usize>,
    /// Have the operating system copy where it can (no search for zeroes)
    #[arg(short = 'C', long)]
    copy_range: bool,
    /// Accepted: writes are out of order wherever the output allows
    #[arg(short = 'W', hide = true)]
    out_of_order: bool,
    /// Wait until the output is on the disk
    #[arg(long)]
    sync: bool,
    /// Open the images even if somebody writes to them
    #[arg(short = 'U', long)]
    force_share: bool,
    /// Replace an output that exists (never one that has clones)
    #[arg(long)]
    force: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// Encrypt the output with LUKS; where its passphrase is: file:FILE, env:VARIABLE, or ask
    #[arg(long, value_name = "SOURCE", value_parser = key_args::source)]
    new_key: Option<KeySource>,
}

pub(crate) fn run(args: &ConvertArgs, globals: &Globals) -> Outcome {
    let Some((target, sources)) = args.files.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return Err(Failure::usage("convert needs an image and an output"));
    };
    let format: Format = args.output_format.into();
    let mut open = OpenOptions::read()
        .format(args.format.map(Into::into))
        .gate(args.gate.gate())
        .keys(args.keys.keys()?);
    if args.force_share {
        open = open.lock(LockMode::ForceShare);
    }
    if target.as_os_str() == "-" {
        return to_standard_output(sources, &open, format, globals);
    }
    let ImageOptions {
        mut create,
        backing_file,
        backing_format,
    } = create_options::parse(&args.options, format)
        .map_err(|failure| failure.doing(format_args!("cannot make {}", target.display())))?;
    let backing = args.backing.clone().or(backing_file).map(|name| BackingFile {
        name: name.into_bytes(),
        format: args.backing_format.map(Into::into).or(backing_format),
    });
    let mut keys = Keys::none();
    match (&args.new_key, args.no_create) {
        (Some(source), true) => keys = Keys::for_all(source.read("Passphrase of the output: ")?),
        (_, true) => {}
        (source, false) => key_args::encrypt(&mut create, format, source.as_ref())?,
    }
    let options = ConvertOptions {
        create,
        keys,
        compress: args.compress,
        backing,
        sparse_size: args.sparse_size,
        into_existing: args.no_create,
        target_is_zero: args.target_is_zero,
        threads: args.threads,
        copy_range: args.copy_range,
        existing: if args.force {
            Existing::Replace
        } else {
            Existing::Refuse
        },
        durability: if args.sync {
            Durability::Sync
        } else {
            Durability::Deferred
        },
        ..ConvertOptions::new(format)
    };
    let watch = Watch::start("converting", globals);
    let result = convert(sources, &open, target, &options, &watch);
    watch.finish();
    let report = result.map_err(|e| explain(e, target))?;
    if args.output == OutputFormat::Json {
        print_json(&serde_json::json!({
            "filename": target.display().to_string(),
            "format": format.name(),
            "virtual-size": report.virtual_size,
            "data": report.data,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    globals.say(|| {
        format!(
            "{}: {} {}, {} of data",
            target.display(),
            format.name(),
            human_size(report.virtual_size),
            human_size(report.data)
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn explain(error: disksmith_image::Error, target: &Path) -> Failure {
    let unchanged = if target.exists() {
        format!("{} is as it was", target.display())
    } else {
        format!("no {} was left behind", target.display())
    };
    Failure::from(error).unchanged(unchanged)
}

fn to_standard_output(sources: &[PathBuf], open: &OpenOptions, format: Format, globals: &Globals) -> Outcome {
    let [source] = sources else {
        return Err(Failure::usage("one image at a time goes to standard output"));
    };
    if format != Format::Raw {
        return Err(Failure::usage(format!(
            "only raw can go to standard output, not {}",
            format.name()
        )));
    }
    let image = Image::open(source, open)?;
    let watch = Watch::start("converting", globals);
    let mut out = std::io::stdout().lock();
    let result = write_raw(&**image.storage(), &mut out, &watch);
    watch.finish();
    match result {
        Err(disksmith_image::Error::File { source, .. })
            if source.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            finish(Err(source))?;
        }
        other => other?,
    }
    Ok(ExitCode::SUCCESS)
}
