//! A tar archive as the source of a new filesystem: looked through once for what its members are, and read once more for what
//! they hold.

use crate::compression::Compression;
use crate::error::{Error, Result};
use crate::sparse_map;
use disksmith_vfs::{
    DataRanges, FileType, SourceBody, SourceContents, SourceInode, SourceTree, SourceXattr, Timestamp,
};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tar::{Archive, EntryType};

/// The kinds of extended attributes that Linux has.
const NAMESPACES: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system.posix_acl_"];

/// Where the contents of a member begin in the archive, and which parts of the file follow there; `None`: all of it.
#[derive(Debug, Clone, Default)]
struct Place {
    start: u64,
    parts: Option<Box<[(u64, u64)]>>,
}

/// A tar archive whose members are known.
pub(crate) struct TarSource {
    file: File,
    path: PathBuf,
    compression: Compression,
    places: Vec<Place>,
    reader: Option<Box<dyn Read + Send>>,
    at: u64,
}

/// What a member is called in pax headers, and what it has there beside the plain header.
#[derive(Debug, Default)]
struct Pax {
    modified: Option<Timestamp>,
    uid: Option<u32>,
    gid: Option<u32>,
    xattrs: Vec<SourceXattr>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    sparse_map: Option<String>,
    /// Offsets and lengths one by one, as format 0.0 has them.
    sparse_parts: Vec<u64>,
    map_in_data: bool,
}

impl TarSource {
    /// Looks through an archive. Members that come again replace what was there; links and directories of it are followed
    /// inside of it only.
    pub(crate) fn scan(file: File, path: &Path) -> Result<(SourceTree, Self)> {
        let host = |source| Error::Host {
            operation: "read",
            path: path.to_owned(),
            source,
        };
        let compression = Compression::of(&file).map_err(host)?;
        let mut this = Self {
            file,
            path: path.to_owned(),
            compression,
            places: vec![Place::default()],
            reader: None,
            at: 0,
        };
        let root = SourceInode::new(directory(), 0o755, (0, 0), Timestamp::default());
        let mut tree = SourceTree::new(root);
        let mut archive = Archive::new(this.compression.open(&this.file).map_err(host)?);
        let damaged = |member: String| {
            let archive = path.to_owned();
            move |error: io::Error| Error::Archive {
                archive,
                member,
                reason: error.to_string(),
            }
        };
        let mut members = 0u64;
        // Members in the old sparse format whose map goes on behind the header.
        let mut extended: Vec<(u32, Vec<(u64, u64)>)> = Vec::new();
        for entry in archive.entries().map_err(damaged("the archive".into()))? {
            let mut entry = entry.map_err(damaged(format!("member {}", members + 1)))?;
            members += 1;
            let name = entry.path_bytes().into_owned();
            let shown = String::from_utf8_lossy(&name).into_owned();
            let fail = |error: io::Error| damaged(shown.clone())(error);
            let pax = Pax::of(&mut entry).map_err(fail)?;
            let name = pax.sparse_name.clone().unwrap_or(name);
            let header = entry.header();
            let kind = header.entry_type();
            if matches!(kind, EntryType::XGlobalHeader) {
                continue;
            }
            let mut place = Place {
                start: entry.raw_file_position(),
                parts: None,
            };
            let device = || -> io::Result<(u32, u32)> {
                Ok((
                    header.device_major()?.unwrap_or(0),
                    header.device_minor()?.unwrap_or(0),
                ))
            };
            let mut more = None;
            let body = match kind {
                EntryType::Directory => directory(),
                EntryType::Symlink => {
                    let target = entry
                        .link_name_bytes()
                        .map(|t| t.into_owned())
                        .unwrap_or_default();
                    if target.is_empty() || target.contains(&0) {
                        let wrong = "a symbolic link whose target is empty or holds a zero byte";
                        return Err(fail(io::Error::new(io::ErrorKind::InvalidData, wrong)));
                    }
                    SourceBody::Symlink(target.into())
                }
                EntryType::Char => {
                    let (major, minor) = device().map_err(fail)?;
                    SourceBody::CharDevice(major, minor)
                }
                EntryType::Block => {
                    let (major, minor) = device().map_err(fail)?;
                    SourceBody::BlockDevice(major, minor)
                }
                EntryType::Fifo => SourceBody::Fifo,
                EntryType::Link => {
                    let target = entry
                        .link_name_bytes()
                        .map(|t| t.into_owned())
                        .unwrap_or_default();
                    link(&mut tree, &name, &target, &mut this.places)?;
                    continue;
                }
                EntryType::GNUSparse => {
                    let size = entry.size();
                    // What follows the header is checked when it is read.
                    let held = u64::MAX;
                    let gnu = header.as_gnu().ok_or_else(|| {
                        fail(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "a sparse member without a GNU header",
                        ))
                    })?;
                    let mut parts = Vec::new();
                    for part in gnu.sparse.iter().filter(|part| !part.is_empty()) {
                        parts.push((part.offset().map_err(fail)?, part.length().map_err(fail)?));
                    }
                    if gnu.is_extended() {
                        more = Some(parts);
                    } else {
                        place.parts = Some(sparse_map::checked(parts, size, held).map_err(fail)?.into());
                    }
                    file_of(size, &place)
                }
                EntryType::Regular | EntryType::Continuous => {
                    let size = pax.sparse_size.unwrap_or(entry.size());
                    let mut held = entry.size();
                    let mut parts = match &pax.sparse_map {
                        Some(text) => Some(sparse_map::from_text(text).map_err(fail)?),
                        None if pax.sparse_parts.is_empty() => None,
                        None => Some(sparse_map::pairs(&pax.sparse_parts)),
                    };
                    if pax.map_in_data {
                        let (found, taken) = sparse_map::from_data(&mut entry).map_err(fail)?;
                        place.start += taken;
                        held = held.saturating_sub(taken);
                        parts = Some(found);
                    }
                    if let Some(parts) = parts {
                        place.parts = Some(sparse_map::checked(parts, size, held).map_err(fail)?.into());
                    }
                    file_of(size, &place)
                }
                other => {
                    return Err(Error::Archive {
                        archive: path.to_owned(),
                        member: shown,
                        reason: format!(
                            "a member of type {:?}, which is not known",
                            char::from(other.as_byte())
                        ),
                    });
                }
            };
            let header = entry.header();
            let number = |n: io::Result<u64>| n.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
            let owner = (
                pax.uid.map_or_else(|| number(header.uid()), Ok).map_err(fail)?,
                pax.gid.map_or_else(|| number(header.gid()), Ok).map_err(fail)?,
            );
            let modified = match pax.modified {
                Some(time) => time,
                None => Timestamp {
                    seconds: i64::try_from(header.mtime().map_err(fail)?).unwrap_or(i64::MAX),
                    nanoseconds: 0,
                },
            };
            let permissions = (header.mode().map_err(fail)? & 0o7777) as u16;
            let mut inode = SourceInode::new(body, permissions, owner, modified);
            inode.xattrs = pax.xattrs;
            let added = add(&mut tree, &name, inode, place, &mut this.places)?;
            if let Some(parts) = more {
                extended.push((added, parts));
            }
        }
        if members == 0 && this.at_least(&mut [0]).is_ok() && !this.is_empty_archive() {
            return Err(Error::Archive {
                archive: path.to_owned(),
                member: "the archive".into(),
                reason: "neither a directory nor a tar archive".into(),
            });
        }
        for (index, parts) in extended {
            this.read_extensions(&mut tree, index, parts)
                .map_err(damaged(tree.path(index)))?;
        }
        this.reader = None;
        tree.finish();
        Ok((tree, this))
    }

    /// Whether the first block is one of zeroes, as an archive without members has it.
    fn is_empty_archive(&mut self) -> bool {
        let mut block = [1; 512];
        self.reader = None;
        self.seek(0).is_ok() && self.at_least(&mut block).is_ok() && block == [0; 512]
    }

    fn at_least(&mut self, buf: &mut [u8]) -> io::Result<()> {
        if self.reader.is_none() {
            self.seek(0)?;
        }
        let len = buf.len() as u64;
        self.reader
            .as_mut()
            .map_or(Ok(()), |reader| reader.read_exact(buf))?;
        self.at += len;
        Ok(())
    }

    /// Goes to a place of the archive; back only by starting again.
    fn seek(&mut self, to: u64) -> io::Result<()> {
        if self.reader.is_none() || self.at > to {
            self.reader = Some(self.compression.open(&self.file)?);
            self.at = 0;
        }
        let skip = to - self.at;
        if let Some(reader) = &mut self.reader {
            let skipped = io::copy(&mut reader.take(skip), &mut io::sink())?;
            if skipped < skip {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.at = to;
        Ok(())
    }

    fn read_extensions(
        &mut self,
        tree: &mut SourceTree,
        index: u32,
        mut parts: Vec<(u64, u64)>,
    ) -> io::Result<()> {
        let Some(start) = self.places.get(index as usize).map(|place| place.start) else {
            return Ok(());
        };
        self.seek(start)?;
        let mut taken = 0;
        if let Some(reader) = &mut self.reader {
            taken = sparse_map::from_extensions(reader, &mut parts)?;
            self.at += taken;
        }
        if let Some(SourceInode {
            body: SourceBody::File { size, data },
            ..
        }) = tree.inode_mut(index)
        {
            let parts: Box<[_]> = sparse_map::checked(parts, *size, u64::MAX)?.into();
            *data = DataRanges::Parts(parts.clone());
            if let Some(place) = self.places.get_mut(index as usize) {
                place.start += taken;
                place.parts = Some(parts);
            }
        }
        Ok(())
    }
}

impl SourceContents for TarSource {
    fn read(&mut self, file: u32, offset: u64, buf: &mut [u8]) -> disksmith_vfs::Result<()> {
        let Some(place) = self.places.get(file as usize) else {
            return Ok(());
        };
        // A piece may hold data and, up to the end of a block, what is a hole of the file.
        let mut wanted: Vec<(u64, std::ops::Range<usize>)> = Vec::new();
        let end = offset.saturating_add(buf.len() as u64);
        match &place.parts {
            None => wanted.push((place.start.saturating_add(offset), 0..buf.len())),
            Some(parts) => {
                let mut start = place.start;
                for (at, len) in parts {
                    let (from, to) = ((*at).max(offset), at.saturating_add(*len).min(end));
                    if from < to {
                        let range = (from - offset) as usize..(to - offset) as usize;
                        wanted.push((start.saturating_add(from - at), range));
                    }
                    if *at >= end {
                        break;
                    }
                    start = start.saturating_add(*len);
                }
                buf.fill(0);
            }
        }
        for (start, range) in wanted {
            let part = buf.get_mut(range).unwrap_or_default();
            let read = self.seek(start).and_then(|()| self.at_least(part));
            read.map_err(|error| {
                disksmith_storage::Error::io(self.path.display().to_string(), "read", Some(start), error)
            })?;
        }
        Ok(())
    }
}

fn directory() -> SourceBody {
    SourceBody::Directory(Vec::new())
}

fn file_of(size: u64, place: &Place) -> SourceBody {
    SourceBody::File {
        size,
        data: match &place.parts {
            Some(parts) => DataRanges::Parts(parts.clone()),
            None => DataRanges::Whole,
        },
    }
}

fn missing() -> SourceInode {
    SourceInode::new(directory(), 0o755, (0, 0), Timestamp::default())
}

/// Every file of the tree has a place, those that the archive only implies too.
fn note(tree: &SourceTree, places: &mut Vec<Place>) {
    places.resize_with(tree.inodes().len(), Place::default);
}

fn add(
    tree: &mut SourceTree,
    name: &[u8],
    inode: SourceInode,
    place: Place,
    places: &mut Vec<Place>,
) -> Result<u32> {
    let is_dir = inode.file_type() == FileType::Directory;
    let put = |tree: &mut SourceTree, index: u32| {
        if let Some(old) = tree.inode_mut(index) {
            (old.permissions, old.uid, old.gid) = (inode.permissions, inode.uid, inode.gid);
            old.modified = inode.modified;
            old.xattrs = inode.xattrs.clone();
        }
    };
    let Some((parent, last)) = tree.place(name, &missing)? else {
        if is_dir {
            put(tree, 0);
        }
        return Ok(0);
    };
    if let Some(old) = tree.lookup(parent, &last) {
        let old_is_dir = tree
            .inode(old)
            .is_some_and(|i| i.file_type() == FileType::Directory);
        match (old_is_dir, is_dir) {
            (true, true) => {
                put(tree, old);
                note(tree, places);
                return Ok(old);
            }
            (true, false) => {
                return Err(disksmith_vfs::Error::IsADirectory {
                    path: String::from_utf8_lossy(name).into_owned(),
                }
                .into());
            }
            (false, _) => tree.unlink(parent, &last),
        }
    }
    let index = tree.add(inode)?;
    tree.link(parent, &last, index)?;
    note(tree, places);
    if let Some(slot) = places.get_mut(index as usize) {
        *slot = place;
    }
    Ok(index)
}

/// Gives a member that is there already a further name.
fn link(tree: &mut SourceTree, name: &[u8], target: &[u8], places: &mut Vec<Place>) -> Result<()> {
    let shown = || String::from_utf8_lossy(target).into_owned();
    let found = match tree.place(target, &missing)? {
        Some((parent, last)) => tree.lookup(parent, &last),
        None => None,
    };
    let found = found.ok_or_else(|| disksmith_vfs::Error::NotFound { path: shown() })?;
    if tree
        .inode(found)
        .is_some_and(|i| i.file_type() == FileType::Directory)
    {
        return Err(disksmith_vfs::Error::IsADirectory { path: shown() }.into());
    }
    let Some((parent, last)) = tree.place(name, &missing)? else {
        return Err(disksmith_vfs::Error::Exists { path: "/".into() }.into());
    };
    match tree.lookup(parent, &last) {
        Some(old) if old == found => return Ok(()),
        Some(old)
            if tree
                .inode(old)
                .is_some_and(|i| i.file_type() == FileType::Directory) =>
        {
            return Err(disksmith_vfs::Error::IsADirectory {
                path: String::from_utf8_lossy(name).into_owned(),
            }
            .into());
        }
        Some(_) => tree.unlink(parent, &last),
        None => {}
    }
    tree.link(parent, &last, found)?;
    note(tree, places);
    Ok(())
}

impl Pax {
    fn of(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Self> {
        let mut pax = Self::default();
        let Some(extensions) = entry.pax_extensions()? else {
            return Ok(pax);
        };
        let mut major = None;
        for extension in extensions {
            let extension = extension?;
            let (key, value) = (extension.key_bytes(), extension.value_bytes());
            let text = std::str::from_utf8(value).unwrap_or_default();
            match key {
                b"mtime" => pax.modified = time(text),
                b"uid" => pax.uid = text.parse().ok(),
                b"gid" => pax.gid = text.parse().ok(),
                b"GNU.sparse.major" => major = text.parse::<u32>().ok(),
                b"GNU.sparse.name" => pax.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => pax.sparse_size = text.parse().ok(),
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => pax.sparse_parts.extend(text.parse::<u64>()),
                b"GNU.sparse.map" => pax.sparse_map = Some(text.to_owned()),
                b"RHT.security.selinux" => {
                    let mut label = value.to_vec();
                    if label.last() != Some(&0) {
                        label.push(0);
                    }
                    pax.xattrs.push((b"security.selinux"[..].into(), label.into()));
                }
                _ => {
                    // Names of other systems mean nothing to Linux.
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.")
                        && NAMESPACES.iter().any(|space| name.starts_with(space))
                    {
                        pax.xattrs.push((name.into(), value.into()));
                    }
                }
            }
        }
        pax.map_in_data = major == Some(1);
        pax.xattrs.sort();
        pax.xattrs.dedup_by(|a, b| a.0 == b.0);
        Ok(pax)
    }
}

/// A time of a pax header: seconds with a fraction.
fn time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let mut seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().take(9).collect();
    let mut nanoseconds: u32 = if digits.is_empty() {
        0
    } else {
        format!("{digits:0<9}").parse().ok()?
    };
    if negative && nanoseconds > 0 {
        seconds = seconds.checked_sub(1)?;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    Some(Timestamp { seconds, nanoseconds })
}
