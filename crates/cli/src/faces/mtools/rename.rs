//! `mren` and `mmove`: renames and moves within a drive.

use super::arguments::Given;
use super::clash::{Answer, Clash};
use super::path::{DosPath, Found, expand, lookup};
use super::session::Session;
use super::{Done, Stop};
use disksmith_vfs::{Error, FileSystem, RenameMode};

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let names = given.names();
    let Some((target, sources)) = names.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return Err(Stop::Usage(None));
    };
    let first = DosPath::on_drive(sources.first().map_or("", String::as_str));
    // Without a drive the new name is beside the old one.
    let target = DosPath::parse(target).unwrap_or_else(|| {
        let parents = first.parts.len().saturating_sub(1);
        let mut path = DosPath::on_drive(&format!("{}:{target}", first.drive));
        let beside = !target.starts_with('/') && session.name == "mren";
        if beside {
            let mut parts: Vec<String> = first.parts.iter().take(parents).cloned().collect();
            parts.append(&mut path.parts);
            path.parts = parts;
        }
        path.text.clone_from(target);
        path
    });
    let mut clash = Clash::new(given);
    let mut all = true;
    if first.drive != target.drive {
        return Err(Stop::failed("Cannot move files across different drives"));
    }
    let target_not_found = format!("{}: no match for target", target.text);
    let volume = session.volume(target.drive)?;
    let into = lookup(volume, &target.parts)?.filter(Found::is_dir);
    let (dir, new_name) = match (into, target.parts.split_last()) {
        (Some(dir), _) => (dir, None),
        (None, Some((last, parents))) => match lookup(volume, parents)?.filter(Found::is_dir) {
            Some(dir) => (dir, Some(last.clone())),
            None => return Err(Stop::failed(target_not_found)),
        },
        (None, None) => return Err(Stop::failed(target_not_found)),
    };
    if new_name.is_some() && sources.len() > 1 {
        return Err(Stop::failed(format!(
            "Several file names given, but last argument ({}) not a directory",
            target.text
        )));
    }
    for source in sources {
        let path = DosPath::on_drive(source);
        let not_found = path.not_found(session);
        let volume = session.volume(path.drive)?;
        let found = expand(volume, &path.parts)?;
        if found.is_empty() {
            eprintln!("{not_found}");
            all = false;
        }
        for found in found {
            if found.entry.is_none() {
                eprintln!("Cannot move a root directory: {}", found.path);
                all = false;
                continue;
            }
            let name = match &new_name {
                Some(name) => name.clone(),
                None => String::from_utf8_lossy(found.name()).into_owned(),
            };
            // A name may change its case.
            let same = found.dir == dir.inode
                && volume
                    .fat
                    .entry_details(dir.inode, name.as_bytes())
                    .is_ok_and(|entry| entry.inode == found.inode);
            let answer = match same && found.name() != name.as_bytes() {
                true => Answer::New(name),
                false => clash.resolve(volume, &dir, &name, true)?,
            };
            let (name, mode) = match answer {
                Answer::New(name) => (name, RenameMode::NoReplace),
                Answer::Overwrite(taken) if taken.inode != found.inode => (
                    String::from_utf8_lossy(&taken.name).into_owned(),
                    RenameMode::Replace,
                ),
                Answer::Overwrite(_) | Answer::Skip => {
                    all = false;
                    continue;
                }
                Answer::Quit => return Ok(false),
            };
            if given.has(b'v') && found.is_dir() {
                eprintln!("Easy, isn't it? I wonder why DOS can't do this.");
            }
            match volume
                .fat
                .rename(found.dir, found.name(), dir.inode, name.as_bytes(), mode)
            {
                Ok(()) => {}
                Err(Error::InvalidArgument { .. }) => {
                    eprintln!(
                        "Cannot move directory {} into one of its own subdirectories ({})",
                        found.path, dir.path
                    );
                    all = false;
                }
                Err(error) => return Err(Stop::failed(error)),
            }
        }
    }
    Ok(all)
}
