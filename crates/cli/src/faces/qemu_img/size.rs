//! Sizes as QEMU reads them.

use super::stop::Stop;
pub(super) use disksmith_image::{BadSize as NoSize, parse_size as parse};

/// Reads a size for an argument that is called `what` in messages; it must lie between the limits.
pub(super) fn limited(what: &str, text: &str, least: u64, most: u64) -> Result<u64, Stop> {
    match parse(text) {
        Ok(size) if (least..=most).contains(&size) => Ok(size),
        Err(NoSize::Malformed) => Err(Stop::new(format!("Invalid {what} specified: '{text}'."))),
        _ => Err(Stop::new(format!(
            "Invalid {what} specified. Must be between {least} and {most}."
        ))),
    }
}

/// Reads a plain number, without a suffix, that is called `what` in messages; it must lie between the limits.
pub(super) fn number(what: &str, text: &str, least: u64, most: u64) -> Result<u64, Stop> {
    let unsigned = text.trim_start().trim_start_matches(['-', '+']);
    let hex = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"));
    let plain = match hex {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()),
    };
    if plain {
        return limited(what, text, least, most);
    }
    Err(Stop::new(format!("Invalid {what} specified: '{text}'.")))
}

/// As [`limited`], for an offset or size of a disk.
pub(super) fn disk(what: &str, text: &str) -> Result<u64, Stop> {
    limited(what, text, 0, i64::MAX as u64)
}

/// What is wrong with the value of the option `name`, in QEMU's words.
pub(super) fn option_problem(name: &str, text: &str, problem: NoSize) -> String {
    match problem {
        NoSize::Malformed => format!(
            "Parameter '{name}' expects a non-negative number below 2^64\n\
             Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n\
             and exabytes, respectively."
        ),
        NoSize::OutOfRange => format!("Value '{text}' is out of range for parameter '{name}'"),
    }
}
