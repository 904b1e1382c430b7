//! Bytes as text (RFC 4648, section 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes, in lines of so many characters (a multiple of 4, or `usize::MAX` for one line) with CR and LF between them.
pub(super) fn encode(bytes: &[u8], line: usize) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    let mut column = 0;
    for group in bytes.chunks(3) {
        if column >= line {
            text.push_str("\r\n");
            column = 0;
        }
        let [a, b, c] = [0, 1, 2].map(|at| group.get(at).copied().unwrap_or(0));
        let bits = u32::from_be_bytes([0, a, b, c]);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get((bits >> shift & 63) as usize);
            match letter {
                Some(letter) if place <= group.len() => text.push(char::from(*letter)),
                _ => text.push('='),
            }
        }
        column += 4;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn the_examples_of_the_specification() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes(), usize::MAX), text);
        }
        assert_eq!(encode(b"foobar", 4), "Zm9v\r\nYmFy");
    }
}
