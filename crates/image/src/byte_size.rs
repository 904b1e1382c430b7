//! Sizes as QEMU's tools print them for people, and as they read them.

/// `bytes` with a binary unit and three significant digits: `10 MiB`, `2.19 MiB`, `0 B`.
///
/// The unit changes where the number would need a fourth digit before the point (1000 KiB is told as 0.977 MiB).
#[must_use]
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let corrected = bytes as f64 / (1000.0 / 1024.0);
    let power = if corrected < 1.0 {
        0
    } else {
        corrected.log2().floor() as usize / 10
    };
    let unit = UNITS.get(power).copied().unwrap_or("Ei");
    let number = bytes as f64 / (1u64 << (power.min(6) * 10)) as f64;
    format!("{} {unit}B", three_digits(number))
}

/// C's `%0.3g` for numbers from 0 to a few thousand.
fn three_digits(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    // What the number is once it is rounded to three significant digits decides the form.
    let scientific = format!("{number:.2e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..3).contains(&exponent) {
        trim_zeroes(&format!("{number:.*}", (2 - exponent).unsigned_abs() as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim_zeroes(mantissa), exponent.unsigned_abs())
    }
}

fn trim_zeroes(number: &str) -> String {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number.to_owned()
    }
}

/// Why a text is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSize {
    /// It is no number with a suffix.
    Malformed,
    /// It is negative, or 2^64 or more.
    OutOfRange,
}

/// Reads a number with an optional suffix b, k, M, G, T, P, E (powers of 1024). A fraction needs a suffix; hexadecimal numbers
/// take none.
///
/// # Errors
/// [`BadSize`].
pub fn parse_size(text: &str) -> Result<u64, BadSize> {
    let text = text.trim_start();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadSize::Malformed);
        }
        return u64::from_str_radix(hex, 16).map_err(|_| BadSize::OutOfRange);
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
        return Err(BadSize::Malformed);
    }
    let shift = match suffix {
        "" | "b" | "B" => 0u32,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        "p" | "P" => 50,
        "e" | "E" => 60,
        _ => return Err(BadSize::Malformed),
    };
    let digits = if whole.is_empty() { "0" } else { whole };
    let whole: u64 = digits.parse().map_err(|_| BadSize::OutOfRange)?;
    let part: f64 = if fraction.is_empty() {
        0.0
    } else {
        format!("0.{fraction}").parse().unwrap_or(0.0)
    };
    if part > 0.0 && shift == 0 {
        return Err(BadSize::Malformed);
    }
    let unit = 1u64 << shift;
    let part = (part * unit as f64 + 0.5) as u64;
    let bytes = whole
        .checked_mul(unit)
        .and_then(|bytes| bytes.checked_add(part))
        .ok_or(BadSize::OutOfRange)?;
    if negative && bytes > 0 {
        // with a suffix QEMU takes it for no number at all
        Err(if shift > 0 {
            BadSize::Malformed
        } else {
            BadSize::OutOfRange
        })
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_qemu_prints_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (999, "999 B"),
            (1000, "0.977 KiB"),
            (1024, "1 KiB"),
            (397_312, "388 KiB"),
            (2_297_856, "2.19 MiB"),
            (10 << 20, "10 MiB"),
            (15 << 40, "15 TiB"),
            (1_023_488, "1e+03 KiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human_size(bytes), text, "{bytes}");
        }
    }

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
            ("1.23k", 1260),
            ("0.0001k", 0),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "k", "1.5", "1e3", "1MB", "1 k", "0x", "0x1k", "x", "1..5k"] {
            assert_eq!(parse_size(text), Err(BadSize::Malformed), "{text}");
        }
        for text in ["-1", "1000E", "99999999999999999999"] {
            assert_eq!(parse_size(text), Err(BadSize::OutOfRange), "{text}");
        }
    }
}
