//! The files of a volume that is to be made, before it is known where they lie.

use crate::code_page::CodePage;
use crate::directory_entry::{ENTRY_LEN, RawEntry};
use crate::listing::fold;
use crate::long_name;
use crate::short_name::{ShortName, ShortNames};
use disksmith_vfs::{Error, Result, Timestamp};
use std::collections::HashMap;
use std::path::PathBuf;

/// The longest directory, in entries, as the specification says.
const MAX_SLOTS: u64 = 65_536;

/// Where the bytes of a new file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// They are here.
    Bytes(Vec<u8>),
    /// They are read from a file of the host when the volume is written; it must still have this length then.
    HostFile {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
}

impl Content {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::HostFile { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A directory or a file.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) entry: RawEntry,
    pub(crate) long: Vec<[u8; 32]>,
    pub(crate) kind: NodeKind,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    File(Content),
    Directory(Directory),
}

/// A directory's children, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) parent: usize,
    pub(crate) children: Vec<usize>,
    names: HashMap<Vec<u8>, usize>,
    short_names: ShortNames,
    /// Entries of all children.
    slots: u64,
}

impl Directory {
    /// How many entries the directory has, with those for itself and its parent unless it is the root.
    pub(crate) fn slots(&self, is_root: bool, has_label: bool) -> u64 {
        self.slots + if is_root { u64::from(has_label) } else { 2 }
    }
}

/// All files and directories; the root is the first.
#[derive(Debug)]
pub(crate) struct VolumeTree {
    pub(crate) nodes: Vec<Node>,
    page: CodePage,
}

impl VolumeTree {
    pub(crate) fn new(time: Timestamp, page: CodePage) -> Self {
        Self {
            page,
            nodes: vec![Node {
                entry: RawEntry::new(true, time),
                long: Vec::new(),
                kind: NodeKind::Directory(Directory::default()),
            }],
        }
    }

    /// Adds a file below the root; directories on the way are made.
    pub(crate) fn add_file(
        &mut self,
        path: &[u8],
        content: Content,
        attributes: u8,
        time: Timestamp,
    ) -> Result<()> {
        let too_large = || Error::FileTooLarge { path: text(path) };
        let len = u32::try_from(content.len()).map_err(|_| too_large())?;
        let (dir, name) = self.walk(path, time)?;
        let name = name.ok_or_else(|| Error::InvalidName {
            path: text(path),
            reason: "an empty name",
        })?;
        let mut entry = RawEntry::new(false, time);
        entry.set_size(len);
        entry.add_attributes(attributes);
        self.insert(dir, name, entry, NodeKind::File(content)).map(drop)
    }

    /// Adds a directory, and those on the way to it; one that is there already stays.
    pub(crate) fn add_directory(&mut self, path: &[u8], time: Timestamp) -> Result<()> {
        let (dir, name) = self.walk(path, time)?;
        match name {
            None => Ok(()),
            Some(name) => self.enter(dir, name, time).map(drop),
        }
    }

    /// The directory in which the last part of a path is, and that part.
    fn walk<'p>(&mut self, path: &'p [u8], time: Timestamp) -> Result<(usize, Option<&'p [u8]>)> {
        let mut parts = path
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .peekable();
        let mut dir = 0;
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return Ok((dir, Some(part)));
            }
            dir = self.enter(dir, part, time)?;
        }
        Ok((dir, None))
    }

    /// The directory of this name, which is made where it is missing.
    fn enter(&mut self, dir: usize, name: &[u8], time: Timestamp) -> Result<usize> {
        if let Some(found) = self.directory(dir).and_then(|dir| dir.names.get(&fold(name))) {
            return match self.nodes.get(*found).map(|node| &node.kind) {
                Some(NodeKind::Directory(_)) => Ok(*found),
                _ => Err(Error::NotADirectory { path: text(name) }),
            };
        }
        let directory = Directory {
            parent: dir,
            ..Directory::default()
        };
        let entry = RawEntry::new(true, time);
        self.insert(dir, name, entry, NodeKind::Directory(directory))
    }

    pub(crate) fn directory(&self, number: usize) -> Option<&Directory> {
        match &self.nodes.get(number)?.kind {
            NodeKind::Directory(directory) => Some(directory),
            NodeKind::File(_) => None,
        }
    }

    fn insert(&mut self, dir: usize, name: &[u8], mut entry: RawEntry, kind: NodeKind) -> Result<usize> {
        let number = self.nodes.len();
        let Some(Node {
            kind: NodeKind::Directory(directory),
            ..
        }) = self.nodes.get_mut(dir)
        else {
            return Err(Error::NotADirectory { path: text(name) });
        };
        let name_text = long_name::check_carried(name)?;
        let folded = fold(name);
        if directory.names.contains_key(&folded) {
            return Err(Error::Exists { path: text(name) });
        }
        let (short, long) = match directory.short_names.exact(name) {
            Some(short) => (short, Vec::new()),
            None => {
                let raw = directory.short_names.alias(name_text, self.page);
                let raw = raw.ok_or_else(|| Error::Unsupported {
                    filesystem: "vfat".into(),
                    operation: "so many names that are alike".into(),
                })?;
                (ShortName { raw, case: 0 }, long_name::encode(name_text, &raw))
            }
        };
        entry.set_name(&short.raw, short.case);
        let slots = directory.slots + long.len() as u64 + 1;
        // Two more are for the directory itself and its parent.
        if slots + 2 > MAX_SLOTS {
            return Err(Error::NoSpace {
                filesystem: "vfat".into(),
                what: "entries of the directory",
            });
        }
        directory.slots = slots;
        directory.short_names.insert(short.raw);
        directory.names.insert(folded, number);
        directory.children.push(number);
        self.nodes.push(Node { entry, long, kind });
        Ok(number)
    }

    /// How many bytes a node takes where clusters have a length; the root's are counted by whoever knows where it lies.
    pub(crate) fn len_of(&self, number: usize, has_label: bool) -> u64 {
        match self.nodes.get(number).map(|node| &node.kind) {
            Some(NodeKind::File(content)) => content.len(),
            Some(NodeKind::Directory(directory)) => directory.slots(number == 0, has_label) * ENTRY_LEN,
            None => 0,
        }
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
