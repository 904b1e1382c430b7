//! Puts new contents into a file of a guest as virt-edit does: a new file in the place of the old one, with its mode, owner and
//! attributes.

use crate::editor::{join, split};
use crate::error::{Error, Result};
use disksmith_vfs::{Error as FileError, Node, Owner, Tree};

/// Largest file that is edited, in bytes: it is held in memory.
pub const MAX_EDITED: u64 = 64 << 20;

/// The contents of a file that is to be edited, which must be a regular one of at most [`MAX_EDITED`] bytes; symbolic links are
/// followed.
///
/// # Errors
/// Those of reading.
pub fn read_for_edit(tree: &Tree, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    Ok(tree.read_limited(path, MAX_EDITED)?)
}

/// Puts a new file with these contents in the place of a regular file. With `backup`, the old file gets a further
/// name: its own with that behind it; what had that name goes. Symbolic links are followed: the file that they lead to is replaced, and
/// the backup lies beside it.
///
/// # Errors
/// Those of reading and writing; after one the tree must not be committed.
pub fn replace_file(
    tree: &Tree,
    path: impl AsRef<[u8]>,
    contents: &[u8],
    backup: Option<&[u8]>,
) -> Result<()> {
    let path = real_path(tree, path.as_ref())?;
    if let Some(extension) = backup {
        if extension.is_empty() || extension.contains(&b'/') {
            return Err(Error::usage("-b", "the extension is empty, or holds a slash"));
        }
        let saved = [&path, extension].concat();
        match tree.symlink_metadata(&saved) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Error::guest_path(
                    &saved,
                    "is a directory, where the backup would be",
                ));
            }
            Ok(_) => tree.remove_file(&saved)?,
            Err(FileError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match tree.hard_link(&path, &saved) {
            Ok(()) => {}
            Err(FileError::Unsupported { .. }) => copy(tree, &path, &saved)?,
            Err(error) => return Err(error.into()),
        }
    }
    tree.replace(&path, contents)?;
    Ok(())
}

/// A backup on a filesystem that knows no hard links.
fn copy(tree: &Tree, path: &[u8], to: &[u8]) -> Result<()> {
    let metadata = tree.metadata(path)?;
    let owner = Owner {
        uid: metadata.uid,
        gid: metadata.gid,
    };
    let contents = read_for_edit(tree, path)?;
    tree.write(to, &contents, owner, metadata.permissions)?;
    tree.set_times(to, Some(metadata.accessed), Some(metadata.modified))?;
    Ok(())
}

/// The path of the file itself: without links in the last place.
fn real_path(tree: &Tree, path: &[u8]) -> Result<Vec<u8>> {
    let wanted: Node = tree.resolve(path)?;
    let mut path = path.to_vec();
    // as many as the tree itself follows
    for _ in 0..=40 {
        if tree.resolve_no_follow(&path)? == wanted && !tree.is_symlink(&path) {
            return Ok(path);
        }
        let target = tree.read_link(&path)?;
        path = if target.starts_with(b"/") {
            target
        } else {
            join(split(&path).0, &target)
        };
    }
    Err(FileError::SymlinkLoop {
        path: String::from_utf8_lossy(&path).into_owned(),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_vfs::{MemoryFs, Timestamp};
    use std::sync::Arc;

    #[test]
    fn what_is_replaced_keeps_everything_but_its_contents() {
        let clock = Timestamp::default();
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        tree.create_dir("/etc", Owner::ROOT, 0o755).unwrap();
        let owner = Owner { uid: 3, gid: 4 };
        tree.write("/etc/f", b"old", owner, 0o4640).unwrap();
        tree.set_xattr("/etc/f", b"security.selinux", b"label").unwrap();
        tree.symlink("etc/f", "/first", Owner::ROOT).unwrap();
        tree.symlink("/first", "/link", Owner::ROOT).unwrap();
        for (contents, before) in [(&b"new"[..], &b"old"[..]), (b"newer", b"new")] {
            replace_file(&tree, "/link", contents, Some(b".bak")).unwrap();
            assert_eq!(tree.read("/etc/f").unwrap(), contents);
            assert_eq!(tree.read("/etc/f.bak").unwrap(), before);
        }
        assert!(tree.is_symlink("/link") && tree.is_symlink("/first"));
        for path in ["/etc/f", "/etc/f.bak"] {
            let metadata = tree.metadata(path).unwrap();
            assert_eq!((metadata.uid, metadata.gid, metadata.permissions), (3, 4, 0o4640));
            assert_eq!(tree.xattr(path, b"security.selinux").unwrap().unwrap(), b"label");
        }
        assert_eq!(tree.read_dir("/etc").unwrap().len(), 2);
        assert!(replace_file(&tree, "/etc", b"", None).is_err());
        assert!(replace_file(&tree, "/missing", b"", None).is_err());
        assert!(replace_file(&tree, "/etc/f", b"", Some(b"/x")).is_err());
    }
}
