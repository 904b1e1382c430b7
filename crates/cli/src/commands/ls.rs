//! `disksmith ls`.

use super::Globals;
use super::guest_args::GuestArgs;
use crate::failure::Outcome;
use crate::output::{OutputFormat, print, print_json};
use clap::Args;
use disksmith_guest::{Guest, ListOptions, list_long, list_names, list_paths, list_recursive};
use disksmith_vfs::{FileType, Metadata, Tree, WalkStep};
use serde_json::{Value, json};
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
    /// With -lR: times of access, modification and change
    #[arg(long)]
    times: bool,
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

pub(crate) fn run(args: &LsArgs, globals: &Globals) -> Outcome {
    if args.output == OutputFormat::Json {
        let list = args.guest.look(globals, |guest| as_json(args, guest))?;
        print_json(&Value::Array(list))?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = args.guest.look(globals, |guest| {
        let mut text = Vec::new();
        for path in &args.paths {
            for line in lines(args, guest.tree(), path.as_os_str().as_bytes())? {
                text.extend_from_slice(&line);
                text.push(b'\n');
            }
        }
        Ok(text)
    })?;
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn lines(args: &LsArgs, tree: &Tree, path: &[u8]) -> disksmith_guest::Result<Vec<Vec<u8>>> {
    match (args.long, args.recursive) {
        (false, false) => list_names(tree, path),
        (false, true) => list_paths(tree, path),
        (true, false) => list_long(tree, path),
        (true, true) => {
            let options = ListOptions {
                uids: args.uids,
                times: args.times,
                human_readable: args.human_readable,
                csv: args.csv,
            };
            list_recursive(tree, path, options)
        }
    }
}

fn as_json(args: &LsArgs, guest: &Guest) -> disksmith_guest::Result<Vec<Value>> {
    let tree = guest.tree();
    let mut list = Vec::new();
    for path in &args.paths {
        let path = path.as_os_str().as_bytes();
        if args.recursive {
            tree.walk(path, |entry| {
                list.push(row(&entry.path, &entry.metadata));
                Ok::<_, disksmith_guest::Error>(WalkStep::Continue)
            })?;
            continue;
        }
        for entry in tree.read_dir(path)? {
            let whole = [path.strip_suffix(b"/").unwrap_or(path), b"/", &entry.name].concat();
            list.push(row(&whole, &tree.symlink_metadata(&whole)?));
        }
    }
    Ok(list)
}

fn row(path: &[u8], metadata: &Metadata) -> Value {
    json!({
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
    })
}
