//! The face of `virt-df`: how full the filesystems of a guest are.

use super::getopt::{flag, short_value};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, FORMAT, HELP, TRACE, Tool, VERBOSE, print_lines,
};
use crate::commands::{UsageTable, guest_name, say_unknown, usage_table};
use disksmith_guest::disk_usage;
use std::ffi::OsString;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-df",
    "virt-df: show free space of a guest's filesystems
Usage:
  virt-df [OPTIONS] -a IMAGE [-a IMAGE …]
Options:
  --csv                Comma-separated values
  -h|--human-readable  Sizes with a unit
  -i|--inodes          Inodes instead of space
  --one-per-guest, -P N, --uuid  Accepted; they mean nothing for images
",
    &[
        ADD,
        BLOCKSIZE,
        CONNECT,
        flag("csv", 0),
        DOMAIN,
        FORMAT,
        HELP,
        flag("human-readable", b'h'),
        flag("inodes", b'i'),
        flag("one-per-guest", 0),
        flag("uuid", 0),
        short_value("threads", b'P'),
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "acdhiPvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let mut call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let look = UsageTable {
        human_readable: call.has("human-readable"),
        inodes: call.has("inodes"),
        csv: call.has("csv"),
    };
    if look.csv && look.human_readable {
        return TOOL.fail("you cannot use -h and --csv options together.");
    }
    if let Some(threads) = call.arguments.text("threads")
        && threads.parse::<u32>().is_err()
    {
        return TOOL.fail(&format!("{threads}: could not parse the number of threads"));
    }
    if let Err(status) = call.take_old_style(0) {
        return status;
    }
    if !call.operands().is_empty() {
        return TOOL.wrong_use();
    }
    match call.look_at_disks(disk_usage) {
        Ok((known, unknown)) => {
            let images: Vec<_> = call.drives.iter().map(|drive| &drive.path).collect();
            let status = print_lines(&TOOL, &usage_table(&guest_name(&images), &known, look));
            say_unknown(TOOL.name, &unknown);
            status
        }
        Err(failure) => TOOL.fail_with(&failure),
    }
}
