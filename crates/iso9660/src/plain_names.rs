//! Names of the plain hierarchy (ECMA-119 7.5, 7.6): upper case, and short at the lower levels.

use crate::plain_rules::{PlainLength, PlainRules};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// Longest identifier that leaves room for a Rock Ridge continuation in its directory record.
const MAX_BESIDE_ROCK_RIDGE: usize = 193;
/// Longest identifier of ISO 9660:1999 (7.5.1).
const MAX_WHOLE: usize = 207;
/// Digits of the numbers that tell names apart.
const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Makes identifiers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Translator {
    rules: PlainRules,
    /// Longest identifier without its version.
    limit: usize,
}

/// A name in its parts, each of allowed characters and length.
struct Parts {
    base: Vec<u8>,
    /// With its dot.
    extension: Vec<u8>,
}

impl Translator {
    pub(crate) fn new(rules: PlainRules, rock_ridge: bool) -> Self {
        let limit = match rules.length {
            PlainLength::Short => 12,
            PlainLength::Long => 31,
            PlainLength::Longer => 37,
            PlainLength::Whole if rock_ridge => MAX_BESIDE_ROCK_RIDGE,
            PlainLength::Whole => MAX_WHOLE,
        };
        Self { rules, limit }
    }

    /// One identifier for each name of a directory (and whether it is of a directory), all different. What cannot be said
    /// becomes `_`; of names that become equal the first keeps its identifier and the others end in numbers.
    pub(crate) fn identifiers(&self, names: &[(&[u8], bool)]) -> Vec<Box<[u8]>> {
        let mut taken: HashSet<Box<[u8]>> = HashSet::with_capacity(names.len());
        let mut next_number = HashMap::<Box<[u8]>, u32>::new();
        names
            .iter()
            .map(|(name, is_dir)| {
                let parts = self.parts(name, *is_dir);
                let plain = self.assemble(&parts, *is_dir);
                if taken.insert(plain.clone()) {
                    return plain;
                }
                let number = next_number.entry(plain).or_insert(0);
                loop {
                    let candidate = self.numbered(&parts, *number, *is_dir);
                    *number = number.saturating_add(1);
                    if taken.insert(candidate.clone()) {
                        return candidate;
                    }
                }
            })
            .collect()
    }

    /// A name whose base ends in a number of at least three digits to the base of 36.
    fn numbered(&self, parts: &Parts, number: u32, is_dir: bool) -> Box<[u8]> {
        let mut suffix = Vec::new();
        let mut left = number;
        while left > 0 || suffix.len() < 3 {
            suffix.push(DIGITS.get((left % 36) as usize).copied().unwrap_or(b'0'));
            left /= 36;
        }
        suffix.reverse();
        let mut room = match self.rules.length {
            PlainLength::Short => 8,
            // A dot that will be added counts.
            _ => self.limit.saturating_sub(
                parts
                    .extension
                    .len()
                    .max(usize::from(!is_dir && !self.rules.omit_dot)),
            ),
        };
        room = room.saturating_sub(suffix.len());
        let mut base = parts.base.clone();
        base.truncate(self.cut_at(&parts.base, room));
        base.extend_from_slice(&suffix);
        let extension = parts.extension.clone();
        self.assemble(&Parts { base, extension }, is_dir)
    }

    fn parts(&self, name: &[u8], is_dir: bool) -> Parts {
        if self.rules.any_bytes {
            return self.whole_parts(name);
        }
        let rules = &self.rules;
        let packed;
        let mut name = name;
        if rules.tgz
            && !rules.several_dots
            && (!is_dir || rules.directory_extension)
            && let Some(stem) = name.strip_suffix(b".tar.gz")
        {
            packed = [stem, b".tgz"].concat();
            name = &packed;
        }
        let characters;
        if rules.by_character
            && !name.is_ascii()
            && let Ok(text) = std::str::from_utf8(name)
        {
            characters = text
                .chars()
                .map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'_'))
                .collect::<Vec<u8>>();
            name = &characters;
        }
        let dot = name
            .iter()
            .rposition(|b| *b == b'.')
            .filter(|at| (*at > 0 || rules.leading_dots) && (!is_dir || rules.directory_extension));
        let (base, extension) = name.split_at(dot.unwrap_or(name.len()));
        let mut base: Vec<u8> = base
            .iter()
            .enumerate()
            .map(|(at, byte)| match byte {
                b'.' if rules.several_dots
                    && (at > 0 || rules.leading_dots)
                    && (!is_dir || rules.directory_extension) =>
                {
                    b'.'
                }
                b'.' => b'_',
                other => self.character(*other),
            })
            .collect();
        let mut extension: Vec<u8> = extension
            .iter()
            .enumerate()
            .map(|(at, byte)| if at == 0 { *byte } else { self.character(*byte) })
            .collect();
        match rules.length {
            PlainLength::Short => {
                base.truncate(8);
                extension.truncate(4);
            }
            _ if is_dir => {
                base.truncate(self.limit);
                extension.truncate(self.limit - base.len());
                if extension.len() == 1 && dot.is_some_and(|at| at + 1 < name.len()) {
                    extension.clear();
                }
            }
            _ => {
                // An extension leaves at least half of the room to the base.
                let dot = usize::from(!extension.is_empty() || !rules.omit_dot);
                let room = self
                    .limit
                    .saturating_sub(extension.len().max(dot))
                    .max((self.limit - 1) / 2);
                base.truncate(room);
                extension.truncate(self.limit - base.len());
            }
        }
        Parts { base, extension }
    }

    /// Base and extension of a name whose bytes stay as they are; it is cut in the base.
    fn whole_parts(&self, name: &[u8]) -> Parts {
        let dot = name
            .iter()
            .rposition(|b| *b == b'.')
            .filter(|at| *at > 0 && at + 1 < name.len());
        let (base, extension) = name.split_at(dot.unwrap_or(name.len()));
        let mut extension = extension.to_vec();
        extension.truncate(self.cut_at(&extension, self.limit / 2));
        let mut base = base.to_vec();
        base.truncate(self.cut_at(&base, self.limit - extension.len()));
        Parts { base, extension }
    }

    /// One byte of a name as it may stand there; those beyond ASCII never do.
    fn character(&self, byte: u8) -> u8 {
        let rules = &self.rules;
        match byte {
            b'a'..=b'z' if rules.lower_case => byte,
            b'a'..=b'z' => byte.to_ascii_uppercase(),
            b'A'..=b'Z' | b'0'..=b'9' | b'_' => byte,
            b'~' | b'-' | b'#' if rules.no_translation => byte,
            b'/' => b'_',
            b' '..=b'~' if rules.ascii => byte,
            _ => b'_',
        }
    }

    /// Where to cut so that no more than `room` bytes remain and no UTF-8 sequence is torn.
    fn cut_at(&self, bytes: &[u8], room: usize) -> usize {
        if bytes.len() <= room || !self.rules.any_bytes {
            return room.min(bytes.len());
        }
        let mut at = room;
        while at > 0 && room - at < 4 && bytes.get(at).is_some_and(|b| b & 0xC0 == 0x80) {
            at -= 1;
        }
        at
    }

    fn assemble(&self, parts: &Parts, is_dir: bool) -> Box<[u8]> {
        let mut out = Vec::with_capacity(parts.base.len() + parts.extension.len() + 3);
        out.extend_from_slice(&parts.base);
        out.extend_from_slice(&parts.extension);
        if !is_dir {
            if parts.extension.is_empty() && !self.rules.omit_dot {
                out.push(b'.');
            }
            if !self.rules.omit_version {
                out.extend_from_slice(b";1");
            }
        }
        out.into()
    }
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
mod tests;
