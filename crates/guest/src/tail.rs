//! Follows files of a guest as they grow, from one look at it to the next.

use crate::error::{Error, Result};
use disksmith_vfs::{Error as FileError, Tree};
use std::collections::HashMap;
use std::io::Write;

/// Bytes moved at a time.
const CHUNK: usize = 1 << 18;

/// What was seen of the files that are followed.
#[derive(Debug, Default)]
pub struct Tail {
    /// Size in bytes at the last look.
    seen: HashMap<Vec<u8>, u64>,
}

impl Tail {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes what was added to the files since the last look, each behind a line with its name; all of a file that was not seen
    /// before, or that has become smaller. Returns how many of the files there are.
    ///
    /// # Errors
    /// Those of reading and of writing; a file that is not there is none.
    pub fn look(
        &mut self,
        tree: &Tree,
        paths: &[&[u8]],
        out: &mut dyn Write,
        out_name: &str,
    ) -> Result<usize> {
        let mut found = 0;
        for path in paths {
            let size = match tree.metadata(path) {
                Ok(metadata) if metadata.is_file() => metadata.size,
                Ok(_) => return Err(Error::guest_path(path, "is not a regular file")),
                Err(FileError::NotFound { .. } | FileError::NotADirectory { .. }) => {
                    self.seen.remove(*path);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            found += 1;
            let before = self.seen.insert(path.to_vec(), size);
            let from = before.filter(|before| *before <= size).unwrap_or(0);
            if from == size && before == Some(size) {
                continue;
            }
            let put = |out: &mut dyn Write, bytes: &[u8]| {
                out.write_all(bytes).map_err(|source| {
                    Error::Files(disksmith_storage::Error::io(out_name, "write", None, source).into())
                })
            };
            put(out, &[b"\n\n--- ", *path, b" ---\n\n"].concat())?;
            let (fs, inode) = tree.open_node(tree.resolve(path)?);
            let mut buf = vec![0; CHUNK];
            let mut at = from;
            while at < size {
                let want = buf.len().min(usize::try_from(size - at).unwrap_or(CHUNK));
                let n = fs
                    .read(inode, at, buf.get_mut(..want).unwrap_or_default())
                    .map_err(|e| e.at_path(path))?;
                if n == 0 {
                    break;
                }
                put(out, buf.get(..n).unwrap_or_default())?;
                at += n as u64;
            }
        }
        Ok(found)
    }
}

/// The offset in bytes at which the last `lines` lines of a file begin.
///
/// # Errors
/// Those of reading.
pub fn last_lines(tree: &Tree, path: impl AsRef<[u8]>, lines: u64) -> Result<u64> {
    let path = path.as_ref();
    let metadata = tree.metadata(path)?;
    if !metadata.is_file() {
        return Err(Error::guest_path(path, "is not a regular file"));
    }
    if lines == 0 {
        return Ok(metadata.size);
    }
    let (fs, inode) = tree.open_node(tree.resolve(path)?);
    let mut buf = vec![0; CHUNK];
    let (mut end, mut left) = (metadata.size, lines);
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let want = usize::try_from(end - start).unwrap_or(CHUNK);
        let piece = buf.get_mut(..want).unwrap_or_default();
        let n = fs.read(inode, start, piece).map_err(|e| e.at_path(path))?;
        for (at, byte) in piece.get(..n).unwrap_or_default().iter().enumerate().rev() {
            let after = start + at as u64 + 1;
            // the end of the last line begins none
            if *byte == b'\n' && after < metadata.size {
                left -= 1;
                if left == 0 {
                    return Ok(after);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_vfs::{MemoryFs, Owner, Timestamp};
    use std::sync::Arc;

    #[test]
    fn only_what_is_new_is_shown() {
        let clock = Timestamp::default();
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        let write = |text: &[u8]| tree.write("/log", text, Owner::ROOT, 0o644).unwrap();
        let mut tail = Tail::new();
        let mut look = |paths: &[&[u8]]| {
            let mut out = Vec::new();
            let found = tail.look(&tree, paths, &mut out, "a test").unwrap();
            (found, String::from_utf8(out).unwrap())
        };
        let paths: &[&[u8]] = &[b"/log", b"/none"];
        assert_eq!(look(paths), (0, String::new()));
        write(b"a\n");
        assert_eq!(look(paths), (1, "\n\n--- /log ---\n\na\n".into()));
        assert_eq!(look(paths), (1, String::new()));
        write(b"a\nb\n");
        assert_eq!(look(paths), (1, "\n\n--- /log ---\n\nb\n".into()));
        write(b"c\n");
        assert_eq!(look(paths), (1, "\n\n--- /log ---\n\nc\n".into()));
    }

    #[test]
    fn the_last_lines_are_found() {
        let clock = Timestamp::default();
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        for (text, lines, start) in [
            ("", 5, 0),
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc", 1, 4),
            ("a\nb\nc\n", 2, 2),
            ("a\nb\nc\n", 3, 0),
            ("a\nb\nc\n", 9, 0),
            ("a\n", 0, 2),
        ] {
            tree.write("/f", text.as_bytes(), Owner::ROOT, 0o644).unwrap();
            assert_eq!(last_lines(&tree, "/f", lines).unwrap(), start, "{text:?} {lines}");
        }
    }
}
