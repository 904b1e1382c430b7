//! apk's list of packages: `/lib/apk/db/installed`, records of `LETTER:value` lines with an empty line between them
//! (Alpine's wiki, "Apk spec").

use super::{Application, text};
use crate::error::Result;
use crate::files::lines;
use disksmith_vfs::{Error as FileError, Tree};

/// The largest list that is read, in bytes. It names every file: about 2 MiB for 1,000 packages.
const MAX_LIST: u64 = 64 << 20;

pub(super) fn list(tree: &Tree) -> Result<Vec<Application>> {
    // apk-tools 3 keeps it below /usr, with a link from the old place.
    for path in ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"] {
        match tree.read_limited(path, MAX_LIST) {
            Ok(contents) => return Ok(parse(&contents)),
            Err(FileError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Vec::new())
}

fn parse(contents: &[u8]) -> Vec<Application> {
    let mut found = Vec::new();
    let mut package = Application::default();
    for line in lines(contents) {
        if line.is_empty() {
            finish(&mut package, &mut found);
            continue;
        }
        let [letter, b':', value @ ..] = line else {
            continue;
        };
        match letter {
            b'P' => package.name = text(value),
            b'V' => {
                let whole = text(value);
                let (version, release) = whole.split_once("-r").unwrap_or((&whole, ""));
                package.version = version.to_owned();
                package.release = release.to_owned();
            }
            b'A' => package.arch = text(value),
            b'T' => package.description = text(value),
            b'U' => package.url = text(value),
            b'o' => package.source_package = text(value),
            _ => {}
        }
    }
    finish(&mut package, &mut found);
    found
}

fn finish(package: &mut Application, found: &mut Vec<Application>) {
    let package = std::mem::take(package);
    if !package.name.is_empty() && !package.version.is_empty() {
        found.push(package);
    }
}
