//! The face of `virt-format`: erases disks and makes blank ones of them.

use super::getopt::{flag, optional, value};
use super::guestfs_options::{ADD, BLOCKSIZE, DISPLAY_VERSION, FORMAT, HELP, TRACE, Tool, VERBOSE};
use super::virt_make_fs::filesystem_named;
use crate::commands::filesystem_args::{derived_uuid, random_uuid};
use crate::failure::{Failure, Outcome};
use disksmith_disks::{DiskContent, DiskIds, FormatDisk, PartitionTable, Placement, format_disk};
use disksmith_image::{DiskSpec, Image, OpenOptions, Output, TransactionOptions};
use disksmith_storage::LockMode;
use std::ffi::OsString;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-format",
    "virt-format: erase and make a blank disk

IMPORTANT NOTE: This program ERASES ALL DATA on disks.

Usage:
  virt-format [OPTIONS] -a IMAGE [-a IMAGE …]
Options:
  --filesystem=ext4|vfat|none  Make an empty filesystem
  --label=LABEL        Its label
  --lvm[=/dev/VG/LV]   Refused: logical volumes cannot be made yet
  --partition[=mbr|gpt|none]  Which partition table (by the disk's size)
  --wipe               Write zeroes over the whole disk
",
    &[
        ADD,
        BLOCKSIZE,
        value("filesystem", 0),
        FORMAT,
        HELP,
        value("label", 0),
        optional("lvm"),
        optional("partition"),
        VERBOSE,
        DISPLAY_VERSION,
        flag("wipe", 0),
        TRACE,
    ],
    "avVx",
);

/// From this size on a disk gets a GPT.
const LARGE: u64 = 2 << 40;

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if call.drives.is_empty() {
        eprintln!("virt-format: error: you must specify at least one -a option.");
        return TOOL.wrong_use();
    }
    if !call.arguments.operands.is_empty() {
        eprintln!("virt-format: extra arguments on the command line");
        return TOOL.wrong_use();
    }
    match work(&call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

fn work(call: &super::guestfs_options::Invocation) -> Outcome<()> {
    let text = |name: &str| call.arguments.text(name);
    match text("lvm").as_deref() {
        None | Some("none") => {}
        Some(_) => {
            return Err(Failure::usage(
                "--lvm: logical volumes cannot be made yet; nothing was changed",
            ));
        }
    }
    let mut how = Vec::new();
    for drive in &call.drives {
        let uuid = random_uuid()?;
        let open = OpenOptions::read().format(drive.format).lock(LockMode::None);
        let size = Image::open(&drive.path, &open)?.size();
        how.push(FormatDisk {
            content: match text("filesystem").as_deref() {
                None | Some("none") => DiskContent::Empty,
                Some(kind) => {
                    DiskContent::FileSystem(filesystem_named(kind, text("label").as_deref(), uuid)?)
                }
            },
            table: match text("partition").as_deref() {
                None | Some("" | "DEFAULT") if size >= LARGE => Some(PartitionTable::Gpt),
                None | Some("" | "DEFAULT" | "mbr" | "msdos" | "dos") => Some(PartitionTable::Mbr),
                Some("gpt" | "efi") => Some(PartitionTable::Gpt),
                Some("none") => None,
                Some(other) => {
                    return Err(Failure::usage(format!(
                        "--partition={other}: mbr, gpt and none can be made"
                    )));
                }
            },
            placement: Placement::Libguestfs,
            ids: DiskIds {
                disk: derived_uuid(&uuid, 2),
                partition: derived_uuid(&uuid, 3),
            },
            wipe: call.arguments.has("wipe"),
        });
    }
    let disks: Vec<DiskSpec> = call
        .drives
        .iter()
        .map(|drive| DiskSpec {
            path: drive.path.clone(),
            format: drive.format,
            output: Output::InPlace,
        })
        .collect();
    format_disk(&disks, &TransactionOptions::default(), &how)?;
    Ok(())
}
