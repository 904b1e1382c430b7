//! What tables are made of: sizes for people, and fields between commas.

/// A size with a unit, as the libguestfs tools have it: rounded to the nearest, one digit behind the point below ten.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: &[u8] = b"KMGTPE";
    let mut unit = 1u128;
    let mut letter = None;
    let mut letters = UNITS.iter().map(|letter| char::from(*letter)).peekable();
    let bytes = u128::from(bytes);
    while bytes / unit >= 1024 && letters.peek().is_some() {
        unit *= 1024;
        letter = letters.next();
    }
    let Some(letter) = letter else {
        return bytes.to_string();
    };
    if bytes / unit < 10 {
        let tenths = nearest(bytes * 10, unit);
        if tenths < 100 {
            return format!("{}.{}{letter}", tenths / 10, tenths % 10);
        }
    }
    match (nearest(bytes, unit), letters.next()) {
        (1024, Some(next)) => format!("1.0{next}"),
        (whole, _) => format!("{whole}{letter}"),
    }
}

/// A quotient, rounded to the nearest; halves to the even one.
fn nearest(dividend: u128, divisor: u128) -> u128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let up = rest * 2 > divisor || rest * 2 == divisor && quotient % 2 == 1;
    quotient + u128::from(up)
}

/// A field of a table of comma-separated values: in quotation marks where it holds blanks, commas, quotation marks or line ends.
pub(crate) fn csv_field(field: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| !matches!(byte, b' ' | b'"' | b',' | b'\n' | b'\r');
    if field.iter().all(is_plain) {
        return field.to_vec();
    }
    let mut out = vec![b'"'];
    for byte in field {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_the_nearest() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (2_944_000, "2.8M"),
            (8_357_888, "8.0M"),
            (14_410_752, "14M"),
            (6_778_880, "6.5M"),
            (10_240, "10K"),
            (10_189, "10K"),
            (1_048_575, "1.0M"),
            (5_000_000_000, "4.7G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human_size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn fields_with_blanks_are_quoted() {
        for (field, text) in [
            ("a", "a"),
            ("a b", "\"a b\""),
            ("a\"b", "\"a\"\"b\""),
            ("", ""),
            ("a,b", "\"a,b\""),
        ] {
            assert_eq!(csv_field(field.as_bytes()), text.as_bytes());
        }
    }
}
