//! The files that an image shall hold.

use crate::error::{Error, Result};
use crate::source::Source;
use crate::zisofs::ZisofsHeader;
use disksmith_vfs::{FileType, Timestamp};

/// The longest name that Rock Ridge readers take.
const MAX_NAME: usize = 255;
/// The longest target of a symbolic link that Linux takes (`PATH_MAX` without the NUL).
const MAX_TARGET: usize = 4095;

/// An entry of an [`ImageTree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// POSIX attributes, which Rock Ridge carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-uid, set-gid and sticky: 0o7777 at most.
    pub permissions: u16,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Last change of contents.
    pub modified: Timestamp,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of metadata.
    pub changed: Timestamp,
}

impl Attributes {
    /// Owned by root, all three times the same.
    pub fn new(permissions: u16, time: Timestamp) -> Self {
        Self {
            permissions,
            uid: 0,
            gid: 0,
            modified: time,
            accessed: time,
            changed: time,
        }
    }
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum NodeKind {
    Directory { children: Vec<NodeId>, directories: u32 },
    File { content: u32 },
    Symlink { target: Box<[u8]> },
    Special { file_type: FileType, device: (u32, u32) },
}

/// Where an entry does not show, and how it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visibility {
    /// Not in the plain hierarchy, which Rock Ridge is part of.
    pub not_plain: bool,
    /// Not in Joliet.
    pub not_joliet: bool,
    /// With the flag that asks readers not to show it (ECMA-119 9.1.6, "existence").
    pub hidden_flag: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) visibility: Visibility,
    pub(crate) name: Box<[u8]>,
    pub(crate) parent: NodeId,
    /// Shared by the names of one file.
    pub(crate) inode: u32,
    pub(crate) attributes: Attributes,
    pub(crate) kind: NodeKind,
}

/// The bytes of one file, which several names may share.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) source: Source,
    /// Files of higher weight come earlier in the image.
    pub(crate) weight: i32,
    /// What Rock Ridge says of contents that are compressed block by block.
    pub(crate) zisofs: Option<ZisofsHeader>,
}

/// The files that an image shall hold: a tree that is filled from its root.
///
/// Names are bytes, and are exact in Rock Ridge; the plain and the Joliet hierarchy get what each can say.
#[derive(Debug)]
pub struct ImageTree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) contents: Vec<Content>,
    pub(crate) links: Vec<u32>,
}

impl ImageTree {
    /// A tree with nothing but its root.
    pub fn new(root: Attributes) -> Self {
        Self {
            nodes: vec![Node {
                visibility: Visibility::default(),
                name: Box::default(),
                parent: NodeId(0),
                inode: 0,
                attributes: root,
                kind: NodeKind::Directory {
                    children: Vec::new(),
                    directories: 0,
                },
            }],
            contents: Vec::new(),
            links: vec![1],
        }
    }

    /// The root directory.
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// How many entries there are, the root among them.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// A bad name; `dir` is no directory. That a name is there twice shows only when the image is planned.
    pub fn add_directory(&mut self, dir: NodeId, name: &[u8], attributes: Attributes) -> Result<NodeId> {
        self.add(
            dir,
            name,
            attributes,
            NodeKind::Directory {
                children: Vec::new(),
                directories: 0,
            },
            None,
        )
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// As for [`add_directory`](Self::add_directory).
    pub fn add_file(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: Attributes,
        source: Source,
    ) -> Result<NodeId> {
        let content = self.contents.len() as u32;
        let id = self.add(dir, name, attributes, NodeKind::File { content }, None)?;
        self.contents.push(Content {
            source,
            weight: 0,
            zisofs: None,
        });
        Ok(id)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// As for [`add_directory`](Self::add_directory); a target that is empty, holds NUL, or is longer than 4095 bytes.
    pub fn add_symlink(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: Attributes,
        target: &[u8],
    ) -> Result<NodeId> {
        let reason = match target {
            [] => Some("the target of the link is empty"),
            t if t.contains(&0) => Some("the target of the link holds NUL"),
            t if t.len() > MAX_TARGET => Some("the target of the link is longer than 4095 bytes"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Error::Target {
                path: self.child_path(dir, name),
                reason,
            });
        }
        self.add(
            dir,
            name,
            attributes,
            NodeKind::Symlink {
                target: target.into(),
            },
            None,
        )
    }

    /// Adds a device (with its major and minor number), a named pipe or a socket.
    ///
    /// # Errors
    /// As for [`add_directory`](Self::add_directory); also where `file_type` is none of these.
    pub fn add_special(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: Attributes,
        file_type: FileType,
        device: (u32, u32),
    ) -> Result<NodeId> {
        match file_type {
            FileType::Regular | FileType::Directory | FileType::Symlink => Err(Error::Name {
                path: self.child_path(dir, name),
                reason: "not a device, pipe or socket",
            }),
            _ => self.add(
                dir,
                name,
                attributes,
                NodeKind::Special { file_type, device },
                None,
            ),
        }
    }

    /// Adds a further name of a file that is in the tree already (a hard link).
    ///
    /// # Errors
    /// As for [`add_directory`](Self::add_directory); also where `of` is a directory.
    pub fn add_link(&mut self, dir: NodeId, name: &[u8], of: NodeId) -> Result<NodeId> {
        let original = self.node(of);
        let kind = match &original.kind {
            NodeKind::Directory { .. } => {
                return Err(Error::Name {
                    path: self.path(of),
                    reason: "a directory cannot have two names",
                });
            }
            NodeKind::File { content } => NodeKind::File { content: *content },
            NodeKind::Symlink { target } => NodeKind::Symlink {
                target: target.clone(),
            },
            NodeKind::Special { file_type, device } => NodeKind::Special {
                file_type: *file_type,
                device: *device,
            },
        };
        let (attributes, inode) = (original.attributes, original.inode);
        self.add(dir, name, attributes, kind, Some(inode))
    }

    /// Places a file earlier in the image (higher weight) or later (lower) than the others, whose weight is 0.
    pub fn set_weight(&mut self, file: NodeId, weight: i32) {
        if let NodeKind::File { content } = self.node(file).kind
            && let Some(content) = self.contents.get_mut(content as usize)
        {
            content.weight = weight;
        }
    }

    /// Says that a file's contents are compressed block by block, so that readers that know Rock Ridge decompress them.
    pub fn set_zisofs(&mut self, file: NodeId, header: ZisofsHeader) {
        if let NodeKind::File { content } = self.node(file).kind
            && let Some(content) = self.contents.get_mut(content as usize)
        {
            content.zisofs = Some(header);
        }
    }

    /// Says where an entry does not show. What is below a directory goes with it.
    pub fn set_visibility(&mut self, id: NodeId, visibility: Visibility) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.visibility = visibility;
        }
    }

    /// Where an entry does not show.
    pub fn visibility(&self, id: NodeId) -> Visibility {
        self.node(id).visibility
    }

    /// The attributes of an entry.
    pub fn attributes(&self, id: NodeId) -> Attributes {
        self.node(id).attributes
    }

    /// Gives an entry other attributes.
    pub fn set_attributes(&mut self, id: NodeId, attributes: Attributes) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.attributes = attributes;
        }
    }

    /// The name of an entry; empty for the root.
    pub fn name(&self, id: NodeId) -> &[u8] {
        &self.node(id).name
    }

    /// Size of a regular file in bytes; 0 for anything else.
    pub fn size_of(&self, id: NodeId) -> u64 {
        match self.node(id).kind {
            NodeKind::File { content } => self.contents.get(content as usize).map_or(0, |c| c.source.size()),
            _ => 0,
        }
    }

    /// The first bytes of a regular file, at most `len`; none of anything else.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_start(&self, id: NodeId, len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if let NodeKind::File { content } = self.node(id).kind
            && let Some(content) = self.contents.get(content as usize)
        {
            content.source.read_start(len, &mut out)?;
        }
        Ok(out)
    }

    /// Finds a name in a directory, by looking at each.
    pub fn child(&self, dir: NodeId, name: &[u8]) -> Option<NodeId> {
        self.children(dir)
            .iter()
            .copied()
            .find(|id| *self.node(*id).name == *name)
    }

    /// The entries of a directory in the order in which they were added; none for anything else.
    pub fn children(&self, dir: NodeId) -> &[NodeId] {
        match &self.node(dir).kind {
            NodeKind::Directory { children, .. } => children,
            _ => &[],
        }
    }

    /// Whether the entry is a directory.
    pub fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.node(id).kind, NodeKind::Directory { .. })
    }

    /// The path of an entry in the image.
    pub fn path(&self, id: NodeId) -> String {
        let mut parts = Vec::new();
        let mut at = id;
        while at.0 != 0 {
            let node = self.node(at);
            parts.push(String::from_utf8_lossy(&node.name).into_owned());
            at = node.parent;
        }
        parts.push(String::new());
        parts.reverse();
        if parts.len() == 1 {
            "/".into()
        } else {
            parts.join("/")
        }
    }

    /// Ids come only from this tree, and no entry is ever removed. A foreign id gives the root or another entry.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or_else(|| self.root_node())
    }

    fn root_node(&self) -> &Node {
        // The first node is made with the tree.
        self.nodes
            .first()
            .unwrap_or_else(|| unreachable!("a tree has a root"))
    }

    /// What an entry is.
    pub fn file_type(&self, id: NodeId) -> FileType {
        match &self.node(id).kind {
            NodeKind::Directory { .. } => FileType::Directory,
            NodeKind::File { .. } => FileType::Regular,
            NodeKind::Symlink { .. } => FileType::Symlink,
            NodeKind::Special { file_type, .. } => *file_type,
        }
    }

    /// Number of names, as `stat` counts it: for a directory 2 and one for each directory in it.
    pub(crate) fn link_count(&self, id: NodeId) -> u32 {
        match &self.node(id).kind {
            NodeKind::Directory { directories, .. } => 2 + directories,
            _ => self.links.get(self.node(id).inode as usize).copied().unwrap_or(1),
        }
    }

    fn child_path(&self, dir: NodeId, name: &[u8]) -> String {
        let parent = self.path(dir);
        format!(
            "{}/{}",
            parent.trim_end_matches('/'),
            String::from_utf8_lossy(name)
        )
    }

    fn add(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: Attributes,
        kind: NodeKind,
        inode: Option<u32>,
    ) -> Result<NodeId> {
        let reason = match name {
            [] => Some("the name is empty"),
            b"." | b".." => Some("the name means the directory itself or the one above"),
            n if n.contains(&b'/') || n.contains(&0) => Some("the name holds / or NUL"),
            n if n.len() > MAX_NAME => Some("the name is longer than 255 bytes"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Error::Name {
                path: self.child_path(dir, name),
                reason,
            });
        }
        let id = NodeId(self.nodes.len() as u32);
        match self.nodes.get_mut(dir.0 as usize).map(|node| &mut node.kind) {
            Some(NodeKind::Directory {
                children,
                directories,
            }) => {
                children.push(id);
                *directories += u32::from(matches!(kind, NodeKind::Directory { .. }));
            }
            _ => return Err(Error::NotADirectory { path: self.path(dir) }),
        }
        let inode = match inode.and_then(|i| self.links.get_mut(i as usize).map(|count| (i, count))) {
            Some((inode, count)) => {
                *count += 1;
                inode
            }
            None => {
                self.links.push(1);
                self.links.len() as u32 - 1
            }
        };
        self.nodes.push(Node {
            visibility: Visibility::default(),
            name: name.into(),
            parent: dir,
            inode,
            attributes,
            kind,
        });
        Ok(id)
    }
}
