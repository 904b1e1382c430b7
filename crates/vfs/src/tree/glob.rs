//! Finding paths by pattern.

use super::Tree;
use super::walk::join;
use crate::error::{Error, Result};
use crate::glob_pattern::{GlobPattern, expand_braces};

impl Tree {
    /// The paths that match a shell pattern, sorted, each once; none where nothing matches. `*`, `?` and `[…]` match within
    /// one name and no leading dot, `{a,b}` are alternatives, `\` takes a character's meaning away. A trailing slash asks for
    /// directories, and stays. Symbolic links are followed on the way, not in the last place.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for too many alternatives; what goes wrong in reading a directory that exists.
    pub fn glob(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
        let pattern = pattern.as_ref();
        let patterns = expand_braces(pattern).ok_or_else(|| Error::InvalidArgument {
            path: super::read::text(pattern),
            reason: "too many alternatives in braces",
        })?;
        let mut found = Vec::new();
        for pattern in patterns {
            found.extend(self.glob_one(&pattern)?);
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn glob_one(&self, pattern: &[u8]) -> Result<Vec<Vec<u8>>> {
        if pattern.is_empty() {
            return Ok(Vec::new());
        }
        let start: &[u8] = if pattern.starts_with(b"/") { b"/" } else { b"" };
        let mut found = vec![start.to_vec()];
        for step in pattern.split(|b| *b == b'/').filter(|step| !step.is_empty()) {
            let step = GlobPattern::new(step);
            let mut next = Vec::new();
            for dir in found {
                self.glob_step(&dir, &step, &mut next)?;
            }
            found = next;
        }
        if pattern.ends_with(b"/") && pattern.iter().any(|b| *b != b'/') {
            found.retain(|path| self.is_dir(path));
            found.iter_mut().for_each(|path| path.push(b'/'));
        }
        Ok(found)
    }

    /// Adds what one step of a pattern matches in a directory.
    fn glob_step(&self, dir: &[u8], step: &GlobPattern, found: &mut Vec<Vec<u8>>) -> Result<()> {
        if let Some(name) = step.literal() {
            let path = join(dir, &name);
            if self.resolve_no_follow(&path).is_ok() {
                found.push(path);
            }
            return Ok(());
        }
        let entries = match self.read_dir(if dir.is_empty() { b"/" } else { dir }) {
            Err(Error::NotADirectory { .. } | Error::NotFound { .. } | Error::SymlinkLoop { .. }) => {
                return Ok(());
            }
            other => other?,
        };
        let names = entries
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| step.matches(name));
        found.extend(names.map(|name| join(dir, &name)));
        Ok(())
    }
}
