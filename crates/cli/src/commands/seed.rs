//! `disksmith seed`.

use super::Globals;
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::Args;
use disksmith_seed::{BuildOptions, Diagnostic, Document, InstanceId, NoCloud, Severity};
use disksmith_storage::{Diagnose, Durability, ErrorKind, Existing};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The most that the documents of a seed may take together. cloud-init reads them by PyYAML, which takes minutes for so much,
/// and keeps several copies in the guest; clouds allow 16 to 64 KiB.
const MAX_DOCUMENTS: u64 = 16 << 20;

/// Make the seed image that cloud-init reads at the first boot (NoCloud)
///
/// What cloud-init would silently ignore is refused, with its line. All documents together may take 16 MiB.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  disksmith seed vm1-seed.iso --user-data user-data --meta-data meta-data \
    --network-config network-config"
)]
pub(crate) struct SeedArgs {
    /// The new ISO image
    output: PathBuf,
    /// What the machine shall be: #cloud-config, a script, a MIME archive (`-`: standard input)
    #[arg(long, short = 'u', value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Who it is; an instance-id is added where there is none
    #[arg(long, short = 'm', value_name = "FILE")]
    meta_data: Option<PathBuf>,
    /// Its network, version 1 or 2
    #[arg(long, short = 'N', value_name = "FILE")]
    network_config: Option<PathBuf>,
    /// What the provider wants
    #[arg(long, short = 'V', value_name = "FILE")]
    vendor_data: Option<PathBuf>,
    /// The local-hostname in meta-data
    #[arg(long, short = 'H', value_name = "NAME")]
    hostname: Option<String>,
    /// The instance-id in meta-data; a new one makes cloud-init run again
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// Label of the volume; any but cidata and CIDATA only with --no-validate, for guests whose fs_label names it
    #[arg(long, default_value = disksmith_seed::LABEL)]
    label: String,
    /// Put the documents in as they are, unread, and take any label
    #[arg(long)]
    no_validate: bool,
    /// Replace a file that exists, unless it is an image that has clones
    #[arg(long)]
    force: bool,
    /// How to print what was found and made
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    format: OutputFormat,
}

pub(crate) fn run(args: &SeedArgs, globals: &Globals) -> Outcome {
    let unmade = || format!("no {} was made", args.output.display());
    let mut room = MAX_DOCUMENTS;
    let mut read =
        |path: &Option<PathBuf>| read(path.as_deref(), &mut room).map_err(|f| f.unchanged(unmade()));
    let seed = NoCloud {
        user_data: read(&args.user_data)?,
        meta_data: read(&args.meta_data)?,
        network_config: read(&args.network_config)?,
        vendor_data: read(&args.vendor_data)?,
        local_hostname: args.hostname.clone(),
        instance_id: args.instance_id.clone(),
        name: args
            .output
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
    };
    let options = BuildOptions {
        label: args.label.clone(),
        validate: !args.no_validate,
        ..BuildOptions::new(clock::now()?)
    };
    seed.check_settings(&options)
        .map_err(|e| Failure::from(e).unchanged(unmade()))?;
    // Replacing a base would destroy its clones, which no --force is meant to allow.
    if args.force && args.output.is_file() {
        disksmith_image::refuse_if_cloned(&args.output).map_err(|error| {
            // The error's own hint offers --force, which is no way here.
            let failure = match &error {
                disksmith_image::Error::HasClones { .. } => Failure::new(error.kind(), error.to_string())
                    .or_hint("name another output; replacing the base would destroy every one of its clones"),
                _ => Failure::from(error),
            };
            failure.unchanged(args.output.display().to_string())
        })?;
    }
    let found = if args.no_validate {
        Vec::new()
    } else {
        seed.validate()
    };
    if args.format == OutputFormat::Human {
        for diagnostic in &found {
            if diagnostic.severity == Severity::Error || !globals.quiet {
                eprintln!("{diagnostic}");
            }
        }
    }
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        if args.format == OutputFormat::Json {
            print_json(&json!({ "diagnostics": as_json(&found) }))?;
        }
        return Err(Failure::usage(format!(
            "{errors} error{} in the documents of the seed",
            if errors == 1 { "" } else { "s" }
        ))
        .unchanged(unmade())
        .or_hint("mend the lines named above; --no-validate puts them in as they are"));
    }
    let made = seed.build(&options)?;
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Refuse
    };
    made.write_file(&args.output, existing, Durability::Deferred)?;
    if args.format == OutputFormat::Json {
        print_json(&json!({
            "file": args.output.display().to_string(),
            "instance-id": made.instance_id.as_str(),
            "label": args.label,
            "files": made.files.iter().map(|(name, bytes)| json!({ "name": name, "size": bytes.len() })).collect::<Vec<_>>(),
            "diagnostics": as_json(&found),
        }))?;
    }
    globals.say(|| {
        let names: Vec<&str> = made.files.iter().map(|(name, _)| *name).collect();
        let id = match &made.instance_id {
            InstanceId::Given(id) => format!("instance-id {id}"),
            InstanceId::Made(id) => format!("instance-id {id} (made)"),
            InstanceId::Unknown => "instance-id unknown".into(),
        };
        format!("{}: {}; {id}", args.output.display(), names.join(", "))
    });
    Ok(ExitCode::SUCCESS)
}

/// Reads a document, which takes from the room that all have together.
fn read(path: Option<&Path>, room: &mut u64) -> Outcome<Option<Document>> {
    let Some(path) = path else { return Ok(None) };
    let fail = |error| Failure::io("read", path, &error);
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(fail)?)
    };
    let mut bytes = Vec::new();
    source.take(*room + 1).read_to_end(&mut bytes).map_err(fail)?;
    let Some(rest) = room.checked_sub(bytes.len() as u64) else {
        let message = format!(
            "with {} the documents of the seed are larger than 16 MiB together, more than cloud-init could use",
            path.display()
        );
        return Err(Failure::new(ErrorKind::Usage, message)
            .or_hint("let the guest fetch large files by runcmd or #include"));
    };
    *room = rest;
    Ok(Some(Document::new(path.display().to_string(), bytes)))
}

fn as_json(found: &[Diagnostic]) -> Vec<Value> {
    found
        .iter()
        .map(|d| {
            json!({
                "file": d.file, "line": d.line, "column": d.column, "severity": d.severity.to_string(),
                "code": d.code, "message": d.message, "fix": d.fix,
            })
        })
        .collect()
}
