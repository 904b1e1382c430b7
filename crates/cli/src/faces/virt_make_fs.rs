//! The face of `virt-make-fs`: an image with a filesystem, from a directory or a tar archive.

use super::getopt::{Spec, flag, optional, value};
use super::guestfs_options::{BLOCKSIZE, DISPLAY_VERSION, TRACE, Tool, VERBOSE};
use crate::clock;
use crate::commands::filesystem_args::{derived_uuid, random_uuid, serial};
use crate::commands::make_fs::open_files;
use crate::failure::{Failure, Outcome};
use disksmith_disks::{DiskIds, ImageSize, MakeFs, PartitionTable, Placement, make_fs};
use disksmith_ext4::{FormatKind, FormatOptions};
use disksmith_fs::NewFileSystem;
use disksmith_image::{CreateOptions, Format};
use disksmith_storage::Existing;
use disksmith_vfs::{SourceBody, SourceTree};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

const SPECS: &[Spec] = &[
    BLOCKSIZE,
    flag("debug", 0),
    flag("floppy", 0),
    value("format", b'F'),
    flag("help", 0),
    value("label", 0),
    optional("partition"),
    value("size", b's'),
    value("type", b't'),
    VERBOSE,
    DISPLAY_VERSION,
    TRACE,
];

static TOOL: Tool = Tool::new(
    "virt-make-fs",
    "virt-make-fs: make a filesystem from a tar archive or files
Usage:
  virt-make-fs [OPTIONS] DIRECTORY|ARCHIVE IMAGE
Options:
  --floppy                 Make a floppy: 1440 KiB, FAT, a partition table
  -F|--format=raw|qcow2    Format of the image
  --label=LABEL            Label of the filesystem
  --partition[=mbr|gpt]    Put the filesystem into a partition
  -s|--size=SIZE|+SIZE     Size of the image, or how much larger than needed
  -t|--type=ext2|ext3|ext4|vfat  Type of the filesystem (ext2)
",
    SPECS,
    "FstVvx",
);

/// The size of a floppy.
const FLOPPY: u64 = 1440 * 1024;
/// What the tool adds to the files, and for the journal of ext3 and ext4.
const OVERHEAD: u64 = 256 * 1024;
const JOURNAL: u64 = 1024 * 4096;

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let [source, image] = call.arguments.operands.as_slice() else {
        let missing = if call.arguments.operands.len() < 2 {
            "missing input and output arguments"
        } else {
            "too many arguments"
        };
        eprintln!("virt-make-fs: {missing} on the command line");
        return TOOL.wrong_use();
    };
    let text = |name: &str| call.arguments.text(name);
    let floppy = call.arguments.has("floppy");
    let request = Request {
        kind: text("type").unwrap_or_else(|| if floppy { "vfat".into() } else { "ext2".into() }),
        format: text("format").unwrap_or_else(|| "raw".into()),
        label: text("label"),
        partition: text("partition").or_else(|| floppy.then(|| "mbr".into())),
        size: text("size"),
        floppy,
    };
    match request.work(Path::new(source), Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

struct Request {
    kind: String,
    format: String,
    label: Option<String>,
    partition: Option<String>,
    size: Option<String>,
    floppy: bool,
}

impl Request {
    fn work(&self, source: &Path, image: &Path) -> Outcome<()> {
        let uuid = random_uuid()?;
        let mut files = open_files(source)?;
        if clock::is_fixed() {
            files.clamp_times(clock::now()?.seconds);
        }
        let what = MakeFs {
            size: self.size(files.tree())?,
            table: match self.partition.as_deref() {
                None => None,
                Some("" | "mbr" | "msdos" | "dos") => Some(PartitionTable::Mbr),
                Some("gpt" | "efi") => Some(PartitionTable::Gpt),
                Some(other) => {
                    return Err(Failure::usage(format!(
                        "--partition={other}: mbr and gpt can be made"
                    )));
                }
            },
            placement: Placement::Libguestfs,
            ids: DiskIds {
                disk: derived_uuid(&uuid, 2),
                partition: derived_uuid(&uuid, 3),
            },
            format: match self.format.as_str() {
                "raw" => Format::Raw,
                "qcow2" => Format::Qcow2,
                other => return Err(Failure::usage(format!("-F {other}: raw and qcow2 can be made"))),
            },
            create: CreateOptions::default(),
            // As the tool does.
            existing: Existing::Replace,
            ..MakeFs::new(self.filesystem(uuid)?)
        };
        make_fs(files, image, &what)?;
        Ok(())
    }

    fn filesystem(&self, uuid: [u8; 16]) -> Outcome<NewFileSystem> {
        filesystem_named(&self.kind, self.label.as_deref(), uuid)
    }

    /// The size: as the tool computes it, from what the files take, or more where that is not enough.
    fn size(&self, tree: &SourceTree) -> Outcome<ImageSize> {
        if self.floppy {
            return Ok(ImageSize::Exact(FLOPPY));
        }
        let journal = if matches!(self.kind.as_str(), "ext3" | "ext4") {
            JOURNAL
        } else {
            0
        };
        let needed = taken(tree) + OVERHEAD + journal;
        let at_least = |more: u64| needed / 10 * 11 + needed % 10 + more;
        match self.size.as_deref() {
            None => Ok(ImageSize::Computed {
                free: 0,
                percent: 0,
                at_least: at_least(0),
            }),
            Some(text) => match text.strip_prefix('+') {
                Some(more) => {
                    let more = size(more)?;
                    Ok(ImageSize::Computed {
                        free: more,
                        percent: 0,
                        at_least: at_least(more),
                    })
                }
                None => Ok(ImageSize::Exact(size(text)?)),
            },
        }
    }
}

/// A new filesystem of a type that libguestfs has a name for.
pub(super) fn filesystem_named(kind: &str, label: Option<&str>, uuid: [u8; 16]) -> Outcome<NewFileSystem> {
    let time = clock::now()?;
    let kind = match kind {
        "ext2" => FormatKind::Ext2,
        "ext3" => FormatKind::Ext3,
        "ext4" => FormatKind::Ext4,
        "vfat" | "fat" | "msdos" => {
            let mut fat = disksmith_fat::FormatOptions::new(serial(&uuid), time);
            fat.label = label.map(str::to_owned);
            return Ok(NewFileSystem::Fat(Box::new(fat)));
        }
        other => {
            return Err(Failure::usage(format!(
                "a filesystem of type {other} cannot be made yet: ext2, ext3, ext4 and vfat can"
            )));
        }
    };
    let mut options = FormatOptions::new(uuid, derived_uuid(&uuid, 1), time.seconds);
    options.kind = kind;
    options.label = label.unwrap_or_default().as_bytes().to_vec();
    Ok(NewFileSystem::Ext(Box::new(options)))
}

/// A size as the tool reads it: a number with one of the suffixes b, k, M, G, T.
fn size(text: &str) -> Outcome<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix {
        "" | "b" | "B" => Some(0),
        "k" | "K" | "KB" => Some(10),
        "m" | "M" | "MB" => Some(20),
        "g" | "G" | "GB" => Some(30),
        "t" | "T" | "TB" => Some(40),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(shift);
    bytes
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| Failure::usage(format!("cannot parse size parameter ({text})")))
}

/// What the files take, as `du --apparent-size -b` counts.
fn taken(tree: &SourceTree) -> u64 {
    (0u32..)
        .zip(tree.inodes())
        .filter(|(index, _)| tree.is_used(*index))
        .map(|(_, inode)| match &inode.body {
            SourceBody::File { size, .. } => *size,
            SourceBody::Directory(_) => 4096,
            SourceBody::Symlink(target) => target.len() as u64,
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}
