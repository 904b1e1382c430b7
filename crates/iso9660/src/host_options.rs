//! How files of the host are taken into an image.

use crate::tree::{Attributes, Visibility};
use disksmith_vfs::Timestamp;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which attributes files of the host get in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostAttributes {
    /// Those that they have (genisoimage `-R`).
    #[default]
    Keep,
    /// Owned by root, readable by all, executable where anybody may execute, never writable (genisoimage `-r`).
    Rational,
}

/// Attributes that all files get, whatever they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixedAttributes {
    /// Owner's user id.
    pub uid: Option<u32>,
    /// Owner's group id.
    pub gid: Option<u32>,
    /// Permissions of everything but directories and links.
    pub file_permissions: Option<u16>,
    /// Permissions of directories.
    pub directory_permissions: Option<u16>,
}

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// They stay links.
    #[default]
    Keep,
    /// What they lead to is taken in their place.
    Follow,
    /// They are left out.
    Drop,
}

/// Where a file of the host stands in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostPlace {
    /// Where it does not show.
    pub visibility: Visibility,
    /// Files of higher weight come earlier.
    pub weight: i32,
}

/// What is worth a word while files are taken in.
#[derive(Debug)]
pub enum HostNotice<'a> {
    /// A folder is looked at.
    Folder(&'a Path),
    /// A link was left out.
    LinkDropped(&'a Path),
    /// A link leads nowhere, and was left out.
    BrokenLink {
        /// The link.
        path: &'a Path,
        /// What the host says.
        error: &'a std::io::Error,
    },
    /// A link leads to a folder that it is in, and was left out.
    Loop(&'a Path),
    /// A folder whose contents were left out because it is nested too deep.
    TooDeep {
        /// The folder.
        path: &'a Path,
        /// How many directories are above it.
        depth: usize,
    },
}

/// How files of the host are taken in.
#[derive(Clone, Copy, Default)]
pub struct HostOptions<'a> {
    /// Which attributes they get.
    pub attributes: HostAttributes,
    /// Attributes that all get.
    pub fixed: FixedAttributes,
    /// The latest time that any of them gets, for images that are the same whenever they are made (`SOURCE_DATE_EPOCH`).
    pub latest: Option<Timestamp>,
    /// What becomes of symbolic links.
    pub links: Links,
    /// Whether a folder may go into a directory of its name that is there already.
    pub merge: bool,
    /// Whether files that `mkzftree` compressed are marked, so that readers decompress them.
    pub zisofs: bool,
    /// The most directories that may be above one whose contents are taken; what is deeper is left out.
    pub max_depth: Option<usize>,
    /// Says of a path of the host whether it is left out, with everything below it.
    pub exclude: Option<&'a dyn Fn(&Path) -> bool>,
    /// Says where a path of the host stands in the image.
    pub place: Option<&'a dyn Fn(&Path) -> HostPlace>,
    /// Hears what is worth a word. With a listener, links that lead nowhere are left out instead of refused.
    pub notice: Option<&'a dyn Fn(HostNotice<'_>)>,
}

impl std::fmt::Debug for HostOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostOptions")
            .field("attributes", &self.attributes)
            .field("fixed", &self.fixed)
            .field("latest", &self.latest)
            .field("links", &self.links)
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
        let fixed = if metadata.is_dir() {
            self.fixed.directory_permissions
        } else if metadata.is_symlink() {
            self.fixed.file_permissions.map(|_| 0o555)
        } else {
            self.fixed.file_permissions
        };
        Attributes {
            permissions: fixed.unwrap_or(permissions),
            uid: self.fixed.uid.unwrap_or(uid),
            gid: self.fixed.gid.unwrap_or(gid),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            accessed: time(metadata.atime(), metadata.atime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
