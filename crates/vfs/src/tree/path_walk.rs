//! Walking a path.

use super::{Node, Tree};
use crate::error::{Error, Result};
use crate::name::check_name;

/// How many symbolic links are followed on one way, as Linux does.
const MAX_SYMLINKS: usize = 40;

/// Bytes that a way may have with all its links resolved; Linux needs no such limit, since its links are short.
const MAX_PENDING: usize = 1 << 20;

/// What is done with a symbolic link in the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLink {
    Follow,
    Keep,
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Place {
    /// The directory that holds the last name, when there is one.
    pub(crate) dir: Node,
    /// The last name; empty for a path that ends with the root, `.` or `..`.
    pub(crate) name: Vec<u8>,
    /// The file, when it exists.
    pub(crate) node: Option<Node>,
}

/// What is still to be walked, the next step last.
struct Pending {
    steps: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pending {
    /// Puts the steps of a path before what is pending. A trailing slash is a step of its own, `.`, which only a directory has.
    fn push(&mut self, path: &[u8]) -> bool {
        if path.ends_with(b"/") {
            self.steps.push(b".".to_vec());
        }
        let steps = path.split(|b| *b == b'/').filter(|step| !step.is_empty());
        self.steps.extend(steps.rev().map(<[u8]>::to_vec));
        self.bytes = self.bytes.saturating_add(path.len());
        self.bytes <= MAX_PENDING
    }
}

fn path_text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl Tree {
    /// Walks a path. The last name need not exist; everything before it must.
    pub(crate) fn walk_path(&self, path: &[u8], last: LastLink) -> Result<Place> {
        self.walk_steps(path, last).map_err(|error| error.at_path(path))
    }

    fn walk_steps(&self, path: &[u8], last: LastLink) -> Result<Place> {
        if path.is_empty() {
            return Err(Error::NotFound { path: String::new() });
        }
        if path.contains(&0) {
            return Err(Error::InvalidName {
                path: path_text(path),
                reason: "a path cannot hold a NUL byte",
            });
        }
        let mut pending = Pending {
            steps: Vec::new(),
            bytes: 0,
        };
        let too_long = || Error::NameTooLong {
            path: path_text(path),
            limit: MAX_PENDING,
        };
        if !pending.push(path) {
            return Err(too_long());
        }
        let mut links = 0;
        let mut at = self.root();
        let mut place = Place {
            dir: at,
            name: Vec::new(),
            node: Some(at),
        };
        while let Some(step) = pending.steps.pop() {
            if step == b"." || step == b".." {
                if !self.fs(at).metadata(at.inode)?.is_dir() {
                    return Err(Error::NotADirectory {
                        path: path_text(path),
                    });
                }
                if step == b".." {
                    at = self.parent(at)?;
                }
                place = Place {
                    dir: at,
                    name: Vec::new(),
                    node: Some(at),
                };
                continue;
            }
            let next = match self.child(at, &step) {
                Err(Error::NotFound { .. }) if pending.steps.is_empty() => {
                    return Ok(Place {
                        dir: at,
                        name: step,
                        node: None,
                    });
                }
                other => other?,
            };
            let follow = last == LastLink::Follow || !pending.steps.is_empty();
            if follow && self.fs(next).metadata(next.inode)?.is_symlink() {
                links += 1;
                if links > MAX_SYMLINKS {
                    return Err(Error::SymlinkLoop {
                        path: path_text(path),
                    });
                }
                let target = self.fs(next).read_link(next.inode)?;
                if target.is_empty() || target.contains(&0) {
                    return Err(Error::NotFound {
                        path: path_text(path),
                    });
                }
                if !pending.push(&target) {
                    return Err(too_long());
                }
                if target.starts_with(b"/") {
                    at = self.root();
                }
                place = Place {
                    dir: at,
                    name: Vec::new(),
                    node: Some(at),
                };
                continue;
            }
            place = Place {
                dir: at,
                name: step,
                node: Some(next),
            };
            at = next;
        }
        Ok(place)
    }

    pub(crate) fn existing(&self, path: &[u8], last: LastLink) -> Result<Node> {
        self.walk_path(path, last)?.node.ok_or_else(|| Error::NotFound {
            path: path_text(path),
        })
    }

    /// The directory and the name of an entry that is to be made, removed or renamed. The name itself is not looked at;
    /// slashes after it are taken off, and told.
    pub(crate) fn entry(&self, path: &[u8]) -> Result<Entry> {
        let trimmed = path.len() - path.iter().rev().take_while(|b| **b == b'/').count();
        let bare = path.get(..trimmed).unwrap_or_default();
        if bare.is_empty() {
            return Err(match path {
                b"" => Error::NotFound { path: String::new() },
                _ => Error::InvalidArgument {
                    path: path_text(path),
                    reason: "this is the root directory",
                },
            });
        }
        let start = bare.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        let (above, name) = bare.split_at(start);
        check_name(name).map_err(|error| error.at_path(path))?;
        let dir = match above {
            b"" => self.root(),
            _ => self
                .existing(above, LastLink::Follow)
                .map_err(|error| error.at_path(path))?,
        };
        let is_dir = self
            .fs(dir)
            .metadata(dir.inode)
            .map_err(|e| e.at_path(path))?
            .is_dir();
        if !is_dir {
            return Err(Error::NotADirectory {
                path: path_text(path),
            });
        }
        Ok(Entry {
            dir,
            name: name.to_vec(),
            wants_dir: trimmed < path.len(),
        })
    }

    /// The directory that a path leads to.
    pub(crate) fn resolve_dir(&self, path: &[u8]) -> Result<Node> {
        let node = self.existing(path, LastLink::Follow)?;
        if self
            .fs(node)
            .metadata(node.inode)
            .map_err(|e| e.at_path(path))?
            .is_dir()
        {
            return Ok(node);
        }
        Err(Error::NotADirectory {
            path: path_text(path),
        })
    }
}

/// An entry of a directory, there or not.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) dir: Node,
    pub(crate) name: Vec<u8>,
    /// Whether the path ended with a slash.
    pub(crate) wants_dir: bool,
}
