//! `mdu`: counts clusters.

use super::arguments::Given;
use super::path::{DosPath, Found, expand};
use super::session::{Session, Volume};
use super::{Done, Stop, print};
use disksmith_vfs::FileSystem;

pub(super) fn run(session: &mut Session, given: &Given) -> Done {
    let (files, totals) = (given.has(b'a'), given.has(b's'));
    if files && totals {
        return Err(Stop::Usage(Some(
            "-a and -s options are mutually exclusive".into(),
        )));
    }
    if given.operands.is_empty() {
        return Err(Stop::Usage(None));
    }
    let mut all = true;
    for name in given.names() {
        let path = DosPath::on_drive(&name);
        let not_found = path.not_found(session);
        let volume = session.volume(path.drive)?;
        let found = expand(volume, &path.parts)?;
        if found.is_empty() {
            eprintln!("{not_found}");
            all = false;
        }
        for found in found {
            let clusters = count(volume, &found, files, !totals)?;
            if totals || !found.is_dir() && !files {
                print(&format!("{} {clusters}\n", found.path));
            }
        }
    }
    Ok(all)
}

/// Clusters of the files in a tree, told directory by directory.
fn count(volume: &Volume, found: &Found, files: bool, directories: bool) -> Result<u64, Stop> {
    if !found.is_dir() {
        let clusters = u64::from(volume.fat.cluster_count(found.inode).map_err(Stop::failed)?);
        if files {
            print(&format!("{} {clusters}\n", found.path));
        }
        return Ok(clusters);
    }
    // What a directory itself takes counts from the second level on.
    let mut clusters = match found.entry.is_some() && found.dir != volume.fat.root() {
        true => u64::from(volume.fat.cluster_count(found.inode).map_err(Stop::failed)?),
        false => 0,
    };
    for child in found.children(volume)? {
        clusters += count(volume, &child, files, directories)?;
    }
    if directories {
        print(&format!("{} {clusters}\n", found.path));
    }
    Ok(clusters)
}
