//! `disksmith audit`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::{Args, ValueEnum};
use disksmith_guest::{AUDIT_CHECKS, AuditReport, Severity, audit_images, check_audit_names};
use disksmith_storage::ErrorKind;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit status of a template that is not ready.
const NOT_READY: u8 = 8;

/// Look whether a template is ready to be published
///
/// Machine id, host keys, authorized keys, passwords, histories, leases, logs, credentials, backing files, unclean filesystems and
/// more. Nothing is changed, and an image in use can be looked at, too. The exit status is 0 where nothing as bad as --fail-on was
/// found, and 8 where something was.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    choice: AuditChoice,
    /// List the checks
    #[arg(long, help_heading = "The audit")]
    list_checks: bool,
    /// How to print what was found
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        help_heading = "The audit"
    )]
    output: OutputFormat,
}

/// What an audit minds.
#[derive(Debug, Args)]
pub(crate) struct AuditChoice {
    /// Leave a check out (several, or a list between commas)
    #[arg(long, value_name = "CHECK", value_delimiter = ',', help_heading = "The audit")]
    ignore: Vec<String>,
    /// From which severity on the exit status is 8
    #[arg(
        long,
        value_name = "SEVERITY",
        default_value = "error",
        help_heading = "The audit"
    )]
    fail_on: FailOn,
}

/// A severity, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

impl AuditChoice {
    /// The checks to be left out.
    pub(crate) fn ignored(&self) -> Outcome<&[String]> {
        check_audit_names("--ignore", &self.ignore)?;
        Ok(&self.ignore)
    }

    /// Whether what was found lets the template pass.
    pub(crate) fn passes(&self, report: &AuditReport) -> bool {
        let limit = match self.fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Note => Severity::Note,
            FailOn::Never => return true,
        };
        report.worst().is_none_or(|worst| worst < limit)
    }

    /// The exit status for what was found.
    pub(crate) fn status(&self, report: &AuditReport) -> ExitCode {
        if self.passes(report) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOT_READY)
        }
    }
}

/// The report as JSON: `images`, `ready`, `guest`, `findings`, `checks`.
pub(crate) fn as_json(report: &AuditReport, images: &[PathBuf], ready: bool) -> Outcome<Value> {
    let mut value = serde_json::to_value(report).map_err(|e| {
        Failure::new(
            ErrorKind::Failed,
            format!("cannot write the findings as JSON: {e}"),
        )
    })?;
    if let Some(object) = value.as_object_mut() {
        let images: Vec<String> = images.iter().map(|i| i.display().to_string()).collect();
        object.insert("images".into(), json!(images));
        object.insert("ready".into(), json!(ready));
    }
    Ok(value)
}

pub(crate) fn run(args: &AuditArgs, globals: &Globals) -> Outcome {
    if args.list_checks {
        return list(args.output);
    }
    let ignored = args.choice.ignored()?;
    let report = audit_images(&args.guest.disks(), &args.guest.options()?, ignored)
        .map_err(|error| Failure::from(error).doing(args.guest.names()))?;
    match args.output {
        OutputFormat::Json => {
            print_json(&as_json(
                &report,
                args.guest.images(),
                args.choice.passes(&report),
            )?)?;
        }
        OutputFormat::Human if globals.quiet => {}
        OutputFormat::Human => print(report.to_string())?,
    }
    Ok(args.choice.status(&report))
}

fn list(output: OutputFormat) -> Outcome {
    if output == OutputFormat::Json {
        let list: Vec<_> = AUDIT_CHECKS
            .iter()
            .map(|c| json!({ "name": c.name, "severity": c.severity.name(), "summary": c.summary, "remedy": c.remedy }))
            .collect();
        print_json(&json!(list))?;
        return Ok(ExitCode::SUCCESS);
    }
    let lines: String = AUDIT_CHECKS
        .iter()
        .map(|c| format!("{:20} {:8} {}\n", c.name, c.severity.name(), c.summary))
        .collect();
    print(lines)?;
    Ok(ExitCode::SUCCESS)
}
