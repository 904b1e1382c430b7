//! The face of `virt-alignment-scan`: how well partitions lie on the blocks below.

use super::getopt::{flag, short_value};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, FORMAT, HELP, QUIET, TRACE, Tool, VERBOSE, print_lines,
};
use disksmith_guest::partition_alignments;
use std::ffi::OsString;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-alignment-scan",
    "virt-alignment-scan: check where partitions begin
Usage:
  virt-alignment-scan [OPTIONS] -a IMAGE [-a IMAGE …]
Options:
  -q|--quiet           No output, exit status only
  -P N, --uuid         Accepted; they mean nothing for images
Exit status: 0 all begin at multiples of 64K, 2 some do not, 3 some not at multiples of 4K
",
    &[
        ADD,
        BLOCKSIZE,
        CONNECT,
        DOMAIN,
        FORMAT,
        HELP,
        QUIET,
        flag("uuid", 0),
        short_value("threads", b'P'),
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "acdPqvVx",
);

/// Exponents of the alignments below which partitions lie badly, with the words and the exit status for it.
const BAD: &[(u32, &str, u8)] = &[(12, "4K", 3), (16, "64K", 2)];

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if !call.operands().is_empty() {
        return TOOL.wrong_use();
    }
    let found = match call.look_at_disks(partition_alignments) {
        Ok(found) => found,
        Err(failure) => return TOOL.fail_with(&failure),
    };
    let (mut text, mut status) = (String::new(), 0);
    for partition in &found {
        let alignment = match partition.bits {
            0..10 => format!("{:>12}    ", partition.bytes()),
            _ => format!("{:>12}K   ", partition.bytes() >> 10),
        };
        let bad = BAD.iter().find(|(bits, ..)| partition.bits < *bits);
        let verdict = match bad {
            None => "ok".to_owned(),
            Some((_, words, its_status)) => {
                status = status.max(*its_status);
                format!("bad (alignment < {words})")
            }
        };
        text.push_str(&format!(
            "{} {:>12} {alignment}{verdict}\n",
            partition.name, partition.start
        ));
    }
    if !call.has("quiet") {
        let printed = print_lines(&TOOL, text.as_bytes());
        if printed != ExitCode::SUCCESS {
            return printed;
        }
    }
    ExitCode::from(status)
}
