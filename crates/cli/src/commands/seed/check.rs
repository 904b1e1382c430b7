//! `disksmith seed check`.

use super::as_json;
use super::disk::{self, Target};
use crate::commands::Globals;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::{Args, ValueEnum};
use disksmith_seed::{Contents, DocumentKind, GuestSystem, Severity, Version, check, check_document};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    UserData,
    VendorData,
    MetaData,
    NetworkConfig,
    /// meta_data.json of a config drive
    MetaDataJson,
    /// network_data.json of a config drive
    NetworkDataJson,
    /// vendor_data.json of a config drive
    VendorDataJson,
}

impl From<Kind> for DocumentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::UserData => Self::UserData,
            Kind::VendorData => Self::VendorData,
            Kind::MetaData => Self::MetaData,
            Kind::NetworkConfig => Self::NetworkConfig,
            Kind::MetaDataJson => Self::MetaDataJson,
            Kind::NetworkDataJson => Self::NetworkDataJson,
            Kind::VendorDataJson => Self::VendorDataJson,
        }
    }
}

/// Say what cloud-init or cloudbase-init would not like in a seed, or in one of its documents
///
/// Documents are compared with cloud-init's own schema (25.1). Exit status 2 where something is wrong.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Documents, folders, ISO or disk images (`-`: a document on standard input)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What a document is for; otherwise its name and contents tell
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<Kind>,
    /// The guest has cloudbase-init (Windows)
    #[arg(long)]
    cloudbase: bool,
    /// The guest's version of cloud-init: tells what it does not take yet, or any more
    #[arg(long, value_name = "VERSION", value_parser = version)]
    cloud_init_version: Option<Version>,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    /// How to print what was found
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    format: OutputFormat,
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| format!("'{text}' is no version; write it like 22.4"))
}

pub(super) fn run(args: &CheckArgs, globals: &Globals) -> Outcome {
    let guest = if args.cloudbase {
        GuestSystem::CloudbaseInit
    } else {
        GuestSystem::CloudInit
    };
    let mut found = Vec::new();
    for path in &args.files {
        found.extend(match disk::open(path, args.kind.is_some())? {
            Target::Seed(seed) => {
                describe(&seed, globals);
                check(&seed, guest, args.cloud_init_version)
            }
            Target::Document(document) => {
                let kind = args.kind.map_or_else(|| DocumentKind::of(&document), Into::into);
                check_document(&document, kind, guest, args.cloud_init_version)
            }
        });
    }
    let least = if args.strict {
        Severity::Warning
    } else {
        Severity::Error
    };
    let wrong = found.iter().filter(|d| d.severity >= least).count();
    match args.format {
        OutputFormat::Json => print_json(&json!({ "valid": wrong == 0, "diagnostics": as_json(&found) }))?,
        OutputFormat::Human => {
            let mut text = String::new();
            for diagnostic in found.iter().filter(|d| !globals.quiet || d.severity >= least) {
                text.push_str(&format!("{diagnostic}\n"));
            }
            crate::output::print(text)?;
        }
    }
    if wrong > 0 {
        let ending = if wrong == 1 { "" } else { "s" };
        return Err(Failure::usage(format!("{wrong} error{ending} in the seed")));
    }
    globals.say(|| match found.len() {
        0 => "nothing is wrong".into(),
        n => format!("nothing is wrong; {n} remark{}", if n == 1 { "" } else { "s" }),
    });
    Ok(ExitCode::SUCCESS)
}

fn describe(seed: &Contents, globals: &Globals) {
    globals.say(|| {
        let what = match seed.filesystem {
            Some(kind) => format!("{kind}, label {:?}", seed.label.as_deref().unwrap_or("")),
            None => "a folder".into(),
        };
        format!("{}: {what}, {} files", seed.name, seed.files.len())
    });
}
