//! Sizes as QEMU's tools print them for people.

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
}
