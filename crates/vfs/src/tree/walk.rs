//! Visiting everything below a directory.

use super::{Node, Tree};
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use std::collections::HashSet;

/// A file that a walk came to.
#[derive(Debug, Clone)]
pub struct WalkEntry {
    /// Its path: the path that the walk was started with, and the names from there.
    pub path: Vec<u8>,
    /// How many names lie between the start (0) and it.
    pub depth: usize,
    /// The file; symbolic links are not followed.
    pub node: Node,
    /// Its metadata.
    pub metadata: Metadata,
}

/// What a walk does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkStep {
    /// Goes on, into this directory if it is one.
    Continue,
    /// Goes on, but not into this directory.
    Skip,
    /// Ends.
    Stop,
}

impl Tree {
    /// Visits the file at `path` and everything below it: a directory before what it holds, names in sorted order, through
    /// mountpoints, without following symbolic links (one in the last place of `path` is followed).
    ///
    /// # Errors
    /// Those of `visit`. [`Error::Corrupt`] where a directory can be reached in two ways.
    pub fn walk<E: From<Error>>(
        &self,
        path: impl AsRef<[u8]>,
        mut visit: impl FnMut(&WalkEntry) -> std::result::Result<WalkStep, E>,
    ) -> std::result::Result<(), E> {
        let path = path.as_ref();
        let mut seen = HashSet::new();
        // Names still to be visited, the next one last; each level's names are there at once.
        let mut pending = vec![(path.to_vec(), 0, self.resolve(path)?)];
        while let Some((path, depth, node)) = pending.pop() {
            let metadata = self.node_metadata(node).map_err(|e| e.at_path(&path))?;
            let is_dir = metadata.is_dir();
            if is_dir && !seen.insert(node) {
                return Err(self.reached_twice(node).into());
            }
            let entry = WalkEntry {
                path,
                depth,
                node,
                metadata,
            };
            match visit(&entry)? {
                WalkStep::Stop => return Ok(()),
                WalkStep::Continue if is_dir => {}
                _ => continue,
            }
            let children = self.children(node).map_err(|e| e.at_path(&entry.path))?;
            for (name, child) in children.into_iter().rev() {
                pending.push((join(&entry.path, &name), depth + 1, child));
            }
        }
        Ok(())
    }

    pub(crate) fn reached_twice(&self, node: Node) -> Error {
        Error::Corrupt {
            filesystem: self.fs(node).kind().into(),
            detail: format!("directory inode {} is in two places", node.inode),
        }
    }

    /// The names in a directory, sorted, and what is seen there: the roots of filesystems in the place of what they cover.
    pub fn children(&self, dir: Node) -> Result<Vec<(Vec<u8>, Node)>> {
        let entries = self.node_entries(dir)?;
        let children = entries.into_iter().map(|entry| {
            let inode = entry.inode;
            (entry.name, self.uncover(Node { inode, ..dir }))
        });
        Ok(children.collect())
    }
}

/// A path and a name as one path.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = path.to_vec();
    if !joined.is_empty() && !joined.ends_with(b"/") {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    joined
}
