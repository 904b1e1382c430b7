//! Content-Transfer-Encodings of MIME parts (RFC 2045, 6.7 and 6.8): base64 and quoted-printable.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 in lines of 76 characters.
pub(crate) fn base64_lines(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(57) {
        out.push_str(&base64(line));
        out.push('\n');
    }
    out
}

/// Base64 in one line.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4usize {
            let digit = ALPHABET
                .get((word >> (18 - 6 * i) & 63) as usize)
                .copied()
                .unwrap_or(b'=');
            out.push(char::from(if i <= group.len() { digit } else { b'=' }));
        }
    }
    out
}

/// What base64 holds; white space and line ends are passed over. `None` where it is none.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut digits, mut ended) = (0u32, 0u32, false);
    for byte in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        if byte == b'=' {
            ended = true;
            continue;
        }
        let value = ALPHABET.iter().position(|a| *a == byte).filter(|_| !ended)?;
        word = word << 6 | u32::try_from(value).ok()?;
        digits += 1;
        if digits == 4 {
            out.extend(word.to_be_bytes().iter().skip(1));
            (word, digits) = (0, 0);
        }
    }
    match digits {
        0 => {}
        2 => out.push(u8::try_from(word >> 4).ok()?),
        3 => out.extend_from_slice(&u16::try_from(word >> 2).ok()?.to_be_bytes()),
        _ => return None,
    }
    Some(out)
}

/// What quoted-printable holds.
fn from_quoted_printable(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let end = line.get(content.len()..).unwrap_or("");
        let content = content.trim_end_matches([' ', '\t']);
        let (content, soft) = match content.strip_suffix('=') {
            Some(rest) => (rest, true),
            None => (content, false),
        };
        let mut rest = content.as_bytes();
        while let Some((byte, behind)) = rest.split_first() {
            let pair = behind.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
            let value = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
            match value.filter(|_| *byte == b'=') {
                Some(value) => {
                    out.push(value);
                    rest = behind.get(2..).unwrap_or_default();
                }
                None => {
                    out.push(*byte);
                    rest = behind;
                }
            }
        }
        if !soft {
            out.extend_from_slice(end.as_bytes());
        }
    }
    out
}

/// Decodes the body of a part; `None` where it cannot be, or the encoding is not known.
pub(crate) fn decode(encoding: &str, body: &str) -> Option<Vec<u8>> {
    match encoding {
        "7bit" | "8bit" | "binary" => Some(body.as_bytes().to_vec()),
        "base64" => from_base64(body),
        "quoted-printable" => Some(from_quoted_printable(body)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        for len in 0..200usize {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 37 + len) as u8).collect();
            assert_eq!(from_base64(&base64_lines(&bytes)).unwrap(), bytes);
        }
        assert_eq!(from_base64("a"), None);
        assert_eq!(from_base64("a-b="), None);
        let decoded = decode("quoted-printable", "a=3Db=\nc  \n=C3=A9=\n").unwrap();
        assert_eq!(decoded, "a=bc\né".as_bytes());
        assert_eq!(decode("x-unknown", ""), None);
    }
}
