//! `mmd`: makes directories.

use super::arguments::Given;
use super::clash::{Clash, valid_name};
use super::path::{DosPath, Found, lookup};
use super::session::{Session, Volume};
use super::{Done, Stop};
use disksmith_vfs::{FileSystem, FileType, InodeNo, NewNode, Timestamp};

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    if given.operands.is_empty() {
        return Err(Stop::Usage(None));
    }
    let mut clash = Clash::new(given);
    let mut all = true;
    for name in given.names() {
        let path = DosPath::on_drive(&name);
        let not_found = path.not_found(session);
        let now = session.now;
        let volume = session.volume(path.drive)?;
        let Some((last, parents)) = path.parts.split_last() else {
            all = false;
            continue;
        };
        match lookup(volume, parents)? {
            Some(dir) if dir.is_dir() => match clash.free_name(volume, &dir, last)? {
                Some(name) => make(volume, dir.inode, &name, now).map(drop)?,
                None => all = false,
            },
            _ => {
                eprintln!("{not_found}");
                all = false;
            }
        }
    }
    Ok(all)
}

/// Makes a directory.
pub(super) fn make(volume: &Volume, dir: InodeNo, name: &str, time: Timestamp) -> Result<InodeNo, Stop> {
    let node = NewNode {
        file_type: FileType::Directory,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        time,
        target: &[],
        device: (0, 0),
    };
    volume
        .fat
        .create(dir, valid_name(name).as_bytes(), &node)
        .map_err(Stop::failed)
}

/// The directory of a name, which is made where it is missing; `None` where a file has the name.
pub(super) fn enter(
    volume: &Volume,
    dir: &Found,
    name: &str,
    time: Timestamp,
) -> Result<Option<Found>, Stop> {
    let name = valid_name(name);
    if volume.fat.entry_details(dir.inode, name.as_bytes()).is_err() {
        make(volume, dir.inode, &name, time)?;
    }
    let entry = volume
        .fat
        .entry_details(dir.inode, name.as_bytes())
        .map_err(Stop::failed)?;
    Ok(entry.is_dir().then(|| dir.child(entry)))
}
