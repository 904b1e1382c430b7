//! Sizes as QEMU reads them.

use super::stop::Stop;

/// Why a text is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSize {
    /// It is no number with a suffix.
    Malformed,
    /// It is negative, or 2^64 or more.
    OutOfRange,
}

/// Reads a number with an optional suffix b, k, M, G, T, P, E (powers of 1024). A fraction needs a suffix; hexadecimal numbers
/// take none.
pub(super) fn parse(text: &str) -> Result<u64, NoSize> {
    let text = text.trim_start();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NoSize::Malformed);
        }
        return u64::from_str_radix(hex, 16).map_err(|_| NoSize::OutOfRange);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let split = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(NoSize::Malformed);
    }
    let shift = match suffix {
        "" | "b" | "B" => 0u32,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        "p" | "P" => 50,
        "e" | "E" => 60,
        _ => return Err(NoSize::Malformed),
    };
    let digits = if whole.is_empty() { "0" } else { whole };
    let whole: u64 = digits.parse().map_err(|_| NoSize::OutOfRange)?;
    let part: f64 = if fraction.is_empty() {
        0.0
    } else {
        format!("0.{fraction}").parse().unwrap_or(0.0)
    };
    if part > 0.0 && shift == 0 {
        return Err(NoSize::Malformed);
    }
    let unit = 1u64 << shift;
    let part = (part * unit as f64) as u64;
    let bytes = whole
        .checked_mul(unit)
        .and_then(|bytes| bytes.checked_add(part))
        .ok_or(NoSize::OutOfRange)?;
    if negative && bytes > 0 {
        Err(NoSize::OutOfRange)
    } else {
        Ok(bytes)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_reads_them() {
        for (text, size) in [
            ("1k", 1024),
            ("+1k", 1024),
            (" 1k", 1024),
            ("1.5G", 3 << 29),
            (".5k", 512),
            ("1.k", 1024),
            ("010", 10),
            ("0x1000", 4096),
            ("1B", 1),
            ("-0", 0),
        ] {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
        for text in ["", "k", "1.5", "1e3", "1MB", "1 k", "0x", "0x1k", "x", "1..5k"] {
            assert_eq!(parse(text), Err(NoSize::Malformed), "{text}");
        }
        for text in ["-1", "1000E", "99999999999999999999"] {
            assert_eq!(parse(text), Err(NoSize::OutOfRange), "{text}");
        }
    }
}
