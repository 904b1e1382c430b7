//! What differs between the files of two guests.

mod contents;
mod line_match;
mod state;
mod text_diff;

use crate::error::Result;
use crate::inspect::{Guest, UNREACHABLE};
use disksmith_vfs::{Error as FileError, Node, Tree};
use std::cmp::Ordering;
use std::collections::HashSet;

use state::Side;
pub use state::{Attribute, FileState};
pub use text_diff::write_text_diff;

/// What counts as a difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// Times of last access.
    pub access_times: bool,
    /// Times of directories.
    pub directory_times: bool,
    /// Numbers of links of directories.
    pub directory_links: bool,
    /// Contents of files whose size and times are the same. Otherwise those count as having the same contents.
    pub contents: bool,
}

/// A difference between two guests.
#[derive(Debug)]
pub enum Difference<'a> {
    /// A file is in the first guest only.
    Removed(&'a FileState),
    /// A file is in the second guest only.
    Added(&'a FileState),
    /// A file is in both, and not the same.
    Changed {
        /// As it is in the first guest.
        old: &'a FileState,
        /// As it is in the second guest.
        new: &'a FileState,
        /// Whether it is a regular file in both whose contents may be different: size, times, or contents where those were compared.
        contents: bool,
        /// Which attributes differ.
        attributes: &'a [Attribute],
    },
}

/// The two guests while they are compared.
#[derive(Debug)]
pub struct Compared<'a> {
    old: Side<'a>,
    new: Side<'a>,
    options: DiffOptions,
}

/// Where a name is.
enum Pending {
    Old(Vec<u8>, Node),
    New(Vec<u8>, Node),
    Both(Vec<u8>, Node, Node),
}

impl<'a> Compared<'a> {
    /// Two guests to compare.
    pub fn new(old: &'a Guest, new: &'a Guest, options: DiffOptions) -> Self {
        Self {
            old: Side::new(old),
            new: Side::new(new),
            options,
        }
    }

    /// The files of the first guest.
    pub fn old_tree(&self) -> &'a Tree {
        self.old.tree()
    }

    /// The files of the second guest.
    pub fn new_tree(&self) -> &'a Tree {
        self.new.tree()
    }

    /// Gives every difference, a directory before what it holds, names in sorted order.
    ///
    /// # Errors
    /// Those of reading, and of `visit`.
    pub fn for_each<E: From<crate::Error>>(
        &self,
        mut visit: impl FnMut(&Difference<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (mut seen_old, mut seen_new) = (HashSet::new(), HashSet::new());
        let (old_root, new_root) = (self.old.tree().root(), self.new.tree().root());
        // The next one is the last; the names of each level are there at once.
        let mut pending = vec![Pending::Both(b"/".to_vec(), old_root, new_root)];
        while let Some(next) = pending.pop() {
            match next {
                Pending::Old(path, node) => {
                    let state = self.old.state(path, node)?;
                    visit(&Difference::Removed(&state))?;
                    let names = self.old.children(&state, &mut seen_old)?;
                    pending.extend(
                        names
                            .into_iter()
                            .rev()
                            .map(|(path, node)| Pending::Old(path, node)),
                    );
                }
                Pending::New(path, node) => {
                    let state = self.new.state(path, node)?;
                    visit(&Difference::Added(&state))?;
                    let names = self.new.children(&state, &mut seen_new)?;
                    pending.extend(
                        names
                            .into_iter()
                            .rev()
                            .map(|(path, node)| Pending::New(path, node)),
                    );
                }
                Pending::Both(path, old, new) => {
                    let old = self.old.state(path.clone(), old)?;
                    let new = self.new.state(path, new)?;
                    self.compare(&old, &new, &mut visit)?;
                    let old = self.old.children(&old, &mut seen_old)?;
                    let new = self.new.children(&new, &mut seen_new)?;
                    pending.extend(merge(old, new).into_iter().rev());
                }
            }
        }
        Ok(())
    }

    fn compare<E: From<crate::Error>>(
        &self,
        old: &FileState,
        new: &FileState,
        visit: &mut impl FnMut(&Difference<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (attributes, unlisted) = state::differences(old, new, self.options);
        let (is_old, is_new) = (&old.metadata, &new.metadata);
        let regular = is_old.is_file() && is_new.is_file();
        let mut contents = regular
            && (is_old.size != is_new.size
                || is_old.modified.seconds != is_new.modified.seconds
                || is_old.changed.seconds != is_new.changed.seconds);
        if !contents && regular && self.options.contents {
            contents = self.contents_differ(old, new)?;
        }
        if contents || unlisted || !attributes.is_empty() {
            visit(&Difference::Changed {
                old,
                new,
                contents,
                attributes: &attributes,
            })?;
        }
        Ok(())
    }

    /// Whether two regular files differ by a byte.
    ///
    /// # Errors
    /// Those of reading.
    pub fn contents_differ(&self, old: &FileState, new: &FileState) -> Result<bool> {
        contents::differ(self.old.tree(), old, self.new.tree(), new)
    }
}

/// The names of two directories as one list in order.
fn merge(old: Vec<(Vec<u8>, Node)>, new: Vec<(Vec<u8>, Node)>) -> Vec<Pending> {
    let mut merged = Vec::with_capacity(old.len().max(new.len()));
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return merged,
        };
        let from_old = if order.is_le() { old.next() } else { None };
        let from_new = if order.is_ge() { new.next() } else { None };
        match (from_old, from_new) {
            (Some((path, a)), Some((_, b))) => merged.push(Pending::Both(path, a, b)),
            (Some((path, node)), None) => merged.push(Pending::Old(path, node)),
            (None, Some((path, node))) => merged.push(Pending::New(path, node)),
            (None, None) => return merged,
        }
    }
}

impl Side<'_> {
    /// Paths and nodes of what is in a directory; nothing for other files and for what cannot be reached.
    fn children(&self, state: &FileState, seen: &mut HashSet<Node>) -> Result<Vec<(Vec<u8>, Node)>> {
        let (fs, _) = self.tree().open_node(state.node);
        if !state.metadata.is_dir() || fs.kind() == UNREACHABLE {
            return Ok(Vec::new());
        }
        if !seen.insert(state.node) {
            return Err(FileError::Corrupt {
                filesystem: fs.kind().into(),
                detail: format!("directory inode {} is in two places", state.node.inode),
            }
            .into());
        }
        let children = self
            .tree()
            .children(state.node)
            .map_err(|error| error.at_path(&state.path))?;
        let path = |name: &[u8]| crate::editor::join(&state.path, name);
        Ok(children
            .into_iter()
            .map(|(name, node)| (path(&name), node))
            .collect())
    }
}
