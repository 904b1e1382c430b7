//! `mdel`, `mrd` and `mdeltree`: removes files, empty directories, whole trees.

use super::arguments::Given;
use super::path::{DosPath, Found, expand};
use super::session::{Session, Volume};
use super::{Done, Stop};
use disksmith_vfs::{Error, FileSystem};

/// What a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Files,
    Directories,
    Trees,
}

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    if given.operands.is_empty() {
        return Err(Stop::Usage(None));
    }
    let scope = match session.name.as_str() {
        "mdel" => Scope::Files,
        "mrd" => Scope::Directories,
        _ => Scope::Trees,
    };
    let verbose = given.has(b'v');
    let mut all = true;
    for name in given.names() {
        let path = DosPath::on_drive(&name);
        let not_found = path.not_found(session);
        let volume = session.volume(path.drive)?;
        let mut found = expand(volume, &path.parts)?;
        found.retain(|found| match scope {
            Scope::Files => !found.is_dir(),
            Scope::Directories => found.is_dir(),
            Scope::Trees => true,
        });
        if found.is_empty() {
            eprintln!("{not_found}");
            all = false;
        }
        for found in found {
            all &= remove(volume, &found, scope, verbose)?;
        }
    }
    Ok(all)
}

fn remove(volume: &Volume, found: &Found, scope: Scope, verbose: bool) -> Result<bool, Stop> {
    if found.entry.is_none() {
        eprintln!("Cannot remove root directory");
        return Ok(false);
    }
    let mut all = true;
    if found.is_dir() && scope == Scope::Trees {
        for child in found.children(volume)? {
            all &= remove(volume, &child, scope, verbose)?;
        }
    }
    if verbose {
        eprintln!("Removing {}", found.path);
    }
    let removed = match found.is_dir() {
        true => volume.fat.remove_dir(found.dir, found.name()),
        false => volume.fat.unlink(found.dir, found.name()),
    };
    match removed {
        Ok(()) => Ok(all),
        Err(Error::NotEmpty { .. }) => {
            eprintln!("Directory {} non empty", found.path);
            Ok(false)
        }
        Err(error) => Err(Stop::failed(error)),
    }
}
