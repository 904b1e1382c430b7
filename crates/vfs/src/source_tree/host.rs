//! A directory of the host as the source of a new filesystem.

use super::{DataRanges, SourceBody, SourceContents, SourceInode, SourceTree};
use crate::error::{Error, Result};
use crate::metadata::Timestamp;
use rustix::fs::{AtFlags, CWD, FileType as HostType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A file has more holes than this: the rest counts as data.
const MAX_PARTS: usize = 100_000;

fn failed(path: &Path, operation: &'static str, errno: Errno) -> Error {
    disksmith_storage::Error::io(path.display().to_string(), operation, None, errno.into()).into()
}

/// A directory of the host, and where the files of its tree are found.
#[derive(Debug)]
pub struct HostSource {
    root: PathBuf,
    /// For each file the directory that it was found in, and its name there.
    places: Vec<(u32, OsString)>,
    open: Option<(u32, OwnedFd)>,
}

impl HostSource {
    /// Looks at everything in a directory of the host. Names are taken in order, so that the same directory gives the same tree.
    ///
    /// # Errors
    /// Those of reading the host's files.
    pub fn scan(root: &Path) -> Result<(SourceTree, Self)> {
        let stat = rustix::fs::stat(root).map_err(|e| failed(root, "read", e))?;
        if HostType::from_raw_mode(stat.st_mode) != HostType::Directory {
            return Err(Error::NotADirectory {
                path: root.display().to_string(),
            });
        }
        let mut scan = Scan {
            tree: SourceTree::new(inode_of(SourceBody::Directory(Vec::new()), &stat)),
            source: Self {
                root: root.to_owned(),
                places: vec![(0, OsString::new())],
                open: None,
            },
            linked: HashMap::new(),
            names: vec![0; 1024],
            value: vec![0; 1024],
        };
        let xattrs = scan.xattrs(root)?;
        if let Some(inode) = scan.tree.inode_mut(0) {
            inode.xattrs = xattrs;
        }
        scan.directory(0, root)?;
        scan.tree.finish();
        Ok((scan.tree, scan.source))
    }

    fn path(&self, file: u32) -> PathBuf {
        let mut names = Vec::new();
        let mut at = file;
        while at != 0
            && let Some((parent, name)) = self.places.get(at as usize)
        {
            names.push(name);
            at = *parent;
        }
        let mut path = self.root.clone();
        path.extend(names.iter().rev());
        path
    }
}

impl SourceContents for HostSource {
    fn read(&mut self, file: u32, offset: u64, buf: &mut [u8]) -> Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != file) {
            let path = self.path(file);
            // Nothing else that was put in its place since: no link, no pipe.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened =
                rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(&path, "open", e))?;
            self.open = Some((file, opened));
        }
        let Some((_, open)) = &self.open else {
            return Ok(());
        };
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(open, rest, offset.saturating_add(done as u64)) {
                Ok(0) => {
                    return Err(Error::InvalidArgument {
                        path: self.path(file).display().to_string(),
                        reason: "became shorter while it was read",
                    });
                }
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(&self.path(file), "read", errno)),
            }
        }
        Ok(())
    }
}

struct Scan {
    tree: SourceTree,
    source: HostSource,
    /// Files with several names, by device and inode.
    linked: HashMap<(u64, u64), u32>,
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Scan {
    fn directory(&mut self, index: u32, path: &Path) -> Result<()> {
        // A list instead of recursion: trees can be deeper than a stack.
        let mut todo = vec![(index, path.to_owned())];
        while let Some((index, path)) = todo.pop() {
            let before = todo.len();
            for name in list(&path)? {
                let child = path.join(&name);
                let stat = rustix::fs::statat(CWD, &child, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|e| failed(&child, "read", e))?;
                #[allow(clippy::unnecessary_cast, reason = "the types differ between hosts")]
                let id = (stat.st_dev as u64, stat.st_ino as u64);
                let kind = HostType::from_raw_mode(stat.st_mode);
                let several = kind != HostType::Directory && stat.st_nlink > 1;
                if several && let Some(known) = self.linked.get(&id) {
                    let known = *known;
                    self.tree.link(index, name.as_bytes(), known)?;
                    continue;
                }
                let mut inode = inode_of(body(&child, kind, &stat)?, &stat);
                inode.xattrs = self.xattrs(&child)?;
                let made = self.tree.add(inode)?;
                self.tree.link(index, name.as_bytes(), made)?;
                self.source.places.push((index, name));
                if several {
                    self.linked.insert(id, made);
                }
                if kind == HostType::Directory {
                    todo.push((made, child));
                }
            }
            if let Some(new) = todo.get_mut(before..) {
                new.reverse();
            }
        }
        Ok(())
    }

    fn xattrs(&mut self, path: &Path) -> Result<Vec<super::SourceXattr>> {
        let error = |e| failed(path, "read the extended attributes of", e);
        let len = loop {
            match rustix::fs::llistxattr(path, &mut self.names[..]) {
                Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
                Ok(len) => break len,
                Err(Errno::RANGE) if self.names.len() < 65_536 => self.names.resize(65_536, 0),
                Err(errno) => return Err(error(errno)),
            }
        };
        let mut found: Vec<super::SourceXattr> = Vec::new();
        for name in self.names.get(..len).unwrap_or_default().split(|b| *b == 0) {
            if name.is_empty() {
                continue;
            }
            let len = loop {
                match rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut self.value[..]) {
                    Ok(len) => break Some(len),
                    // Names that a container shows, and hides the values of.
                    Err(Errno::NODATA | Errno::NOTSUP) => break None,
                    Err(Errno::RANGE) if self.value.len() < 65_536 => self.value.resize(65_536, 0),
                    Err(errno) => return Err(error(errno)),
                }
            };
            if let Some(value) = len.and_then(|len| self.value.get(..len)) {
                found.push((name.into(), value.into()));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The names in a directory, sorted.
fn list(path: &Path) -> Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let follow = flags - OFlags::NOFOLLOW;
    let opened = rustix::fs::open(path, flags, Mode::empty())
        .or_else(|e| match e {
            // The directory that was named may be a link.
            Errno::LOOP | Errno::NOTDIR => rustix::fs::open(path, follow, Mode::empty()),
            other => Err(other),
        })
        .map_err(|e| failed(path, "open", e))?;
    let mut names = Vec::new();
    let entries = rustix::fs::Dir::new(opened).map_err(|e| failed(path, "read", e))?;
    for entry in entries {
        let entry = entry.map_err(|e| failed(path, "read", e))?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}

fn inode_of(body: SourceBody, stat: &Stat) -> SourceInode {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "the types differ between hosts"
    )]
    let modified = Timestamp {
        seconds: i64::from(stat.st_mtime),
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    };
    let permissions = (stat.st_mode & 0o7777) as u16;
    SourceInode::new(body, permissions, (stat.st_uid, stat.st_gid), modified)
}

fn body(path: &Path, kind: HostType, stat: &Stat) -> Result<SourceBody> {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "the types differ between hosts"
    )]
    let device = (
        rustix::fs::major(stat.st_rdev as u64),
        rustix::fs::minor(stat.st_rdev as u64),
    );
    Ok(match kind {
        HostType::Directory => SourceBody::Directory(Vec::new()),
        HostType::Symlink => {
            let target =
                rustix::fs::readlinkat(CWD, path, Vec::new()).map_err(|e| failed(path, "read", e))?;
            SourceBody::Symlink(target.into_bytes().into())
        }
        HostType::CharacterDevice => SourceBody::CharDevice(device.0, device.1),
        HostType::BlockDevice => SourceBody::BlockDevice(device.0, device.1),
        HostType::Fifo => SourceBody::Fifo,
        HostType::Socket => SourceBody::Socket,
        _ => {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let taken = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
            // Only files that take less than their size can have holes.
            let data = if taken < size {
                holes(path, size)?
            } else {
                DataRanges::Whole
            };
            SourceBody::File { size, data }
        }
    })
}

/// Which parts of a file are data.
fn holes(path: &Path, size: u64) -> Result<DataRanges> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(path, "open", e))?;
    let mut parts = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            // A filesystem that knows no holes.
            Err(_) => return Ok(DataRanges::Whole),
        };
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).map_err(|e| failed(path, "read", e))?;
        let end = if parts.len() >= MAX_PARTS {
            size
        } else {
            end.min(size)
        };
        if start >= end {
            break;
        }
        parts.push((start, end - start));
        at = end;
    }
    Ok(match parts.as_slice() {
        [(0, len)] if *len == size => DataRanges::Whole,
        _ => DataRanges::Parts(parts.into()),
    })
}
