//! `os-release` (os-release(5)) and `lsb-release`: assignments as a shell would read them.

use super::{lines, text};
use std::collections::BTreeMap;

/// The assignments of a file; a name that is set twice has its last value, a line that is no assignment is passed over.
pub fn parse_os_release(contents: &[u8]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in lines(contents) {
        let line = line.trim_ascii();
        if line.starts_with(b"#") {
            continue;
        }
        let Some(equals) = line.iter().position(|b| *b == b'=') else {
            continue;
        };
        let (name, value) = line.split_at(equals);
        let is_name = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if is_name {
            values.insert(text(name), text(&unquote(value.get(1..).unwrap_or_default())));
        }
    }
    values
}

/// Takes shell quotes off.
fn unquote(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut quote = None;
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\'' | b'"', None) => quote = Some(byte),
            (b, Some(open)) if b == open => quote = None,
            (b'\\', Some(b'"')) => match bytes.peek() {
                Some(b'"' | b'\\' | b'$' | b'`') => out.extend(bytes.next()),
                _ => out.push(byte),
            },
            (b'\\', None) => out.extend(bytes.next()),
            (b, None) if b.is_ascii_whitespace() => break,
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_quotes_off_as_a_shell() {
        let values = parse_os_release(
            b"# comment\nID=debian\nPRETTY_NAME=\"Debian \\\"12\\\" (x)\"\nVERSION_ID='12.5'\nBAD LINE\nA=b c\n=x\nID=last",
        );
        assert_eq!(
            values.get("PRETTY_NAME").map(String::as_str),
            Some("Debian \"12\" (x)")
        );
        assert_eq!(values.get("VERSION_ID").map(String::as_str), Some("12.5"));
        assert_eq!(values.get("ID").map(String::as_str), Some("last"));
        assert_eq!(values.get("A").map(String::as_str), Some("b"));
        assert_eq!(values.len(), 4);
    }
}
