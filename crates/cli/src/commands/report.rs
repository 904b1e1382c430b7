//! What an edit did, or would do.

use super::Globals;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_guest::Report;
use disksmith_storage::ErrorKind;
use serde_json::{Value, json};
use std::path::PathBuf;

/// How the report is printed.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// How to print what changed
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        help_heading = "The edit"
    )]
    output: OutputFormat,
}

impl ReportArgs {
    /// The form asked for.
    pub(crate) fn output(&self) -> OutputFormat {
        self.output
    }
}

/// The report as JSON: `images`, `dry-run`, `report`.
pub(crate) fn as_json(report: &Report, dry_run: bool, images: &[PathBuf]) -> Outcome<Value> {
    let report = serde_json::to_value(report)
        .map_err(|e| Failure::new(ErrorKind::Failed, format!("cannot write the report as JSON: {e}")))?;
    let images: Vec<String> = images.iter().map(|i| i.display().to_string()).collect();
    Ok(json!({ "images": images, "dry-run": dry_run, "report": report }))
}

/// Prints the report: in full as JSON or for a dry run, else a line on standard error. Passwords that were made up are a
/// result, and always printed.
pub(crate) fn show(
    report: &Report,
    args: &ReportArgs,
    dry_run: bool,
    images: &[PathBuf],
    globals: &Globals,
) -> Outcome<()> {
    if args.output == OutputFormat::Json {
        return print_json(&as_json(report, dry_run, images)?);
    }
    for password in &report.passwords {
        print(format!("{}: {}\n", password.user, password.password))?;
    }
    if dry_run {
        return print(report.to_string());
    }
    if globals.verbose > 0 {
        eprint!("{report}");
    } else {
        for warning in &report.warnings {
            eprintln!("disksmith: warning: {warning}");
        }
    }
    globals.say(|| {
        let changes: u64 = report
            .steps
            .iter()
            .map(|s| s.changes.len() as u64 + s.unlisted)
            .sum();
        let names: Vec<String> = images.iter().map(|i| i.display().to_string()).collect();
        format!(
            "{}: {changes} change{} committed",
            names.join(", "),
            if changes == 1 { "" } else { "s" }
        )
    });
    Ok(())
}
