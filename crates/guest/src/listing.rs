//! Lists files as virt-ls does.

mod checksum;
mod device_numbers;
mod long;
mod record;

pub use checksum::Checksum;
pub use device_numbers::device_numbers;
pub use long::{LongOptions, list_long};
pub use record::{ListOptions, TimeStyle, list_recursive};

use crate::error::{Error, Result};
use crate::files::text;
use disksmith_vfs::{Error as FileError, Metadata, Node, Tree, WalkStep};
use std::io::Write;

/// Where a listing goes, and what that is called in errors.
pub struct ListSink<'a> {
    out: &'a mut dyn Write,
    name: &'a str,
}

impl std::fmt::Debug for ListSink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListSink").field("name", &self.name).finish()
    }
}

impl<'a> ListSink<'a> {
    /// Writes to `out`, which errors call `name`. Lines are written one by one: `out` should gather them.
    pub fn new(out: &'a mut dyn Write, name: &'a str) -> Self {
        Self { out, name }
    }

    /// Writes a line, which holds its own end.
    fn put(&mut self, line: &[u8]) -> Result<()> {
        let error = |source| disksmith_storage::Error::io(self.name, "write", None, source);
        self.out
            .write_all(line)
            .map_err(|source| Error::Files(error(source).into()))
    }
}

/// The names in a directory, sorted, as plain `ls` gives them; dot files too, as virt-ls does.
///
/// # Errors
/// Those of reading the directory and of writing.
pub fn list_names(tree: &Tree, dir: impl AsRef<[u8]>, sink: &mut ListSink<'_>) -> Result<()> {
    for mut entry in tree.read_dir(dir)? {
        entry.name.push(b'\n');
        sink.put(&entry.name)?;
    }
    Ok(())
}

/// The paths of everything below a directory, relative to it, sorted (`ls -R`). With `slash`, each begins with the slash that
/// stands between the two, where `dir` does not end with it, as virt-ls prints them.
///
/// # Errors
/// Those of reading directories and of writing.
pub fn list_paths(tree: &Tree, dir: impl AsRef<[u8]>, slash: bool, sink: &mut ListSink<'_>) -> Result<()> {
    let dir = dir.as_ref();
    let mut line = Vec::new();
    walk_reachable(tree, dir, |path, _, _| {
        let relative = path.strip_prefix(dir).unwrap_or(path);
        let relative = match relative.strip_prefix(b"/") {
            Some(rest) if !slash || rest.is_empty() => rest,
            _ => relative,
        };
        if relative.is_empty() {
            return Ok(());
        }
        line.clear();
        line.extend_from_slice(relative);
        line.push(b'\n');
        sink.put(&line)
    })
}

/// Walks, and goes round the filesystems that could not be opened.
fn walk_reachable(
    tree: &Tree,
    dir: &[u8],
    mut visit: impl FnMut(&[u8], Node, &Metadata) -> Result<()>,
) -> Result<()> {
    if !tree.metadata(dir)?.is_dir() {
        return Err(FileError::NotADirectory { path: text(dir) }.into());
    }
    tree.walk(dir, |entry| {
        visit(&entry.path, entry.node, &entry.metadata)?;
        let (fs, _) = tree.open_node(entry.node);
        Ok::<_, Error>(if fs.kind() == crate::inspect::UNREACHABLE {
            WalkStep::Skip
        } else {
            WalkStep::Continue
        })
    })
}

#[cfg(test)]
mod tests;
