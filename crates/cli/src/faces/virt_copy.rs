//! The faces of `virt-copy-in`, `virt-copy-out`, `virt-tar-in` and `virt-tar-out` (which call guestfish), and of the older `virt-tar`.

use super::getopt::{Spec, flag, value};
use super::guestfs_options::{
    ADD, BLOCKSIZE, CONNECT, DISPLAY_VERSION, DOMAIN, ECHO_KEYS, FORMAT, HELP, Invocation, KEY,
    KEYS_FROM_STDIN, MOUNT, TRACE, Tool, VERBOSE, api_error,
};
use crate::commands::{Compression, old_compression, old_option, open_archive, tar_out};
use crate::failure::{Failure, Outcome};
use disksmith_guest::{CopyOwner, TakeInOptions, copy_in, tar_in};
use disksmith_vfs::{CopyOutOptions, TarInOptions, TarOutOptions, Tree};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The options of guestfish that mean something here, or can be ignored.
const SPECS: &[Spec] = &[
    ADD,
    BLOCKSIZE,
    CONNECT,
    DOMAIN,
    ECHO_KEYS,
    FORMAT,
    HELP,
    flag("inspector", b'i'),
    KEY,
    KEYS_FROM_STDIN,
    MOUNT,
    flag("no-sync", b'n'),
    value("pipe-error", 0),
    flag("progress-bars", 0),
    flag("no-progress-bars", 0),
    flag("ro", b'r'),
    flag("rw", b'w'),
    VERBOSE,
    DISPLAY_VERSION,
    TRACE,
];

const SHORTS: &str = "acdimnrvVwx";

const fn tool(name: &'static str, help: &'static str) -> Tool {
    Tool {
        version: "1.48.6",
        ..Tool::new(name, help, SPECS, SHORTS)
    }
}

static COPY_IN: Tool = tool(
    "virt-copy-in",
    "virt-copy-in: copy files and directories of this host into a guest
Usage:
  virt-copy-in -a IMAGE FILE … /DIRECTORY
Options:
",
);

static COPY_OUT: Tool = tool(
    "virt-copy-out",
    "virt-copy-out: copy files and directories of a guest to this host
Usage:
  virt-copy-out -a IMAGE /PATH … DIRECTORY
Options:
",
);

static TAR_IN: Tool = tool(
    "virt-tar-in",
    "virt-tar-in: unpack a tar archive into a guest
Usage:
  virt-tar-in -a IMAGE ARCHIVE|- /DIRECTORY [compress:KIND] [xattrs:true] [selinux:true] [acls:true]
Options:
",
);

static TAR_OUT: Tool = tool(
    "virt-tar-out",
    "virt-tar-out: pack a directory of a guest into a tar archive
Usage:
  virt-tar-out -a IMAGE /DIRECTORY ARCHIVE|- [compress:KIND] [numericowner:true] [excludes:PATTERNS] [xattrs:true] \
[selinux:true] [acls:true]
Options:
",
);

static TAR: Tool = tool(
    "virt-tar",
    "virt-tar: unpack or pack a tar archive
Usage:
  virt-tar -x IMAGE /DIRECTORY ARCHIVE|-
  virt-tar -u IMAGE ARCHIVE|- /DIRECTORY
",
);

/// Why a face failed: words that are printed as they are, or a failure.
enum Stop {
    Said(String),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<disksmith_guest::Error> for Stop {
    fn from(error: disksmith_guest::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the face.
pub(super) fn run(name: &str, words: &[OsString]) -> ExitCode {
    match name {
        "virt-copy-in" => with(&COPY_IN, words, take_in),
        "virt-copy-out" => with(&COPY_OUT, words, take_out),
        "virt-tar-in" => with(&TAR_IN, words, unpack),
        "virt-tar-out" => with(&TAR_OUT, words, pack),
        _ => virt_tar(words),
    }
}

fn with(
    tool: &'static Tool,
    words: &[OsString],
    work: impl FnOnce(&Invocation) -> Result<(), Stop>,
) -> ExitCode {
    let call = match tool.read(words) {
        Ok(call) => call,
        Err(status) => return status,
    };
    ended(tool, work(&call))
}

fn ended(tool: &Tool, result: Result<(), Stop>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed(failure)) => tool.fail_with(&failure),
        Err(Stop::Said(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Too few arguments, in guestfish's words.
fn usage(command: &str, least: usize) -> Stop {
    Stop::Said(format!(
        "libguestfs: error: {command} should have {least} or more parameters"
    ))
}

/// Whether a path is that of a directory; what is said where it is none.
fn check_directory(
    tree: &Tree,
    path: &[u8],
    say: impl FnOnce(&disksmith_vfs::Error) -> String,
) -> Option<String> {
    match tree.metadata(path) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(say(&disksmith_vfs::Error::NotADirectory { path: String::new() })),
        Err(error) => Some(say(&error)),
    }
}

/// Runs work on a guest that may say what is wrong in the old tool's words.
fn said<T>(
    run: impl FnOnce(&mut dyn FnMut(String) -> disksmith_guest::Error) -> Outcome<T>,
) -> Result<T, Stop> {
    let mut text = None;
    let result = run(&mut |words| {
        text = Some(words);
        disksmith_guest::Error::Usage {
            option: String::new(),
            reason: String::new(),
        }
    });
    result.map_err(|failure| text.map_or(Stop::Failed(failure), Stop::Said))
}

fn take_in(call: &Invocation) -> Result<(), Stop> {
    let Some((directory, sources)) = call.operands().split_last().filter(|(_, s)| !s.is_empty()) else {
        return Err(usage("copy-in", 2));
    };
    let sources: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
    for source in &sources {
        if let Err(error) = std::fs::symlink_metadata(source) {
            log::info!("{}: {error}", source.display());
            return Err(Stop::Said(format!(
                "*stdin*:0: libguestfs: error: source ‘{}’ does not exist (or cannot be read)",
                source.display()
            )));
        }
    }
    let options = TakeInOptions {
        owner: CopyOwner::Host,
        xattrs: false,
        label: false,
    };
    said(|say| {
        call.edit(|guest| {
            let path = directory.as_bytes();
            let wrong = check_directory(guest.tree(), path, |_| {
                format!(
                    "*stdin*:0: libguestfs: error: target ‘{}’ is not a directory",
                    directory.display()
                )
            });
            if let Some(words) = wrong {
                return Err(say(words));
            }
            copy_in(guest.tree(), &sources, path, options).map(|_| ())
        })
    })
}

fn take_out(call: &Invocation) -> Result<(), Stop> {
    let Some((directory, paths)) = call.operands().split_last().filter(|(_, p)| !p.is_empty()) else {
        return Err(usage("copy-out", 2));
    };
    let directory = Path::new(directory);
    if !directory.is_dir() {
        return Err(Stop::Said(format!(
            "*stdin*:0: libguestfs: error: target ‘{}’ is not a directory",
            directory.display()
        )));
    }
    let options = CopyOutOptions {
        special_files: CopyOutOptions::default().owner,
        ..CopyOutOptions::default()
    };
    said(|say| {
        call.look(|guest| {
            for path in paths {
                let bytes = path.as_bytes();
                if let Err(error) = guest.tree().metadata(bytes) {
                    log::info!("{error}");
                    return Err(say(format!(
                        "*stdin*:0: libguestfs: error: ‘{}’ is not a file or directory",
                        path.display()
                    )));
                }
                let report = guest.tree().copy_out(bytes, directory, options)?;
                for skipped in report.skipped {
                    eprintln!("{}: not copied", String::from_utf8_lossy(&skipped.path));
                }
            }
            Ok(())
        })
    })
}

/// What stands behind the operands of the archive commands.
#[derive(Default)]
struct TarWords {
    compression: Option<Compression>,
    xattrs: bool,
    selinux: bool,
    acls: bool,
    excludes: Vec<Vec<u8>>,
}

impl TarWords {
    fn read(words: &[OsString]) -> Result<Self, Stop> {
        let mut read = Self::default();
        for word in words {
            let text = word.to_string_lossy();
            let Some((key, value)) = old_option(&text) else {
                return Err(Stop::Said(format!(
                    "libguestfs: error: unknown optional argument \"{text}\""
                )));
            };
            let yes = matches!(value, "true" | "1" | "t" | "y" | "yes" | "on");
            match key {
                "compress" => read.compression = Some(old_compression(value)?),
                "xattrs" => read.xattrs = yes,
                "selinux" => read.selinux = yes,
                "acls" => read.acls = yes,
                // owners are numbers anyway
                "numericowner" => {}
                "excludes" => {
                    let patterns = value.split_whitespace().map(|p| p.as_bytes().to_vec());
                    read.excludes.extend(patterns);
                }
                other => {
                    return Err(Stop::Said(format!(
                        "libguestfs: error: unknown optional argument \"{other}\""
                    )));
                }
            }
        }
        Ok(read)
    }
}

fn unpack(call: &Invocation) -> Result<(), Stop> {
    let [archive, directory, words @ ..] = call.operands() else {
        return Err(usage("tar-in", 2));
    };
    unpack_to(call, archive, directory, words)
}

fn unpack_to(call: &Invocation, archive: &OsStr, directory: &OsStr, words: &[OsString]) -> Result<(), Stop> {
    let words = TarWords::read(words)?;
    let input = open_archive(Path::new(archive)).map_err(|_| {
        Stop::Said(format!(
            "*stdin*:0: libguestfs: error: open: {}: No such file or directory",
            archive.display()
        ))
    })?;
    let input = Compression::decompress(Some(words.compression.unwrap_or(Compression::None)), input)?;
    let options = TarInOptions {
        xattrs: words.xattrs,
        selinux: words.selinux,
        acls: words.acls,
    };
    said(|say| {
        call.edit(|guest| {
            let path = directory.as_bytes();
            if let Some(words) = check_directory(guest.tree(), path, |error| {
                format!("*stdin*:0: {}", api_error("tar_in", path, error))
            }) {
                return Err(say(words));
            }
            tar_in(guest.tree(), input, path, options, false).map(|_| ())
        })
    })
}

fn pack(call: &Invocation) -> Result<(), Stop> {
    let [directory, archive, words @ ..] = call.operands() else {
        return Err(usage("tar-out", 2));
    };
    pack_to(call, directory, archive, words)
}

fn pack_to(call: &Invocation, directory: &OsStr, archive: &OsStr, words: &[OsString]) -> Result<(), Stop> {
    let words = TarWords::read(words)?;
    let options = TarOutOptions {
        xattrs: words.xattrs,
        selinux: words.selinux,
        acls: words.acls,
        exclude: words.excludes,
        sparse: false,
        nanoseconds: false,
    };
    said(|say| {
        call.look(|guest| {
            let path = directory.as_bytes();
            let wrong = check_directory(guest.tree(), path, |error| {
                // the line number that guestfish puts before
                format!("*stdin*:0: {}", api_error("tar_out: stat", path, error))
            });
            if let Some(words) = wrong {
                return Err(say(words));
            }
            let compression = words.compression.unwrap_or(Compression::None);
            tar_out(guest.tree(), path, Path::new(archive), compression, &options).map(|_| ())
        })
    })
}

/// The older command line: the images stand before the other arguments, and `-x` or `-u` says the direction.
fn virt_tar(words: &[OsString]) -> ExitCode {
    let is = |letter: &str, long: &str| words.iter().any(|w| w == letter || w == long);
    let (out, upload) = (
        is("-x", "--extract") || is("-x", "--download"),
        is("-u", "--upload"),
    );
    if is("--help", "-h") {
        print!("{}", TAR.help);
        return ExitCode::SUCCESS;
    }
    let gzip = is("-z", "--gzip");
    let flags = ["-x", "--extract", "--download", "-u", "--upload", "-z", "--gzip"];
    let rest: Vec<OsString> = words
        .iter()
        .filter(|w| !flags.iter().any(|f| w == f))
        .cloned()
        .collect();
    if out == upload {
        return TAR.fail("say either -x (to pack a directory) or -u (to unpack an archive)");
    }
    let mut call = match TAR.read(&rest) {
        Ok(call) => call,
        Err(status) => return status,
    };
    if let Err(status) = call.take_old_style(2) {
        return status;
    }
    let [first, second] = call.operands() else {
        return TAR.wrong_use();
    };
    let words: &[OsString] = &if gzip {
        vec!["compress:gzip".into()]
    } else {
        Vec::new()
    };
    let result = if out {
        pack_to(&call, first, second, words)
    } else {
        unpack_to(&call, first, second, words)
    };
    ended(&TAR, result)
}
