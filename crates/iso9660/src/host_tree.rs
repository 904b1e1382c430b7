//! Taking files and folders of the host into a tree.

use crate::error::{Error, Result};
use crate::source::Source;
use crate::tree::{Attributes, ImageTree, NodeId};
use disksmith_vfs::{FileType, Timestamp};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Which attributes files of the host get in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostAttributes {
    /// Those that they have (genisoimage `-R`).
    #[default]
    Keep,
    /// Owned by root, readable by all, executable where anybody may execute, never writable (genisoimage `-r`).
    Rational,
}

/// How files of the host are taken in.
#[derive(Default)]
pub struct HostOptions<'a> {
    /// Which attributes they get.
    pub attributes: HostAttributes,
    /// The latest time that any of them gets, for images that are the same whenever they are made (`SOURCE_DATE_EPOCH`).
    pub latest: Option<Timestamp>,
    /// Says of a path of the host whether it is left out, with everything below it.
    pub exclude: Option<&'a dyn Fn(&Path) -> bool>,
}

impl std::fmt::Debug for HostOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostOptions")
            .field("attributes", &self.attributes)
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

impl HostOptions<'_> {
    /// The attributes in the image of a file of the host.
    pub fn attributes_of(&self, metadata: &Metadata) -> Attributes {
        let time = |seconds: i64, nanoseconds: i64| {
            let found = Timestamp {
                seconds,
                nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
            };
            self.latest.map_or(found, |latest| latest.min(found))
        };
        let mode = (metadata.mode() & 0o7777) as u16;
        let (permissions, uid, gid) = match self.attributes {
            HostAttributes::Keep => (mode, metadata.uid(), metadata.gid()),
            HostAttributes::Rational => {
                let executable = metadata.is_dir() || mode & 0o111 != 0;
                (if executable { 0o555 } else { 0o444 }, 0, 0)
            }
        };
        Attributes {
            permissions,
            uid,
            gid,
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            accessed: time(metadata.atime(), metadata.atime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl ImageTree {
    /// Adds a file or folder of the host, with everything below it, under a name. Links are not followed. Names of one file
    /// stay names of one file.
    ///
    /// # Errors
    /// What the host refuses; names that cannot be in a tree.
    pub fn add_host(
        &mut self,
        dir: NodeId,
        name: &[u8],
        path: &Path,
        options: &HostOptions<'_>,
    ) -> Result<()> {
        let mut links = HashMap::new();
        let folder = self.add_one(dir, name, path, options, &mut links)?;
        match folder {
            Some(folder) => self.add_below(folder, path, options, &mut links),
            None => Ok(()),
        }
    }

    /// Adds everything in a folder of the host to a directory.
    ///
    /// # Errors
    /// As for [`add_host`](Self::add_host).
    pub fn add_host_contents(&mut self, dir: NodeId, folder: &Path, options: &HostOptions<'_>) -> Result<()> {
        self.add_below(dir, folder, options, &mut HashMap::new())
    }

    fn add_below(
        &mut self,
        dir: NodeId,
        folder: &Path,
        options: &HostOptions<'_>,
        links: &mut HashMap<(u64, u64), NodeId>,
    ) -> Result<()> {
        let mut pending: Vec<(NodeId, PathBuf)> = vec![(dir, folder.into())];
        while let Some((dir, folder)) = pending.pop() {
            let refused = |operation| {
                let name = folder.display().to_string();
                move |source| Error::io(name, operation, source)
            };
            let mut names = Vec::new();
            for entry in fs::read_dir(&folder).map_err(refused("list"))? {
                names.push(entry.map_err(refused("list"))?.file_name());
            }
            // The host's order is not always the same.
            names.sort_unstable();
            for name in names {
                let path = folder.join(&name);
                if options.exclude.is_some_and(|exclude| exclude(&path)) {
                    continue;
                }
                if let Some(child) = self.add_one(dir, name.as_bytes(), &path, options, links)? {
                    pending.push((child, path));
                }
            }
        }
        Ok(())
    }

    /// Adds one file; gives back the directory if it is one.
    fn add_one(
        &mut self,
        dir: NodeId,
        name: &[u8],
        path: &Path,
        options: &HostOptions<'_>,
        links: &mut HashMap<(u64, u64), NodeId>,
    ) -> Result<Option<NodeId>> {
        let refused = |source| Error::io(path.display().to_string(), "look at", source);
        let metadata = fs::symlink_metadata(path).map_err(refused)?;
        let attributes = options.attributes_of(&metadata);
        if metadata.is_dir() {
            return self.add_directory(dir, name, attributes).map(Some);
        }
        let identity = (metadata.dev(), metadata.ino());
        if let Some(first) = links.get(&identity) {
            self.add_link(dir, name, *first)?;
            return Ok(None);
        }
        let kind = metadata.file_type();
        let id = if kind.is_file() {
            self.add_file(dir, name, attributes, Source::host_file(path, metadata.len()))?
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|e| Error::io(path.display().to_string(), "read", e))?;
            self.add_symlink(dir, name, attributes, target.as_os_str().as_bytes())?
        } else {
            let special = if kind.is_char_device() {
                FileType::CharDevice
            } else if kind.is_block_device() {
                FileType::BlockDevice
            } else if kind.is_fifo() {
                FileType::Fifo
            } else if kind.is_socket() {
                FileType::Socket
            } else {
                return Err(Error::UnsupportedFile { path: path.into() });
            };
            self.add_special(dir, name, attributes, special, host_device(metadata.rdev()))?
        };
        if metadata.nlink() > 1 {
            links.insert(identity, id);
        }
        Ok(None)
    }
}

/// Major and minor of a Linux `dev_t`, as glibc's `major(3)` and `minor(3)` take it apart.
pub fn host_device(number: u64) -> (u32, u32) {
    let major = (number >> 8 & 0xFFF) | (number >> 32 & 0xFFFF_F000);
    let minor = (number & 0xFF) | (number >> 12 & 0xFFFF_FF00);
    (major as u32, minor as u32)
}
