//! `disksmith clone`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat, Watch};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::Args;
use disksmith_image::{CloneOptions, Format, NamePattern, clone_full, clone_linked};
use disksmith_storage::Existing;
use std::path::PathBuf;
use std::process::ExitCode;

/// So many clones are made at once at most.
const MAX_CLONES: u64 = 1_000_000;

/// Make linked clones of a template, or full copies
///
/// A linked clone is a qcow2 overlay: it holds what is changed in it and reads the rest from its base, which it names
/// relative to its own folder. A base that has clones must not be changed any more; --protect-base takes everybody's right
/// to write to it away.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  disksmith clone template.qcow2 vm1.qcow2 vm2.qcow2\n  \
    disksmith clone --count 1000 template.qcow2 'fleet/vm-%04d.qcow2'\n  \
    disksmith clone --full template.qcow2 standalone.qcow2"
)]
pub(crate) struct CloneArgs {
    /// The image to clone
    base: PathBuf,
    /// The new images; with --count, one name that holds %d or %04d
    #[arg(required = true)]
    clones: Vec<PathBuf>,
    /// Make so many clones, numbered from --start
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// The first number
    #[arg(long, value_name = "N", default_value_t = 1, requires = "count")]
    start: u64,
    /// Copies that need no other file
    #[arg(long)]
    full: bool,
    /// Format of a full copy
    #[arg(short = 'O', long, value_name = "FORMAT", requires = "full")]
    output_format: Option<ImageFormat>,
    /// The base's format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Size of the clones' disks, where it shall be more than the base's (512M, 20G)
    #[arg(long, value_parser = super::parse_size)]
    size: Option<u64>,
    /// Make the base read-only once the clones are made
    #[arg(long)]
    protect_base: bool,
    /// Replace files that are there already (never those that have clones of their own)
    #[arg(long)]
    force: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(crate) fn run(args: &CloneArgs, globals: &Globals) -> Outcome {
    let targets = match (args.count, args.clones.as_slice()) {
        (Some(count), _) if count == 0 || count > MAX_CLONES || args.start.checked_add(count).is_none() => {
            return Err(Failure::usage(format!(
                "--count {count} from {} is no number of clones: 1 to {MAX_CLONES} can be made at once",
                args.start
            )));
        }
        (Some(count), [pattern]) => NamePattern::parse(pattern)?.names(args.start, count).collect(),
        (Some(_), _) => {
            return Err(Failure::usage(
                "--count goes with one name, that holds %d or %04d",
            ));
        }
        (None, names) => names.to_vec(),
    };
    let options = CloneOptions {
        base_format: args.format.map(Into::into),
        size: args.size,
        existing: if args.force {
            Existing::Replace
        } else {
            Existing::Refuse
        },
        protect_base: args.protect_base,
        gate: args.gate.gate(),
        keys: args.keys.keys()?,
        ..CloneOptions::default()
    };
    let watch = Watch::start("cloning", globals);
    let format = args.output_format.map_or(Format::Qcow2, Into::into);
    let result = if args.full {
        clone_full(&args.base, &targets, &options, format, &watch)
    } else {
        clone_linked(&args.base, &targets, &options, &watch)
    };
    watch.finish();
    result.map_err(|e| Failure::from(e).unchanged("no clone was left behind"))?;
    if args.output == OutputFormat::Json {
        let names: Vec<String> = targets.iter().map(|t| t.display().to_string()).collect();
        print_json(&serde_json::json!({
            "base": args.base.display().to_string(),
            "full": args.full,
            "clones": names,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    globals.say(|| match targets.as_slice() {
        [one] => format!(
            "{}: {} of {}",
            one.display(),
            kind(args.full),
            args.base.display()
        ),
        many => format!("{} {}s of {}", many.len(), kind(args.full), args.base.display()),
    });
    Ok(ExitCode::SUCCESS)
}

fn kind(full: bool) -> &'static str {
    if full { "full copy" } else { "linked clone" }
}
