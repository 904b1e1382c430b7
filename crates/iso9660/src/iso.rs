//! Reading an image: its hierarchy of most expression, Rock Ridge before Joliet before plain names.

use crate::directory_record::{self, ASSOCIATED, DIRECTORY, MULTI_EXTENT, ParsedRecord, SELF};
use crate::options::VolumeTexts;
use crate::susp_area::{self, RockRidge};
use crate::volume_descriptor::{FIRST_BLOCK, Kind, ParsedDescriptor};
use crate::zisofs;
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::{
    DirEntry, DirSink, Error, FileSystem, FileType, InodeNo, Metadata, Result, StatFs, Timestamp,
};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A logical sector (ECMA-119 6.1.2): descriptors are that long, and no directory record crosses its border.
const SECTOR: u64 = 2048;
/// The most descriptors that are looked at.
const MAX_DESCRIPTORS: u64 = 64;
/// The most sections that one file may have.
const MAX_SECTIONS: usize = 16 * 1024;

/// The names that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// With how many bytes to skip in each system use area.
    RockRidge(u8),
    Joliet,
    Plain,
}

/// What is known of a directory before it is read.
#[derive(Debug, Clone, Copy)]
struct Known {
    parent: u64,
    /// Offset of the record that names it.
    record: u64,
}

/// An ISO 9660 image, opened for reading.
///
/// Inode numbers are byte offsets in the image: of a directory's first record, and of the record that names anything else.
/// Plain names are shown in lower case and without their version, as Linux shows them.
#[derive(Debug)]
pub struct Iso {
    storage: StorageRef,
    names: Names,
    block_size: u32,
    primary: ParsedDescriptor,
    joliet: Option<ParsedDescriptor>,
    root: u64,
    /// Every directory that was met, so that one of two names, or a loop, is found out.
    directories: Mutex<HashMap<u64, Known>>,
}

/// A record with everything that is known of it.
struct Entry {
    name: Vec<u8>,
    inode: u64,
    file_type: FileType,
}

/// One extent of a file.
#[derive(Debug, Clone, Copy)]
struct Section {
    offset: u64,
    len: u64,
}

/// What a record at an inode's offset says.
struct Node {
    flags: u8,
    is_directory: bool,
    date: Option<Timestamp>,
    extent: u64,
    len: u64,
    rock_ridge: RockRidge,
}

impl Iso {
    /// Opens an image.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is no primary volume descriptor, or one that cannot be.
    pub fn open(storage: StorageRef) -> Result<Self> {
        let mut primary = None;
        let mut joliet = None;
        for index in 0..MAX_DESCRIPTORS {
            let offset = (u64::from(FIRST_BLOCK) + index) * SECTOR;
            if storage.check_range(offset, SECTOR).is_err() {
                break;
            }
            let bytes = read_vec(storage.as_ref(), offset, SECTOR as usize)?;
            let Some(descriptor) = ParsedDescriptor::parse(&bytes) else {
                break;
            };
            match descriptor.kind {
                Kind::Primary if primary.is_none() => primary = Some(descriptor),
                Kind::Joliet if joliet.is_none() => joliet = Some(descriptor),
                Kind::Terminator => break,
                _ => {}
            }
        }
        let damaged = |detail: String| Error::Corrupt {
            filesystem: format!("iso9660 on {}", storage.name()),
            detail,
        };
        let Some(primary) = primary else {
            return Err(damaged(
                "no primary volume descriptor (CD001) from offset 32768 on".into(),
            ));
        };
        if !matches!(primary.block_size, 512 | 1024 | 2048) {
            return Err(damaged(format!(
                "primary volume descriptor: logical block size {} at offset 32896",
                primary.block_size
            )));
        }
        let mut iso = Self {
            storage,
            names: Names::Plain,
            block_size: u32::from(primary.block_size),
            root: 0,
            primary,
            joliet,
            directories: Mutex::default(),
        };
        iso.root = iso.offset_of(iso.primary.root_extent);
        let system_use = iso.with_record(iso.root, |record| record.system_use.to_vec());
        match (system_use, &iso.joliet) {
            (Ok(system_use), _) if susp_area::skip_of(&system_use).is_some() => {
                iso.names = Names::RockRidge(susp_area::skip_of(&system_use).unwrap_or(0));
            }
            (_, Some(joliet)) => {
                iso.names = Names::Joliet;
                iso.root = iso.offset_of(joliet.root_extent);
            }
            (Err(error), None) => return Err(error),
            _ => {}
        }
        Ok(iso)
    }

    /// The texts of the primary volume descriptor.
    pub fn texts(&self) -> &VolumeTexts {
        &self.primary.texts
    }

    /// Whether there is a Joliet hierarchy.
    pub fn has_joliet(&self) -> bool {
        self.joliet.is_some()
    }

    /// Whether names and attributes come from Rock Ridge.
    pub fn has_rock_ridge(&self) -> bool {
        matches!(self.names, Names::RockRidge(_))
    }

    /// Size of the volume in bytes, as its descriptor says.
    pub fn volume_size(&self) -> u64 {
        u64::from(self.primary.blocks) * u64::from(self.block_size)
    }

    /// When the volume was made.
    pub fn created(&self) -> Option<Timestamp> {
        self.primary.created
    }

    /// When the volume was last changed.
    pub fn modified(&self) -> Option<Timestamp> {
        self.primary.modified
    }

    fn offset_of(&self, block: u32) -> u64 {
        u64::from(block) * u64::from(self.block_size)
    }

    fn damaged(&self, structure: &str, offset: u64, detail: impl std::fmt::Display) -> Error {
        Error::Corrupt {
            filesystem: format!("iso9660 on {}", self.storage.name()),
            detail: format!("{structure} at offset {offset}: {detail}"),
        }
    }

    /// Looks at the record at an offset.
    fn with_record<T>(&self, offset: u64, look: impl FnOnce(&ParsedRecord<'_>) -> T) -> Result<T> {
        let room = SECTOR - offset % SECTOR;
        let room = room.min(self.storage.size().saturating_sub(offset)).min(255);
        let bytes = read_vec(self.storage.as_ref(), offset, room as usize)?;
        match ParsedRecord::parse(&bytes) {
            Some(record) => Ok(look(&record)),
            None => Err(self.damaged("directory record", offset, "not a record")),
        }
    }

    fn rock_ridge(&self, system_use: &[u8]) -> Result<RockRidge> {
        match self.names {
            Names::RockRidge(skip) => Ok(susp_area::read(&self.storage, self.block_size, system_use, skip)?),
            _ => Ok(RockRidge::default()),
        }
    }

    fn node(&self, inode: InodeNo) -> Result<Node> {
        let (mut node, system_use) = self.with_record(inode.0, |found| {
            let record = &found.record;
            let node = Node {
                flags: record.flags,
                is_directory: record.flags & DIRECTORY != 0 && record.identifier == SELF,
                date: crate::date::decode_record(&record.date),
                extent: self.offset_of(record.extent)
                    + u64::from(found.attribute_blocks) * u64::from(self.block_size),
                len: u64::from(record.len),
                rock_ridge: RockRidge::default(),
            };
            (node, found.system_use.to_vec())
        })?;
        // The root's first record starts with `SP` and what it says to skip is not skipped there.
        node.rock_ridge = match self.names {
            Names::RockRidge(_) if inode.0 == self.root => {
                susp_area::read(&self.storage, self.block_size, &system_use, 0)?
            }
            _ => self.rock_ridge(&system_use)?,
        };
        Ok(node)
    }

    fn directory(&self, inode: InodeNo) -> Result<Node> {
        let node = self.node(inode)?;
        if node.is_directory {
            Ok(node)
        } else {
            Err(Error::NotADirectory {
                path: inode.to_string(),
            })
        }
    }

    fn file(&self, inode: InodeNo) -> Result<Node> {
        let node = self.node(inode)?;
        match self.type_of(&node) {
            FileType::Regular => Ok(node),
            FileType::Directory => Err(Error::IsADirectory {
                path: inode.to_string(),
            }),
            found => Err(Error::WrongType {
                path: inode.to_string(),
                found,
            }),
        }
    }

    fn type_of(&self, node: &Node) -> FileType {
        if node.is_directory {
            return FileType::Directory;
        }
        file_type(&node.rock_ridge, node.flags)
    }

    /// Calls `visit` with each record of a directory from an offset in it on, and the offset of the next; `false` stops.
    fn records(
        &self,
        dir: InodeNo,
        len: u64,
        from: u64,
        visit: &mut dyn FnMut(&ParsedRecord<'_>, u64, u64) -> Result<bool>,
    ) -> Result<()> {
        let mut at = from;
        while at < len {
            let sector = at - at % SECTOR;
            let take = SECTOR.min(len - sector);
            let bytes = read_vec(self.storage.as_ref(), dir.0 + sector, take as usize)?;
            let mut inside = (at - sector) as usize;
            while let Some(length) = bytes.get(inside).filter(|length| **length > 0) {
                let offset = dir.0 + sector + inside as u64;
                let rest = bytes.get(inside..).unwrap_or(&[]);
                let Some(record) = ParsedRecord::parse(rest) else {
                    return Err(self.damaged(
                        "directory record",
                        offset,
                        format!("not a record of {length} bytes"),
                    ));
                };
                inside += record.len;
                if !visit(&record, offset, sector + inside as u64)? {
                    return Ok(());
                }
            }
            at = sector + SECTOR;
        }
        Ok(())
    }

    /// Calls `visit` with each entry of a directory and the offset after it.
    fn entries(
        &self,
        dir: InodeNo,
        from: u64,
        visit: &mut dyn FnMut(Entry, u64) -> Result<bool>,
    ) -> Result<()> {
        let node = self.directory(dir)?;
        self.storage.check_range(dir.0, node.len)?;
        let mut continues = false;
        self.records(dir, node.len, from, &mut |found, offset, next| {
            let record = &found.record;
            let further_section = std::mem::replace(&mut continues, record.flags & MULTI_EXTENT != 0);
            let special = record.identifier == SELF || record.identifier == directory_record::PARENT;
            if further_section || special || record.flags & ASSOCIATED != 0 {
                return Ok(true);
            }
            let rock_ridge = self.rock_ridge(found.system_use)?;
            if rock_ridge.relocated {
                return Ok(true);
            }
            let child = match rock_ridge.child {
                Some(block) => Some(self.offset_of(block)),
                None if record.flags & DIRECTORY != 0 => Some(self.offset_of(record.extent)),
                None => None,
            };
            let (inode, kind) = match child {
                Some(child) => {
                    self.meet(child, dir.0, offset)?;
                    (child, FileType::Directory)
                }
                None => (offset, file_type(&rock_ridge, record.flags)),
            };
            let name = match rock_ridge.name {
                Some(name) => name,
                None => self.plain_name(record.identifier),
            };
            visit(
                Entry {
                    name: harmless(name),
                    inode,
                    file_type: kind,
                },
                next,
            )
        })
    }

    /// Notes who names a directory. One that two records name would make the tree endless or far too large.
    fn meet(&self, child: u64, parent: u64, record: u64) -> Result<()> {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        let known = directories.entry(child).or_insert(Known { parent, record });
        // Directories that overlap show one record in two places.
        if known.record != record || known.parent != parent || child == self.root {
            let other = known.record;
            drop(directories);
            let detail = format!(
                "names the directory at offset {child}, which the record at offset {other} names too"
            );
            return Err(self.damaged("directory record", record, detail));
        }
        Ok(())
    }

    fn plain_name(&self, identifier: &[u8]) -> Vec<u8> {
        let text = match self.names {
            Names::Joliet => {
                let units: Vec<u16> = identifier
                    .chunks_exact(2)
                    .map(|c| c.iter().fold(0, |u, b| u << 8 | u16::from(*b)))
                    .collect();
                String::from_utf16_lossy(&units).into_bytes()
            }
            _ => identifier.to_ascii_lowercase(),
        };
        let version = text.iter().rposition(|b| *b == b';').filter(|at| {
            text.get(at + 1..)
                .is_some_and(|v| !v.is_empty() && v.iter().all(u8::is_ascii_digit))
        });
        let mut name = text
            .get(..version.unwrap_or(text.len()))
            .unwrap_or(&text)
            .to_vec();
        if self.names != Names::Joliet && name.len() > 1 && name.last() == Some(&b'.') {
            name.pop();
        }
        name
    }

    /// The sections of a file, from its first record on.
    fn sections(&self, inode: InodeNo) -> Result<Vec<Section>> {
        let mut out = Vec::new();
        let mut at = inode.0;
        loop {
            let (section, more, len, interleave) = self.with_record(at, |found| {
                let record = &found.record;
                let start = self.offset_of(record.extent)
                    + u64::from(found.attribute_blocks) * u64::from(self.block_size);
                let section = Section {
                    offset: start,
                    len: u64::from(record.len),
                };
                (
                    section,
                    record.flags & MULTI_EXTENT != 0,
                    found.len as u64,
                    found.interleave,
                )
            })?;
            if interleave != (0, 0) {
                return Err(self.unsupported("an interleaved file"));
            }
            out.push(section);
            if !more {
                return Ok(out);
            }
            if out.len() >= MAX_SECTIONS {
                return Err(self.damaged(
                    "directory record",
                    at,
                    format!("more than {MAX_SECTIONS} sections of a file"),
                ));
            }
            at += len;
            // No record crosses the border of a sector; the rest of one is zero.
            let rest = at % SECTOR;
            if rest != 0 && read_vec(self.storage.as_ref(), at, 1)?.first() == Some(&0) {
                at += SECTOR - rest;
            }
        }
    }

    /// Reads from the recorded bytes of a file.
    fn read_sections(&self, sections: &[Section], offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut skip = offset;
        let mut done = 0;
        for section in sections {
            if skip >= section.len {
                skip -= section.len;
                continue;
            }
            let left = buf.len() - done;
            let n = usize::try_from(section.len - skip)
                .unwrap_or(usize::MAX)
                .min(left);
            if let Some(part) = buf.get_mut(done..done + n) {
                self.storage.read_at(section.offset.saturating_add(skip), part)?;
            }
            done += n;
            skip = 0;
            if done == buf.len() {
                break;
            }
        }
        Ok(done)
    }
}

fn file_type(rock_ridge: &RockRidge, flags: u8) -> FileType {
    if rock_ridge.child.is_some() || flags & DIRECTORY != 0 {
        return FileType::Directory;
    }
    match rock_ridge.posix.and_then(|p| p.file_type()) {
        Some(FileType::Directory) | None if rock_ridge.target.is_some() => FileType::Symlink,
        Some(FileType::Directory) | None => FileType::Regular,
        Some(kind) => kind,
    }
}

/// A name that no path walk can trip over.
fn harmless(mut name: Vec<u8>) -> Vec<u8> {
    for byte in &mut name {
        if matches!(*byte, b'/' | 0) {
            *byte = b'_';
        }
    }
    match name.as_slice() {
        b"" | b"." => b"_".to_vec(),
        b".." => b"__".to_vec(),
        _ => name,
    }
}

impl FileSystem for Iso {
    fn kind(&self) -> &'static str {
        "iso9660"
    }

    fn label(&self) -> Option<Vec<u8>> {
        let plain = &self.primary.texts.volume_id;
        let joliet = self.joliet.as_ref().map(|j| &j.texts.volume_id);
        let label = match joliet {
            // The same in Joliet may have kept its case.
            Some(joliet) if plain.is_empty() || joliet.eq_ignore_ascii_case(plain) => joliet,
            _ => plain,
        };
        (!label.is_empty()).then(|| label.clone().into_bytes())
    }

    fn uuid(&self) -> Option<String> {
        let [created, modified] = self.primary.date_digits?;
        let digits = [modified, created]
            .into_iter()
            .find(|d| d.iter().all(u8::is_ascii_digit) && d.iter().any(|b| *b != b'0'))?;
        let text = std::str::from_utf8(&digits).ok()?;
        let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
        Some(
            parts
                .into_iter()
                .filter_map(|range| text.get(range))
                .collect::<Vec<_>>()
                .join("-"),
        )
    }

    fn is_writable(&self) -> bool {
        false
    }

    fn root(&self) -> InodeNo {
        InodeNo(self.root)
    }

    fn stat_fs(&self) -> Result<StatFs> {
        Ok(StatFs {
            block_size: u64::from(self.block_size),
            blocks: u64::from(self.primary.blocks),
            max_name_len: match self.names {
                Names::RockRidge(_) => 255,
                Names::Joliet => 103 * 3,
                Names::Plain => 207,
            },
            ..StatFs::default()
        })
    }

    fn lookup(&self, dir: InodeNo, name: &[u8]) -> Result<InodeNo> {
        let mut found = None;
        self.entries(dir, 0, &mut |entry, _| {
            if entry.name == name {
                found = Some(InodeNo(entry.inode));
            }
            Ok(found.is_none())
        })?;
        found.ok_or_else(|| Error::NotFound {
            path: String::from_utf8_lossy(name).into_owned(),
        })
    }

    fn metadata(&self, inode: InodeNo) -> Result<Metadata> {
        let node = self.node(inode)?;
        let file_type = self.type_of(&node);
        let rock_ridge = &node.rock_ridge;
        let size = match file_type {
            FileType::Directory => node.len,
            FileType::Symlink => rock_ridge.target.as_ref().map_or(0, |t| t.len() as u64),
            FileType::Regular => match rock_ridge.zisofs {
                Some(zisofs) => u64::from(zisofs.size),
                None => self.sections(inode)?.iter().map(|s| s.len).sum(),
            },
            _ => 0,
        };
        let default = if file_type == FileType::Directory {
            0o555
        } else {
            0o444
        };
        let date = node.date.unwrap_or_default();
        let modified = rock_ridge.modified.unwrap_or(date);
        Ok(Metadata {
            inode,
            file_type,
            permissions: rock_ridge.posix.map_or(default, |p| (p.mode & 0o7777) as u16),
            uid: rock_ridge.posix.map_or(0, |p| p.uid),
            gid: rock_ridge.posix.map_or(0, |p| p.gid),
            size,
            blocks: size.div_ceil(SECTOR) * (SECTOR / 512),
            links: rock_ridge.posix.map_or(1, |p| u64::from(p.links)),
            device: rock_ridge.device.unwrap_or((0, 0)),
            accessed: rock_ridge.accessed.unwrap_or(modified),
            modified,
            changed: rock_ridge.changed.unwrap_or(modified),
            created: rock_ridge.created,
        })
    }

    fn read_dir(&self, dir: InodeNo, cookie: u64, sink: DirSink<'_>) -> Result<()> {
        self.entries(dir, cookie, &mut |entry, next| {
            Ok(sink(DirEntry {
                name: entry.name,
                inode: InodeNo(entry.inode),
                file_type: entry.file_type,
                cookie: next,
            }))
        })
    }

    fn parent(&self, dir: InodeNo) -> Result<InodeNo> {
        if dir.0 == self.root {
            return Ok(dir);
        }
        let node = self.directory(dir)?;
        let known = self
            .directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&dir.0)
            .copied();
        if let Some(known) = known {
            return Ok(InodeNo(known.parent));
        }
        let mut parent = None;
        self.records(dir, node.len, 0, &mut |found, _, _| {
            if found.record.identifier != directory_record::PARENT {
                return Ok(found.record.identifier == SELF);
            }
            let relocated = self.rock_ridge(found.system_use)?.parent;
            parent = Some(InodeNo(self.offset_of(relocated.unwrap_or(found.record.extent))));
            Ok(false)
        })?;
        parent.ok_or_else(|| self.damaged("directory", dir.0, "has no record of its parent"))
    }

    fn read(&self, inode: InodeNo, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let node = self.file(inode)?;
        let sections = self.sections(inode)?;
        match node.rock_ridge.zisofs {
            Some(zisofs) => {
                let len = sections.iter().map(|s| s.len).sum();
                zisofs::read(
                    len,
                    u64::from(zisofs.size),
                    offset,
                    buf,
                    &mut |at, part| match self.read_sections(&sections, at, part)? {
                        n if n == part.len() => Ok(()),
                        _ => Err(self.damaged("compressed file", node.extent, "ends too early")),
                    },
                )?
                .map_err(|detail| self.damaged("compressed file", node.extent, detail))
            }
            None => self.read_sections(&sections, offset, buf),
        }
    }

    fn read_link(&self, inode: InodeNo) -> Result<Vec<u8>> {
        let node = self.node(inode)?;
        match (self.type_of(&node), node.rock_ridge.target) {
            (FileType::Symlink, Some(target)) => Ok(target),
            (found, _) => Err(Error::WrongType {
                path: inode.to_string(),
                found,
            }),
        }
    }
}
