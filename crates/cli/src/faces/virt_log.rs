//! The face of `virt-log`: prints the log of a guest.

use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, KEY, KEYS_FROM_STDIN, TRACE,
    Tool, VERBOSE,
};
use crate::output::{Gathered, finish};
use disksmith_guest::{LogSource, print_log};
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-log",
    "virt-log: print the log of a guest
Usage:
  virt-log [OPTIONS] -a IMAGE [-a IMAGE …]
Options:
",
    &[
        ADD,
        BLOCKSIZE,
        CONNECT,
        DOMAIN,
        ECHO_KEYS,
        FORMAT,
        HELP,
        KEY,
        KEYS_FROM_STDIN,
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "acdvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if let Some(extra) = call.operands().first() {
        let extra = extra.display();
        TOOL.fail(&format!("error: extra argument ‘{extra}’ on command line."));
        if call.has("format") {
            eprintln!("Make sure to specify the argument for --format like '--format={extra}'.");
        }
        return TOOL.wrong_use();
    }
    if call.drives.is_empty() && call.domains.is_empty() {
        TOOL.fail("error: you must specify at least one -a or -d option.");
        return TOOL.wrong_use();
    }
    let mut out = Gathered::new();
    let printed =
        call.look(|guest| print_log(guest.tree(), &TimeZone::system(), &mut out, "standard output"));
    match printed.and_then(|source| finish(out.flush()).map(|()| source)) {
        Ok(LogSource::None) => TOOL.fail("no log files were found in the guest"),
        Ok(LogSource::Journal { damaged, refused }) => {
            for file in refused {
                eprintln!("{}: left out {file}", TOOL.name);
            }
            if damaged > 0 {
                eprintln!(
                    "{}: {damaged} damaged structures of the journal were left out",
                    TOOL.name
                );
            }
            ExitCode::SUCCESS
        }
        Ok(LogSource::File(_)) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}
