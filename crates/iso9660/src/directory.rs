//! One directory of a hierarchy as bytes: its records, none across the border of a block, and their continuation areas.

use crate::date;
use crate::directory_record::{self, DIRECTORY, DirectoryRecord, HIDDEN, MULTI_EXTENT, PARENT, SELF};
use crate::hierarchy::{Directory, Hierarchy, Names, Target};
use crate::rock_ridge;
use crate::susp::{Continuations, SystemUse};
use crate::tree::{Attributes, ImageTree, Node, NodeId, NodeKind};
use crate::volume_descriptor::BLOCK;
use disksmith_vfs::FileType;

/// The most bytes of one section of a file that has several: whole blocks.
const SECTION: u64 = 0xFFFF_F800;

/// Where the contents of files lie: first block and size in bytes.
pub(crate) trait Placement {
    /// First block and size of a content.
    fn place(&self, content: u32) -> (u32, u64);
    /// The block that empty files, links and devices name.
    fn empty(&self) -> u32;
}

/// Encodes directories.
pub(crate) struct DirectoryEncoder<'a> {
    pub(crate) tree: &'a ImageTree,
    pub(crate) hierarchy: &'a Hierarchy,
    pub(crate) rock_ridge: bool,
    pub(crate) placement: &'a dyn Placement,
}

/// A directory's bytes, in whole blocks.
pub(crate) struct EncodedDirectory {
    pub(crate) records: Vec<u8>,
    pub(crate) continuations: Vec<u8>,
    /// Bytes of Rock Ridge in both.
    pub(crate) rock_ridge: usize,
}

/// How a record of a directory looks from where it stands.
#[derive(Clone, Copy)]
enum Role {
    /// Its own record in itself.
    SelfRecord,
    /// The record of the directory above.
    ParentRecord,
    /// A name in the directory above.
    Named,
}

impl DirectoryEncoder<'_> {
    /// Encodes the directory of an index.
    pub(crate) fn encode(&self, index: u32) -> EncodedDirectory {
        let mut records = Vec::new();
        let Some(directory) = self.directory(index) else {
            return EncodedDirectory {
                records,
                continuations: Vec::new(),
                rock_ridge: 0,
            };
        };
        let mut continuations = Continuations::new(directory.extent.saturating_add(directory.blocks));
        let mut system_use = SystemUse::default();
        let mut scratch = Vec::new();
        let mut rock_ridge = 0;
        let mut write = |record: &DirectoryRecord<'_>, system_use: &SystemUse| {
            scratch.clear();
            let mut bytes = Vec::new();
            continuations.place(
                system_use,
                DirectoryRecord::room(record.identifier.len()),
                &mut bytes,
            );
            rock_ridge += bytes.len();
            record.encode(&bytes, &mut scratch);
            if records.len() % BLOCK + scratch.len() > BLOCK {
                records.resize(records.len().next_multiple_of(BLOCK), 0);
            }
            records.extend_from_slice(&scratch);
        };

        self.directory_entries(index, Role::SelfRecord, &mut system_use);
        write(&self.directory_record(index, SELF), &system_use);
        self.directory_entries(index, Role::ParentRecord, &mut system_use);
        write(&self.directory_record(directory.parent, PARENT), &system_use);
        for record in &directory.records {
            match record.target {
                Target::Directory(child) => {
                    self.directory_entries(child, Role::Named, &mut system_use);
                    write(&self.directory_record(child, &record.identifier), &system_use);
                }
                Target::Relocated(child) => {
                    self.placeholder_entries(child, &mut system_use);
                    let mut plain = self.directory_record(child, &record.identifier);
                    plain.flags = 0;
                    plain.extent = self.placement.empty();
                    plain.len = 0;
                    write(&plain, &system_use);
                }
                Target::File(node) => {
                    self.file_entries(node, &mut system_use);
                    self.sections(node, &record.identifier, &mut |section| {
                        write(section, &system_use);
                    });
                }
            }
        }
        records.resize(records.len().next_multiple_of(BLOCK), 0);
        let rock_ridge = rock_ridge + continuations.used();
        EncodedDirectory {
            records,
            continuations: continuations.into_bytes(),
            rock_ridge,
        }
    }

    fn directory(&self, index: u32) -> Option<&Directory> {
        self.hierarchy.directories.get(index as usize)
    }

    /// The attributes of a directory; the one of relocated ones has the root's times.
    fn directory_attributes(&self, index: u32) -> (Attributes, u32, u32) {
        match self.directory(index).and_then(|d| d.node) {
            Some(node) => {
                let it = self.tree.node(node);
                let mut links = self.tree.link_count(node);
                if index == 0 && self.hierarchy.relocated > 0 {
                    links += 1;
                }
                (it.attributes, links, it.inode)
            }
            None => {
                let mut attributes = self.tree.node(self.tree.root()).attributes;
                attributes.permissions = 0o555;
                (
                    attributes,
                    2 + self.hierarchy.relocated,
                    self.tree.links.len() as u32,
                )
            }
        }
    }

    fn directory_record<'a>(&self, index: u32, identifier: &'a [u8]) -> DirectoryRecord<'a> {
        let (attributes, _, _) = self.directory_attributes(index);
        let (extent, blocks) = self.directory(index).map_or((0, 0), |d| (d.extent, d.blocks));
        DirectoryRecord {
            extent,
            len: blocks.saturating_mul(BLOCK as u32),
            date: date::encode_record(attributes.modified),
            flags: DIRECTORY
                | self
                    .directory(index)
                    .and_then(|d| d.node)
                    .map_or(0, |id| existence(self.tree.node(id))),
            identifier,
        }
    }

    fn has_entries(&self) -> bool {
        self.rock_ridge && self.hierarchy.names == Names::Plain
    }

    fn directory_entries(&self, index: u32, role: Role, out: &mut SystemUse) {
        out.clear();
        let Some(directory) = self.directory(index).filter(|_| self.has_entries()) else {
            return;
        };
        // The record of the directory above has that one's attributes; for a relocated one its real parent's.
        let shown = match role {
            Role::ParentRecord => directory.real_parent.unwrap_or(directory.parent),
            _ => index,
        };
        let (attributes, links, serial) = self.directory_attributes(shown);
        if index == 0 && matches!(role, Role::SelfRecord) {
            out.push_sp();
        }
        rock_ridge::push_px(out, FileType::Directory, &attributes, links, serial);
        rock_ridge::push_tf(out, &attributes);
        match role {
            Role::SelfRecord if index == 0 => rock_ridge::push_er(out),
            Role::SelfRecord => {}
            Role::ParentRecord => {
                if let Some(parent) = directory.real_parent.and_then(|p| self.directory(p)) {
                    rock_ridge::push_pl(out, parent.extent);
                }
            }
            Role::Named => {
                if directory.real_parent.is_some() || directory.node.is_none() {
                    rock_ridge::push_re(out);
                }
                match directory.node {
                    Some(node) => rock_ridge::push_nm(out, &self.tree.node(node).name),
                    None => rock_ridge::push_nm(out, &self.hierarchy.relocation_name),
                }
            }
        }
    }

    fn placeholder_entries(&self, index: u32, out: &mut SystemUse) {
        out.clear();
        let Some(directory) = self.directory(index).filter(|_| self.has_entries()) else {
            return;
        };
        let (attributes, links, serial) = self.directory_attributes(index);
        rock_ridge::push_px(out, FileType::Directory, &attributes, links, serial);
        rock_ridge::push_tf(out, &attributes);
        rock_ridge::push_cl(out, directory.extent);
        if let Some(node) = directory.node {
            rock_ridge::push_nm(out, &self.tree.node(node).name);
        }
    }

    fn file_entries(&self, id: NodeId, out: &mut SystemUse) {
        out.clear();
        if !self.has_entries() {
            return;
        }
        let node = self.tree.node(id);
        let file_type = self.tree.file_type(id);
        rock_ridge::push_px(
            out,
            file_type,
            &node.attributes,
            self.tree.link_count(id),
            node.inode,
        );
        rock_ridge::push_tf(out, &node.attributes);
        rock_ridge::push_nm(out, &node.name);
        match &node.kind {
            NodeKind::Symlink { target } => rock_ridge::push_sl(out, target),
            NodeKind::Special {
                file_type: FileType::CharDevice | FileType::BlockDevice,
                device,
            } => {
                rock_ridge::push_pn(out, *device);
            }
            NodeKind::File { content } => {
                let content = self.tree.contents.get(*content as usize);
                if let Some(header) = content.and_then(|c| c.zisofs) {
                    rock_ridge::push_zf(out, header);
                }
            }
            _ => {}
        }
    }

    /// The records of a file, one for each section (ECMA-119 6.4.5, 9.1.6).
    fn sections(&self, id: NodeId, identifier: &[u8], sink: &mut dyn FnMut(&DirectoryRecord<'_>)) {
        let node = self.tree.node(id);
        let (mut extent, mut left) = match node.kind {
            NodeKind::File { content } => self.placement.place(content),
            _ => (self.placement.empty(), 0),
        };
        let date = date::encode_record(node.attributes.modified);
        let hidden = existence(node);
        loop {
            let last = left <= u64::from(u32::MAX);
            let len = if last { left } else { SECTION };
            sink(&DirectoryRecord {
                extent,
                len: u32::try_from(len).unwrap_or(u32::MAX),
                date,
                flags: if last { hidden } else { hidden | MULTI_EXTENT },
                identifier,
            });
            if last {
                return;
            }
            left -= len;
            extent = extent.saturating_add((len / BLOCK as u64) as u32);
        }
    }
}

/// The flag of an entry that shall not be shown (ECMA-119 9.1.6).
fn existence(node: &Node) -> u8 {
    if node.visibility.hidden_flag { HIDDEN } else { 0 }
}

/// Whether a record is longer than any record may be; names are cut so that none is.
const _: () = assert!(directory_record::MAX_LEN < 256);
