//! Where a user's keys may be put. A user can make links in the own home directory; whoever follows them with root's rights
//! would write wherever that user likes.

use crate::editor::{Editor, join, split};
use crate::error::{Error, Result};
use crate::files::{User, text};
use disksmith_vfs::Node;

/// How far up a directory is followed.
const MAX_DEPTH: usize = 4096;

/// Refuses a home directory on the way to which stands a link that is not root's, or one that leads nowhere.
pub(super) fn check_home(editor: &Editor<'_>, user: &User) -> Result<()> {
    let home = &user.home;
    let ends = home.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/');
    for end in ends.map(|(at, _)| at).chain([home.len()]) {
        let path = home.get(..end).unwrap_or_default();
        link_of_root(editor, path)?;
    }
    Ok(())
}

/// Refuses a link in the home directory that is not root's, that leads nowhere, or, unless all there is root's anyway, that
/// leads out of the home directory.
pub(super) fn check_link(editor: &Editor<'_>, user: &User, path: &[u8]) -> Result<()> {
    if !link_of_root(editor, path)? {
        return Ok(());
    }
    let home = editor.tree().metadata(&user.home)?;
    if (user.uid == 0 && home.uid == 0) || lies_within(editor, path, &user.home)? {
        return Ok(());
    }
    Err(refused(
        editor,
        path,
        format!("leaves the home directory of {}", user.name),
    ))
}

/// Refuses a file of somebody else that also has another name: the user may have made it a hard link.
pub(super) fn check_file(editor: &Editor<'_>, user: &User, path: &[u8]) -> Result<()> {
    match editor.metadata(path)? {
        Some(file) if user.uid != 0 && file.is_file() && file.links > 1 && file.uid != user.uid => {
            Err(Error::LinkRefused {
                path: text(path),
                reason: format!("has another name besides, and is not a file of {}", user.name),
            })
        }
        _ => Ok(()),
    }
}

/// Whether a path is a link; an error unless it is root's and leads to something.
fn link_of_root(editor: &Editor<'_>, path: &[u8]) -> Result<bool> {
    match editor.link_metadata(path)? {
        Some(link) if link.is_symlink() => {
            if link.uid != 0 {
                return Err(refused(editor, path, "is not root's".into()));
            }
            if editor.metadata(path)?.is_none() {
                return Err(refused(editor, path, "leads nowhere".into()));
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn refused(editor: &Editor<'_>, path: &[u8], reason: String) -> Error {
    let target = editor.tree().read_link(path).unwrap_or_default();
    Error::LinkRefused {
        path: text(path),
        reason: format!("is a symbolic link to {} that {reason}", text(&target)),
    }
}

/// Whether what a path leads to lies in a directory, or below it.
fn lies_within(editor: &Editor<'_>, path: &[u8], dir: &[u8]) -> Result<bool> {
    let tree = editor.tree();
    let wanted: Node = tree.resolve(dir)?;
    let mut at = if editor.is_dir(path)? {
        path.to_vec()
    } else {
        split(&editor.real_path(path)?).0.to_vec()
    };
    for _ in 0..MAX_DEPTH {
        let node = tree.resolve(&at)?;
        if node == wanted {
            return Ok(true);
        }
        if node == tree.root() {
            break;
        }
        at = join(&at, b"..");
    }
    Ok(false)
}
