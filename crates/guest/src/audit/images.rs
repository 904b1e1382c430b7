//! The audit of a guest's image files: the files themselves, their disks, and the guest's files.

use super::checks::AUDIT_CHECKS;
use super::{AuditReport, CheckResult, Finding, Severity, audit, disks};
use crate::error::Result;
use crate::offline::{GuestOptions, survey};
use disksmith_image::{Format, InfoOptions, info};
use std::path::{Path, PathBuf};

/// A finding of a check of disks or images, with that check's severity and remedy.
pub(super) fn found(check: &'static str, place: &str, message: impl Into<String>) -> Finding {
    let known = AUDIT_CHECKS.iter().find(|c| c.name == check);
    Finding {
        check,
        severity: known.map_or(Severity::Error, |c| c.severity),
        place: place.to_owned(),
        message: message.into(),
        remedy: known.map_or("", |c| c.remedy),
    }
}

/// Looks at the guest in these images, at their disks and at the files themselves, and changes nothing. Images that somebody writes
/// to are looked at all the same, which is a finding. Checks named in `ignore` are left out.
///
/// # Errors
/// Those of opening the images and of finding the guest.
pub fn audit_images(
    images: &[(PathBuf, Option<Format>)],
    options: &GuestOptions,
    ignore: &[String],
) -> Result<AuditReport> {
    let mut findings = Vec::new();
    for (path, format) in images {
        findings.extend(of_file(path, *format));
    }
    let mut in_use = Vec::new();
    let mut report = survey(
        images,
        options,
        |path| in_use.push(path.to_owned()),
        |guest, volumes| {
            let mut report = audit(guest, ignore);
            let findings = disks::findings(volumes, Some(guest));
            report.add(AuditReport {
                findings,
                ..AuditReport::default()
            });
            Ok(report)
        },
    )?;
    for path in in_use {
        let message = "is open in another process: what was seen may be old";
        findings.push(found("in-use", &path.display().to_string(), message));
    }
    report.add(AuditReport {
        findings,
        ..AuditReport::default()
    });
    let ignored = |name: &str| ignore.iter().any(|i| i == name);
    report.findings.retain(|f| !ignored(f.check));
    for check in AUDIT_CHECKS.iter().filter(|c| c.files.is_none()) {
        report.checks.push(CheckResult {
            name: check.name,
            summary: check.summary,
            findings: report.findings.iter().filter(|f| f.check == check.name).count(),
            ignored: ignored(check.name),
        });
    }
    Ok(report)
}

/// What the image says of itself. What cannot be told is told by whoever opens it next.
fn of_file(path: &Path, format: Option<Format>) -> Vec<Finding> {
    let Ok(images) = info(
        path,
        &InfoOptions {
            format,
            ..InfoOptions::default()
        },
    ) else {
        return Vec::new();
    };
    let Some(image) = images.first() else {
        return Vec::new();
    };
    let place = path.display().to_string();
    let mut findings = Vec::new();
    if let Some(backing) = &image.backing {
        findings.push(found(
            "backing-file",
            &place,
            format!("stands on {}", backing.filename),
        ));
    }
    let data_file = image
        .format_specific
        .as_ref()
        .and_then(|specific| specific.data.get("data-file"))
        .and_then(|name| name.as_str().map(str::to_owned));
    if let Some(name) = data_file {
        findings.push(found("backing-file", &place, format!("keeps its data in {name}")));
    }
    for snapshot in &image.snapshots {
        findings.push(found(
            "snapshots",
            &place,
            format!("holds the snapshot {:?}", snapshot.name),
        ));
    }
    if image.dirty {
        findings.push(found("unclean-image", &place, "was not closed cleanly"));
    }
    findings
}
