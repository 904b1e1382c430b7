//! dpkg's list of packages: `/var/lib/dpkg/status` (Debian Policy 5.1, deb822; dpkg-query(1), "status").

use super::{Application, split_version, text};
use crate::error::Result;
use crate::files::lines;
use disksmith_vfs::{Error as FileError, Tree};

/// The largest status file that is read, in bytes: that of a system with 10,000 packages has about 12 MiB.
const MAX_STATUS: u64 = 64 << 20;

pub(super) fn list(tree: &Tree) -> Result<Vec<Application>> {
    match tree.read_limited("/var/lib/dpkg/status", MAX_STATUS) {
        Ok(contents) => Ok(parse(&contents)),
        Err(FileError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The field whose value goes on in the lines that follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Description,
    Other,
}

fn parse(contents: &[u8]) -> Vec<Application> {
    let mut found = Vec::new();
    let mut package = Application::default();
    let mut installed = false;
    let mut open = Open::Other;
    let mut finish = |package: &mut Application, installed: &mut bool| {
        let package = std::mem::take(package);
        if std::mem::take(installed) && !package.name.is_empty() && !package.version.is_empty() {
            found.push(package);
        }
    };
    for line in lines(contents) {
        if line.is_empty() {
            finish(&mut package, &mut installed);
            open = Open::Other;
        } else if line.starts_with(b" ") || line.starts_with(b"\t") {
            if open == Open::Description {
                add_to_description(&mut package.description, line.get(1..).unwrap_or_default());
            }
        } else {
            open = Open::Other;
            let Some(colon) = line.iter().position(|b| *b == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let whole = value.get(1..).unwrap_or_default();
            let value = whole.trim_ascii();
            match name {
                b"Package" => package.name = text(value),
                b"Status" => installed = is_installed(value),
                b"Architecture" => package.arch = text(value),
                b"Source" => {
                    // "name (version)" where the versions differ
                    let end = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
                    package.source_package = text(value.get(..end).unwrap_or_default());
                }
                b"Version" => {
                    let text = text(value);
                    let (epoch, version, release) = split_version(&text);
                    package.epoch = epoch;
                    package.version = version.to_owned();
                    package.release = release.to_owned();
                }
                b"Homepage" => package.url = text(value),
                b"Description" => {
                    package.summary = text(whole.trim_ascii_start());
                    open = Open::Description;
                }
                _ => {}
            }
        }
    }
    finish(&mut package, &mut installed);
    found
}

/// Whether the third word of a status, `want error STATE`, says that the package is there.
fn is_installed(status: &[u8]) -> bool {
    status
        .split(|b| *b == b' ')
        .next_back()
        .is_some_and(|state| state == b"installed")
}

/// A line of a long description. A line that is `.` stands for an empty one; it is kept, as dpkg's own output has it.
fn add_to_description(description: &mut String, line: &[u8]) {
    if !description.is_empty() {
        description.push('\n');
    }
    description.push_str(&text(line));
}
