//! `disksmith diff`.

use super::gate_args::GateArgs;
use super::key_args::KeyArgs;
use super::{Globals, ImageFormat};
use crate::clock;
use crate::diff_lines::{DiffLook, DiffTimes};
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, finish};
use clap::Args;
use disksmith_guest::{
    Attribute, Checksum, Compared, DiffOptions, Difference, FileState, GuestOptions, RootChoice,
};
use disksmith_vfs::FileType;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit status where the guests differ, and the least one of failures: as diff(1) has them.
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

/// Show what differs between the files of two guests
///
/// The exit status is 0 where nothing differs, 1 where something does, 2 or more for failures.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The image of the first guest, and that of the second
    #[arg(value_names = ["OLD", "NEW"], num_args = 2, conflicts_with_all = ["old", "new"])]
    images: Vec<PathBuf>,
    /// A disk of the first guest; several in the order in which it has them
    #[arg(
        short = 'a',
        long = "add",
        value_name = "OLD",
        requires = "new",
        required_unless_present = "images"
    )]
    old: Vec<PathBuf>,
    /// A disk of the second guest
    #[arg(short = 'A', long = "add-new", value_name = "NEW", requires = "old")]
    new: Vec<PathBuf>,
    /// Format of all images, instead of detecting it
    #[arg(long, value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Compare the contents of all files, and show checksums
    #[arg(long, value_name = "ALGORITHM", num_args = 0..=1, require_equals = true, default_missing_value = "md5", value_parser = checksum)]
    checksum: Option<Checksum>,
    /// Times of last access count too
    #[arg(long)]
    atime: bool,
    /// Times of directories count too
    #[arg(long)]
    dir_times: bool,
    /// Numbers of links of directories count too
    #[arg(long)]
    dir_links: bool,
    /// Show times
    #[arg(long)]
    times: bool,
    /// Show user and group ids
    #[arg(long)]
    uids: bool,
    /// Show device, inode, links, device numbers and blocks
    #[arg(long)]
    extra_stats: bool,
    /// Show extended attributes
    #[arg(long)]
    xattrs: bool,
    /// Show all of these
    #[arg(long)]
    all: bool,
    /// Sizes with a unit
    #[arg(short = 'h', long)]
    human_readable: bool,
    /// Fields between commas, and no contents
    #[arg(long, conflicts_with = "human_readable")]
    csv: bool,
    /// How to print the differences
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    keys: KeyArgs,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

fn checksum(name: &str) -> Result<Checksum, String> {
    Checksum::from_name(&name.to_ascii_lowercase())
        .ok_or_else(|| format!("'{name}' is none of crc, md5, sha1, sha224, sha256, sha384, sha512"))
}

pub(crate) fn run(args: &DiffArgs, globals: &Globals) -> Outcome {
    compare(args, globals).map_err(|failure| failure.status_at_least(TROUBLE))
}

fn compare(args: &DiffArgs, globals: &Globals) -> Outcome {
    let format = args.format.map(Into::into);
    let disks = |paths: &[PathBuf]| {
        paths
            .iter()
            .map(|path| (path.clone(), format))
            .collect::<Vec<_>>()
    };
    let (old, new) = match args.images.as_slice() {
        [old, new] => (disks(std::slice::from_ref(old)), disks(std::slice::from_ref(new))),
        _ => (disks(&args.old), disks(&args.new)),
    };
    let options = GuestOptions {
        mounts: Vec::new(),
        root: RootChoice::default(),
        clock: clock::now()?,
        keys: args.keys.keys()?,
        gate: args.gate.gate(),
    };
    let in_use = |path: &Path| {
        globals.say(|| {
            format!(
                "disksmith: warning: {} is in use: what is shown may be inconsistent",
                path.display()
            )
        });
    };
    let look = look(args);
    let any = disksmith_guest::look(&old, &options, in_use, |old| {
        disksmith_guest::look(&new, &options, in_use, |new| {
            let compared = Compared::new(old, new, look.compared);
            let mut out = BufWriter::new(std::io::stdout().lock());
            Ok(match args.output {
                OutputFormat::Human => look.print("disksmith", &compared, &mut out),
                OutputFormat::Json => print_as_json(&compared, &mut out),
            })
        })
    })
    .map_err(Failure::from)??;
    Ok(if any {
        ExitCode::from(DIFFERENT)
    } else {
        ExitCode::SUCCESS
    })
}

fn look(args: &DiffArgs) -> DiffLook {
    DiffLook {
        compared: DiffOptions {
            access_times: args.atime,
            directory_times: args.dir_times,
            directory_links: args.dir_links,
            contents: args.checksum.is_some(),
        },
        csv: args.csv,
        human_readable: args.human_readable,
        uids: args.uids || args.all,
        times: (args.times || args.all).then(|| DiffTimes::Date(TimeZone::system())),
        extra_stats: args.extra_stats || args.all,
        checksum: args.checksum,
        xattrs: args.xattrs || args.all,
    }
}

/// One array, an element for each difference.
fn print_as_json(compared: &Compared<'_>, out: &mut dyn Write) -> Outcome<bool> {
    let mut any = false;
    compared.for_each::<Failure>(|difference| {
        let value = match difference {
            Difference::Removed(old) => json!({
                "path": path(old), "change": "removed", "old": state(old),
            }),
            Difference::Added(new) => json!({
                "path": path(new), "change": "added", "new": state(new),
            }),
            Difference::Changed {
                old,
                new,
                contents,
                attributes,
            } => json!({
                "path": path(old),
                "change": "changed",
                "contents": *contents && compared.contents_differ(old, new)?,
                "attributes": attributes.iter().map(|a: &Attribute| a.name()).collect::<Vec<_>>(),
                "old": state(old),
                "new": state(new),
            }),
        };
        let start = if any { ",\n" } else { "[\n" };
        any = true;
        finish(write!(out, "{start}{value}"))
    })?;
    let end = if any { "\n]\n" } else { "[]\n" };
    finish(out.write_all(end.as_bytes()).and_then(|()| out.flush()))?;
    Ok(any)
}

fn path(file: &FileState) -> String {
    String::from_utf8_lossy(&file.path).into_owned()
}

fn state(file: &FileState) -> Value {
    let stat = &file.metadata;
    let xattrs = file.xattrs.iter().map(|(name, value)| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(name), Value::from(text(value)))
    });
    json!({
        "type": type_name(stat.file_type),
        "mode": format!("{:04o}", stat.permissions),
        "uid": stat.uid,
        "gid": stat.gid,
        "size": stat.size,
        "links": stat.links,
        "accessed": stat.accessed.seconds,
        "modified": stat.modified.seconds,
        "changed": stat.changed.seconds,
        "target": file.target.as_ref().map(|target| String::from_utf8_lossy(target)),
        "xattrs": xattrs.collect::<serde_json::Map<_, _>>(),
    })
}

fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::CharDevice => "character-device",
        FileType::BlockDevice => "block-device",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
    }
}
