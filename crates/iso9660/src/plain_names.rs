//! Names of the plain hierarchy (ECMA-119 7.5, 7.6): upper case, and short at the lower levels.

use crate::options::Level;
use std::cmp::Ordering;
use std::collections::HashSet;

/// Longest identifier at level 4 that leaves room for a Rock Ridge continuation in its directory record.
const MAX_RELAXED: usize = 193;

/// How long the parts of a name may be.
struct Limits {
    base: usize,
    extension: usize,
    /// Base and extension together.
    both: usize,
    directory: usize,
}

fn limits(level: Level) -> Limits {
    match level {
        Level::One => Limits {
            base: 8,
            extension: 3,
            both: 11,
            directory: 8,
        },
        Level::Two | Level::Three => Limits {
            base: 30,
            extension: 30,
            both: 30,
            directory: 31,
        },
        Level::Four => Limits {
            base: MAX_RELAXED,
            extension: MAX_RELAXED,
            both: MAX_RELAXED,
            directory: MAX_RELAXED,
        },
    }
}

/// One identifier for each name of a directory, all different. What cannot be said becomes `_`; of names that become
/// equal the first keeps its identifier and the others end in numbers.
pub(crate) fn identifiers(names: &[(&[u8], bool)], level: Level) -> Vec<Box<[u8]>> {
    let mut taken: HashSet<Box<[u8]>> = HashSet::with_capacity(names.len());
    let mut next_number = std::collections::HashMap::<(Vec<u8>, Vec<u8>), u32>::new();
    names
        .iter()
        .map(|(name, is_dir)| {
            let (base, extension) = translate(name, *is_dir, level);
            let plain = assemble(&base, &extension, *is_dir, level);
            if taken.insert(plain.clone()) {
                return plain;
            }
            let numbers = next_number.entry((base.clone(), extension.clone())).or_insert(0);
            loop {
                let suffix = format!("{:03}", *numbers);
                *numbers = numbers.saturating_add(1);
                let room = room_for_base(&extension, *is_dir, level).saturating_sub(suffix.len());
                let mut numbered = base.clone();
                numbered.truncate(cut_at(&base, room, level));
                numbered.extend_from_slice(suffix.as_bytes());
                let candidate = assemble(&numbered, &extension, *is_dir, level);
                if taken.insert(candidate.clone()) {
                    return candidate;
                }
            }
        })
        .collect()
}

fn room_for_base(extension: &[u8], is_dir: bool, level: Level) -> usize {
    let limits = limits(level);
    if is_dir {
        return limits.directory;
    }
    // At level 4 the separator counts as any other character.
    let dot = usize::from(level == Level::Four && !extension.is_empty());
    limits.base.min(limits.both.saturating_sub(extension.len() + dot))
}

/// Splits a name in base and extension, each already of characters and length that the level allows.
fn translate(name: &[u8], is_dir: bool, level: Level) -> (Vec<u8>, Vec<u8>) {
    let limits = limits(level);
    let (base, extension) = match name.iter().rposition(|b| *b == b'.') {
        Some(dot) if dot > 0 && !is_dir => (
            name.get(..dot).unwrap_or(name),
            name.get(dot + 1..).unwrap_or(&[]),
        ),
        _ => (name, &[][..]),
    };
    if level == Level::Four {
        // A name that ends in a dot keeps it in the base.
        let (base, extension) = if extension.is_empty() {
            (name, &[][..])
        } else {
            (base, extension)
        };
        let mut extension = extension.to_vec();
        extension.truncate(cut_at(&extension, limits.extension / 2, level));
        let room = room_for_base(&extension, is_dir, level);
        let mut base = base.to_vec();
        base.truncate(cut_at(&base, room, level));
        return (base, extension);
    }
    let mut extension = d_characters(extension);
    extension.truncate(
        limits
            .extension
            .min(if level == Level::One { 3 } else { limits.both - 1 }),
    );
    let mut base = d_characters(base);
    base.truncate(room_for_base(&extension, is_dir, level));
    (base, extension)
}

/// Where to cut so that no more than `room` bytes remain and no UTF-8 sequence is torn.
fn cut_at(bytes: &[u8], room: usize, level: Level) -> usize {
    if bytes.len() <= room || level != Level::Four {
        return room.min(bytes.len());
    }
    let mut at = room;
    while at > 0 && room - at < 4 && bytes.get(at).is_some_and(|b| b & 0xC0 == 0x80) {
        at -= 1;
    }
    at
}

/// The d-characters of ECMA-119 7.4.1: `A`–`Z`, `0`–`9`, `_`. A character beyond ASCII becomes one `_`.
fn d_characters(name: &[u8]) -> Vec<u8> {
    let one = |c: u8| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            b'_'
        }
    };
    match std::str::from_utf8(name) {
        Ok(text) => text.chars().map(|c| u8::try_from(c).map_or(b'_', one)).collect(),
        Err(_) => name.iter().map(|b| one(*b)).collect(),
    }
}

fn assemble(base: &[u8], extension: &[u8], is_dir: bool, level: Level) -> Box<[u8]> {
    let mut out = Vec::with_capacity(base.len() + extension.len() + 3);
    out.extend_from_slice(base);
    if level == Level::Four {
        if !extension.is_empty() {
            out.push(b'.');
            out.extend_from_slice(extension);
        }
    } else if !is_dir {
        out.push(b'.');
        out.extend_from_slice(extension);
        out.extend_from_slice(b";1");
    }
    out.into()
}

/// The order of records in a directory (ECMA-119 9.3): by base and extension, the shorter filled up with spaces.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a_base, a_extension) = split(a);
    let (b_base, b_extension) = split(b);
    compare_filled(a_base, b_base)
        .then_with(|| compare_filled(a_extension, b_extension))
        .then_with(|| a.cmp(b))
}

fn split(identifier: &[u8]) -> (&[u8], &[u8]) {
    let whole = match identifier.iter().rposition(|b| *b == b';') {
        Some(at) => identifier.get(..at).unwrap_or(identifier),
        None => identifier,
    };
    match whole.iter().position(|b| *b == b'.') {
        Some(at) => (
            whole.get(..at).unwrap_or(whole),
            whole.get(at + 1..).unwrap_or(&[]),
        ),
        None => (whole, &[]),
    }
}

fn compare_filled(a: &[u8], b: &[u8]) -> Ordering {
    let len = a.len().max(b.len());
    (0..len)
        .map(|i| a.get(i).unwrap_or(&b' ').cmp(b.get(i).unwrap_or(&b' ')))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, is_dir: bool, level: Level) -> String {
        let ids = identifiers(&[(name.as_bytes(), is_dir)], level);
        String::from_utf8(ids[0].to_vec()).unwrap()
    }

    #[test]
    fn as_genisoimage_translates() {
        assert_eq!(one("user-data", false, Level::One), "USER_DAT.;1");
        assert_eq!(one("meta-data", false, Level::One), "META_DAT.;1");
        assert_eq!(one("network-config", false, Level::One), "NETWORK_.;1");
        assert_eq!(one("a.tar.gz", false, Level::One), "A_TAR.GZ;1");
        assert_eq!(one(".bashrc", false, Level::One), "_BASHRC.;1");
        assert_eq!(one("index.html", false, Level::One), "INDEX.HTM;1");
        assert_eq!(one("conf.d", true, Level::One), "CONF_D");
        assert_eq!(one("grün", false, Level::One), "GR_N.;1");
        assert_eq!(
            one("long-directory-name", true, Level::Two),
            "LONG_DIRECTORY_NAME"
        );
        assert_eq!(one("User Data.txt", false, Level::Four), "User Data.txt");
    }

    #[test]
    fn lengths_hold_at_every_level() {
        let long = "x".repeat(255);
        let dotted = format!("{}.{}", "y".repeat(100), "z".repeat(154));
        for name in [long.as_str(), &dotted, "ä".repeat(127).as_str()] {
            assert!(one(name, false, Level::One).len() <= 14);
            assert!(one(name, true, Level::One).len() <= 8);
            assert!(one(name, false, Level::Two).len() <= 33);
            assert!(one(name, true, Level::Three).len() <= 31);
            assert!(one(name, false, Level::Four).len() <= MAX_RELAXED);
        }
    }

    #[test]
    fn collisions_get_numbers() {
        let names: Vec<String> = (0..3000).map(|i| format!("longfilename{i}.txt")).collect();
        let list: Vec<(&[u8], bool)> = names.iter().map(|n| (n.as_bytes(), false)).collect();
        let ids = identifiers(&list, Level::One);
        assert_eq!(&*ids[0], b"LONGFILE.TXT;1");
        assert_eq!(&*ids[1], b"LONGF000.TXT;1");
        assert_eq!(&*ids[1001], b"LONG1000.TXT;1");
        let unique: HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }

    #[test]
    fn order_fills_with_spaces() {
        assert_eq!(compare(b"A.TXT;1", b"A1.TXT;1"), Ordering::Less);
        assert_eq!(compare(b"A.;1", b"A.B;1"), Ordering::Less);
        assert_eq!(compare(b"B", b"A.Z;1"), Ordering::Greater);
    }
}
