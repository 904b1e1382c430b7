//! A tar archive as the source of a new filesystem: looked through once for what its members are, and read once more for what
//! they hold.

use crate::compression::Compression;
use crate::error::{Error, Result};
use disksmith_vfs::{
    AclNames, DataRanges, FileType, SourceBody, SourceContents, SourceInode, SourceTree, TarEntry, TarError,
    TarKind, TarReader, Timestamp,
};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// The kinds of extended attributes that Linux has, but access control lists. Names of other systems mean nothing to it.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// The most bytes of a passwd or group file that are looked at.
const MAX_NAMES: u64 = 1 << 20;

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

/// An access control list that names users whom the archive's own passwd file knows, perhaps.
struct NamedList {
    file: u32,
    attribute: &'static [u8],
    text: Vec<u8>,
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
        let raw = this.compression.open(&this.file).map_err(host)?;
        let mut reader = TarReader::new(BufReader::with_capacity(1 << 17, raw));
        let mut lists = Vec::new();
        let mut members = 0u64;
        loop {
            members += 1;
            let next = reader.next_entry();
            let Some(entry) = next.map_err(|error| this.damaged(members, error))? else {
                break;
            };
            let place = Place {
                start: reader.position(),
                parts: entry.map.as_deref().map(Into::into),
            };
            this.member(&mut tree, &entry, place, &mut lists)?;
        }
        this.resolve_lists(&mut tree, lists)?;
        this.reader = None;
        tree.finish();
        Ok((tree, this))
    }

    fn wrong(&self, member: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Archive {
            archive: self.path.clone(),
            member: member.into(),
            reason: reason.into(),
        }
    }

    fn damaged(&self, member: u64, error: TarError) -> Error {
        match error {
            TarError::NotATar => self.wrong("the archive", "neither a directory nor a tar archive"),
            TarError::Damaged { offset, detail } => {
                self.wrong(format!("member {member}"), format!("at byte {offset}: {detail}"))
            }
            TarError::Read(error) => self.wrong(format!("member {member}"), error.to_string()),
            other => self.wrong(format!("member {member}"), other.to_string()),
        }
    }

    fn member(
        &mut self,
        tree: &mut SourceTree,
        entry: &TarEntry,
        place: Place,
        lists: &mut Vec<NamedList>,
    ) -> Result<()> {
        let body = match entry.kind {
            TarKind::Directory => directory(),
            TarKind::Symlink => {
                if entry.link.is_empty() || entry.link.contains(&0) {
                    let shown = String::from_utf8_lossy(&entry.name);
                    let wrong = "a symbolic link whose target is empty or holds a zero byte";
                    return Err(self.wrong(shown, wrong));
                }
                SourceBody::Symlink(entry.link.as_slice().into())
            }
            TarKind::CharDevice => SourceBody::CharDevice(entry.device.0, entry.device.1),
            TarKind::BlockDevice => SourceBody::BlockDevice(entry.device.0, entry.device.1),
            TarKind::Fifo => SourceBody::Fifo,
            TarKind::HardLink => return link(tree, &entry.name, &entry.link, &mut self.places),
            TarKind::File => SourceBody::File {
                size: entry.size,
                data: match &place.parts {
                    Some(parts) => DataRanges::Parts(parts.clone()),
                    None => DataRanges::Whole,
                },
            },
        };
        let owner = (entry.uid, entry.gid);
        let mut inode = SourceInode::new(body, entry.permissions, owner, entry.modified);
        for (name, value) in &entry.xattrs {
            if NAMESPACES.iter().any(|space| name.starts_with(space)) {
                inode
                    .xattrs
                    .push((name.as_slice().into(), value.as_slice().into()));
            }
        }
        let mut named = Vec::new();
        for (attribute, text) in [
            (&b"system.posix_acl_access"[..], &entry.acl),
            (b"system.posix_acl_default", &entry.default_acl),
        ] {
            let Some(text) = text else { continue };
            match AclNames::default().attribute(text) {
                Some(value) => inode.xattrs.push((attribute.into(), value.into())),
                None => named.push((attribute, text.clone())),
            }
        }
        inode.xattrs.sort();
        let file = add(tree, &entry.name, inode, place, &mut self.places)?;
        lists.extend(named.into_iter().map(|(attribute, text)| NamedList {
            file,
            attribute,
            text,
        }));
        Ok(())
    }

    /// Gives the files whose lists have names in them these lists, by the archive's own passwd and group files.
    fn resolve_lists(&mut self, tree: &mut SourceTree, lists: Vec<NamedList>) -> Result<()> {
        if lists.is_empty() {
            return Ok(());
        }
        let passwd = self.small_file(tree, b"passwd")?;
        let group = self.small_file(tree, b"group")?;
        let names = AclNames::parse(&passwd, &group);
        for list in lists {
            let Some(value) = names.attribute(&list.text) else {
                let reason = "its access control list cannot be read, or names users or groups that the archive's \
                              etc/passwd and etc/group do not have";
                return Err(self.wrong(tree.path(list.file), reason));
            };
            if let Some(inode) = tree.inode_mut(list.file) {
                inode.xattrs.retain(|(name, _)| **name != *list.attribute);
                inode.xattrs.push((list.attribute.into(), value.into()));
                inode.xattrs.sort();
            }
        }
        Ok(())
    }

    /// The contents of a file in `/etc`, as far as they are looked at; nothing where there is none.
    fn small_file(&mut self, tree: &SourceTree, name: &[u8]) -> Result<Vec<u8>> {
        let file = tree.lookup(0, b"etc").and_then(|etc| tree.lookup(etc, name));
        let Some((file, SourceBody::File { size, .. })) =
            file.and_then(|file| Some((file, &tree.inode(file)?.body)))
        else {
            return Ok(Vec::new());
        };
        let mut text = vec![0; usize::try_from((*size).min(MAX_NAMES)).unwrap_or(0)];
        self.read(file, 0, &mut text)?;
        Ok(text)
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
