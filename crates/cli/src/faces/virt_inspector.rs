//! The face of `virt-inspector`: what is installed on a guest's disks, as XML.

use super::getopt::{flag, value};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, KEY, KEYS_FROM_STDIN, TRACE,
    Tool, VERBOSE, print_lines,
};
use crate::clock;
use disksmith_guest::{InspectionOptions, inspect_all, inspections_to_xml};
use std::ffi::OsString;
use std::process::ExitCode;

static TOOL: Tool = Tool::new(
    "virt-inspector",
    "virt-inspector: show operating systems, filesystems and packages of a guest
Usage:
  virt-inspector [OPTIONS] -a IMAGE [-a IMAGE …]
Options:
  --no-applications    Do not list packages
  --no-icon            Leave out the icon
  --xpath QUERY        Not supported: give the XML to xmllint --xpath
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
        flag("no-applications", 0),
        flag("no-icon", 0),
        VERBOSE,
        DISPLAY_VERSION,
        value("xpath", 0),
        TRACE,
    ],
    "acdvVx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let mut call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if call.has("xpath") {
        return TOOL.fail("--xpath is not supported: give the XML to xmllint --xpath QUERY -");
    }
    if let Err(status) = call
        .take_old_style(0)
        .and_then(|()| call.refuse_operands("--format"))
    {
        return status;
    }
    let options = InspectionOptions {
        applications: !call.has("no-applications"),
        icon: !call.has("no-icon"),
    };
    let found = clock::now().and_then(|now| call.look_at_disks(|disks| inspect_all(disks, now, options)));
    match found {
        Ok(found) if found.is_empty() => TOOL.fail(
            "no operating system could be detected inside this disk image.\n\n\
This may be because the file is not a disk image, or is not a virtual machine\n\
image, or because the OS type is not understood by libguestfs.",
        ),
        Ok(found) => {
            for system in &found {
                if let Some(error) = &system.applications_error {
                    eprintln!(
                        "{}: warning: {}: no packages are listed: {error}",
                        TOOL.name, system.root
                    );
                }
                for warning in system.warnings.iter().filter(|_| call.verbose) {
                    eprintln!("{}: {}: {warning}", TOOL.name, system.root);
                }
            }
            print_lines(&TOOL, inspections_to_xml(&found).as_bytes())
        }
        Err(failure) => TOOL.fail_with(&failure),
    }
}
