//! `disksmith seed OUT`: one seed, or one for each row of a table.

use super::as_json;
use super::quick::{QuickArgs, QuickInputs, injected};
use super::read::Reader;
use crate::clock;
use crate::commands::Globals;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::{Args, ValueEnum};
use disksmith_seed::{
    BuildOptions, ConfigDrive, Diagnostic, Document, Fleet, GuestSystem, InjectedFile, InstanceId,
    MediaFormat, NoCloud, Part, Quick, Row, Seed, SeedSource, Severity, Template, archive, gzip, read_csv,
    read_json_lines,
};
use disksmith_storage::{Diagnose, Durability, ErrorKind, Existing};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ISO 9660 with Joliet and Rock Ridge
    Iso,
    /// FAT, as small as can be
    Vfat,
    /// FAT on a hard disk of 64 MiB, without partitions (config_drive_raw_hhd)
    RawHdd,
}

/// Who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Datasource {
    /// cloud-init: user-data, meta-data, …, label cidata
    Nocloud,
    /// cloud-init: OpenStack's openstack/latest/…, label config-2
    Configdrive,
    /// cloudbase-init on Windows: the same, with what Windows wants
    Cloudbase,
}

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct MakeArgs {
    /// The new image; with --each or --count a name with placeholders, such as seeds/@{name}.iso
    #[arg(required = true)]
    output: Option<PathBuf>,
    /// What the volume is
    #[arg(long, value_name = "FORMAT", default_value = "iso")]
    format: Format,
    /// Who reads it
    #[arg(long, value_name = "WHO", default_value = "nocloud")]
    datasource: Datasource,
    /// What the machine shall be: #cloud-config, a script, a MIME archive (`-`: standard input); several become one archive
    #[arg(long, short = 'u', value_name = "FILE")]
    user_data: Vec<PathBuf>,
    /// A further part of user-data, of this MIME type (text/ may be left away) or the one that its header tells
    #[arg(long, value_name = "FILE[:TYPE]")]
    part: Vec<String>,
    /// Compress user-data
    #[arg(long)]
    gzip: bool,
    /// Who it is; an instance-id is added where there is none (a config drive: meta_data.json)
    #[arg(long, short = 'm', value_name = "FILE")]
    meta_data: Option<PathBuf>,
    /// Its network, version 1 or 2 (a config drive: network_data.json, or translated to that)
    #[arg(long, short = 'N', value_name = "FILE")]
    network_config: Option<PathBuf>,
    /// What the provider wants
    #[arg(long, short = 'V', value_name = "FILE")]
    vendor_data: Option<PathBuf>,
    /// The host name, in meta-data
    #[arg(long, short = 'H', value_name = "NAME")]
    hostname: Option<String>,
    /// The instance-id in meta-data (a config drive: uuid); a new one makes cloud-init run again
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// Label of the volume; any but cidata and CIDATA only with --no-validate, for guests whose fs_label names it
    #[arg(long, default_value = disksmith_seed::LABEL)]
    label: String,
    /// A file in the guest, on a config drive: PATH=FILE
    #[arg(long, value_name = "PATH=FILE", value_parser = injected)]
    file: Vec<(String, PathBuf)>,
    /// An entry of meta, on a config drive
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// A config drive with ec2/latest too
    #[arg(long)]
    ec2: bool,
    /// A config drive with a folder for each version of the metadata, as OpenStack writes it, besides openstack/latest
    #[arg(long)]
    dated: bool,
    #[command(flatten)]
    quick: QuickArgs,
    /// One seed for each row of a table: CSV with the names in its first row, or JSON lines (.json, .jsonl, .ndjson)
    #[arg(
        long,
        value_name = "TABLE",
        conflicts_with = "count",
        help_heading = "Many at once"
    )]
    each: Option<PathBuf>,
    /// So many seeds; @{index} is the number of each, and the name may have it as %04d
    #[arg(long, value_name = "N", help_heading = "Many at once")]
    count: Option<u64>,
    /// The first @{index}
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Many at once")]
    first: u64,
    /// Print the documents that were made
    #[arg(long)]
    print: bool,
    /// Put the documents in as they are, unread, and take any label
    #[arg(long)]
    no_validate: bool,
    /// Warnings are errors: what cloud-init's schema does not allow makes no seed either
    #[arg(long, conflicts_with = "no_validate")]
    strict: bool,
    /// Replace a file that exists, unless it is an image that has clones
    #[arg(long)]
    force: bool,
    /// How to print what was found and made
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    output_format: OutputFormat,
}

/// A text that rows are filled into.
struct Blank {
    name: String,
    bytes: Vec<u8>,
    template: Option<Template>,
}

impl Blank {
    fn new(document: Document, many: bool) -> Self {
        Self {
            template: many
                .then(|| Template::parse(&document.bytes))
                .filter(Template::has_placeholders),
            name: document.name,
            bytes: document.bytes,
        }
    }

    fn filled(&self, row: &Row) -> disksmith_seed::Result<Document> {
        let bytes = match &self.template {
            Some(template) => template.fill(row)?,
            None => self.bytes.clone(),
        };
        Ok(Document::new(self.name.clone(), bytes))
    }
}

/// Everything that was read, from which each seed is made.
struct Inputs<'a> {
    args: &'a MakeArgs,
    many: bool,
    parts: Vec<(Blank, Option<String>)>,
    meta_data: Option<Blank>,
    network_config: Option<Blank>,
    vendor_data: Option<Blank>,
    files: Vec<(String, Blank)>,
    quick: QuickInputs,
}

pub(super) fn run(args: &MakeArgs, globals: &Globals) -> Outcome {
    let output = args.output.clone().unwrap_or_default();
    let unmade = |failure: Failure| failure.unchanged(format!("no {} was made", output.display()));
    let options = BuildOptions {
        label: args.label.clone(),
        validate: !args.no_validate,
        refuse: least_refused(args),
        format: match args.format {
            Format::Iso => MediaFormat::Iso,
            Format::Vfat => MediaFormat::Vfat,
            Format::RawHdd => MediaFormat::RawHardDisk,
        },
        ..BuildOptions::new(clock::now()?)
    };
    let rows = rows(args).map_err(unmade)?;
    let inputs = Inputs::read(args, rows.is_some()).map_err(unmade)?;
    let outcome = match rows {
        Some(rows) => many(&inputs, &rows, &output, &options, globals),
        None => one(&inputs, &output, &options, globals).map_err(unmade),
    };
    if outcome.is_ok() && args.output_format == OutputFormat::Human {
        for (whose, password) in &inputs.quick.generated {
            print(format!("password of {whose}: {password}\n"))?;
        }
    }
    outcome
}

/// The rows of the fleet, where one was asked for.
fn rows(args: &MakeArgs) -> Outcome<Option<Vec<Row>>> {
    let rows = match (&args.each, args.count) {
        (None, None) => return Ok(None),
        (Some(table), _) => {
            let bytes = Reader::new().read(table)?.bytes;
            let text = String::from_utf8(bytes)
                .map_err(|_| Failure::usage(format!("{} is no UTF-8 text", table.display())))?;
            let ending = table.extension().and_then(|e| e.to_str()).unwrap_or("");
            let json = ["json", "jsonl", "ndjson"].contains(&ending) || text.trim_start().starts_with('{');
            let read = if json {
                read_json_lines(&text)
            } else {
                read_csv(&text)
            };
            let mut rows = read.map_err(|e| Failure::from(e).doing(table.display()))?;
            for (index, row) in (args.first..).zip(&mut rows) {
                if row.get("index").is_none() {
                    row.values.push(("index".into(), index.to_string()));
                }
            }
            rows
        }
        (None, Some(count)) => {
            if count > 1_000_000 {
                return Err(Failure::usage("--count is at most a million"));
            }
            let end = args.first.checked_add(count);
            let end = end.ok_or_else(|| Failure::usage("--first: there are no numbers behind it"))?;
            (args.first..end)
                .map(|index| Row {
                    number: index,
                    values: vec![("index".into(), index.to_string())],
                })
                .collect()
        }
    };
    Ok(Some(rows))
}

impl<'a> Inputs<'a> {
    fn read(args: &'a MakeArgs, many: bool) -> Outcome<Self> {
        let mut reader = Reader::new();
        let quick = args.quick.read()?;
        let cloud_init = args.quick.cloud_init.clone().unwrap_or_default();
        let mut parts = Vec::new();
        for path in args.user_data.iter().chain(&cloud_init.user_data) {
            parts.push((Blank::new(reader.read(path)?, many), None));
        }
        for text in &args.part {
            let (path, mime_type) = match text.rsplit_once(':') {
                Some((path, kind)) if !kind.is_empty() && !Path::new(text).exists() => {
                    (path, Some(kind.to_string()))
                }
                _ => (text.as_str(), None),
            };
            parts.push((Blank::new(reader.read(Path::new(path))?, many), mime_type));
        }
        let either = |own: &Option<PathBuf>, other: &Option<PathBuf>| own.clone().or_else(|| other.clone());
        let mut blank = |path: Option<PathBuf>| -> Outcome<Option<Blank>> {
            let read = reader.read_some(path.as_deref())?;
            Ok(read.map(|document| Blank::new(document, many)))
        };
        let meta_data = blank(either(&args.meta_data, &cloud_init.meta_data))?;
        let network_config = blank(either(&args.network_config, &cloud_init.network_config))?;
        let vendor_data = blank(args.vendor_data.clone())?;
        let mut files = Vec::new();
        for (path, file) in &args.file {
            files.push((path.clone(), Blank::new(reader.read(file)?, many)));
        }
        let inputs = Self {
            args,
            many,
            parts,
            meta_data,
            network_config,
            vendor_data,
            files,
            quick,
        };
        inputs.check()?;
        Ok(inputs)
    }

    /// Refuses what does not go with the kind of seed.
    fn check(&self) -> Outcome<()> {
        let args = self.args;
        let refuse = |what: &str, why: &str| Err(Failure::usage(format!("{what}: {why}")));
        if args.datasource == Datasource::Nocloud {
            for (given, name) in [
                (!args.file.is_empty(), "--file"),
                (!args.meta.is_empty(), "--meta"),
                (args.ec2, "--ec2"),
                (args.dated, "--dated"),
            ] {
                if given {
                    return refuse(name, "only a config drive has that; say --datasource configdrive");
                }
            }
        } else if args.label != disksmith_seed::LABEL && !args.label.eq_ignore_ascii_case("config-2") {
            return refuse("--label", "the label of a config drive is config-2");
        }
        if args.datasource == Datasource::Cloudbase
            && let Some(name) = self.quick.linux_only.first()
        {
            return refuse(
                name,
                "cloudbase-init has nothing like it; write a script behind #ps1_sysnative",
            );
        }
        Ok(())
    }

    /// The seed of one row.
    fn seed(&self, row: &Row, name: Option<String>) -> Outcome<SeedSource> {
        let fill = |text: &str| -> Outcome<String> {
            if !self.many {
                return Ok(text.into());
            }
            let bytes = Template::parse(text.as_bytes()).fill(row)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let some = |text: &Option<String>| text.as_deref().map(fill).transpose();
        let document = |blank: &Option<Blank>| -> Outcome<Option<Document>> {
            Ok(blank.as_ref().map(|blank| blank.filled(row)).transpose()?)
        };
        let args = self.args;
        let quick = self.quick.filled(&fill)?;
        let network_config = match quick.network_config() {
            Some(made) => Some(made),
            None => document(&self.network_config)?,
        };
        let (hostname, instance_id) = (some(&args.hostname)?, some(&args.instance_id)?);
        if args.datasource == Datasource::Nocloud {
            return Ok(SeedSource::NoCloud(NoCloud {
                user_data: self.user_data(row, &quick)?,
                meta_data: document(&self.meta_data)?,
                network_config,
                vendor_data: document(&self.vendor_data)?,
                local_hostname: hostname,
                instance_id,
                name,
            }));
        }
        let windows = args.datasource == Datasource::Cloudbase;
        let mut drive = ConfigDrive {
            guest: if windows {
                GuestSystem::CloudbaseInit
            } else {
                GuestSystem::CloudInit
            },
            uuid: instance_id,
            hostname,
            name: name.map(|name| name.split('.').next().unwrap_or(&name).to_string()),
            meta_data: document(&self.meta_data)?,
            vendor_data: document(&self.vendor_data)?,
            network_data: network_config,
            ec2: args.ec2,
            dated: args.dated,
            ..ConfigDrive::default()
        };
        for text in &args.meta {
            let text = fill(text)?;
            let Some((key, value)) = text.split_once('=') else {
                return Err(Failure::usage(format!("--meta {text}: write it like key=value")));
            };
            drive.meta.push((key.into(), value.into()));
        }
        for (path, blank) in &self.files {
            drive.files.push(InjectedFile {
                path: fill(path)?,
                bytes: blank.filled(row)?.bytes,
            });
        }
        if windows {
            for (index, key) in self.quick.keys.iter().enumerate() {
                drive.public_keys.push((format!("key-{index}"), fill(key)?));
            }
            drive.admin_pass = some(&self.quick.plain_password)?;
            let script = windows_script(&quick.run);
            drive.user_data = match script {
                Some(script) if self.parts.is_empty() => Some(script),
                script => self.joined(row, script)?,
            };
        } else {
            drive.user_data = self.user_data(row, &quick)?;
        }
        Ok(SeedSource::ConfigDrive(drive))
    }

    fn user_data(&self, row: &Row, quick: &Quick) -> Outcome<Option<Document>> {
        let asked = Quick {
            network: None,
            ..quick.clone()
        };
        let made = (asked != Quick::default()).then(|| asked.user_data());
        self.joined(row, made)
    }

    /// The document that was made and those that were given, as one.
    fn joined(&self, row: &Row, made: Option<Document>) -> Outcome<Option<Document>> {
        let mut parts: Vec<(Document, Option<String>)> = made.map(|made| (made, None)).into_iter().collect();
        for (blank, mime_type) in &self.parts {
            parts.push((blank.filled(row)?, mime_type.clone()));
        }
        let plain = parts.len() == 1 && parts.iter().all(|(_, mime_type)| mime_type.is_none());
        let mut document = match parts.pop() {
            None => return Ok(None),
            Some((only, _)) if plain => only,
            Some(last) => {
                parts.push(last);
                let parts: Vec<Part> = parts
                    .into_iter()
                    .map(|(document, mime_type)| Part {
                        name: Path::new(&document.name)
                            .file_name()
                            .map_or_else(|| document.name.clone(), |n| n.to_string_lossy().into_owned()),
                        bytes: document.bytes,
                        mime_type,
                    })
                    .collect();
                Document::new("user-data", archive(&parts)?)
            }
        };
        if self.args.gzip {
            document.bytes = gzip(&document.bytes);
        }
        Ok(Some(document))
    }
}

/// Commands as a PowerShell script.
fn windows_script(run: &[String]) -> Option<Document> {
    (!run.is_empty()).then(|| {
        let text = format!("#ps1_sysnative\r\n{}\r\n", run.join("\r\n"));
        Document::new("user-data", text)
    })
}

fn existing(args: &MakeArgs) -> Existing {
    if args.force {
        Existing::Replace
    } else {
        Existing::Refuse
    }
}

/// Replacing a base would destroy its clones, which no --force is meant to allow.
fn refuse_if_cloned(output: &Path) -> Outcome<()> {
    if !output.is_file() {
        return Ok(());
    }
    disksmith_image::refuse_if_cloned(output).map_err(|error| {
        // The error's own hint offers --force, which is no way here.
        let failure = match &error {
            disksmith_image::Error::HasClones { .. } => Failure::new(error.kind(), error.to_string())
                .or_hint("name another output; replacing the base would destroy every one of its clones"),
            _ => Failure::from(error),
        };
        failure.unchanged(output.display().to_string())
    })
}

fn one(inputs: &Inputs<'_>, output: &Path, options: &BuildOptions, globals: &Globals) -> Outcome {
    let args = inputs.args;
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned());
    let seed = inputs.seed(&Row::default(), name)?;
    seed.check_settings(options)?;
    if args.force {
        refuse_if_cloned(output)?;
    }
    let found = if args.no_validate {
        Vec::new()
    } else {
        seed.validate()
    };
    if args.output_format == OutputFormat::Human {
        for diagnostic in &found {
            if diagnostic.severity >= least_refused(args) || !globals.quiet {
                eprintln!("{diagnostic}");
            }
        }
    }
    refuse_errors(args, &found)?;
    let made = seed.build_validated(options, found)?;
    made.write_file(output, existing(args), Durability::Deferred)?;
    if args.output_format == OutputFormat::Json {
        let passwords: serde_json::Map<_, _> = inputs
            .quick
            .generated
            .iter()
            .map(|(w, p)| (w.clone(), json!(p)))
            .collect();
        let mut value = json!({
            "file": output.display().to_string(),
            "instance-id": made.instance_id.as_str(),
            "label": made.label,
            "size": made.image.size(),
            "files": made.files.iter().map(|(name, bytes)| json!({ "name": name, "size": bytes.len() })).collect::<Vec<_>>(),
            "diagnostics": as_json(&made.diagnostics),
        });
        if let Some(object) = value.as_object_mut().filter(|_| !passwords.is_empty()) {
            object.insert("passwords".into(), passwords.into());
        }
        print_json(&value)?;
    } else if args.print {
        print_documents(&made)?;
    }
    globals.say(|| {
        let names: Vec<&str> = made.files.iter().map(|(name, _)| name.as_str()).collect();
        let id = match &made.instance_id {
            InstanceId::Given(id) => format!("instance-id {id}"),
            InstanceId::Made(id) => format!("instance-id {id} (made)"),
            InstanceId::Unknown => "instance-id unknown".into(),
        };
        format!("{}: {}; {id}", output.display(), names.join(", "))
    });
    Ok(ExitCode::SUCCESS)
}

/// The least severity that makes no seed.
fn least_refused(args: &MakeArgs) -> Severity {
    if args.strict {
        Severity::Warning
    } else {
        Severity::Error
    }
}

fn refuse_errors(args: &MakeArgs, found: &[Diagnostic]) -> Outcome<()> {
    let least = least_refused(args);
    let errors = found.iter().filter(|d| d.severity >= least).count();
    if errors == 0 {
        return Ok(());
    }
    if args.output_format == OutputFormat::Json {
        print_json(&json!({ "diagnostics": as_json(found) }))?;
    }
    let ending = if errors == 1 { "" } else { "s" };
    Err(
        Failure::usage(format!("{errors} error{ending} in the documents of the seed"))
            .or_hint("mend the lines named above; --no-validate puts them in as they are"),
    )
}

fn print_documents(made: &Seed) -> Outcome<()> {
    let mut out = String::new();
    for (name, bytes) in &made.files {
        out.push_str(&format!("== {name} ==\n"));
        match std::str::from_utf8(bytes) {
            Ok(text) => out.push_str(text),
            Err(_) => out.push_str(&format!("({} bytes)", bytes.len())),
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    print(out)
}

fn many(
    inputs: &Inputs<'_>,
    rows: &[Row],
    output: &Path,
    options: &BuildOptions,
    globals: &Globals,
) -> Outcome {
    let args = inputs.args;
    if args.print {
        return Err(
            Failure::usage("--print shows the documents of one seed, not of many")
                .or_hint("leave --print out, and look at one of the seeds: disksmith seed show FILE"),
        );
    }
    let names = Names::parse(output, args)?;
    let seed_of = |row: &Row| {
        let in_row = |failure: Failure| disksmith_seed::Error::Row {
            row: row.number,
            reason: {
                // What came of the row itself names it already.
                let prefix = format!("row {}: ", row.number);
                let message = failure.message();
                message.strip_prefix(&prefix).unwrap_or(message).into()
            },
        };
        let path = names.of(row)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let seed = inputs.seed(row, name).map_err(in_row)?;
        Ok((path, seed))
    };
    let nothing = |failure: Failure| failure.unchanged("no seed was made");
    let fleet = Fleet::plan(rows, options, existing(args), seed_of).map_err(|e| nothing(e.into()))?;
    if args.output_format == OutputFormat::Human && !globals.quiet {
        tell_warnings(&fleet);
    }
    if args.force {
        for path in fleet.paths() {
            refuse_if_cloned(path)?;
        }
    }
    for path in fleet.paths() {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|e| nothing(Failure::io("make the folder", folder, &e)))?;
        }
    }
    let made = std::sync::atomic::AtomicUsize::new(0);
    let total = fleet.paths().count();
    let written = fleet.write(options, existing(args), Durability::Deferred, |_| {
        made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    written.map_err(|error| {
        let made = made.load(std::sync::atomic::Ordering::Relaxed);
        Failure::from(error).unchanged(format!(
            "{made} of {total} seeds are there, each of them whole; the others were not made"
        ))
    })?;
    let paths: Vec<String> = fleet.paths().map(|p| p.display().to_string()).collect();
    if args.output_format == OutputFormat::Json {
        print_json(&json!({ "files": paths }))?;
    }
    globals.say(|| match (paths.first(), paths.last()) {
        (Some(first), Some(last)) if paths.len() > 1 => format!("{} seeds: {first} to {last}", paths.len()),
        (Some(only), _) => format!("1 seed: {only}"),
        _ => "the table has no rows, and no seed was made".into(),
    });
    Ok(ExitCode::SUCCESS)
}

/// Most rows have the same remarks, for they are filled into the same documents: those of each place are told once.
fn tell_warnings(fleet: &Fleet) {
    for (row, diagnostic, others) in fleet.remarks() {
        match others {
            0 => eprintln!("row {row}: {diagnostic}"),
            n => eprintln!("row {row} and {n} more: {diagnostic}"),
        }
    }
}

/// How the outputs of a fleet are called.
enum Names {
    /// By placeholders.
    Template(Template),
    /// By the number, as `clone` has it.
    Pattern(disksmith_image::NamePattern),
}

impl Names {
    fn parse(output: &Path, args: &MakeArgs) -> Outcome<Self> {
        use std::os::unix::ffi::OsStrExt;
        let template = Template::parse(output.as_os_str().as_bytes());
        if template.has_placeholders() {
            return Ok(Self::Template(template));
        }
        if args.count.is_some() {
            return Ok(Self::Pattern(disksmith_image::NamePattern::parse(output)?));
        }
        Err(Failure::new(
            ErrorKind::Usage,
            format!("all rows would make {}", output.display()),
        )
        .or_hint("put a placeholder into the name: seeds/@{name}.iso"))
    }

    fn of(&self, row: &Row) -> disksmith_seed::Result<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        match self {
            Self::Pattern(pattern) => Ok(pattern.name(row.number)),
            Self::Template(template) => {
                for (name, value) in &row.values {
                    // a table from a stranger does not leave the folder
                    let escapes = value.contains(['/', '\0']) || matches!(value.as_str(), "" | "." | "..");
                    if escapes && template.uses(name) {
                        return Err(disksmith_seed::Error::Row {
                            row: row.number,
                            reason: format!(
                                "the value {value:?} of {name:?} cannot be part of a file's name"
                            ),
                        });
                    }
                }
                Ok(PathBuf::from(std::ffi::OsString::from_vec(template.fill(row)?)))
            }
        }
    }
}
