//! `disksmith inspect`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{print, print_json};
use clap::{Args, ValueEnum};
use disksmith_guest::{Inspection, InspectionOptions, inspect_all, inspections_to_xml};
use disksmith_storage::ErrorKind;
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;

/// Tell what is installed on a guest's disks: systems, versions, filesystems, packages
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Do not list packages
    #[arg(long)]
    no_applications: bool,
    /// Leave out the icon
    #[arg(long)]
    no_icon: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: InspectFormat,
}

/// How an inspection is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// virt-inspector's XML
    Xml,
}

pub(crate) fn run(args: &InspectArgs, globals: &Globals) -> Outcome {
    let options = InspectionOptions {
        applications: !args.no_applications,
        icon: !args.no_icon && args.output != InspectFormat::Human,
    };
    let now = clock::now()?;
    let found = args
        .guest
        .look_at_disks(globals, |disks| inspect_all(disks, now, options))?;
    if found.is_empty() {
        return Err(Failure::new(ErrorKind::NotFound, "no operating system was found")
            .or_hint("disksmith filesystems --all -l shows what is on the disks"));
    }
    match args.output {
        InspectFormat::Json => print_json(&json!(found))?,
        InspectFormat::Xml => print(inspections_to_xml(&found))?,
        InspectFormat::Human => print(found.iter().map(as_text).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(found: &Inspection) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Memory takes everything.
        let _ = writeln!(text, "{name:<13} {value}");
    };
    line("root", &found.root);
    let name = found.product_name.as_deref().unwrap_or("unknown");
    line(
        "system",
        &format!("{name} ({})", found.distro.as_deref().unwrap_or(found.system)),
    );
    if found.major_version > 0 {
        line(
            "version",
            &format!("{}.{}", found.major_version, found.minor_version),
        );
    }
    for (name, value) in [
        ("architecture", found.arch),
        ("hostname", found.hostname.as_deref()),
        ("osinfo", found.osinfo.as_deref()),
        ("build", found.build_id.as_deref()),
    ] {
        if let Some(value) = value {
            line(name, value);
        }
    }
    for mount in &found.mountpoints {
        line("mounted", &format!("{} at {}", mount.device, mount.path));
    }
    for filesystem in &found.filesystems {
        let label = filesystem.label.as_deref().unwrap_or("-");
        let uuid = filesystem.uuid.as_deref().unwrap_or("-");
        line(
            "filesystem",
            &format!("{} {} {label} {uuid}", filesystem.device, filesystem.kind),
        );
    }
    if let Some(format) = found.package_format {
        let tool = found.package_management.unwrap_or("-");
        let count = found.applications.as_ref().map(Vec::len);
        let count = count.map_or_else(String::new, |count| format!(", {count} installed"));
        line("packages", &format!("{format}, by {tool}{count}"));
    }
    if let Some(error) = &found.applications_error {
        line(
            "warning",
            &format!("the list of packages cannot be read: {error}"),
        );
    }
    for warning in &found.warnings {
        line("warning", warning);
    }
    text
}
