//! In which order the contents of files lie in the image (`-sort`).

use super::name_pattern;
use super::stop::Stop;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Patterns of paths with their weights.
#[derive(Debug, Default)]
pub(super) struct Weights(Vec<(Vec<u8>, i32)>);

impl Weights {
    /// Takes in a file with a path and a weight in each line.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), Stop> {
        let unreadable =
            |e: std::io::Error| Stop::io(&e, format!("Can't open sort file list {}.", path.display()));
        let text = std::fs::read(path).map_err(unreadable)?;
        for line in text.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            let Some(at) = line.iter().rposition(u8::is_ascii_whitespace) else {
                continue;
            };
            let (pattern, weight) = line.split_at(at);
            let number = std::str::from_utf8(weight)
                .ok()
                .and_then(|w| w.trim().parse().ok());
            let Some(number) = number else {
                return Err(Stop::bad(format!(
                    "Incorrect sort file format\n\t{}",
                    String::from_utf8_lossy(line)
                )));
            };
            let pattern = pattern.trim_ascii();
            self.0
                .push((pattern.strip_suffix(b"/").unwrap_or(pattern).to_vec(), number));
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The weight of a path: its own, or that of the nearest folder that has one.
    pub(super) fn of(&self, path: &Path) -> i32 {
        path.ancestors()
            .find_map(|at| {
                let text = at.as_os_str().as_bytes();
                let found = self.0.iter().rev();
                found
                    .filter(|_| !text.is_empty())
                    .find(|(pattern, _)| name_pattern::matches(pattern, text))
            })
            .map_or(0, |(_, weight)| *weight)
    }
}

/// Weights of paths in the image (xorriso's `--sort-weight`).
pub(super) type ImageWeights = Vec<(PathBuf, i32)>;
