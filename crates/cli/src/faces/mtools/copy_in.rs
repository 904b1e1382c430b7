//! Copying to a drive: from the host, from standard input, from a drive.

use super::Stop;
use super::clash::{Answer, Clash};
use super::copy::{Options, Text};
use super::make_dir::enter;
use super::path::Found;
use super::session::{Volume, reason};
use crate::faces::dos_time::to_local;
use disksmith_fat::Attributes;
use disksmith_vfs::{Error, FileSystem, FileType, InodeNo, MetadataChange, NewNode, Timestamp};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;
/// The deepest tree of the host that is followed.
const MAX_DEPTH: usize = 256;

/// Copies to a drive.
pub(super) struct Copy<'a> {
    pub(super) volume: &'a Volume,
    pub(super) options: &'a Options,
    pub(super) clash: &'a mut Clash,
    pub(super) now: Timestamp,
    /// Where files are read to, one after the other.
    pub(super) buffer: Vec<u8>,
}

/// A file that is to be copied.
struct Source<'a> {
    bytes: &'a mut dyn Read,
    time: Timestamp,
    attributes: Attributes,
}

impl Copy<'_> {
    pub(super) fn stdin(&mut self, dir: &Found, name: &str) -> Result<Option<bool>, Stop> {
        let source = Source {
            bytes: &mut std::io::stdin().lock(),
            time: self.now,
            attributes: Attributes::ARCHIVE,
        };
        self.put(dir, name, source)
    }

    pub(super) fn host(&mut self, path: &Path, dir: &Found, name: &str) -> Result<Option<bool>, Stop> {
        self.walk_host(path, dir, name, 0)
    }

    fn walk_host(
        &mut self,
        path: &Path,
        dir: &Found,
        name: &str,
        depth: usize,
    ) -> Result<Option<bool>, Stop> {
        let told = |error: &std::io::Error| {
            eprintln!("{}: {}", path.display(), reason(error));
            Ok(Some(false))
        };
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) => return told(&error),
        };
        let time = match self.options.keep_time {
            true => to_local(Timestamp {
                seconds: found.mtime(),
                nanoseconds: u32::try_from(found.mtime_nsec()).unwrap_or(0),
            }),
            false => self.now,
        };
        if found.is_dir() {
            // Without -s the files of a directory that was named are copied, not the directories in it.
            if !self.options.recursive && depth > 0 {
                return Ok(Some(true));
            }
            if depth > MAX_DEPTH {
                return Ok(Some(false));
            }
            self.tell(path.file_name().unwrap_or_default());
            let Some(into) = enter(self.volume, dir, name, time)? else {
                return Ok(Some(false));
            };
            let entries = match std::fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) => return told(&error),
            };
            let mut all = true;
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => return told(&error),
                };
                // A link to a directory could lead anywhere, and in circles.
                let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                if is_link && entry.path().is_dir() {
                    eprintln!("skipping directory symlink {}", entry.file_name().display());
                    continue;
                }
                let name = entry.file_name();
                match self.walk_host(&entry.path(), &into, &name.to_string_lossy(), depth + 1)? {
                    Some(done) => all &= done,
                    None => return Ok(None),
                }
                if !all && self.options.quit {
                    break;
                }
            }
            return Ok(Some(all));
        }
        if !found.is_file() {
            eprintln!("\"{}\" is not a regular file", path.display());
            return Ok(Some(false));
        }
        if found.len() > u64::from(u32::MAX) {
            eprintln!("File \"{}\" too big", path.display());
            return Ok(Some(false));
        }
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return told(&error),
        };
        self.tell(path.file_name().unwrap_or_default());
        let read_only = self.options.keep_attributes && found.mode() & 0o222 == 0;
        let attributes =
            Attributes(Attributes::ARCHIVE.0 | if read_only { Attributes::READ_ONLY.0 } else { 0 });
        let source = Source {
            bytes: &mut file,
            time,
            attributes,
        };
        self.put(dir, name, source)
    }

    pub(super) fn drive(
        &mut self,
        volume: &Volume,
        found: &Found,
        dir: &Found,
        name: &str,
    ) -> Result<Option<bool>, Stop> {
        let Some(entry) = &found.entry else {
            return Ok(Some(false));
        };
        let time = match self.options.keep_time {
            true => entry.modified,
            false => self.now,
        };
        if found.is_dir() {
            if volume.letter == self.volume.letter && is_within(volume, dir, found)? {
                eprintln!(
                    "Cannot recursively copy directory {} into one of its own subdirectories {}",
                    found.path, dir.path
                );
                return Ok(Some(false));
            }
            self.tell(OsStr::from_bytes(found.name()));
            let Some(into) = enter(self.volume, dir, name, time)? else {
                return Ok(Some(false));
            };
            let mut all = true;
            let wanted = |child: &Found| self.options.recursive || !child.is_dir();
            let children: Vec<Found> = found.children(volume)?.into_iter().filter(wanted).collect();
            for child in children {
                let name = String::from_utf8_lossy(child.name()).into_owned();
                match self.drive(volume, &child, &into, &name)? {
                    Some(done) => all &= done,
                    None => return Ok(None),
                }
            }
            return Ok(Some(all));
        }
        self.tell(OsStr::from_bytes(found.name()));
        let mut bytes = FromDrive {
            volume,
            inode: found.inode,
            at: 0,
        };
        let attributes = match self.options.keep_attributes {
            true => entry.attributes,
            false => Attributes::ARCHIVE,
        };
        let source = Source {
            bytes: &mut bytes,
            time,
            attributes,
        };
        let taken = self.volume.fat.entry_details(dir.inode, name.as_bytes());
        let itself =
            volume.letter == self.volume.letter && taken.is_ok_and(|taken| taken.inode == found.inode);
        if itself {
            eprintln!("Attempt to copy file on itself");
            return Ok(Some(false));
        }
        // Within a drive nothing is converted.
        self.put_as(dir, name, source, Text::Binary)
    }

    fn tell(&self, name: &OsStr) {
        if self.options.verbose {
            eprintln!("Copying {}", name.display());
        }
    }

    fn put(&mut self, dir: &Found, name: &str, source: Source<'_>) -> Result<Option<bool>, Stop> {
        self.put_as(dir, name, source, self.options.text)
    }

    /// Writes a file.
    fn put_as(
        &mut self,
        dir: &Found,
        name: &str,
        source: Source<'_>,
        text: Text,
    ) -> Result<Option<bool>, Stop> {
        let fat = &self.volume.fat;
        let (inode, created) = match self.clash.resolve(self.volume, dir, name, true)? {
            Answer::Quit => return Ok(None),
            Answer::Skip => return Ok(Some(false)),
            Answer::Overwrite(taken) => {
                fat.set_size(taken.inode, 0).map_err(Stop::failed)?;
                (taken.inode, None)
            }
            Answer::New(name) => {
                let node = NewNode {
                    file_type: FileType::Regular,
                    permissions: 0o644,
                    uid: 0,
                    gid: 0,
                    time: source.time,
                    target: &[],
                    device: (0, 0),
                };
                match fat.create(dir.inode, name.as_bytes(), &node) {
                    Ok(inode) => (inode, Some(name)),
                    Err(error @ Error::NoSpace { .. }) => return self.full(&error, None),
                    Err(error) => {
                        eprintln!("{name}: {error}");
                        return Ok(Some(false));
                    }
                }
            }
        };
        if let Err(error) = self.fill(inode, source.bytes, text) {
            let created = created.map(|name| (dir.inode, name));
            return self.full(&error, created);
        }
        let change = MetadataChange {
            modified: Some(source.time),
            ..MetadataChange::default()
        };
        if source.time != self.now {
            fat.set_metadata(inode, &change).map_err(Stop::failed)?;
        }
        if source.attributes != Attributes::ARCHIVE {
            fat.set_attributes(inode, source.attributes)
                .map_err(Stop::failed)?;
        }
        Ok(Some(true))
    }

    /// What happens where a file could not be written: it is taken away again.
    fn full(&self, error: &Error, created: Option<(InodeNo, String)>) -> Result<Option<bool>, Stop> {
        match error {
            Error::NoSpace { what: "blocks", .. } => eprintln!("Disk full"),
            Error::NoSpace { .. } => eprintln!("No directory slots"),
            other => eprintln!("{other}"),
        }
        if let Some((dir, name)) = created {
            self.volume
                .fat
                .unlink(dir, name.as_bytes())
                .map_err(Stop::failed)?;
        }
        Ok(Some(false))
    }

    fn fill(&mut self, inode: InodeNo, bytes: &mut dyn Read, text: Text) -> Result<(), Error> {
        let failed = |source| -> Error {
            disksmith_storage::Error::io("the source".to_owned(), "read", None, source).into()
        };
        let buffer = &mut self.buffer;
        let mut at = 0;
        loop {
            buffer.clear();
            // one byte more, so that the end of a file is seen without growing
            buffer.reserve(CHUNK + 1);
            let n = bytes.take(CHUNK as u64).read_to_end(buffer).map_err(failed)?;
            text.to_dos(buffer);
            if n < CHUNK {
                buffer.extend_from_slice(text.end());
            }
            if !buffer.is_empty() {
                self.volume.fat.write(inode, at, buffer)?;
                at += buffer.len() as u64;
            }
            if n < CHUNK {
                return Ok(());
            }
        }
    }
}

/// Whether a directory is another one or lies below it.
fn is_within(volume: &Volume, dir: &Found, above: &Found) -> Result<bool, Stop> {
    let mut at = dir.inode;
    for _ in 0..=MAX_DEPTH {
        if at == above.inode {
            return Ok(true);
        }
        if at == volume.fat.root() {
            return Ok(false);
        }
        at = volume.fat.parent(at).map_err(Stop::failed)?;
    }
    Ok(true)
}

/// A file of a drive, to be read.
struct FromDrive<'a> {
    volume: &'a Volume,
    inode: InodeNo,
    at: u64,
}

impl Read for FromDrive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self
            .volume
            .fat
            .read(self.inode, self.at, buffer)
            .map_err(std::io::Error::other)?;
        self.at += n as u64;
        Ok(n)
    }
}
