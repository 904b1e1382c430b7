//! The face of genisoimage, mkisofs, and of xorriso's emulation of them (`xorriso -as mkisofs`, `xorrisofs`).
//!
//! Options, exit status and messages are those of genisoimage 1.1.11; the hybrid and El Torito options are those of xorriso.
//! What has no meaning today is accepted without a word; what would change the image and is not there is refused by name.

mod boot;
mod config_file;
mod flavour;
mod hiding;
mod interval;
mod messages;
mod name_pattern;
mod path_spec;
mod settings;
mod specs;
mod stop;
mod tree;
mod weights;
mod write;

pub(super) use flavour::Flavour;

use super::getopt::Arguments;
use messages::Messages;
use settings::Settings;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use stop::Stop;

/// Runs the face that was called by a name, with the arguments behind it.
pub(crate) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    let flavour = match name {
        "xorrisofs" => Flavour::Xorriso,
        _ => Flavour::Genisoimage,
    };
    run_as(name, flavour, arguments)
}

/// Runs the face as one of the programs that have these options.
pub(super) fn run_as(name: &str, flavour: Flavour, arguments: &[OsString]) -> ExitCode {
    let mut messages = Messages::new(name, flavour);
    match dispatch(name, flavour, arguments, &mut messages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            messages.stop(&stop);
            ExitCode::from(stop.status(flavour))
        }
    }
}

/// The arguments, with several values of one option of xorriso's joined to one.
fn gathered(flavour: Flavour, arguments: &[OsString]) -> Vec<OsString> {
    if flavour == Flavour::Genisoimage {
        return arguments.to_vec();
    }
    let mut out = Vec::with_capacity(arguments.len());
    let mut words = arguments.iter().cloned();
    while let Some(word) = words.next() {
        let name = word.to_string_lossy().trim_start_matches('-').to_owned();
        let count = if word.as_encoded_bytes().starts_with(b"-") {
            specs::values(&name)
        } else {
            1
        };
        out.push(word);
        if count > 1 {
            let values: Vec<OsString> = words.by_ref().take(count).collect();
            out.push(values.join(OsStr::new("\0")));
        }
    }
    out
}

fn dispatch(
    name: &str,
    flavour: Flavour,
    arguments: &[OsString],
    messages: &mut Messages,
) -> Result<(), Stop> {
    let read = Arguments::parse_long_only(name, specs::of(flavour), &gathered(flavour, arguments))?;
    if read.has("version") {
        println!("{name} 1.1.11 (disksmith {})", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    if read.has("help") {
        eprint!("{}", specs::help(name));
        return Ok(());
    }
    let settings = Settings::read(&read, flavour, messages)?;
    messages.start(&settings)?;
    let built = tree::build(&settings, messages)?;
    write::write(built, settings, messages)
}
