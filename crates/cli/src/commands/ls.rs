//! `disksmith ls`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{Gathered, OutputFormat, finish, print_json};
use clap::{Args, ValueEnum};
use disksmith_guest::{
    Checksum, Guest, ListOptions, ListSink, LongOptions, TimeStyle, device_numbers, list_long, list_names,
    list_paths, list_recursive,
};
use disksmith_vfs::{FileType, Metadata, Tree, WalkStep};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// List directories of a guest
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Absolute paths in the guest
    #[arg(default_value = "/")]
    paths: Vec<PathBuf>,
    /// Modes, owners, sizes and times; with -R one line a file that programs can read
    #[arg(short = 'l', long)]
    long: bool,
    /// Everything below, too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// With -lR: user and group ids
    #[arg(long)]
    uids: bool,
    /// With -lR: times of access, modification and change, as dates or in the way that is named
    #[arg(long, value_name = "STYLE", num_args = 0..=1, require_equals = true, default_missing_value = "date")]
    times: Option<Times>,
    /// With -lR: device, inode, links, device number, blocks of 512 bytes
    #[arg(long)]
    extra_stats: bool,
    /// With -lR: checksums of the contents
    #[arg(long, alias = "checksums", value_name = "ALGORITHM", num_args = 0..=1, require_equals = true,
          default_missing_value = "md5", value_parser = checksum)]
    checksum: Option<Checksum>,
    /// With -lR: sizes with a unit
    #[arg(short = 'h', long)]
    human_readable: bool,
    /// With -lR: fields between commas
    #[arg(long)]
    csv: bool,
    /// How to print the list
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Times {
    /// Date and time of day
    Date,
    /// Seconds since 1970
    Seconds,
    /// Seconds before now
    Relative,
    /// Days before now
    Days,
}

fn checksum(text: &str) -> Result<Checksum, String> {
    Checksum::from_name(text).ok_or_else(|| "say crc, md5, sha1, sha224, sha256, sha384 or sha512".into())
}

pub(crate) fn run(args: &LsArgs, globals: &Globals) -> Outcome {
    if args.output == OutputFormat::Json {
        if args.checksum.is_some() {
            return Err(Failure::usage(
                "--checksum has no place in the JSON of ls: use --csv",
            ));
        }
        let list = args.guest.look(globals, |guest| as_json(args, guest))?;
        print_json(&Value::Array(list))?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = clock::now()?;
    let long = LongOptions {
        now,
        zone: TimeZone::system(),
        guest_names: true,
    };
    let mut record = ListOptions {
        uids: args.uids,
        times: args.times.map(|style| match style {
            Times::Date => TimeStyle::Date(TimeZone::system()),
            Times::Seconds => TimeStyle::Seconds,
            Times::Relative => TimeStyle::Relative(now),
            Times::Days => TimeStyle::Days(now),
        }),
        extra_stats: None,
        checksum: args.checksum,
        human_readable: args.human_readable,
        csv: args.csv,
    };
    let mut out = Gathered::new();
    args.guest.look(globals, |guest| {
        let tree = guest.tree();
        record.extra_stats = args.extra_stats.then(|| device_numbers(guest));
        let mut sink = ListSink::new(&mut out, "standard output");
        for path in &args.paths {
            let path = path.as_os_str().as_bytes();
            match (args.long, args.recursive) {
                (false, false) => list_names(tree, path, &mut sink)?,
                (false, true) => list_paths(tree, path, false, &mut sink)?,
                (true, false) => list_long(tree, path, &long, &mut sink)?,
                (true, true) => list_recursive(tree, path, &record, &mut sink)?,
            }
        }
        Ok(())
    })?;
    finish(out.flush())?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(args: &LsArgs, guest: &Guest) -> disksmith_guest::Result<Vec<Value>> {
    let tree = guest.tree();
    let mut list = Vec::new();
    for path in &args.paths {
        let path = path.as_os_str().as_bytes();
        if args.recursive {
            tree.walk(path, |entry| {
                list.push(row(tree, &entry.path, &entry.metadata)?);
                Ok::<_, disksmith_guest::Error>(WalkStep::Continue)
            })?;
            continue;
        }
        for entry in tree.read_dir(path)? {
            let whole = [path.strip_suffix(b"/").unwrap_or(path), b"/", &entry.name].concat();
            list.push(row(tree, &whole, &tree.symlink_metadata(&whole)?)?);
        }
    }
    Ok(list)
}

fn row(tree: &Tree, path: &[u8], metadata: &Metadata) -> disksmith_guest::Result<Value> {
    let target = match metadata.file_type {
        FileType::Symlink => Some(tree.read_link(path)?),
        _ => None,
    };
    let mut row = json!({
        "path": String::from_utf8_lossy(path),
        "type": match metadata.file_type {
            FileType::Regular => "file",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::CharDevice => "character-device",
            FileType::BlockDevice => "block-device",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
        },
        "mode": format!("{:04o}", metadata.permissions),
        "uid": metadata.uid,
        "gid": metadata.gid,
        "size": metadata.size,
        "links": metadata.links,
        "modified": metadata.modified.seconds,
        "changed": metadata.changed.seconds,
        "accessed": metadata.accessed.seconds,
        "inode": metadata.inode.0,
        "blocks": metadata.blocks,
    });
    if let Some(target) = target {
        row["target"] = String::from_utf8_lossy(&target).into();
    }
    Ok(row)
}
