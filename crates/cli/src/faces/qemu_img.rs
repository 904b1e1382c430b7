//! The face of `qemu-img`: what scripts written for it call, under its name or as `disksmith qemu-img …`.
//!
//! Arguments, exit status, standard output and the words of messages are those of qemu-img 10.0.2, and so are the defaults:
//! `create` and `convert` replace a file that exists, `-O` is raw, an image that others stand on may be changed. What is not
//! there yet ends with exit status 1 and a message that names it.

mod amend;
mod bench;
mod bitmap;
mod caches;
mod check;
mod commit;
mod compare;
mod convert;
mod create;
mod dd;
mod encryption;
mod finding;
mod help;
mod image_name;
mod image_options;
mod info;
mod map;
mod measure;
mod new_image;
mod object;
mod open;
mod percent;
mod rate;
mod rebase;
mod resize;
mod size;
mod snapshot;
mod snapshot_key;
mod stop;
mod wording;

use super::getopt::{self, Spec, flag, value};
use std::ffi::OsString;
use std::process::ExitCode;
use stop::{Done, Stop};

/// The version of qemu-img whose behaviour this is.
const VERSION: &str = "10.0.2";

/// Options before the subcommand.
const STANDARD: &[Spec] = &[flag("help", b'h'), flag("version", b'V'), value("trace", b'T')];

/// Runs the face with the arguments behind its name.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    percent::listen();
    match dispatch(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(stop) => stop.report(),
    }
}

fn dispatch(arguments: &[OsString]) -> Done {
    let (options, rest) = getopt::parse_leading("qemu-img", STANDARD, arguments)?;
    match options.first().map(|(key, _)| *key) {
        Some("help") => return help::general(),
        Some("version") => return help::version(),
        _ => {}
    }
    let Some((command, rest)) = rest.split_first() else {
        return Err(Stop::usage("qemu-img", "Not enough arguments"));
    };
    match &*command.to_string_lossy() {
        "amend" => amend::run(rest),
        "bitmap" => bitmap::run(rest),
        "info" => info::run(rest),
        "create" => create::run(rest),
        "check" => check::run(rest),
        "compare" => compare::run(rest),
        "convert" => convert::run(rest),
        "map" => map::run(rest),
        "measure" => measure::run(rest),
        "resize" => resize::run(rest),
        "dd" => dd::run(rest),
        "snapshot" => snapshot::run(rest),
        "commit" => commit::run(rest),
        "rebase" => rebase::run(rest),
        "bench" => bench::run(rest),
        other => Err(Stop::usage("qemu-img", &format!("Command not found: {other}"))),
    }
}
