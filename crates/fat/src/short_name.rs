//! Making short names, FAT specification 1.03, "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation Algorithm".

use crate::directory_entry::{LOWER_BASE, LOWER_EXTENSION};

/// Characters besides letters and digits that a short name can have.
const PUNCTUATION: &[u8] = b"$%'-_@~`!(){}^#&";
/// Plain numeric tails that are tried, before a hash of the name takes its place.
const PLAIN_TAILS: u32 = 4;

/// A short name that stands for a name by itself, with the case bits of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortName {
    pub(crate) raw: [u8; 11],
    pub(crate) case: u8,
}

/// The short name that says all of a name: eight and three characters at most, each part in one case.
pub(crate) fn exact(name: &[u8]) -> Option<ShortName> {
    let raw = plain(name)?;
    let (base, extension) = split(name);
    let case = case_bit(base, LOWER_BASE)? | case_bit(extension, LOWER_EXTENSION)?;
    Some(ShortName { raw, case })
}

/// The bit for a part that is in lower case, 0 for one in upper case, `None` for a mix.
fn case_bit(part: &[u8], bit: u8) -> Option<u8> {
    let lower = part.iter().any(u8::is_ascii_lowercase);
    let upper = part.iter().any(u8::is_ascii_uppercase);
    match (lower, upper) {
        (true, true) => None,
        (true, false) => Some(bit),
        _ => Some(0),
    }
}

/// The name in upper case, where that is a short name already.
fn plain(name: &[u8]) -> Option<[u8; 11]> {
    let (base, extension) = split(name);
    let fits = |part: &[u8]| part.iter().all(|b| is_short(*b));
    let dotted = name.last() == Some(&b'.');
    if base.is_empty() || base.len() > 8 || extension.len() > 3 || dotted || !fits(base) || !fits(extension) {
        return None;
    }
    Some(pad(base, extension))
}

fn is_short(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || PUNCTUATION.contains(&byte)
}

/// What is before and after the last dot; a dot at the beginning does not count.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|b| *b == b'.') {
        Some(dot) if dot > 0 => {
            let (base, rest) = name.split_at(dot);
            (base, rest.get(1..).unwrap_or_default())
        }
        _ => (name, &[]),
    }
}

fn pad(base: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut raw = [b' '; 11];
    let (left, right) = raw.split_at_mut(8);
    for (place, byte) in left.iter_mut().zip(base) {
        *place = byte.to_ascii_uppercase();
    }
    for (place, byte) in right.iter_mut().zip(extension) {
        *place = byte.to_ascii_uppercase();
    }
    raw
}

/// A short name for a long one, different from all that `taken` knows; `None` where there are too many alike.
pub(crate) fn alias(name: &str, taken: &dyn Fn(&[u8; 11]) -> bool) -> Option<[u8; 11]> {
    if let Some(raw) = plain(name.as_bytes()).filter(|raw| !taken(raw)) {
        return Some(raw);
    }
    let trimmed = name.trim_start_matches(['.', ' ']);
    let (base, extension) = trimmed.rsplit_once('.').unwrap_or((trimmed, ""));
    let (mut base, mut extension) = (squeeze(base), squeeze(extension));
    extension.truncate(3);
    if base.is_empty() {
        base.push(b'_');
    }
    let tailed = |stem: &[u8], number: u32| {
        let tail = format!("~{number}");
        let mut base: Vec<u8> = stem.iter().copied().take(8 - tail.len()).collect();
        base.extend_from_slice(tail.as_bytes());
        pad(&base, &extension)
    };
    let plain = (1..=PLAIN_TAILS).map(|number| tailed(&base, number));
    let first = hash(name);
    let hashed = (0..=u32::from(u16::MAX)).map(|step| {
        let mut stem: Vec<u8> = base.iter().copied().take(2).collect();
        stem.extend_from_slice(format!("{:04X}", (first + step) & 0xffff).as_bytes());
        tailed(&stem, 1)
    });
    plain.chain(hashed).find(|raw| !taken(raw))
}

/// Drops blanks and dots, and puts `_` for what a short name cannot have.
fn squeeze(part: &str) -> Vec<u8> {
    part.chars()
        .filter(|c| !matches!(c, ' ' | '.'))
        .map(|c| match u8::try_from(c) {
            Ok(byte) if is_short(byte) => byte,
            _ => b'_',
        })
        .collect()
}

/// Sixteen bits that differ for most names.
fn hash(name: &str) -> u32 {
    let sum = name.bytes().fold(0x811c_9dc5_u32, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (sum >> 16 ^ sum) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_short_stay_short() {
        let exact = |name: &str| exact(name.as_bytes()).map(|s| (s.raw, s.case));
        assert_eq!(exact("README.TXT"), Some((*b"README  TXT", 0)));
        assert_eq!(exact("readme.txt"), Some((*b"README  TXT", 0x18)));
        assert_eq!(exact("README.txt"), Some((*b"README  TXT", 0x10)));
        assert_eq!(exact("meta-data"), None);
        assert_eq!(exact("a"), Some((*b"A          ", 0x08)));
        for name in [
            "Readme.txt",
            "a b",
            ".x",
            "a.b.c",
            "x.html",
            "ninechars",
            "a+b",
            "ä",
            "a.",
            "",
        ] {
            assert_eq!(exact(name), None, "{name}");
        }
    }

    #[test]
    fn aliases_differ() {
        let mut taken: Vec<[u8; 11]> = Vec::new();
        let mut next = |name: &str| {
            let raw = alias(name, &|raw| taken.contains(raw)).unwrap();
            taken.push(raw);
            String::from_utf8(raw.to_vec()).unwrap()
        };
        assert_eq!(next("Mixed.Txt"), "MIXED   TXT");
        assert_eq!(next("user-data.yaml"), "USER-D~1YAM");
        assert_eq!(next("user-data2.yaml"), "USER-D~2YAM");
        assert_eq!(next("..a b.c.d"), "ABC~1   D  ");
        assert_eq!(next("ü.ü"), "_~1     _  ");
        let many: Vec<String> = (0..300).map(|n| next(&format!("a long name {n}"))).collect();
        assert!(
            many[0].starts_with("ALONGN~1") && many[299].ends_with("~1   "),
            "{many:?}"
        );
    }
}
