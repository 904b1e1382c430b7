//! Names for many files at once: `fleet/vm-%04d.qcow2`.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The widest number that a pattern may ask for.
const MAX_WIDTH: usize = 20;

/// A path with one `%d`, `%Nd` or `%0Nd` in its last component; `%%` stands for a percent sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    before: Vec<u8>,
    after: Vec<u8>,
    width: usize,
    zeroes: bool,
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::BadOption`] where there is not exactly one number in the file's name, or an unknown conversion.
    pub fn parse(pattern: &Path) -> Result<Self> {
        let text = pattern.as_os_str().as_bytes();
        let bad = |why: &str| Error::BadOption(format!("the name pattern '{}' {why}", pattern.display()));
        let mut parts = vec![Vec::new()];
        let mut spec = None;
        let mut bytes = text.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                parts.last_mut().ok_or_else(|| bad("is empty"))?.push(byte);
                continue;
            }
            if bytes.next_if_eq(&b'%').is_some() {
                parts.last_mut().ok_or_else(|| bad("is empty"))?.push(b'%');
                continue;
            }
            let zeroes = bytes.next_if_eq(&b'0').is_some();
            let mut width = 0usize;
            while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                width = width.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            }
            if bytes.next() != Some(b'd') {
                return Err(bad("has a '%' that is not followed by a number's width and 'd'"));
            }
            if width > MAX_WIDTH {
                return Err(bad("asks for a number of more than 20 digits"));
            }
            if spec.replace((width, zeroes)).is_some() {
                return Err(bad("has more than one number"));
            }
            parts.push(Vec::new());
        }
        let (Some((width, zeroes)), [before, after]) = (spec, parts.as_slice()) else {
            return Err(bad("needs a number such as %04d, for several files"));
        };
        if after.contains(&b'/') {
            return Err(bad("has its number in a directory's name"));
        }
        Ok(Self {
            before: before.clone(),
            after: after.clone(),
            width,
            zeroes,
        })
    }

    /// The path with this number in it.
    #[must_use]
    pub fn name(&self, number: u64) -> PathBuf {
        let width = self.width;
        let digits = if self.zeroes {
            format!("{number:0width$}")
        } else {
            format!("{number:width$}")
        };
        OsString::from_vec([self.before.as_slice(), digits.as_bytes(), &self.after].concat()).into()
    }

    /// The paths with the numbers from `first` on, `count` of them.
    pub fn names(&self, first: u64, count: u64) -> impl Iterator<Item = PathBuf> + '_ {
        (first..first.saturating_add(count)).map(|number| self.name(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_filled_in() {
        let pattern = NamePattern::parse(Path::new("fleet/vm-%04d.qcow2")).unwrap();
        let names: Vec<PathBuf> = pattern.names(9, 2).collect();
        assert_eq!(
            names,
            [Path::new("fleet/vm-0009.qcow2"), Path::new("fleet/vm-0010.qcow2")]
        );
        assert_eq!(
            NamePattern::parse(Path::new("100%%-%d")).unwrap().name(7),
            Path::new("100%-7")
        );
    }

    #[test]
    fn bad_patterns_are_refused() {
        for pattern in ["plain", "%s", "%d-%d", "a%d/b", "%", "%99999999999999999999999d"] {
            assert!(NamePattern::parse(Path::new(pattern)).is_err(), "{pattern}");
        }
    }
}
