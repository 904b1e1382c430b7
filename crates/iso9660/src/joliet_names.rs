//! Names of the Joliet hierarchy (Joliet Specification, "Allowing Unicode Identifiers"): big-endian UCS-2.

use crate::options::NameCharset;
use std::collections::{HashMap, HashSet};

/// The longest name of the specification, in 16-bit units.
const MAX_UNITS: usize = 64;
/// The longest that fits a directory record, which Windows and Linux read too.
const MAX_UNITS_LONG: usize = 103;

/// One identifier for each name of a directory, all different, as big-endian bytes. Characters beyond 16 bits become
/// surrogate pairs; what Joliet forbids becomes `_`. Names are cut before their extension.
pub(crate) fn identifiers(names: &[&[u8]], long: bool, charset: NameCharset) -> Vec<Box<[u8]>> {
    let limit = if long { MAX_UNITS_LONG } else { MAX_UNITS };
    let mut taken: HashSet<Vec<u16>> = HashSet::with_capacity(names.len());
    let mut next_number = HashMap::<Vec<u16>, u32>::new();
    names
        .iter()
        .map(|name| {
            let units = match charset {
                NameCharset::Utf8 => translate(name),
                NameCharset::Latin1 => {
                    let text: String = name.iter().map(|byte| char::from(*byte)).collect();
                    translate(text.as_bytes())
                }
            };
            let whole = fit(&units, &[], limit);
            if taken.insert(whole.clone()) {
                return to_bytes(&whole);
            }
            let numbers = next_number.entry(whole).or_insert(0);
            loop {
                let suffix: Vec<u16> = format!("{:03}", *numbers).encode_utf16().collect();
                *numbers = numbers.saturating_add(1);
                let candidate = fit(&units, &suffix, limit);
                if taken.insert(candidate.clone()) {
                    return to_bytes(&candidate);
                }
            }
        })
        .collect()
}

/// A text of the supplementary volume descriptor, filled up with spaces to `len` bytes, cut where it is longer.
/// With an odd `len` the last byte is 0.
pub(crate) fn descriptor_text(text: &str, len: usize) -> Vec<u8> {
    let mut out: Vec<u8> = translate(text.as_bytes())
        .iter()
        .take(len / 2)
        .flat_map(|unit| unit.to_be_bytes())
        .collect();
    while out.len() + 2 <= len {
        out.extend_from_slice(&[0, b' ']);
    }
    out.resize(len, 0);
    out
}

/// Characters that an identifier may not have: control characters and `* / : ; ? \`.
fn is_forbidden(c: char) -> bool {
    c < ' ' || matches!(c, '*' | '/' | ':' | ';' | '?' | '\\')
}

fn translate(name: &[u8]) -> Vec<u16> {
    let mut out = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_forbidden(c) {
                out.push(u16::from(b'_'));
            } else {
                out.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            }
        }
        out.extend(chunk.invalid().iter().map(|_| u16::from(b'_')));
    }
    // Readers drop dots at the end.
    if let Some(last) = out.last_mut().filter(|unit| **unit == u16::from(b'.')) {
        *last = u16::from(b'_');
    }
    out
}

/// Base, suffix and extension in at most `limit` units.
fn fit(units: &[u16], suffix: &[u16], limit: usize) -> Vec<u16> {
    let dot = units
        .iter()
        .rposition(|u| *u == u16::from(b'.'))
        .filter(|at| *at > 0 && units.len() - at <= 20);
    let (base, extension) = units.split_at(dot.unwrap_or(units.len()));
    let mut room = limit
        .saturating_sub(suffix.len() + extension.len())
        .min(base.len());
    // No half of a surrogate pair is left over.
    if room < base.len() && room > 0 && base.get(room - 1).is_some_and(|u| (0xD800..0xDC00).contains(u)) {
        room -= 1;
    }
    let mut out = base.get(..room).unwrap_or(base).to_vec();
    out.extend_from_slice(suffix);
    out.extend_from_slice(extension);
    out
}

fn to_bytes(units: &[u16]) -> Box<[u8]> {
    units.iter().flat_map(|unit| unit.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &[u8]) -> String {
        let units: Vec<u16> = id.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn names_stay_exact_where_they_can() {
        let ids = identifiers(
            &[
                b"user-data",
                "größe.txt".as_bytes(),
                "🦀.rs".as_bytes(),
                b"a:b?",
                b"x\xff",
            ],
            false,
            NameCharset::Utf8,
        );
        let texts: Vec<String> = ids.iter().map(|i| text(i)).collect();
        assert_eq!(texts, ["user-data", "größe.txt", "🦀.rs", "a_b_", "x_"]);
    }

    #[test]
    fn long_names_keep_extension_and_differ() {
        let a = format!("{}1.conf", "n".repeat(90));
        let b = format!("{}2.conf", "n".repeat(90));
        let crab = format!("{}.z", "🦀".repeat(40));
        let ids = identifiers(
            &[a.as_bytes(), b.as_bytes(), crab.as_bytes()],
            false,
            NameCharset::Utf8,
        );
        assert_eq!(text(&ids[0]), format!("{}.conf", "n".repeat(59)));
        assert_eq!(text(&ids[1]), format!("{}000.conf", "n".repeat(56)));
        assert_eq!(text(&ids[2]), format!("{}.z", "🦀".repeat(31)));
        assert_eq!(text(&identifiers(&[a.as_bytes()], true, NameCharset::Utf8)[0]), a);
    }
}
