//! `disksmith check`.

use super::gate_args::GateArgs;
use super::{Globals, ImageFormat};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print};
use clap::{Args, ValueEnum};
use disksmith_image::{EXIT_NOT_CHECKABLE, Error, check_telling};
use disksmith_qcow2::{Finding, Repair, Stop};
use disksmith_storage::LockMode;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check an image's metadata, and repair it if told so
///
/// Exit status 0: no errors; 1: the check could not be completed; 2: corruptions; 3: leaked clusters only; 63: the format has
/// no check.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The image
    image: PathBuf,
    /// Its format, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Repair this
    #[arg(short = 'r', long, value_name = "WHAT")]
    repair: Option<What>,
    /// Check even if somebody writes to the image
    #[arg(short = 'U', long, conflicts_with = "repair")]
    force_share: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    // A check opens no file that the image names, so the gate is never asked.
    #[command(flatten)]
    _gate: GateArgs,
}

/// So many findings are told one by one.
const MOST_TOLD: u32 = 100;

/// What is repaired.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Clusters that nothing uses
    Leaks,
    /// Everything that can be
    All,
}

pub(crate) fn run(args: &CheckArgs, globals: &Globals) -> Outcome {
    let repair = match args.repair {
        None => Repair::None,
        Some(What::Leaks) => Repair::Leaks,
        Some(What::All) => Repair::All,
    };
    let lock = if args.force_share {
        LockMode::ForceShare
    } else {
        LockMode::Lock
    };
    let (mut told, mut more) = (0u32, 0u64);
    let mut tell = |finding: &Finding| {
        if told < MOST_TOLD {
            told += 1;
            eprintln!("{}: {finding}", args.image.display());
        } else {
            more += 1;
        }
    };
    let format = args.format.map(Into::into);
    let report = match check_telling(&args.image, format, repair, lock, &mut tell) {
        Ok(report) => report,
        Err(error @ Error::NotForFormat { .. }) => {
            return Err(Failure::from(error).status_at_least(EXIT_NOT_CHECKABLE));
        }
        Err(error) => return Err(Failure::from(error).exactly_status(1)),
    };
    if more > 0 {
        eprintln!("{}: and {more} more of the kind", args.image.display());
    }
    if let Some(why) = report.stopped {
        let reason = match why {
            Stop::TooLarge => "a table, or the file, is larger than can be",
            Stop::Invalid => "a table is not where, or not what, it should be",
            _ => "what is wrong can only be repaired with `--repair all`",
        };
        let text = format!("{}: the check came to no end: {reason}", args.image.display());
        return Err(Failure::from(Error::BadOption(text)).exactly_status(1));
    }
    match args.output {
        OutputFormat::Json => print(report.to_json())?,
        OutputFormat::Human if globals.quiet && report.is_clean() => {}
        OutputFormat::Human => print(report.to_human())?,
    }
    Ok(ExitCode::from(report.exit_status()))
}
