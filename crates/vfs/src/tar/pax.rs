//! Records of extended headers (POSIX.1-2017 pax, "pax Extended Header"): `LENGTH KEYWORD=VALUE\n`.

/// A keyword and its value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// Splits the contents of an extended header; the error says what is wrong.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Record<'_>>, String> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().take(20).position(|b| *b == b' ');
        let space = space.ok_or("an extended header's record has no length")?;
        let length = rest
            .get(..space)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|length| *length > space + 1);
        let record = length.and_then(|length| rest.get(space + 1..length));
        let record = record.ok_or("an extended header's record has a wrong length")?;
        let record = record
            .strip_suffix(b"\n")
            .ok_or("an extended header's record has no end")?;
        let equals = record.iter().position(|b| *b == b'=');
        let equals = equals.ok_or("an extended header's record has no value")?;
        records.push((
            record.get(..equals).unwrap_or_default(),
            record.get(equals + 1..).unwrap_or_default(),
        ));
        rest = rest.get(length.unwrap_or(rest.len())..).unwrap_or_default();
    }
    Ok(records)
}

/// Adds a record.
pub(super) fn put(out: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    // space, equals sign and line end, and the digits of the length, which count themselves
    let bare = keyword.len() + value.len() + 3;
    let mut length = bare + 1;
    while length != bare + length.to_string().len() {
        length = bare + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(keyword);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Seconds and nanoseconds of `1350244992.023960108`, which may be negative.
pub(super) fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

/// The text of a time.
pub(super) fn time_text(seconds: i64, nanoseconds: u32) -> String {
    let nanoseconds = nanoseconds.min(999_999_999);
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let (sign, seconds, nanoseconds) = if seconds < 0 {
        (
            "-",
            seconds.saturating_add(1).unsigned_abs(),
            1_000_000_000 - nanoseconds,
        )
    } else {
        ("", seconds.unsigned_abs(), nanoseconds)
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let mut out = Vec::new();
        for len in [0, 1, 80, 90, 93, 94, 95, 980, 990, 991, 992] {
            put(&mut out, b"k", &vec![b'v'; len]);
        }
        put(&mut out, b"SCHILY.xattr.user.x", b"a=b\n\0");
        let records = parse(&out).unwrap();
        assert_eq!(records.len(), 12);
        assert_eq!(records[11], (&b"SCHILY.xattr.user.x"[..], &b"a=b\n\0"[..]));
        for wrong in [
            "5 a=b\n", "x a=b\n", "99 a=b\n", "6 a=bc", "5 ab\n", "2 \n", "0 a=b\n",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn times_come_back() {
        for time_of in [
            (0, 0),
            (5, 5),
            (-1, 500_000_000),
            (-10, 1),
            (i64::MIN, 0),
            (7, 120_000_000),
        ] {
            let text = time_text(time_of.0, time_of.1);
            assert_eq!(time(text.as_bytes()), Some(time_of), "{text}");
        }
        assert_eq!(time(b"1.5x"), None);
        assert_eq!(time(b"-0.25"), Some((-1, 750_000_000)));
    }
}
