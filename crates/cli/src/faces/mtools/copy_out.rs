//! Copying from a drive to the host.

use super::clash::Clash;
use super::copy::Options;
use super::path::Found;
use super::session::{Volume, reason};
use super::{Stop, print_bytes};
use crate::faces::dos_time::from_local;
use disksmith_fat::Attributes;
use disksmith_vfs::{FileSystem, check_name};
use std::fs::{File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// Gives the bytes of a file to `sink`, piece by piece.
fn read(
    volume: &Volume,
    found: &Found,
    options: &Options,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let size = found.entry.as_ref().map_or(0, |entry| u64::from(entry.size));
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < size {
        let want = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        buffer.resize(want, 0);
        let n = volume
            .fat
            .read(found.inode, at, &mut buffer)
            .map_err(Stop::failed)?;
        if n == 0 {
            break;
        }
        buffer.truncate(n);
        at += n as u64;
        options.text.to_unix(&mut buffer);
        sink(&buffer)?;
    }
    Ok(())
}

/// Prints a file.
pub(super) fn to_stdout(volume: &Volume, found: &Found, options: &Options) -> Result<(), Stop> {
    read(volume, found, options, &mut |bytes| {
        print_bytes(bytes);
        Ok(())
    })
}

/// Copies a file or tree to a path of the host. `None` where the user wants no more.
pub(super) fn to_host(
    volume: &Volume,
    found: &Found,
    target: &Path,
    options: &Options,
    clash: &mut Clash,
) -> Result<Option<bool>, Stop> {
    let told = |error: &std::io::Error| {
        eprintln!("{}: {}", target.display(), reason(error));
        Ok(Some(false))
    };
    if options.verbose {
        eprintln!("Copying {}", found.path);
    }
    if found.is_dir() {
        if !target.is_dir()
            && let Err(error) = std::fs::create_dir(target)
        {
            return told(&error);
        }
        let mut all = true;
        for child in found.children(volume)? {
            // What the image says a file is called leads to no other place of the host.
            if check_name(child.name()).is_err() || (child.is_dir() && !options.recursive) {
                continue;
            }
            let name = String::from_utf8_lossy(child.name()).into_owned();
            match to_host(volume, &child, &target.join(name), options, clash)? {
                Some(done) => all &= done,
                None => return Ok(None),
            }
        }
        return Ok(Some(all));
    }
    if target.exists() && !options.overwrite_host {
        if !target.is_file() {
            eprintln!("\"{}\" is not a regular file", target.display());
            return Ok(Some(false));
        }
        let question = format!("File \"{}\" exists, overwrite (y/n) ? ", target.display());
        if !clash.confirm(&question) {
            return Ok(Some(true));
        }
    }
    let mut file = match File::create(target) {
        Ok(file) => file,
        Err(error) => return told(&error),
    };
    read(volume, found, options, &mut |bytes| {
        file.write_all(bytes)
            .map_err(|error| Stop::failed(format!("{}: {}", target.display(), reason(&error))))
    })?;
    if let Some(entry) = &found.entry {
        if options.keep_time {
            let time = system_time(from_local(entry.modified).seconds);
            let times = FileTimes::new().set_modified(time).set_accessed(time);
            if let Err(error) = file.set_times(times) {
                return told(&error);
            }
        }
        if options.keep_attributes
            && entry.attributes.has(Attributes::READ_ONLY)
            && let Ok(found) = file.metadata()
        {
            let mode = found.permissions().mode() & !0o222;
            if let Err(error) = file.set_permissions(Permissions::from_mode(mode)) {
                return told(&error);
            }
        }
    }
    Ok(Some(true))
}

fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    match seconds < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    }
    .unwrap_or(UNIX_EPOCH)
}
