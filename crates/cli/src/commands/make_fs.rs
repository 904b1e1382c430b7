//! `disksmith make-fs`.

use super::create_options::{self, ImageOptions};
use super::filesystem_args::{FilesystemArgs, derived_uuid};
use super::{Globals, ImageFormat, parse_size};
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::output::{OutputFormat, print_json};
use clap::{Args, ValueEnum};
use disksmith_disks::{DiskIds, Files, ImageSize, MakeFs, PartitionTable, make_fs};
use disksmith_image::human_size;
use disksmith_storage::Existing;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make a filesystem, or a disk with one, from a directory or a tar archive
///
/// Owners, modes, times, hard links, holes and extended attributes (SELinux labels, capabilities, access control lists) are kept. The
/// image appears under its name only when it is complete. With SOURCE_DATE_EPOCH and --uuid the same files give the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  disksmith make-fs rootfs/ root.img\n  \
    disksmith make-fs -t ext4 --partition=gpt -F qcow2 --size +2G rootfs.tar.zst disk.qcow2\n  \
    docker export web | disksmith make-fs -t ext4 - web.img")]
pub(crate) struct MakeFsArgs {
    /// A directory, or a tar archive (gzip, bzip2, xz, zstd or plain; `-`: standard input)
    source: PathBuf,
    /// The image
    image: PathBuf,
    /// Type of the filesystem: ext4, ext3, ext2, vfat
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "ext4")]
    kind: String,
    /// Size of the image (10G), or what stays free in it beyond the usual tenth (+2G); computed where it is not given
    #[arg(short = 's', long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<String>,
    /// Put the filesystem into a partition
    #[arg(long, value_name = "TABLE", num_args = 0..=1, require_equals = true, default_missing_value = "gpt")]
    partition: Option<TableName>,
    /// Format of the image
    #[arg(short = 'F', long, value_name = "FORMAT", default_value = "raw")]
    format: ImageFormat,
    /// Properties of the image: cluster_size=…
    #[arg(short = 'o', value_name = "OPTIONS")]
    options: Vec<String>,
    /// Make all files belong to this user and group (numbers)
    #[arg(long, value_name = "UID:GID")]
    owner: Option<String>,
    /// Replace an image that exists (never one that has clones)
    #[arg(long)]
    force: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: OutputFormat,
    #[command(flatten)]
    filesystem: FilesystemArgs,
}

/// A partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableName {
    /// GUID partition table
    Gpt,
    /// Master boot record
    #[value(alias = "msdos")]
    Mbr,
}

impl From<TableName> for PartitionTable {
    fn from(name: TableName) -> Self {
        match name {
            TableName::Gpt => Self::Gpt,
            TableName::Mbr => Self::Mbr,
        }
    }
}

/// Opens what the filesystem is made of.
pub(crate) fn open_files(source: &Path) -> Outcome<Files> {
    if source.as_os_str() != "-" {
        return Ok(Files::open(source)?);
    }
    let directory = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    Ok(Files::from_stream(
        &mut std::io::stdin().lock(),
        "standard input",
        &directory,
    )?)
}

pub(crate) fn run(args: &MakeFsArgs, globals: &Globals) -> Outcome {
    let uuid = args.filesystem.identity()?;
    let filesystem = args.filesystem.filesystem(&args.kind, uuid)?;
    let size = match args.size.as_deref() {
        None => ImageSize::Computed {
            free: 0,
            percent: 10,
            at_least: 0,
        },
        Some(text) => match text.strip_prefix('+') {
            Some(more) => ImageSize::Computed {
                free: parse_size(more).map_err(Failure::usage)?,
                percent: 10,
                at_least: 0,
            },
            None => ImageSize::Exact(parse_size(text).map_err(Failure::usage)?),
        },
    };
    let ImageOptions { create, .. } = create_options::parse(&args.options, args.format.into())?;
    let what = MakeFs {
        size,
        table: args.partition.map(Into::into),
        ids: DiskIds {
            disk: derived_uuid(&uuid, 2),
            partition: derived_uuid(&uuid, 3),
        },
        format: args.format.into(),
        create,
        existing: if args.force {
            Existing::Replace
        } else {
            Existing::Refuse
        },
        ..MakeFs::new(filesystem)
    };
    let failed = |failure: Failure| failure.doing(format_args!("cannot make {}", args.image.display()));
    if !args.force && args.image.symlink_metadata().is_ok() {
        let there = disksmith_image::Error::OutputExists {
            path: args.image.clone(),
        };
        return Err(failed(there.into()));
    }
    let mut files = open_files(&args.source)?;
    if let Some(owner) = &args.owner {
        let wrong = || Failure::usage(format!("'{owner}' is no owner; write it like 1000:1000"));
        let (uid, gid) = owner.split_once(':').ok_or_else(wrong)?;
        files.set_owner(
            uid.parse().map_err(|_| wrong())?,
            gid.parse().map_err(|_| wrong())?,
        );
    }
    if clock::is_fixed() {
        files.clamp_times(clock::now()?.seconds);
    }
    let made = make_fs(files, &args.image, &what).map_err(|error| failed(error.into()))?;
    if args.output == OutputFormat::Json {
        print_json(&serde_json::json!({
            "filename": args.image.display().to_string(),
            "type": made.kind.name(),
            "virtual-size": made.disk_size,
            "filesystem-size": made.filesystem_size,
            "files": made.files,
            "uuid": uuid::Uuid::from_bytes(uuid).to_string(),
        }))?;
    } else {
        globals.say(|| {
            format!(
                "{}: {} of {}, {} files",
                args.image.display(),
                made.kind.name(),
                human_size(made.filesystem_size),
                made.files
            )
        });
    }
    Ok(ExitCode::SUCCESS)
}
