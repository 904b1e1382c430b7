//! The face of `dumpe2fs` (e2fsprogs 1.47.0): the superblock, the journal, and every group of an ext2, ext3 or ext4 filesystem, in its
//! text.

mod groups;
mod journal;

use super::e2label::read_superblock;
use super::ext_superblock_text;
use super::getopt::{Arguments, Spec, short_flag, short_value};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const BANNER: &str = "dumpe2fs 1.47.0 (5-Feb-2023)";

const SPECS: &[Spec] = &[
    short_flag("b", b'b'),
    short_flag("f", b'f'),
    short_flag("g", b'g'),
    short_flag("h", b'h'),
    short_flag("i", b'i'),
    short_flag("m", b'm'),
    short_value("o", b'o'),
    short_flag("x", b'x'),
    short_flag("V", b'V'),
];

fn usage(name: &str) -> ExitCode {
    eprintln!("Usage: {name} [-bfghimxV] [-o superblock=<num>] [-o blocksize=<num>] device");
    ExitCode::FAILURE
}

/// Runs the face.
pub(super) fn run(name: &str, words: &[OsString]) -> ExitCode {
    eprintln!("{BANNER}");
    let given = match Arguments::parse(name, SPECS, words) {
        Ok(given) => given,
        Err(misused) => {
            eprintln!("{}: {}", misused.who, misused.message);
            return usage(name);
        }
    };
    if given.has("V") {
        eprintln!("\tUsing EXT2FS Library version 1.47.0");
        return ExitCode::SUCCESS;
    }
    for option in ["b", "g", "i", "m", "o"] {
        if given.has(option) {
            eprintln!("{name}: -{option} is not supported");
            return ExitCode::FAILURE;
        }
    }
    let [device] = given.operands.as_slice() else {
        return usage(name);
    };
    let path = Path::new(device);
    let superblock = match read_superblock(path) {
        Ok(superblock) => superblock,
        Err(message) => {
            eprintln!("{name}: {message} while trying to open {}", path.display());
            eprintln!("Couldn't find valid filesystem superblock.");
            return ExitCode::FAILURE;
        }
    };
    let file = match HostFile::open(path, OpenMode::Read, LockMode::None) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut text = ext_superblock_text::text(&superblock);
    let mut code = ExitCode::SUCCESS;
    match journal::text(&file, &superblock) {
        Ok(journal) => text += &journal,
        Err(message) => {
            eprintln!("{name}: {message} while reading journal super block");
            code = ExitCode::FAILURE;
        }
    }
    text.push('\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).is_err() || given.has("h") {
        return code;
    }
    let _ = out.write_all(b"\n");
    if let Err(message) = groups::write(&mut out, &file, &superblock, given.has("x")) {
        eprintln!("{name}: {message}");
        code = ExitCode::FAILURE;
    }
    code
}
