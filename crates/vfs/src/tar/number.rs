//! Numbers in headers: octal text, or base 256 where the first byte has its highest bit set (GNU tar, star).

/// Reads a number; `None` for what is none. An empty field is 0.
pub(super) fn parse(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // two's complement; the highest bit only says that this is base 256, the next one is the sign
        let negative = first & 0x40 != 0;
        let mut value: i64 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let byte = match (at, negative) {
                (0, false) => byte & 0x7f,
                _ => *byte,
            };
            if value.leading_zeros().max(value.leading_ones()) <= 8 {
                return None;
            }
            value = (value << 8) | i64::from(byte);
        }
        return Some(value);
    }
    let text = field.split(|b| *b == 0).next().unwrap_or_default();
    let text = text.trim_ascii();
    let mut value: i64 = 0;
    for byte in text {
        let digit = match byte {
            b'0'..=b'7' => i64::from(byte - b'0'),
            _ => return None,
        };
        value = value.checked_mul(8)?.checked_add(digit)?;
    }
    Some(value)
}

/// Writes a number as octal digits that fill the field but for the NUL at its end, or in base 256 where they do not suffice.
pub(super) fn put(field: &mut [u8], value: i64) {
    let digits = field.len().saturating_sub(1);
    let fits = u32::try_from(digits * 3).is_ok_and(|bits| bits >= 63 || value >> bits == 0);
    if value >= 0 && fits {
        let text = format!("{value:0digits$o}");
        for (to, from) in field.iter_mut().zip(text.bytes().chain([0])) {
            *to = from;
        }
        return;
    }
    let mut rest = value;
    for byte in field.iter_mut().rev() {
        *byte = (rest & 0xff) as u8;
        rest >>= 8;
    }
    if let Some(first) = field.first_mut() {
        *first = if value < 0 { 0xff } else { *first | 0x80 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [
            0,
            1,
            0o7777777,
            0o10000000,
            i64::from(u32::MAX),
            -1,
            -147_000_000,
            i64::MAX,
            i64::MIN,
        ] {
            let mut field = [0; 12];
            put(&mut field, value);
            assert_eq!(parse(&field), Some(value), "{value}");
        }
        let mut field = [0; 8];
        put(&mut field, 0o7777777);
        assert_eq!(&field, b"7777777\0");
        put(&mut field, i64::from(u32::MAX));
        assert_eq!(parse(&field), Some(i64::from(u32::MAX)));
        assert_eq!(parse(b"  644 \0x"), Some(0o644));
        assert_eq!(parse(b"9"), None);
        assert_eq!(parse(&[0xbf; 12]), None);
        assert_eq!(parse(b"\0\0\0"), Some(0));
    }
}
