//! The face of `virt-get-kernel`: copies the newest kernel and initial RAM disk out of a guest.

use super::getopt::{Spec, also, flag, value};
use super::guestfs_options::{
    ADD, BLOCKSIZE_WORD, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT_WORD, HELP, KEY,
    KEYS_FROM_STDIN, MACHINE_READABLE, QUIET, TRACE, Tool, VERBOSE,
};
use crate::commands::{KernelNames, take_kernel};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

const COLORS: Spec = flag("colors", 0);

static TOOL: Tool = Tool {
    one_disk: true,
    ..NAMES
};

const NAMES: Tool = Tool::new(
    "virt-get-kernel",
    "virt-get-kernel: take the newest kernel and initial RAM disk out of a guest
Usage:
  virt-get-kernel [OPTIONS] -a IMAGE
Options:
  -o, --output DIR      Where the files go
  --prefix PREFIX       What goes before their names, with a dash
  --unversioned-names   Names without version
  -q, --quiet           Do not tell what is copied
",
    &[
        ADD,
        BLOCKSIZE_WORD,
        CONNECT,
        also("color", COLORS),
        COLORS,
        also("colour", COLORS),
        also("colours", COLORS),
        DOMAIN,
        flag("debug-gc", 0),
        ECHO_KEYS,
        FORMAT_WORD,
        HELP,
        KEY,
        KEYS_FROM_STDIN,
        MACHINE_READABLE,
        value("output", b'o'),
        value("prefix", 0),
        QUIET,
        flag("unversioned-names", 0),
        DISPLAY_VERSION,
        VERBOSE,
        flag("wrap", 0),
        TRACE,
    ],
    "acdoqVvx",
);

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if call.has("machine-readable") && call.drives.is_empty() {
        return TOOL.show_capabilities();
    }
    if let Some(extra) = call.operands().first() {
        eprintln!("Extra parameter on the command line: ‘{}’.", extra.display());
        eprintln!("Try ‘virt-get-kernel --help’ or consult virt-get-kernel(1) for more information.");
        return ExitCode::FAILURE;
    }
    if call.drives.len() > 1 {
        return TOOL.fail("--add can be given once only");
    }
    if call.drives.is_empty() && call.domains.is_empty() {
        return TOOL.fail("you must give either -a or -d options.  Read virt-get-kernel(1) man page for further information.");
    }
    let directory = call.arguments.text("output").unwrap_or_else(|| ".".into());
    let prefix = call.arguments.text("prefix");
    let names = KernelNames {
        directory: Path::new(&directory),
        prefix: prefix.as_deref(),
        unversioned: call.has("unversioned-names"),
    };
    let copied = call.look(|guest| {
        take_kernel(guest, &names, &mut |from, to| {
            if !call.has("quiet") {
                let line = format!(
                    "download: {} -> {}\n",
                    String::from_utf8_lossy(from),
                    to.display()
                );
                // A reader that went away does not keep the files from being copied.
                let _ = crate::output::print(line);
            }
        })
    });
    match copied {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => TOOL.fail_with(&failure),
    }
}
