//! Making short names, FAT specification 1.03, "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation Algorithm", in the
//! way of mtools: what has to be changed gets a number from 1 on, what differs in case only gets none.

use crate::code_page::CodePage;
use crate::directory_entry::{LOWER_BASE, LOWER_EXTENSION};
use std::collections::{HashMap, HashSet};

/// Characters besides letters and digits that a short name can have.
const PUNCTUATION: &[u8] = b"$%'-_@~`!(){}^#&";
/// The highest number that is put behind a name: it has six digits, so that a letter of the name stays.
const MAX_TAIL: u32 = 999_999;
/// Names of devices, which DOS takes no file for, whatever its extension.
const DEVICES: [&[u8]; 4] = [b"CON", b"AUX", b"PRN", b"NUL"];

/// A short name that stands for a name by itself, with the case bits of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortName {
    pub(crate) raw: [u8; 11],
    pub(crate) case: u8,
}

/// The short names of a directory.
#[derive(Debug, Default)]
pub(crate) struct ShortNames {
    taken: HashSet<[u8; 11]>,
    /// The next number to try, for a name without one.
    next: HashMap<[u8; 11], u32>,
}

impl ShortNames {
    /// Notes a name that is there.
    pub(crate) fn insert(&mut self, raw: [u8; 11]) {
        self.taken.insert(raw);
    }

    /// Notes that a name is gone.
    pub(crate) fn remove(&mut self, raw: &[u8; 11]) {
        self.taken.remove(raw);
        // Its number may be the lowest one that is free.
        self.next.clear();
    }

    /// The free short name that says all of a name.
    pub(crate) fn exact(&self, name: &[u8]) -> Option<ShortName> {
        exact(name).filter(|short| !self.taken.contains(&short.raw))
    }

    /// A free short name for a long one; `None` where there are too many alike.
    pub(crate) fn alias(&mut self, name: &str, page: CodePage) -> Option<[u8; 11]> {
        let stem = Stem::new(name, page);
        let raw = pad(&stem.base, &stem.extension);
        if !stem.changed && !self.taken.contains(&raw) {
            return Some(raw);
        }
        let next = self.next.entry(raw).or_insert(1);
        while *next <= MAX_TAIL {
            let tail = format!("~{next}");
            *next += 1;
            let kept = stem.base.len().min(8 - tail.len());
            let mut base = stem.base.get(..kept).unwrap_or_default().to_vec();
            base.extend_from_slice(tail.as_bytes());
            let raw = pad(&base, &stem.extension);
            if !self.taken.contains(&raw) {
                return Some(raw);
            }
        }
        None
    }
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
    (!is_device(&base.to_ascii_uppercase())).then(|| pad(base, extension))
}

fn is_short(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || PUNCTUATION.contains(&byte)
}

/// Whether a name in upper case, without its extension, is that of a device.
pub(crate) fn is_device(base: &[u8]) -> bool {
    match base {
        [b'C', b'O', b'M', b'1'..=b'9'] | [b'L', b'P', b'T', b'1'..=b'9'] => true,
        other => DEVICES.contains(&other),
    }
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
    if raw[0] == 0xe5 {
        // That would mean a deleted entry.
        raw[0] = 0x05;
    }
    raw
}

/// What is left of a long name.
struct Stem {
    base: Vec<u8>,
    extension: Vec<u8>,
    /// Whether more than case is lost.
    changed: bool,
}

impl Stem {
    fn new(name: &str, page: CodePage) -> Self {
        let trimmed = name.trim_start_matches(['.', ' ']);
        let mut changed = trimmed.len() != name.len();
        let (base, extension) = trimmed.rsplit_once('.').unwrap_or((trimmed, ""));
        let mut base = squeeze(base, page, &mut changed);
        let mut extension = squeeze(extension, page, &mut changed);
        changed |= base.len() > 8 || extension.len() > 3 || base.is_empty() || is_device(&base);
        base.truncate(8);
        extension.truncate(3);
        if base.is_empty() {
            base.push(b'_');
        }
        Self {
            base,
            extension,
            changed,
        }
    }
}

/// Drops blanks and dots, and puts `_` for what a short name cannot have.
fn squeeze(part: &str, page: CodePage, changed: &mut bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for character in part.chars() {
        match character {
            ' ' | '.' => *changed = true,
            _ if character.is_ascii() => {
                let byte = u8::try_from(character.to_ascii_uppercase()).unwrap_or(b'_');
                if is_short(byte) {
                    bytes.push(byte);
                } else {
                    *changed = true;
                    bytes.push(b'_');
                }
            }
            _ => {
                let mut upper = character.to_uppercase();
                let single = upper.next().filter(|_| upper.next().is_none());
                bytes.push(single.and_then(|upper| page.encode(upper)).unwrap_or(b'_'));
            }
        }
    }
    bytes
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
            "con.txt",
            "",
        ] {
            assert_eq!(exact(name), None, "{name}");
        }
    }

    /// What mcopy makes of the same names.
    #[test]
    fn aliases_are_those_of_mtools() {
        let mut names = ShortNames::default();
        let mut next = |name: &str| {
            let raw = names.alias(name, CodePage::CP850).unwrap();
            names.insert(raw);
            raw.iter()
                .map(|byte| CodePage::CP850.decode(*byte))
                .collect::<String>()
        };
        for (name, short) in [
            ("Mixed.Txt", "MIXED   TXT"),
            ("user-data", "USER-D~1   "),
            ("user-data2", "USER-D~2   "),
            ("a.tar.gz", "ATAR~1  GZ "),
            (".hidden", "HIDDEN~1   "),
            (".hidden.txt", "HIDDEN~1TXT"),
            ("with space.txt", "WITHSP~1TXT"),
            ("a+b,c.d", "A_B_C~1 D  "),
            ("a..b", "A~1     B  "),
            ("Ünï.txt", "ÜNÏ     TXT"),
            ("ж.txt", "_       TXT"),
            ("aux.txt", "AUX~1   TXT"),
            ("x.html", "X~1     HTM"),
        ] {
            assert_eq!(next(name), short, "{name}");
        }
        let many: Vec<String> = (0..12).map(|n| next(&format!("longername{n}.txt"))).collect();
        assert_eq!(many[8], "LONGER~9TXT");
        assert_eq!(many[9], "LONGE~10TXT");
    }
}
