//! Which drive letter stands for which image: `-i`, and the configuration files of mtools.

use super::Stop;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An image that a drive letter stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Drive {
    pub(super) file: PathBuf,
    /// Bytes before the filesystem.
    pub(super) offset: u64,
    /// The number of its partition, 1 to 4; 0 for none.
    pub(super) partition: u32,
}

impl Drive {
    /// The image of `-i`, with an offset behind `@@`.
    pub(super) fn of_option(value: &OsStr) -> Result<Self, Stop> {
        let bytes = value.as_bytes();
        let at = bytes.windows(2).rposition(|pair| pair == b"@@");
        let (file, offset) = match at {
            Some(at) => {
                let text = bytes.get(at + 2..).unwrap_or_default();
                let text = String::from_utf8_lossy(text);
                // A unit without a number is no offset, as with mtools.
                let offset = match text.as_ref() {
                    "" | "s" | "S" | "k" | "K" | "m" | "M" | "g" | "G" => 0,
                    _ => size(&text).ok_or_else(|| Stop::failed(format!("Bad suffix {text}")))?,
                };
                (bytes.get(..at).unwrap_or_default(), offset)
            }
            None => (bytes, 0),
        };
        Ok(Self {
            file: PathBuf::from(OsStr::from_bytes(file)),
            offset,
            partition: 0,
        })
    }
}

/// A number with one of the suffixes that mtools knows: s for sectors, K, M, G.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "s" | "S" => 512,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    let (radix, digits) = match digits.strip_prefix("0x") {
        Some(hexadecimal) => (16, hexadecimal),
        None => (10, digits),
    };
    u64::from_str_radix(digits, radix).ok()?.checked_mul(unit)
}

/// The drive of a letter, as the configuration files say; what is read later counts.
pub(super) fn find(letter: char) -> Option<Drive> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".mtoolsrc"));
    let named = std::env::var_os("MTOOLSRC").map(PathBuf::from);
    let files = [Some(PathBuf::from("/etc/mtools.conf")), home, named];
    let mut found = None;
    for file in files.into_iter().flatten() {
        if let Ok(text) = std::fs::read_to_string(file) {
            found = parse(&text, letter).or(found);
        }
    }
    found
}

/// The last drive of this letter in a configuration.
fn parse(text: &str, letter: char) -> Option<Drive> {
    let mut words = words(text).into_iter().peekable();
    let mut found: Option<Drive> = None;
    let mut ours = false;
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case("drive") {
            let name = words.next().unwrap_or_default();
            ours = name
                .trim_end_matches(':')
                .eq_ignore_ascii_case(letter.encode_utf8(&mut [0; 4]));
            if ours {
                found = Some(Drive::default());
            }
            continue;
        }
        if words.peek().map(String::as_str) != Some("=") {
            continue;
        }
        words.next();
        let value = words.next().unwrap_or_default();
        if let Some(drive) = found.as_mut().filter(|_| ours) {
            match word.to_ascii_lowercase().as_str() {
                "file" => drive.file = PathBuf::from(value),
                "offset" => drive.offset = size(&value).unwrap_or(0),
                "partition" => drive.partition = value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    found.filter(|drive| !drive.file.as_os_str().is_empty())
}

/// Words, strings and `=` of a configuration, without comments.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next() else { break };
            match first {
                '#' => break,
                '=' => {
                    words.push("=".to_owned());
                    rest = rest.get(1..).unwrap_or_default();
                }
                '"' => {
                    let inner = rest.get(1..).unwrap_or_default();
                    let end = inner.find('"').unwrap_or(inner.len());
                    words.push(inner.get(..end).unwrap_or_default().to_owned());
                    rest = inner.get(end + 1..).unwrap_or_default();
                }
                _ => {
                    let end = rest
                        .find(|c: char| c.is_whitespace() || matches!(c, '=' | '#' | '"'))
                        .unwrap_or(rest.len());
                    words.push(rest.get(..end).unwrap_or_default().to_owned());
                    rest = rest.get(end..).unwrap_or_default();
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_are_read() {
        let text = "# none\ndrive x: file=\"/tmp/a b.img\" offset=1M\ndrive y:\n  file = \"/y\"\n  partition=2 exclusive\n\
                    mtools_lower_case=1\ndrive X: file=\"/late\"";
        assert_eq!(parse(text, 'x').unwrap().file, PathBuf::from("/late"));
        assert_eq!(parse(text, 'Y').unwrap().partition, 2);
        assert!(parse(text, 'z').is_none());
        let drive = Drive::of_option(OsStr::new("disk.img@@1M")).unwrap();
        assert_eq!((drive.file, drive.offset), (PathBuf::from("disk.img"), 1 << 20));
        assert_eq!(
            (size("63s"), size("0x200"), size("1q")),
            (Some(63 * 512), Some(512), None)
        );
    }
}
