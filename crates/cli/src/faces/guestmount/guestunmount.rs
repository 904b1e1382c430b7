//! The face of `guestunmount`.

use crate::commands::mount::{MountRecord, is_mounted};
use crate::faces::getopt::{Arguments, Spec, flag, value};
use crate::faces::guestfs_options::VERSION;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "guestunmount: end a mount of guestmount
Usage:
  guestunmount [OPTIONS] DIRECTORY
Options:
  --fd=FD              Wait until nobody holds this pipe open for writing
  -q|--quiet           Do not say why it could not be unmounted
  --no-retry           Try once
  --retry=N            Try N times more (default: 5)
  -v|--verbose         Say more
  -V|--version         Show the version
";

const SPECS: &[Spec] = &[
    value("fd", 0),
    flag("help", 0),
    flag("quiet", b'q'),
    flag("no-retry", 0),
    value("retry", 0),
    flag("verbose", b'v'),
    flag("version", b'V'),
    flag("long-options", 0),
    flag("short-options", 0),
];

/// It could not be unmounted.
const BUSY: u8 = 2;
/// Nothing is mounted there.
const NOT_MOUNTED: u8 = 3;

fn fail(message: &str) -> ExitCode {
    eprintln!("guestunmount: {message}");
    ExitCode::FAILURE
}

fn print(text: &str) -> ExitCode {
    match crate::output::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(failure.message()),
    }
}

/// Runs the face.
pub(in crate::faces) fn run(_name: &str, words: &[OsString]) -> ExitCode {
    let arguments = match Arguments::parse("guestunmount", SPECS, words) {
        Ok(arguments) => arguments,
        Err(misused) => {
            let _ = fail(&misused.message);
            eprintln!("Try ‘guestunmount --help’ for more information.");
            return ExitCode::FAILURE;
        }
    };
    if arguments.has("help") {
        return print(HELP);
    }
    if arguments.has("version") {
        return print(&format!("guestunmount libguestfs {VERSION}\n"));
    }
    if arguments.has("long-options") {
        return print("--fd\n--help\n--no-retry\n--quiet\n--retry\n--verbose\n--version\n");
    }
    if arguments.has("short-options") {
        return print("-q\n-v\n-V\n");
    }
    let mut retries = 5u32;
    for (key, text) in arguments.options() {
        match *key {
            "no-retry" => retries = 0,
            "retry" => match text.to_str().and_then(|t| t.parse().ok()) {
                Some(n) => retries = n,
                None => {
                    return fail(&format!(
                        "cannot parse retries option or value is too large ‘{}’",
                        text.display()
                    ));
                }
            },
            _ => {}
        }
    }
    let [place] = arguments.operands.as_slice() else {
        return fail("you must specify a mountpoint in the host filesystem\n");
    };
    if let Some(text) = arguments.text("fd") {
        match text.parse::<u32>() {
            Ok(fd) => wait_until_closed(fd),
            Err(_) => return fail(&format!("cannot parse fd option ‘{text}’")),
        }
    }
    let place = PathBuf::from(place);
    let place = match place.canonicalize().or_else(|_| std::path::absolute(&place)) {
        Ok(place) => place,
        Err(error) => return fail(&format!("{}: {error}", place.display())),
    };
    let quiet = arguments.has("quiet");
    take_away(&place, retries, quiet)
}

fn take_away(place: &std::path::Path, retries: u32, quiet: bool) -> ExitCode {
    let mut pause = Duration::from_secs(1);
    for attempt in 0..=retries {
        if is_mounted(place).is_none() {
            if !quiet {
                eprintln!("guestunmount: {}: not mounted", place.display());
            }
            return ExitCode::from(NOT_MOUNTED);
        }
        let record = MountRecord::of(place);
        match disksmith_export::unmount(place, false) {
            Ok(()) => {
                return match record.and_then(MountRecord::wait) {
                    Some((failed, _)) => fail(&failed),
                    None => ExitCode::SUCCESS,
                };
            }
            Err(error) if !quiet => eprintln!("guestunmount: {error}"),
            Err(_) => {}
        }
        if attempt < retries {
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2);
        }
    }
    ExitCode::from(BUSY)
}

/// Waits until the writing ends of a pipe are closed.
fn wait_until_closed(fd: u32) {
    if let Ok(mut pipe) = std::fs::File::open(format!("/proc/self/fd/{fd}")) {
        let mut byte = [0u8; 64];
        while pipe.read(&mut byte).is_ok_and(|n| n > 0) {}
    }
}
