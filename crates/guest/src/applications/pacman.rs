//! pacman's packages: `/var/lib/pacman/local/NAME-VERSION/desc`, values below lines like `%NAME%` (alpm's database, version 9).

use super::{Application, split_version, text};
use crate::error::Result;
use crate::files::lines;
use disksmith_vfs::{Error as FileError, Tree};

const LOCAL: &str = "/var/lib/pacman/local";

/// The largest description of a package, in bytes.
const MAX_DESC: u64 = 1 << 20;

pub(super) fn list(tree: &Tree) -> Result<Vec<Application>> {
    let entries = match tree.read_dir(LOCAL) {
        Ok(entries) => entries,
        Err(FileError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = [LOCAL.as_bytes(), b"/", &entry.name, b"/desc"].concat();
        match tree.read_limited(&path, MAX_DESC) {
            Ok(contents) => found.extend(parse(&contents)),
            Err(FileError::NotFound { .. } | FileError::NotADirectory { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn parse(contents: &[u8]) -> Option<Application> {
    let mut package = Application::default();
    let mut field: &[u8] = b"";
    for line in lines(contents) {
        if line.is_empty() {
            field = b"";
        } else if line.starts_with(b"%") && line.ends_with(b"%") {
            field = line;
        } else {
            match field {
                b"%NAME%" => package.name = text(line),
                b"%VERSION%" => {
                    let whole = text(line);
                    let (epoch, version, release) = split_version(&whole);
                    package.epoch = epoch;
                    package.version = version.to_owned();
                    package.release = release.to_owned();
                }
                b"%BASE%" => package.source_package = text(line),
                b"%DESC%" => package.description = text(line),
                b"%URL%" => package.url = text(line),
                b"%ARCH%" => package.arch = text(line),
                _ => {}
            }
        }
    }
    (!package.name.is_empty() && !package.version.is_empty()).then_some(package)
}
