//! Which files an image may lead to.

use std::path::{Path, PathBuf};

/// Decides whether a file that an image names (its backing file, its external data file) is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Gate {
    /// Open whatever is named: for the user's own images.
    #[default]
    FollowAll,
    /// Open only what lies inside a directory once all symbolic links are resolved.
    Within(PathBuf),
    /// Open nothing: for images from strangers.
    Deny,
}

impl Gate {
    /// Whether the file at `path` may be opened. A path that does not exist passes when its directory does: opening it then
    /// says that it is missing.
    #[must_use]
    pub fn allows(&self, path: &Path) -> bool {
        match self {
            Self::FollowAll => true,
            Self::Deny => false,
            Self::Within(root) => {
                let Ok(root) = root.canonicalize() else {
                    return false;
                };
                match path.canonicalize() {
                    Ok(real) => real.starts_with(&root),
                    Err(_) => {
                        let parent = path
                            .parent()
                            .filter(|p| !p.as_os_str().is_empty())
                            .unwrap_or(Path::new("."));
                        parent.canonicalize().is_ok_and(|real| real.starts_with(&root))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_directory_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a"), b"").unwrap();
        std::fs::write(dir.path().join("out"), b"").unwrap();
        std::os::unix::fs::symlink("../out", inside.join("link")).unwrap();
        let gate = Gate::Within(inside.clone());
        assert!(gate.allows(&inside.join("a")));
        assert!(gate.allows(&inside.join("missing")));
        assert!(!gate.allows(&inside.join("../out")));
        assert!(!gate.allows(&inside.join("link")));
        assert!(!Gate::Deny.allows(&inside.join("a")));
    }
}
