//! Shell patterns as `fnmatch(3)` reads them with `FNM_PATHNAME`: `*` and `?` match no slash, but a leading dot.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A list of patterns, each for a name or for a whole path.
#[derive(Debug, Default)]
pub(super) struct NamePatterns(Vec<Vec<u8>>);

impl NamePatterns {
    pub(super) fn push(&mut self, pattern: &OsStr) {
        let mut bytes = pattern.as_bytes();
        while bytes.len() > 1
            && let Some(shorter) = bytes.strip_suffix(b"/")
        {
            bytes = shorter;
        }
        self.0.push(bytes.to_vec());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a pattern matches the path, or its last part.
    pub(super) fn matches(&self, path: &Path) -> bool {
        let name = path.file_name().map_or(&[][..], OsStrExt::as_bytes);
        let whole = path.as_os_str().as_bytes();
        self.0
            .iter()
            .any(|pattern| matches(pattern, name) || matches(pattern, whole))
    }
}

/// Whether a pattern matches a text. Takes at most the product of both lengths in steps.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go back to: the pattern behind the last star, and the text that it may take one more byte of.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let byte = text.get(t).copied().unwrap_or(0);
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') if byte != b'/' => Some(p + 1),
            Some(b'[') => set(pattern, p, byte),
            Some(b'\\') if pattern.get(p + 1) == Some(&byte) => Some(p + 2),
            Some(literal) if *literal == byte && !matches!(literal, b'?' | b'\\') => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((behind, taken))) if text.get(taken) != Some(&b'/') => {
                star = Some((behind, taken + 1));
                p = behind;
                t = taken + 1;
            }
            _ => return false,
        }
    }
    pattern.get(p..).unwrap_or(&[]).iter().all(|b| *b == b'*')
}

/// Where the pattern goes on behind the set at `p` if the byte is in it. A set that does not end is a bracket.
fn set(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let mut at = p + 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut found = false;
    loop {
        let Some(mut low) = pattern.get(at).copied() else {
            return (byte == b'[').then_some(p + 1);
        };
        if low == b']' && at > first {
            break;
        }
        if low == b'\\' && at + 1 < pattern.len() {
            at += 1;
            low = pattern.get(at).copied().unwrap_or(low);
        }
        let mut high = low;
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|b| *b != b']') {
            high = pattern.get(at + 2).copied().unwrap_or(low);
            at += 2;
        }
        found |= (low..=high).contains(&byte);
        at += 1;
    }
    (found != negated && byte != b'/').then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("*.o", "a.o", true),
            ("*.o", ".o", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("?b", "ab", true),
            ("?b", "/b", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("", "", true),
            ("a", "", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
