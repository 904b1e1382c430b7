//! Whether a file may be replaced by something else: not one that is being read as an image, by this process or by another one.

use crate::error::{Error, Result};
use crate::host_file::{HostFile, OpenMode};
use crate::lock::LockMode;
use std::path::Path;

/// Refuses to have the file of this name (through links) replaced while it, or an image that stands on it, is open anywhere.
/// A name that is free, and files that cannot be opened, are not refused: whoever replaces them sees what the system says.
///
/// # Errors
/// [`Error::ReplacesSource`] where this process itself reads it, [`Error::Locked`] and [`Error::Attached`] where somebody else does.
pub fn check_replaceable(path: &Path) -> Result<()> {
    let is_image = std::fs::metadata(path).is_ok_and(|m| m.is_file() || is_block_device(&m));
    if !is_image {
        return Ok(());
    }
    // Who wants to write excludes readers, and is excluded by them. Where writing is not allowed, at least writers are seen.
    let opened = match HostFile::open(path, OpenMode::Write, LockMode::Lock) {
        Err(Error::Io { .. }) => HostFile::open(path, OpenMode::Read, LockMode::Lock),
        other => other,
    };
    match opened {
        Err(Error::Locked { holders, .. }) if holders.iter().any(|h| h.pid == std::process::id()) => {
            Err(Error::ReplacesSource {
                path: path.to_owned(),
            })
        }
        Err(error @ (Error::Locked { .. } | Error::Attached { .. })) => Err(error),
        _ => Ok(()),
    }
}

fn is_block_device(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_block_device()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("image"), b"image").unwrap();
        std::fs::hard_link(path("image"), path("same")).unwrap();
        std::os::unix::fs::symlink("image", path("link")).unwrap();
        for name in ["image", "same", "link", "nothing"] {
            check_replaceable(&path(name)).unwrap();
        }
        let open = HostFile::open(path("image"), OpenMode::Read, LockMode::Lock).unwrap();
        for name in ["image", "same", "link"] {
            let refused = check_replaceable(&path(name));
            assert!(matches!(refused, Err(Error::ReplacesSource { .. })), "{name}");
        }
        check_replaceable(directory.path()).unwrap();
        drop(open);
        check_replaceable(&path("image")).unwrap();
        assert_eq!(std::fs::read(path("image")).unwrap(), b"image");
    }
}
