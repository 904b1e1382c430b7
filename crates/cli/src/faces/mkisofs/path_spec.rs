//! What goes into the image: path specifications, with graft points (`TARGET=SOURCE`).

use super::stop::Stop;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One path specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathSpec {
    /// Names on the way to where it goes; empty for the root.
    pub(super) target: Vec<Vec<u8>>,
    /// Whether the target is a directory into which a file goes under its own name.
    pub(super) into: bool,
    /// Whether a target was named at all.
    pub(super) grafted: bool,
    pub(super) source: PathBuf,
}

impl PathSpec {
    /// Reads a specification. With graft points `=` divides target and source; `\=` and `\\` are meant themselves.
    pub(super) fn parse(text: &OsStr, graft_points: bool) -> Result<Self, Stop> {
        let bytes = text.as_bytes();
        if !graft_points {
            return Ok(Self {
                target: Vec::new(),
                into: true,
                grafted: false,
                source: PathBuf::from(text),
            });
        }
        let mut plain = Vec::with_capacity(bytes.len());
        let mut divided = None;
        let mut rest = bytes.iter().copied();
        while let Some(byte) = rest.next() {
            match byte {
                b'\\' => match rest.next() {
                    Some(escaped @ (b'=' | b'\\')) => plain.push(escaped),
                    Some(other) => plain.extend_from_slice(&[b'\\', other]),
                    None => plain.push(b'\\'),
                },
                b'=' if divided.is_none() => divided = Some(plain.len()),
                other => plain.push(other),
            }
        }
        let Some(at) = divided else {
            return Ok(Self {
                target: Vec::new(),
                into: true,
                grafted: false,
                source: PathBuf::from(OsString::from_vec(plain)),
            });
        };
        let source = plain.split_off(at);
        let mut target = Vec::new();
        for name in plain.split(|b| *b == b'/') {
            match name {
                b"" | b"." => {}
                b".." => {
                    target.pop();
                }
                name => target.push(name.to_vec()),
            }
        }
        Ok(Self {
            into: target.is_empty() || plain.ends_with(b"/"),
            target,
            grafted: true,
            source: if source.is_empty() {
                PathBuf::from(".")
            } else {
                PathBuf::from(OsString::from_vec(source))
            },
        })
    }
}

/// The lines of a list of names; `-` is standard input.
pub(super) fn lines(path: &Path, what: &str) -> Result<Vec<OsString>, Stop> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(path).map(|found| bytes = found)
    };
    read.map_err(|e| Stop::io(&e, format!("Cannot open {what} '{}'.", path.display())))?;
    Ok(bytes
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| OsString::from_vec(line.to_vec()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graft_points_are_divided() {
        let spec = |text: &str| PathSpec::parse(OsStr::new(text), true).unwrap();
        let graft = spec("/a/b/=c=d");
        assert_eq!(graft.target, [b"a", b"b"]);
        assert!(graft.into && graft.grafted);
        assert_eq!(graft.source, Path::new("c=d"));
        let escaped = spec(r"x\=y=/tmp/\\z");
        assert_eq!(escaped.target, [b"x=y"]);
        assert!(!escaped.into);
        assert_eq!(escaped.source, Path::new(r"/tmp/\z"));
        let plain = spec(r"q\=r");
        assert!(!plain.grafted);
        assert_eq!(plain.source, Path::new("q=r"));
        assert_eq!(spec("../../x=y").target, [b"x"]);
    }
}
