//! How QEMU reads the names of image files, and how a name inside an image leads to a file.
//!
//! A name with a colon before its first slash is not a path but `PROTOCOL:REST` (`nbd://host/export`,
//! `json:{…}`, `file:/a/path`); relative names stand beside the image that holds them, as that image was named.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The longest backing file name that a qcow2 header can hold, in bytes.
pub const MAX_BACKING_NAME: usize = 1023;

/// What a name in an image, or on a command line, stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileName {
    /// A file of the host.
    Path(PathBuf),
    /// Something that only QEMU's drivers reach; the protocol (`nbd`, `json`, `rbd` …).
    Protocol(String),
}

/// The protocol of a name: what stands before a colon that comes before the first slash.
#[must_use]
pub fn protocol_of(name: &[u8]) -> Option<&[u8]> {
    let end = name.iter().position(|b| matches!(b, b':' | b'/'))?;
    let (protocol, rest) = name.split_at_checked(end)?;
    rest.starts_with(b":").then_some(protocol)
}

impl FileName {
    /// Reads a name as QEMU does; `file:` is taken off, every other protocol stays one.
    #[must_use]
    pub fn parse(name: &[u8]) -> Self {
        match protocol_of(name) {
            None => Self::Path(PathBuf::from(OsStr::from_bytes(name))),
            Some(b"file") => Self::Path(PathBuf::from(OsStr::from_bytes(
                name.get(5..).unwrap_or_default(),
            ))),
            Some(protocol) => Self::Protocol(String::from_utf8_lossy(protocol).into_owned()),
        }
    }
}

/// The name by which a file is reached that the image at `overlay` names as `recorded`: as it stands where it is absolute
/// or has a protocol, else beside the overlay. Nothing is simplified: `a/b.qcow2` that names `../c.qcow2` leads to `a/../c.qcow2`.
#[must_use]
pub fn resolve_beside(overlay: &Path, recorded: &[u8]) -> Vec<u8> {
    if protocol_of(recorded).is_some() || recorded.starts_with(b"/") {
        return recorded.to_vec();
    }
    let overlay = overlay.as_os_str().as_bytes();
    let directory = overlay
        .iter()
        .rposition(|b| *b == b'/')
        .map_or(0, |slash| slash + 1);
    let mut full = overlay.get(..directory).unwrap_or_default().to_vec();
    full.extend_from_slice(recorded);
    full
}

/// The name under which an image in `directory` shall record the file at `target`, both as the user gave them: absolute stays
/// absolute, relative becomes relative to that directory. `current` is the working directory, absolute.
///
/// Where the way up from the directory may lead through a symbolic link, `..` would not come back the same way, so the
/// directories are resolved first. A result whose first component holds a colon gets `./` before it, or QEMU would take it for a
/// protocol.
#[must_use]
pub fn relative_name(target: &Path, directory: &Path, current: &Path) -> Vec<u8> {
    if target.is_absolute() {
        return target.as_os_str().as_bytes().to_vec();
    }
    let parent = target.parent().unwrap_or(Path::new(""));
    let real = |p: &Path| {
        let absolute = current.join(p);
        absolute.canonicalize().unwrap_or(absolute)
    };
    let same = lexical(parent) == lexical(directory);
    let (from, mut to) = if same {
        (PathBuf::new(), PathBuf::new())
    } else {
        (real(directory), real(parent))
    };
    if let Some(name) = target.file_name() {
        to.push(name);
    }
    let mut from = from.components().peekable();
    let mut tail = to.components().peekable();
    while let (Some(a), Some(b)) = (from.peek(), tail.peek())
        && a == b
    {
        from.next();
        tail.next();
    }
    let mut name = PathBuf::new();
    from.for_each(|_| name.push(".."));
    name.extend(tail);
    guard_colon(name.into_os_string().into_vec())
}

/// A relative name that QEMU reads as a path.
fn guard_colon(name: Vec<u8>) -> Vec<u8> {
    if protocol_of(&name).is_some() {
        [b"./", name.as_slice()].concat()
    } else {
        name
    }
}

/// A path without `.` components, for a comparison of two that were typed alike.
fn lexical(path: &Path) -> PathBuf {
    path.components()
        .filter(|c| !matches!(c, std::path::Component::CurDir))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_a_slash_is_a_protocol() {
        assert_eq!(protocol_of(b"nbd://h/x"), Some(&b"nbd"[..]));
        assert_eq!(protocol_of(b"a:b"), Some(&b"a"[..]));
        assert_eq!(protocol_of(b"./a:b"), None);
        assert_eq!(protocol_of(b"/a:b"), None);
        assert_eq!(protocol_of(b"plain"), None);
        assert_eq!(FileName::parse(b"file:/x"), FileName::Path("/x".into()));
        assert_eq!(FileName::parse(b"json:{}"), FileName::Protocol("json".into()));
    }

    #[test]
    fn names_stand_beside_the_image_that_holds_them() {
        for (overlay, recorded, full) in [
            ("a/b.qcow2", "../c.raw", "a/../c.raw"),
            ("b.qcow2", "c.raw", "c.raw"),
            ("/x/y", "c", "/x/c"),
            ("x/y", "/c", "/c"),
            ("x/y", "nbd:h", "nbd:h"),
        ] {
            assert_eq!(
                resolve_beside(Path::new(overlay), recorded.as_bytes()),
                full.as_bytes()
            );
        }
    }

    #[test]
    fn recorded_names_lead_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::create_dir_all(dir.path().join("c")).unwrap();
        std::os::unix::fs::symlink("a/b", dir.path().join("link")).unwrap();
        for (target, directory, name) in [
            ("t", "", "t"),
            ("./t", "", "t"),
            ("t", "c", "../t"),
            ("c/t", "a/b", "../../c/t"),
            ("c/t", "c", "t"),
            ("c/t", "link", "../../c/t"),
            ("a:t", "", "./a:t"),
            ("/abs/t", "c", "/abs/t"),
        ] {
            assert_eq!(
                relative_name(Path::new(target), Path::new(directory), dir.path()),
                name.as_bytes(),
                "{target} from {directory}"
            );
        }
    }
}
