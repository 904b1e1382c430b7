//! The face of `virt-tail`: follows files of a guest.

use super::getopt::flag;
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, KEY, KEYS_FROM_STDIN, MOUNT,
    TRACE, Tool, VERBOSE,
};
use crate::commands::follow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-tail",
    "virt-tail: follow files of a guest
Usage:
  virt-tail [OPTIONS] -a IMAGE [-a IMAGE …] FILE …
Options:
  -f|--follow          Accepted: it always follows
",
    &[
        ADD,
        BLOCKSIZE,
        CONNECT,
        DOMAIN,
        ECHO_KEYS,
        flag("follow", b'f'),
        FORMAT,
        HELP,
        KEY,
        KEYS_FROM_STDIN,
        MOUNT,
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "acdfmvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if call.operands().is_empty() {
        TOOL.fail("error: missing filenames on command line.");
        eprintln!("Please specify at least one file to follow.");
        return TOOL.wrong_use();
    }
    if call.drives.is_empty() && call.domains.is_empty() {
        TOOL.fail("error: you must specify at least one -a or -d option.");
        return TOOL.wrong_use();
    }
    let paths: Vec<&[u8]> = call.operands().iter().map(|p| p.as_bytes()).collect();
    let images: Vec<PathBuf> = call.drives.iter().map(|d| d.path.clone()).collect();
    match follow(&images, &paths, |work| call.look(work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}
