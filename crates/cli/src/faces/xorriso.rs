//! The face of xorriso, as far as scripts use it to make images (`-as mkisofs …`) and to look into one (`-indev`, with
//! `-find`, `-ls`, `-extract`). Every other command is refused by name, before anything is done.

mod look;

use super::mkisofs::{self, Flavour};
use std::ffi::OsString;
use std::process::ExitCode;

/// xorriso's exit status where a command failed.
const FAILURE: u8 = 5;

/// Runs the face with the arguments behind its name.
pub(crate) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    let mut rest = arguments;
    // What says how to report, and what has no meaning here, may stand before.
    while let Some((first, more)) = rest.split_first() {
        match first.to_str() {
            Some("-no_rc" | "-noerror") => rest = more,
            Some("-report_about" | "-return_with" | "-abort_on" | "-joliet_map") => {
                rest = more.get(1..).unwrap_or(&[]);
            }
            Some("-as") => {
                let Some((tool, more)) = more.split_first() else {
                    return fail("-as needs a program");
                };
                return match tool.to_str() {
                    Some("mkisofs" | "genisoimage" | "genisofs") => {
                        mkisofs::run_as(name, Flavour::Xorriso, more)
                    }
                    _ => fail(&format!("-as {}: only mkisofs is emulated", tool.display())),
                };
            }
            Some("-version" | "--version") => {
                println!("xorriso 1.5.4 (disksmith {})", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            _ => break,
        }
    }
    match look::run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("xorriso : FAILURE : {message}");
    ExitCode::from(FAILURE)
}
