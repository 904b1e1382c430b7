//! The face of `virt-ls`: lists directories of a guest.

use super::getopt::{Spec, also, flag, optional};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, Invocation, KEY,
    KEYS_FROM_STDIN, MOUNT, TRACE, Tool, VERBOSE, api_error,
};
use crate::clock;
use crate::failure::Outcome;
use crate::output::{Gathered, finish};
use disksmith_guest::{
    Checksum, Error, ListOptions, ListSink, LongOptions, TimeStyle, device_numbers, list_long, list_names,
    list_paths, list_recursive,
};
use disksmith_vfs::Tree;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

const CHECKSUM: Spec = optional("checksum");
const EXTRA_STATS: Spec = flag("extra-stats", 0);
const TIMES: Spec = flag("times", 0);
const UIDS: Spec = flag("uids", 0);

static TOOL: Tool = Tool::new(
    "virt-ls",
    "virt-ls: list files of a guest
Usage:
  virt-ls [OPTIONS] -a IMAGE [-a IMAGE …] DIRECTORY …
Options:
  -l|--long            Modes, owners, sizes and times
  -R|--recursive       Everything below, too
The following need -lR:
  --checksum[=crc|md5|sha1|sha224|sha256|sha384|sha512]  Checksums of contents
  --csv                Comma-separated values
  --extra-stats        Device, inode, links, device number, blocks
  -h|--human-readable  Sizes with a unit
  --times              Times of access, modification and change
  --time-days          …in days before now
  --time-relative      …in seconds before now
  --time-t             …in seconds since 1970
  --uids               User and group numbers
",
    &[
        ADD,
        BLOCKSIZE,
        CHECKSUM,
        also("checksums", CHECKSUM),
        flag("csv", 0),
        CONNECT,
        DOMAIN,
        ECHO_KEYS,
        also("extra-stat", EXTRA_STATS),
        EXTRA_STATS,
        FORMAT,
        HELP,
        flag("human-readable", b'h'),
        KEY,
        KEYS_FROM_STDIN,
        flag("long", b'l'),
        MOUNT,
        flag("recursive", b'R'),
        also("time", TIMES),
        TIMES,
        flag("time-days", 0),
        flag("time-relative", 0),
        flag("time-t", 0),
        also("uid", UIDS),
        UIDS,
        VERBOSE,
        DISPLAY_VERSION,
        TRACE,
    ],
    "acdhlmRvVx",
);

/// Options that need `-lR`.
const RECURSIVE_LONG_ONLY: &[&str] = &[
    "checksum",
    "csv",
    "extra-stats",
    "human-readable",
    "times",
    "time-days",
    "time-relative",
    "time-t",
    "uids",
];

/// How a directory is listed.
enum Mode {
    Names,
    Long(LongOptions),
    Paths,
    Records(ListOptions),
}

/// Runs the face.
pub(super) fn run(_: &str, words: &[OsString]) -> ExitCode {
    let mut call = match TOOL.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let (long, recursive) = (call.has("long"), call.has("recursive"));
    if !(long && recursive) && RECURSIVE_LONG_ONLY.iter().any(|option| call.has(option)) {
        TOOL.fail("used a flag which can only be combined with -lR mode");
        eprintln!("For more information, read the virt-ls(1) man page.");
        return ExitCode::FAILURE;
    }
    if call.has("csv") && call.has("human-readable") {
        return TOOL.fail("you cannot use -h and --csv options together.");
    }
    if let Err(status) = call.take_old_style(1) {
        return status;
    }
    if call.operands().is_empty() {
        return TOOL.wrong_use();
    }
    match list(&call, long, recursive) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => TOOL.fail_with(&failure),
    }
}

/// Lists all directories; `false` where one of them failed.
fn list(call: &Invocation, long: bool, recursive: bool) -> Outcome<bool> {
    let now = clock::now()?;
    let zone = TimeZone::system();
    let mut mode = match (long, recursive) {
        (false, false) => Mode::Names,
        (true, false) => Mode::Long(LongOptions {
            now,
            // the tools' own virtual machine knows no zone and no users
            zone: TimeZone::UTC,
            guest_names: false,
        }),
        (false, true) => Mode::Paths,
        (true, true) => {
            let checksum = match call.arguments.text("checksum").as_deref() {
                None => None,
                Some("") => Some(Checksum::Md5),
                Some(name) => Some(Checksum::from_name(&name.to_ascii_lowercase()).ok_or_else(|| {
                    crate::failure::Failure::usage(format!(
                        "unknown checksum type {name}, expecting crc|md5|sha1|sha224|sha256|sha384|sha512"
                    ))
                })?),
            };
            // the last of them counts; --times takes back none of the others
            let styles = call.arguments.options().iter().rev();
            let styles = styles.filter_map(|(key, _)| match *key {
                "time-t" => Some(TimeStyle::Seconds),
                "time-relative" => Some(TimeStyle::Relative(now)),
                "time-days" => Some(TimeStyle::Days(now)),
                _ => None,
            });
            let style = styles.into_iter().next();
            Mode::Records(ListOptions {
                uids: call.has("uids"),
                times: style.or_else(|| call.has("times").then_some(TimeStyle::Date(zone))),
                extra_stats: None,
                checksum,
                human_readable: call.has("human-readable"),
                csv: call.has("csv"),
            })
        }
    };
    let mut out = Gathered::new();
    let good = call.look(|guest| {
        let mut good = true;
        if let (Mode::Records(options), true) = (&mut mode, call.has("extra-stats")) {
            options.extra_stats = Some(device_numbers(guest));
        }
        for directory in call.operands() {
            let path = directory.as_bytes();
            if !path.starts_with(b"/") {
                finish_quietly(&mut out);
                let call = match mode {
                    Mode::Names => "ls0: ls0_stub",
                    Mode::Long(_) => "ll: ll_stub",
                    Mode::Paths => "find0: find0_stub",
                    Mode::Records(_) => "lstatns: lstatns_stub",
                };
                eprintln!("libguestfs: error: {call}: path must start with a / character");
                good = false;
                continue;
            }
            let mut sink = ListSink::new(&mut out, "standard output");
            match list_one(guest.tree(), path, &mode, &mut sink) {
                Err(Error::Files(error)) if !matches!(error, disksmith_vfs::Error::Storage(_)) => {
                    // what was printed before comes before
                    finish_quietly(&mut out);
                    let missing = matches!(error, disksmith_vfs::Error::NotFound { .. });
                    let call = match mode {
                        Mode::Names => "ls0: opendir",
                        Mode::Long(_) => "ll",
                        Mode::Paths => "find0",
                        Mode::Records(_) if missing => "lstatns",
                        Mode::Records(_) => "ls0: opendir",
                    };
                    let text = api_error(call, path, &error);
                    let text = match mode {
                        Mode::Paths => text.replace("Not a directory", "not a directory"),
                        _ => text,
                    };
                    eprintln!("{text}");
                    good = false;
                }
                other => other?,
            }
        }
        Ok(good)
    })?;
    finish(out.flush())?;
    Ok(good)
}

fn finish_quietly(out: &mut Gathered) {
    // a failure shows again when the rest is written
    let _ = out.flush();
}

fn list_one(tree: &Tree, path: &[u8], mode: &Mode, sink: &mut ListSink<'_>) -> disksmith_guest::Result<()> {
    match mode {
        Mode::Names => list_names(tree, path, sink),
        Mode::Long(options) => list_long(tree, path, options, sink),
        Mode::Paths => list_paths(tree, path, true, sink),
        Mode::Records(options) => list_recursive(tree, path, options, sink),
    }
}
