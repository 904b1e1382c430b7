//! `disksmith format`.

use super::filesystem_args::{FilesystemArgs, derived_uuid, random_uuid};
use super::gate_args::GateArgs;
use super::make_fs::TableName;
use super::{Globals, ImageFormat, image_unchanged};
use crate::failure::{Failure, Outcome};
use clap::Args;
use disksmith_disks::{DiskContent, DiskIds, FormatDisk, Placement, format_disk};
use disksmith_image::{DiskSpec, Output, TransactionOptions};
use std::path::PathBuf;
use std::process::ExitCode;

/// ERASE disks, and lay out a partition and a filesystem on them
///
/// What the disks held is lost. It is one edit all the same: until it is complete every disk holds what it held.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  disksmith format -a data.qcow2 -t ext4 -L data\n  \
    disksmith format -a disk.img --partition=gpt -t vfat\n  disksmith format -a disk.img --partition=none --wipe"
)]
pub(crate) struct FormatArgs {
    /// A disk image, which is ERASED; several
    #[arg(short = 'a', long = "add", value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Format of the images, instead of detecting it
    #[arg(long = "format", value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// Type of the filesystem: ext4, ext3, ext2, vfat, or none
    #[arg(
        short = 't',
        long = "type",
        visible_alias = "filesystem",
        value_name = "TYPE",
        default_value = "none"
    )]
    kind: String,
    /// Partition table: gpt, mbr or none
    #[arg(long, value_name = "TABLE", default_value = "none")]
    partition: TableChoice,
    /// Make everything else on the disks zero too
    #[arg(long)]
    wipe: bool,
    /// Erase even a base that has clones, which this corrupts
    #[arg(long)]
    force: bool,
    /// Where the redo log of a raw image goes, if not beside it
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    filesystem: FilesystemArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TableChoice {
    /// GUID partition table
    Gpt,
    /// Master boot record
    #[value(alias = "msdos")]
    Mbr,
    /// None: the filesystem fills the disk
    None,
}

pub(crate) fn run(args: &FormatArgs, globals: &Globals) -> Outcome {
    if args.images.len() > 1 && args.filesystem.uuid.is_some() {
        return Err(Failure::usage("several disks cannot have the same UUID"));
    }
    let table = match args.partition {
        TableChoice::Gpt => Some(TableName::Gpt.into()),
        TableChoice::Mbr => Some(TableName::Mbr.into()),
        TableChoice::None => None,
    };
    let mut how = Vec::new();
    for _ in &args.images {
        let uuid = args.filesystem.identity()?;
        let content = match args.kind.as_str() {
            "none" => DiskContent::Empty,
            kind => DiskContent::FileSystem(args.filesystem.filesystem(kind, uuid)?),
        };
        let uuid = if matches!(content, DiskContent::Empty) {
            random_uuid()?
        } else {
            uuid
        };
        how.push(FormatDisk {
            content,
            table,
            placement: Placement::Aligned,
            ids: DiskIds {
                disk: derived_uuid(&uuid, 2),
                partition: derived_uuid(&uuid, 3),
            },
            wipe: args.wipe,
        });
    }
    let disks: Vec<DiskSpec> = args
        .images
        .iter()
        .map(|path| DiskSpec {
            path: path.clone(),
            format: args.format.map(Into::into),
            output: Output::InPlace,
        })
        .collect();
    let transaction = TransactionOptions {
        log_dir: args.log_dir.clone(),
        force: args.force,
        gate: args.gate.gate(),
        ..TransactionOptions::default()
    };
    let unchanged = image_unchanged(&args.images);
    format_disk(&disks, &transaction, &how).map_err(|error| unchanged(error.into()))?;
    for image in &args.images {
        globals.say(|| format!("{}: formatted", image.display()));
    }
    Ok(ExitCode::SUCCESS)
}
