//! A file of a guest as comparing sees it, and which attributes of two differ.

use super::DiffOptions;
use crate::error::Result;
use crate::inspect::Guest;
use crate::listing::device_numbers;
use disksmith_vfs::{FileType, Metadata, Node, Timestamp, Tree};

/// A file of one of the guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    /// Its path.
    pub path: Vec<u8>,
    /// Where it is in the guest's tree.
    pub node: Node,
    /// What `stat` tells of it.
    pub metadata: Metadata,
    /// Major and minor number of the device that it is on, as Linux would number the guest's disks.
    pub device: (u32, u32),
    /// The target of a symbolic link.
    pub target: Option<Vec<u8>>,
    /// Its extended attributes with their values, in the order of their names.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An attribute of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The device that it is on.
    Device,
    /// The number of its inode.
    Inode,
    /// Its type and permissions.
    Mode,
    /// How many names it has.
    Links,
    /// Who owns it.
    User,
    /// Which group owns it.
    Group,
    /// The numbers of a device.
    DeviceNumber,
    /// Its size.
    Size,
    /// The space it takes.
    Blocks,
    /// The time of last access.
    Accessed,
    /// The time of last change of its contents.
    Modified,
    /// The time of last change of its metadata.
    Changed,
    /// Its extended attributes.
    Xattrs,
    /// Where a symbolic link leads.
    Target,
}

impl Attribute {
    /// The name of the field in `struct stat`, as virt-diff has it.
    pub fn stat_name(self) -> &'static str {
        match self {
            Self::Device => "st_dev",
            Self::Inode => "st_ino",
            Self::Mode => "st_mode",
            Self::Links => "st_nlink",
            Self::User => "st_uid",
            Self::Group => "st_gid",
            Self::DeviceNumber => "st_rdev",
            Self::Size => "st_size",
            Self::Blocks => "st_blocks",
            Self::Accessed => "st_atime_sec",
            Self::Modified => "st_mtime_sec",
            Self::Changed => "st_ctime_sec",
            Self::Xattrs => "xattrs",
            Self::Target => "target",
        }
    }

    /// A name without abbreviations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Inode => "inode",
            Self::Mode => "mode",
            Self::Links => "links",
            Self::User => "uid",
            Self::Group => "gid",
            Self::DeviceNumber => "device-number",
            Self::Size => "size",
            Self::Blocks => "blocks",
            Self::Accessed => "accessed",
            Self::Modified => "modified",
            Self::Changed => "changed",
            Self::Xattrs => "xattrs",
            Self::Target => "target",
        }
    }
}

/// One of the guests.
#[derive(Debug)]
pub(super) struct Side<'a> {
    tree: &'a Tree,
    /// For each filesystem of the tree its device; in the order of the mounts.
    devices: Vec<(u32, u32)>,
}

impl<'a> Side<'a> {
    pub(super) fn new(guest: &'a Guest) -> Self {
        let tree = guest.tree();
        Self {
            tree,
            devices: device_numbers(guest),
        }
    }

    pub(super) fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// What there is to know of a file.
    pub(super) fn state(&self, path: Vec<u8>, node: Node) -> Result<FileState> {
        let at_path = |error: disksmith_vfs::Error| error.at_path(&path);
        let metadata = self.tree.node_metadata(node).map_err(at_path)?;
        let (fs, inode) = self.tree.open_node(node);
        let target = match metadata.file_type {
            FileType::Symlink => Some(fs.read_link(inode).map_err(at_path)?),
            _ => None,
        };
        let mut xattrs = Vec::new();
        for name in fs.list_xattrs(inode).map_err(at_path)? {
            let value = fs.xattr(inode, &name).map_err(at_path)?.unwrap_or_default();
            xattrs.push((name, value));
        }
        let device = self.devices.get(node.mount.index());
        Ok(FileState {
            device: device.copied().unwrap_or((0, 0)),
            path,
            node,
            metadata,
            target,
            xattrs,
        })
    }
}

impl FileState {
    /// What `stat` tells, with zeroes in place of what does not count.
    pub fn counted(&self, options: DiffOptions) -> Metadata {
        let mut metadata = self.metadata.clone();
        let none = Timestamp::default();
        if metadata.is_dir() {
            if !options.directory_links {
                metadata.links = 0;
            }
            if !options.directory_times {
                (metadata.accessed, metadata.modified, metadata.changed) = (none, none, none);
            }
        }
        if !options.access_times {
            metadata.accessed = none;
        }
        metadata.created = None;
        metadata
    }
}

/// The attributes that differ; and whether times do that are the same to the second.
pub(super) fn differences(old: &FileState, new: &FileState, options: DiffOptions) -> (Vec<Attribute>, bool) {
    let (a, b) = (old.counted(options), new.counted(options));
    let mode = |m: &Metadata| (m.file_type, m.permissions);
    let found = [
        (Attribute::Device, old.device != new.device),
        (Attribute::Inode, a.inode != b.inode),
        (Attribute::Mode, mode(&a) != mode(&b)),
        (Attribute::Links, a.links != b.links),
        (Attribute::User, a.uid != b.uid),
        (Attribute::Group, a.gid != b.gid),
        (Attribute::DeviceNumber, a.device != b.device),
        (Attribute::Size, a.size != b.size),
        (Attribute::Blocks, a.blocks != b.blocks),
        (Attribute::Accessed, a.accessed.seconds != b.accessed.seconds),
        (Attribute::Modified, a.modified.seconds != b.modified.seconds),
        (Attribute::Changed, a.changed.seconds != b.changed.seconds),
        (Attribute::Xattrs, old.xattrs != new.xattrs),
        (
            Attribute::Target,
            old.target.is_some() && new.target.is_some() && old.target != new.target,
        ),
    ];
    let attributes = found.into_iter().filter(|(_, differs)| *differs);
    (attributes.map(|(attribute, _)| attribute).collect(), a != b)
}
