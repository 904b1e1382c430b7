//! Copies files and trees: from the host, and within the guest.

use super::{Editor, join};
use crate::context::CopyOwner;
use crate::error::{Error, Result};
use crate::report::{Action, Change};
use disksmith_vfs::{FileType, NewNode, Node, Owner, Timestamp};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

const CHUNK: usize = 1 << 20;
/// How deep a tree may be.
const MAX_DEPTH: usize = 200;

/// Owner and permission bits of a file that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewFile {
    pub(crate) owner: Owner,
    pub(crate) permissions: u16,
}

impl NewFile {
    /// Root's.
    pub(crate) fn root(permissions: u16) -> Self {
        Self {
            owner: Owner::ROOT,
            permissions,
        }
    }
}

impl Editor<'_> {
    /// Copies a file or a tree of the host into a directory of the guest, under its own name.
    pub(crate) fn copy_in(&mut self, host: &Path, dir: &[u8], owner: CopyOwner) -> Result<()> {
        let name = match host.file_name() {
            Some(name) => name.to_owned(),
            // "." and "..": the name of what they mean.
            None => fs::canonicalize(host)
                .map_err(|e| Error::host("read", host, e))?
                .file_name()
                .ok_or_else(|| Error::HostContent {
                    path: host.to_owned(),
                    reason: "has no name of its own to copy it under".into(),
                })?
                .to_owned(),
        };
        let target = join(dir, name.as_encoded_bytes());
        let metadata = fs::metadata(host).map_err(|e| Error::host("read", host, e))?;
        if metadata.is_dir() {
            self.copy_in_dir(host, &target, &metadata, owner, 0)
        } else {
            self.copy_in_entry(host, &target, owner, 0)
        }
    }

    fn copy_in_dir(
        &mut self,
        host: &Path,
        target: &[u8],
        metadata: &fs::Metadata,
        owner: CopyOwner,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::HostContent {
                path: host.to_owned(),
                reason: "lies too deep".into(),
            });
        }
        let new = attributes(metadata, owner);
        match self.link_metadata(target)? {
            Some(there) if there.is_dir() => {
                self.set_permissions(target, new.permissions)?;
                self.chown(target, new.owner)?;
            }
            Some(_) => return Err(Error::guest_path(target, "exists and is not a directory")),
            None => self.create_dir(target, new)?,
        }
        let mut entries = fs::read_dir(host)
            .and_then(|entries| {
                entries
                    .map(|e| e.map(|e| e.path()))
                    .collect::<std::io::Result<Vec<_>>>()
            })
            .map_err(|e| Error::host("list", host, e))?;
        entries.sort();
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
            self.copy_in_entry(&entry, &join(target, &name), owner, depth + 1)?;
        }
        self.set_modified(target, modified(metadata))
    }

    fn copy_in_entry(&mut self, host: &Path, target: &[u8], owner: CopyOwner, depth: usize) -> Result<()> {
        let metadata = fs::symlink_metadata(host).map_err(|e| Error::host("read", host, e))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.copy_in_dir(host, target, &metadata, owner, depth);
        }
        if kind.is_symlink() {
            let link = fs::read_link(host).map_err(|e| Error::host("read", host, e))?;
            self.clear_for_copy(target)?;
            self.symlink(link.as_os_str().as_encoded_bytes(), target)?;
            return Ok(self
                .tree()
                .chown_no_follow(target, attributes(&metadata, owner).owner)?);
        }
        if kind.is_file() {
            self.clear_for_copy(target)?;
            return self.copy_in_file(
                host,
                target,
                attributes(&metadata, owner),
                Some(modified(&metadata)),
            );
        }
        let (file_type, device) = special(&metadata).ok_or_else(|| Error::HostContent {
            path: host.to_owned(),
            reason: "is of a kind that cannot be copied".into(),
        })?;
        self.clear_for_copy(target)?;
        let new = attributes(&metadata, owner);
        self.tree().create_node(
            target,
            &NewNode {
                file_type,
                permissions: new.permissions,
                uid: new.owner.uid,
                gid: new.owner.gid,
                time: self.now(),
                target: b"",
                device,
            },
        )?;
        self.created(target, file_type, None, Some(new), None)
    }

    /// A link in the place of a copied file is replaced, never written through: the tree that is copied says what shall be there.
    fn clear_for_copy(&mut self, target: &[u8]) -> Result<()> {
        match self.link_metadata(target)? {
            Some(there) if there.is_dir() => Err(Error::guest_path(target, "is a directory")),
            Some(there) if !there.is_file() => self.remove(target),
            _ => Ok(()),
        }
    }

    /// Copies the contents of a host file; an existing target keeps its inode and labels and gets the mode and owner.
    pub(crate) fn copy_in_file(
        &mut self,
        host: &Path,
        target: &[u8],
        new: NewFile,
        modified: Option<Timestamp>,
    ) -> Result<()> {
        let io = |e| Error::host("read", host, e);
        let mut file = File::open(host).map_err(io)?;
        let before = self.metadata(target)?;
        if before.is_none() {
            self.tree().write(target, b"", new.owner, new.permissions)?;
        } else {
            self.tree().truncate(target, 0)?;
        }
        let node = self.tree().resolve(target)?;
        let mut buf = vec![0; CHUNK];
        let mut offset = 0u64;
        loop {
            let mut filled = 0;
            while let Some(space) = buf.get_mut(filled..).filter(|s| !s.is_empty()) {
                match file.read(space).map_err(io)? {
                    0 => break,
                    n => filled += n,
                }
            }
            self.write_chunk(node, offset, buf.get(..filled).unwrap_or_default(), target)?;
            offset += filled as u64;
            if filled < buf.len() {
                break;
            }
        }
        self.end_of_copy(node, offset, target)?;
        match before {
            None => self.created(target, FileType::Regular, Some(offset), Some(new), None)?,
            Some(before) => {
                let mut change = Change::new(Action::Modified, target, FileType::Regular);
                change.bytes_before = Some(before.size);
                change.bytes_after = Some(offset);
                self.step.push(change);
                self.chown(target, new.owner)?;
                self.set_permissions(target, new.permissions)?;
            }
        }
        match modified {
            Some(time) => self.set_modified(target, time),
            None => Ok(()),
        }
    }

    /// Writes a piece of a file; pages of zeroes stay holes.
    fn write_chunk(&self, node: Node, offset: u64, data: &[u8], path: &[u8]) -> Result<()> {
        let (fs, inode) = self.tree().open_node(node);
        let mut at = offset;
        // Runs of pages that are all zero, or not.
        let pages = data.chunks(4096).map(|page| (page, page.iter().all(|b| *b == 0)));
        let mut run: &[u8] = &[];
        let mut run_start = 0usize;
        for (page, zero) in pages {
            let start = (at - offset) as usize;
            at += page.len() as u64;
            if zero {
                if !run.is_empty() {
                    fs.write(inode, offset + run_start as u64, run)
                        .map_err(|e| e.at_path(path))?;
                    run = &[];
                }
            } else {
                if run.is_empty() {
                    run_start = start;
                }
                run = data.get(run_start..start + page.len()).unwrap_or_default();
            }
        }
        if !run.is_empty() {
            fs.write(inode, offset + run_start as u64, run)
                .map_err(|e| e.at_path(path))?;
        }
        Ok(())
    }

    /// A file that ends in a hole has to be told its size.
    fn end_of_copy(&self, node: Node, size: u64, path: &[u8]) -> Result<()> {
        let (fs, inode) = self.tree().open_node(node);
        fs.set_size(inode, size).map_err(|e| e.at_path(path).into())
    }

    fn set_modified(&self, path: &[u8], time: Timestamp) -> Result<()> {
        Ok(self.tree().set_times(path, None, Some(time))?)
    }

    /// Copies within the guest, as `cp -a`: modes, owners, times, links and extended attributes come along. Into `to` where that is
    /// a directory.
    pub(crate) fn copy(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let source = self.tree().symlink_metadata(from)?;
        let target = if self.is_dir(to)? {
            join(to, super::split(from).1)
        } else {
            to.to_vec()
        };
        if source.is_dir() {
            // A directory cannot be copied into itself.
            let within = self.real_ancestors(&target)?;
            if within.contains(&self.tree().resolve(from)?) {
                return Err(Error::guest_path(
                    &target,
                    "lies inside of what is to be copied there",
                ));
            }
        }
        self.copy_entry(from, &target, 0, &mut HashMap::new())
    }

    /// The nodes of all directories above a path.
    fn real_ancestors(&self, path: &[u8]) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        let mut dir = super::split(path).0.to_vec();
        for _ in 0..4096 {
            let node = self.tree().resolve(&dir)?;
            nodes.push(node);
            if node == self.tree().root() {
                break;
            }
            dir = join(&dir, b"..");
        }
        Ok(nodes)
    }

    /// `copies` holds where the files that have several names were copied to.
    fn copy_entry(
        &mut self,
        from: &[u8],
        to: &[u8],
        depth: usize,
        copies: &mut HashMap<Node, Vec<u8>>,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::guest_path(from, "lies too deep"));
        }
        let source = self.tree().symlink_metadata(from)?;
        let new = NewFile {
            owner: Owner {
                uid: source.uid,
                gid: source.gid,
            },
            permissions: source.permissions,
        };
        match source.file_type {
            FileType::Directory => {
                match self.link_metadata(to)? {
                    Some(there) if there.is_dir() => {}
                    Some(_) => return Err(Error::guest_path(to, "exists and is not a directory")),
                    None => self.create_dir(to, new)?,
                }
                for entry in self.tree().read_dir(from)? {
                    self.copy_entry(
                        &join(from, &entry.name),
                        &join(to, &entry.name),
                        depth + 1,
                        copies,
                    )?;
                }
            }
            FileType::Symlink => {
                let target = self.tree().read_link(from)?;
                self.clear_for_copy(to)?;
                if self.link_metadata(to)?.is_some() {
                    self.remove(to)?;
                }
                self.symlink(&target, to)?;
                self.tree().chown_no_follow(to, new.owner)?;
            }
            FileType::Regular => {
                self.clear_for_copy(to)?;
                if source.links > 1 {
                    let node = self.tree().resolve_no_follow(from)?;
                    if let Some(copy) = copies.get(&node) {
                        return self.another_name(&copy.clone(), to);
                    }
                    copies.insert(node, to.to_vec());
                }
                self.copy_contents(from, to, new)?;
            }
            file_type => {
                self.clear_for_copy(to)?;
                self.tree().create_node(
                    to,
                    &NewNode {
                        file_type,
                        permissions: new.permissions,
                        uid: new.owner.uid,
                        gid: new.owner.gid,
                        time: self.now(),
                        target: b"",
                        device: source.device,
                    },
                )?;
                self.created(to, file_type, None, Some(new), None)?;
            }
        }
        if source.file_type != FileType::Symlink {
            self.copy_xattrs(from, to)?;
            self.tree()
                .set_times(to, Some(source.accessed), Some(source.modified))?;
        }
        Ok(())
    }

    /// A name for a file that was copied under another one already.
    fn another_name(&mut self, copy: &[u8], to: &[u8]) -> Result<()> {
        self.remove_if_there(to)?;
        self.tree().hard_link(copy, to)?;
        let metadata = self.tree().metadata(to)?;
        let mut change = Change::new(Action::Created, to, FileType::Regular);
        change.bytes_after = Some(metadata.size);
        self.step.push(change);
        Ok(())
    }

    fn copy_contents(&mut self, from: &[u8], to: &[u8], new: NewFile) -> Result<()> {
        let source = self.tree().resolve_no_follow(from)?;
        let before = self.metadata(to)?;
        if before.is_some() && self.tree().resolve(to)? == source {
            return Err(Error::guest_path(to, "is the file that is to be copied"));
        }
        match &before {
            None => self.tree().write(to, b"", new.owner, new.permissions)?,
            Some(_) => self.tree().truncate(to, 0)?,
        }
        let target = self.tree().resolve(to)?;
        let (source_fs, source_inode) = self.tree().open_node(source);
        let size = self.tree().node_metadata(source)?.size;
        let mut buf = vec![0; CHUNK];
        let mut offset = 0;
        while let Some((start, len)) = source_fs
            .next_data(source_inode, offset)
            .map_err(|e| e.at_path(from))?
        {
            let end = start.saturating_add(len).min(size);
            offset = start;
            while offset < end {
                let want = (end - offset).min(CHUNK as u64) as usize;
                let space = buf.get_mut(..want).unwrap_or_default();
                let n = source_fs
                    .read(source_inode, offset, space)
                    .map_err(|e| e.at_path(from))?;
                if n == 0 {
                    break;
                }
                self.write_chunk(target, offset, space.get(..n).unwrap_or_default(), to)?;
                offset += n as u64;
            }
            if offset <= start {
                break;
            }
        }
        self.end_of_copy(target, size, to)?;
        match before {
            None => self.created(to, FileType::Regular, Some(size), Some(new), None),
            Some(before) => {
                let mut change = Change::new(Action::Modified, to, FileType::Regular);
                change.bytes_before = Some(before.size);
                change.bytes_after = Some(size);
                self.step.push(change);
                self.chown(to, new.owner)?;
                self.set_permissions(to, new.permissions)
            }
        }
    }

    fn copy_xattrs(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        for name in self.tree().list_xattrs(from)? {
            if let Some(value) = self.tree().xattr(from, &name)? {
                self.tree().set_xattr(to, &name, &value)?;
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn attributes(metadata: &fs::Metadata, owner: CopyOwner) -> NewFile {
    use std::os::unix::fs::MetadataExt;
    let permissions = (metadata.mode() & 0o7777) as u16;
    match owner {
        CopyOwner::Host => NewFile {
            owner: Owner {
                uid: metadata.uid(),
                gid: metadata.gid(),
            },
            permissions,
        },
        CopyOwner::Root => NewFile::root(permissions),
    }
}

#[cfg(not(unix))]
fn attributes(metadata: &fs::Metadata, _owner: CopyOwner) -> NewFile {
    NewFile::root(if metadata.is_dir() { 0o755 } else { 0o644 })
}

/// Owner and mode that a file of the host has, or shall have in the guest.
pub(crate) fn host_attributes(path: &Path, owner: CopyOwner) -> Result<NewFile> {
    let metadata = fs::metadata(path).map_err(|e| Error::host("read", path, e))?;
    Ok(attributes(&metadata, owner))
}

#[cfg(unix)]
fn special(metadata: &fs::Metadata) -> Option<(FileType, (u32, u32))> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let kind = metadata.file_type();
    let device = metadata.rdev();
    // Linux's own packing of device numbers.
    let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
    let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
    let device = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    if kind.is_fifo() {
        Some((FileType::Fifo, (0, 0)))
    } else if kind.is_socket() {
        Some((FileType::Socket, (0, 0)))
    } else if kind.is_char_device() {
        Some((FileType::CharDevice, device))
    } else if kind.is_block_device() {
        Some((FileType::BlockDevice, device))
    } else {
        None
    }
}

#[cfg(not(unix))]
fn special(_metadata: &fs::Metadata) -> Option<(FileType, (u32, u32))> {
    None
}

fn modified(metadata: &fs::Metadata) -> Timestamp {
    let Ok(time) = metadata.modified() else {
        return Timestamp::default();
    };
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => Timestamp {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: after.subsec_nanos(),
        },
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp {
                    seconds: -whole,
                    nanoseconds: 0,
                },
                n => Timestamp {
                    seconds: -whole - 1,
                    nanoseconds: 1_000_000_000 - n,
                },
            }
        }
    }
}
