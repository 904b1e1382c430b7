//! What should not be in a template that is about to be published.
//!
//! Nothing is changed, and nothing of the guest is run. [`audit`] looks at a guest's files, [`audit_images`] at its disks and
//! image files as well.

mod accounts;
mod checks;
mod disks;
mod identity;
mod images;
mod look;
mod secrets;
mod settings;
mod traces;

pub use checks::{AUDIT_CHECKS, AuditCheck};
pub use images::audit_images;

use crate::error::{Error, Result};
use crate::inspect::Guest;
use look::Look;
use serde::Serialize;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It should not be in a template.
    Warning,
    /// It must not be in a template: clones would share it, or strangers could use it.
    Error,
}

impl Severity {
    /// Its name: `note`, `warning`, `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where: a path in the guest, a device, or an image file.
    pub place: String,
    /// What is wrong there, as a sentence's end: `{place}: {message}`.
    pub message: String,
    /// What removes it; empty where that is for the user to judge.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remedy: &'static str,
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Its name.
    pub name: &'static str,
    /// What it looks for.
    pub summary: &'static str,
    /// How many things it found.
    pub findings: usize,
    /// Whether the caller did not want it.
    pub ignored: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The guest's distribution, for people.
    pub guest: String,
    /// Every finding, worst first.
    pub findings: Vec<Finding>,
    /// Every check that there is.
    pub checks: Vec<CheckResult>,
}

impl AuditReport {
    /// The severity of the worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.checks.extend(other.checks);
        self.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    }
}

impl fmt::Display for AuditReport {
    /// A line for each finding, and one that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
        for finding in &self.findings {
            write!(
                f,
                "{:7}  {:width$}  {}: {}",
                finding.severity.name(),
                finding.check,
                finding.place,
                finding.message
            )?;
            if !finding.remedy.is_empty() {
                write!(f, " ({})", finding.remedy)?;
            }
            writeln!(f)?;
        }
        let count = |severity| self.findings.iter().filter(|f| f.severity == severity).count();
        let counted = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            number => format!("{number} {what}s"),
        };
        writeln!(
            f,
            "{}, {}, {}; {}",
            counted(count(Severity::Error), "error"),
            counted(count(Severity::Warning), "warning"),
            counted(count(Severity::Note), "note"),
            counted(self.checks.iter().filter(|c| !c.ignored).count(), "check")
        )
    }
}

/// Checks names that a caller wants to be left out.
///
/// # Errors
/// [`Error::Usage`] for a name that no check has.
pub fn check_audit_names(option: &str, names: &[String]) -> Result<()> {
    match names.iter().find(|n| !AUDIT_CHECKS.iter().any(|c| c.name == **n)) {
        None => Ok(()),
        Some(unknown) => Err(Error::usage(option, format!("there is no check {unknown:?}"))),
    }
}

/// Looks at a guest's files. Checks named in `ignore` are left out.
///
/// A place that cannot be looked at is a finding, not an error: a template that cannot be read through is not known to be clean.
pub fn audit(guest: &Guest, ignore: &[String]) -> AuditReport {
    let mut report = AuditReport {
        guest: guest.distribution().name.clone(),
        ..AuditReport::default()
    };
    for check in AUDIT_CHECKS {
        let Some(files) = check.files else { continue };
        let ignored = ignore.iter().any(|name| name == check.name);
        let mut look = Look::new(guest, check);
        let done = if ignored { Ok(()) } else { files(&mut look) };
        if let Err(error) = done {
            look.failed(&error);
        }
        report.add(look.into_report(ignored));
    }
    report
}
