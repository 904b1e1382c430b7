//! What `grow`, `shrink` and `resize --fs` have in common: options of the edit, and how their report is printed.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat};
use crate::clock;
use crate::failure::Outcome;
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_guest::CapacityReport;
use disksmith_image::{DiskSpec, TransactionOptions, human_size};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Done, but something has to be done in the guest.
const STATUS_REMAINS: u8 = 8;

/// How the edit is made.
#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// Format of the image, instead of detecting it
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    pub(super) format: Option<ImageFormat>,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Edit even a base that has clones, which this corrupts
    #[arg(long)]
    pub(super) force: bool,
    /// Where the redo log of a raw image goes, if not beside it
    #[arg(long, value_name = "DIR")]
    pub(super) log_dir: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(super) output: OutputFormat,
    #[command(flatten)]
    pub(super) gate: GateArgs,
    #[command(flatten)]
    pub(super) keys: KeyArgs,
}

impl CapacityArgs {
    /// The image, to be changed in place.
    pub(crate) fn disk(&self, image: &Path) -> DiskSpec {
        DiskSpec {
            format: self.format.map(Into::into),
            ..DiskSpec::in_place(image)
        }
    }

    /// The transaction.
    pub(crate) fn transaction(&self) -> Outcome<TransactionOptions> {
        Ok(TransactionOptions {
            dry_run: self.dry_run,
            log_dir: self.log_dir.clone(),
            gate: self.gate.gate(),
            force: self.force,
            keys: self.keys.keys()?,
            ..TransactionOptions::default()
        })
    }

    /// Prints what was done; the exit status tells whether something remains.
    pub(crate) fn print(&self, report: &CapacityReport, globals: &Globals) -> Outcome {
        if self.output == OutputFormat::Json {
            print_json(&to_json(report, self.dry_run))?;
        } else if !globals.quiet {
            print(to_human(report, self.dry_run))?;
        }
        if report.remains.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        for remains in &report.remains {
            eprintln!("remains: {}: {}", remains.what, remains.advice);
        }
        Ok(ExitCode::from(STATUS_REMAINS))
    }
}

/// The clock that filesystems use.
pub(crate) fn fixed_clock() -> Outcome<disksmith_fs::Clock> {
    let now = clock::now()?;
    Ok(Arc::new(move || now))
}

fn change(old: u64, new: u64) -> String {
    if old == new {
        format!("{} ({new} bytes), as before", human_size(new))
    } else {
        format!("{} -> {} ({new} bytes)", human_size(old), human_size(new))
    }
}

fn to_human(report: &CapacityReport, dry_run: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}: {value}");
    };
    line(
        &report.image.display().to_string(),
        change(report.old_size, report.new_size),
    );
    if let Some(partition) = &report.partition {
        line(
            &format!("partition {}", partition.number),
            change(partition.old_len, partition.new_len),
        );
    }
    if let Some(filesystem) = &report.filesystem {
        line(
            &format!("filesystem ({})", filesystem.kind.name()),
            change(filesystem.old_size, filesystem.new_size),
        );
    }
    if let Some(minimum) = report.minimum {
        line(
            "smallest size",
            format!("{} ({minimum} bytes)", human_size(minimum)),
        );
    }
    if dry_run {
        text.push_str("nothing was changed\n");
    }
    text
}

fn to_json(report: &CapacityReport, dry_run: bool) -> Value {
    let mut value = json!({
        "image": report.image.display().to_string(),
        "old-size": report.old_size,
        "new-size": report.new_size,
        "table": report.table,
        "changed": report.changed,
        "dry-run": dry_run,
        "partition": report.partition.as_ref().map(|p| json!({
            "number": p.number,
            "start": p.start,
            "old-size": p.old_len,
            "new-size": p.new_len,
            "uuid": p.uuid,
            "name": p.name,
        })),
        "filesystem": report.filesystem.as_ref().map(|f| json!({
            "type": f.kind.name(),
            "old-size": f.old_size,
            "new-size": f.new_size,
            "minimum-size": f.minimum,
        })),
        "remains": report.remains.iter().map(|r| json!({
            "what": r.what,
            "advice": r.advice,
        })).collect::<Vec<_>>(),
    });
    if let (Some(minimum), Some(object)) = (report.minimum, value.as_object_mut()) {
        object.insert("minimum-size".into(), minimum.into());
    }
    value
}
