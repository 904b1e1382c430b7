//! `disksmith iso`: makes ISO 9660 images, and looks into them.

use super::Globals;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print, print_json};
use clap::{Args, Subcommand};
use disksmith_iso9660::{
    BootCatalog, BootEntry, Duplicates, HostAttributes, HostOptions, ImageTree, Inspection, Iso, IsoImage,
    Level, NodeId, Options, Platform,
};
use disksmith_storage::{Durability, Existing, HostFile, LockMode, OpenMode, StorageRef};
use disksmith_vfs::{CopyOutOptions, FileSystem, FileType, Tree};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The deepest directory that is listed.
const MAX_DEPTH: usize = 4096;

/// Make ISO 9660 images, and look into them
#[derive(Debug, Args)]
pub(crate) struct IsoArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(CreateArgs),
    Ls(LsArgs),
    Extract(ExtractArgs),
    Info(InfoArgs),
}

/// Make an image of folders and files, with Rock Ridge and Joliet
#[derive(Debug, Args)]
struct CreateArgs {
    /// The image; `-` is standard output
    output: PathBuf,
    /// Folders, whose contents go to the root, and files
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// Name of the volume
    #[arg(short = 'V', long, default_value = "CDROM")]
    label: String,
    /// Replace an image that is there
    #[arg(long)]
    force: bool,
    /// Keep owners and modes instead of giving all to root, readable by everybody
    #[arg(long)]
    keep_owners: bool,
    /// Path in the image of what a PC's BIOS starts
    #[arg(long, value_name = "PATH")]
    bios_boot: Option<PathBuf>,
    /// Path in the image of a FAT image that UEFI starts from
    #[arg(long, value_name = "PATH")]
    efi_boot: Option<PathBuf>,
}

/// List all files of an image
#[derive(Debug, Args)]
struct LsArgs {
    /// The image
    image: PathBuf,
    /// How to print it
    #[arg(long, value_name = "HOW", default_value = "human")]
    output: OutputFormat,
}

/// Copy files and folders out of an image
#[derive(Debug, Args)]
struct ExtractArgs {
    /// The image
    image: PathBuf,
    /// The folder of this host that they go to
    directory: PathBuf,
    /// Paths in the image; everything where none is given
    paths: Vec<PathBuf>,
}

/// Say what an image is
#[derive(Debug, Args)]
struct InfoArgs {
    /// The image
    image: PathBuf,
    /// How to print it
    #[arg(long, value_name = "HOW", default_value = "human")]
    output: OutputFormat,
}

pub(crate) fn run(args: &IsoArgs, globals: &Globals) -> Outcome {
    match &args.verb {
        Verb::Create(args) => create(args, globals),
        Verb::Ls(args) => list(args),
        Verb::Extract(args) => extract(args),
        Verb::Info(args) => info(args),
    }
}

fn find(tree: &ImageTree, path: &Path) -> Outcome<NodeId> {
    let mut at = tree.root();
    for name in path
        .as_os_str()
        .as_bytes()
        .split(|b| *b == b'/')
        .filter(|n| !n.is_empty())
    {
        at = tree.child(at, name).ok_or_else(|| {
            Failure::usage(format!("{}: is not in the image", path.display()))
                .or_hint("boot images are files of the image, named by their path in it")
        })?;
    }
    Ok(at)
}

fn create(args: &CreateArgs, globals: &Globals) -> Outcome {
    let now = crate::clock::now()?;
    let host = HostOptions {
        attributes: if args.keep_owners {
            HostAttributes::Keep
        } else {
            HostAttributes::Rational
        },
        latest: crate::clock::is_fixed().then_some(now),
        merge: true,
        ..HostOptions::default()
    };
    let mut tree = ImageTree::new(disksmith_iso9660::Attributes::new(0o555, now));
    let root = tree.root();
    for source in &args.sources {
        if source.is_dir() {
            tree.add_host_contents(root, source, &host)?;
            continue;
        }
        let name = source
            .file_name()
            .ok_or_else(|| Failure::usage(format!("{}: has no name", source.display())))?;
        tree.add_host(root, name.as_bytes(), source, &host)?;
    }
    let mut entries = Vec::new();
    if let Some(path) = &args.bios_boot {
        entries.push(BootEntry {
            load_sectors: Some(4),
            info_table: true,
            ..BootEntry::new(Platform::Bios, find(&tree, path)?)
        });
    }
    if let Some(path) = &args.efi_boot {
        entries.push(BootEntry::new(Platform::Efi, find(&tree, path)?));
    }
    let boot = (!entries.is_empty()).then(|| BootCatalog {
        entries,
        ..BootCatalog::default()
    });
    let files = tree.len();
    let image = IsoImage::plan(
        tree,
        Options {
            level: Level::Three,
            joliet: true,
            joliet_long: true,
            rock_ridge: true,
            duplicates: Duplicates::Links,
            boot,
            ..Options::new(args.label.clone(), now)
        },
    )?;
    if args.output.as_os_str() == "-" {
        let mut out = std::io::BufWriter::with_capacity(256 * 1024, std::io::stdout().lock());
        image.write_to(&mut out)?;
        crate::output::finish(out.flush())?;
    } else {
        let existing = if args.force {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        image
            .write_file(&args.output, existing, Durability::Deferred)
            .map_err(|error| {
                Failure::from(error).unchanged(format!("{} is as it was", args.output.display()))
            })?;
    }
    globals.say(|| {
        format!(
            "{}: {} {}, {} bytes",
            args.output.display(),
            files.saturating_sub(1),
            if files == 2 { "entry" } else { "entries" },
            image.size()
        )
    });
    Ok(ExitCode::SUCCESS)
}

fn storage(path: &Path) -> Outcome<StorageRef> {
    Ok(Arc::new(HostFile::open(path, OpenMode::Read, LockMode::None)?))
}

fn open(path: &Path) -> Outcome<Tree> {
    let iso = Iso::open(storage(path)?)?;
    Ok(Tree::new(Arc::new(iso), crate::clock::now()?))
}

fn list(args: &LsArgs) -> Outcome {
    let tree = open(&args.image)?;
    let mut pending = vec![(b"/".to_vec(), 0usize)];
    let mut rows = Vec::new();
    let mut text = Vec::new();
    while let Some((path, depth)) = pending.pop() {
        let metadata = tree.symlink_metadata(&path)?;
        let target = match metadata.file_type {
            FileType::Symlink => Some(tree.read_link(&path)?),
            _ => None,
        };
        match args.output {
            OutputFormat::Human => {
                text.extend_from_slice(
                    format!(
                        "{:<9} {:04o} {:>5} {:>5} {:>12} ",
                        kind(metadata.file_type),
                        metadata.permissions,
                        metadata.uid,
                        metadata.gid,
                        metadata.size
                    )
                    .as_bytes(),
                );
                escape(&path, &mut text);
                if let Some(target) = &target {
                    text.extend_from_slice(b" -> ");
                    escape(target, &mut text);
                }
                text.push(b'\n');
            }
            OutputFormat::Json => rows.push(json!({
                "path": String::from_utf8_lossy(&path),
                "type": kind(metadata.file_type),
                "permissions": format!("{:04o}", metadata.permissions),
                "uid": metadata.uid,
                "gid": metadata.gid,
                "size": metadata.size,
                "modified": metadata.modified.seconds,
                "target": target.map(|t| String::from_utf8_lossy(&t).into_owned()),
            })),
        }
        if metadata.file_type == FileType::Directory && depth < MAX_DEPTH {
            let mut names: Vec<Vec<u8>> = tree
                .read_dir(&path)?
                .into_iter()
                .map(|entry| entry.name)
                .filter(|name| name != b"." && name != b"..")
                .collect();
            names.sort_unstable_by(|a, b| b.cmp(a));
            let base = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
            pending.extend(
                names
                    .into_iter()
                    .map(|name| ([base.as_slice(), b"/", &name].concat(), depth + 1)),
            );
        }
    }
    match args.output {
        OutputFormat::Human => print(text)?,
        OutputFormat::Json => print_json(&Value::Array(rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A name as one line shows it: control characters and backslashes are written out, so that no image can write lines of
/// its own or command the terminal.
fn escape(name: &[u8], out: &mut Vec<u8>) {
    for byte in name {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte if byte.is_ascii_control() => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            byte => out.push(*byte),
        }
    }
}

fn kind(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::CharDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
    }
}

fn extract(args: &ExtractArgs) -> Outcome {
    let tree = open(&args.image)?;
    std::fs::create_dir_all(&args.directory).map_err(|e| Failure::io("create", &args.directory, &e))?;
    let mut paths: Vec<Vec<u8>> = args
        .paths
        .iter()
        .map(|path| path.as_os_str().as_bytes().to_vec())
        .collect();
    if paths.is_empty() {
        let entries = tree.read_dir("/")?;
        let names = entries.into_iter().map(|entry| entry.name);
        paths = names
            .filter(|name| name != b"." && name != b"..")
            .map(|name| [b"/", name.as_slice()].concat())
            .collect();
    }
    for path in paths {
        tree.copy_out(path, &args.directory, CopyOutOptions::default())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn info(args: &InfoArgs) -> Outcome {
    let storage = storage(&args.image)?;
    let iso = Iso::open(Arc::clone(&storage))?;
    let raw = Inspection::open(storage, 0, 0)?;
    let texts = raw.texts();
    let boot = raw.boot()?;
    let value = json!({
        "image": args.image.display().to_string(),
        "label": iso.label().map(|l| String::from_utf8_lossy(&l).into_owned()),
        "uuid": iso.uuid(),
        "system": texts.system_id,
        "publisher": texts.publisher,
        "preparer": texts.preparer,
        "application": texts.application,
        "size": iso.volume_size(),
        "created": iso.created().map(|t| t.seconds),
        "joliet": raw.joliet_level(),
        "rock-ridge": iso.has_rock_ridge(),
        "iso-9660-1999": raw.is_1999(),
        "el-torito": boot.is_some(),
    });
    match args.output {
        OutputFormat::Json => print_json(&value)?,
        OutputFormat::Human => {
            let mut text = String::new();
            for (key, value) in value.as_object().into_iter().flatten() {
                let shown = match value {
                    Value::Null => "-".into(),
                    Value::String(text) => text.clone(),
                    Value::Bool(true) => "yes".into(),
                    Value::Bool(false) => "no".into(),
                    other => other.to_string(),
                };
                text.push_str(&format!("{key:<14} {shown}\n"));
            }
            print(text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
