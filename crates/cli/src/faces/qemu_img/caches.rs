//! Cache modes. All reading and writing here goes through the page cache; the names are checked.

use super::stop::Stop;
use crate::faces::getopt::Arguments;

const MODES: &[&str] = &["none", "off", "directsync", "writeback", "unsafe", "writethrough"];

/// Checks the cache mode that an option for a source names.
pub(super) fn source(arguments: &Arguments, option: &str) -> Result<(), Stop> {
    checked(arguments, option, "Invalid source cache option")
}

/// Checks the cache mode that an option for a target names.
pub(super) fn target(arguments: &Arguments, option: &str) -> Result<(), Stop> {
    checked(arguments, option, "Invalid cache option")
}

/// As [`source`], for a command that does not repeat the name.
pub(super) fn plain(arguments: &Arguments, option: &str) -> Result<(), Stop> {
    checked(arguments, option, "").map_err(|_| Stop::new("Invalid cache mode"))
}

fn checked(arguments: &Arguments, option: &str, problem: &str) -> Result<(), Stop> {
    match arguments.text(option) {
        Some(mode) if !MODES.contains(&mode.as_str()) => Err(Stop::new(format!("{problem}: {mode}"))),
        _ => Ok(()),
    }
}
