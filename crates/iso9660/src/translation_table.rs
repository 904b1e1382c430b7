//! Tables of names (`TRANS.TBL`): for each entry of a directory its kind, its plain name and its real one, as genisoimage
//! `-T` writes them for readers that know plain names only.

use crate::error::Result;
use crate::hierarchy::{Hierarchy, Names, Target};
use crate::options::{Options, TranslationTable};
use crate::source::Source;
use crate::tree::{Attributes, ImageTree, NodeId, NodeKind, Visibility};
use disksmith_vfs::FileType;

/// Columns of the plain name.
const COLUMNS: usize = 208;

/// Adds a table to each directory, with what the plain hierarchy will call its entries.
///
/// # Errors
/// As for [`Hierarchy::new`]; a name that cannot be one.
pub(crate) fn add(tree: &mut ImageTree, table: &TranslationTable, options: &Options) -> Result<()> {
    let directories: Vec<NodeId> = (0..tree.len() as u32)
        .map(NodeId)
        .filter(|id| !tree.children(*id).is_empty())
        .collect();
    let mut tables = Vec::with_capacity(directories.len());
    for dir in directories {
        if tree.child(dir, &table.name).is_some() {
            continue;
        }
        let attributes = Attributes::new(0o444, tree.attributes(dir).modified);
        let empty = Source::bytes(Vec::new());
        let id = tree.add_file(dir, &table.name, attributes, empty)?;
        tree.set_visibility(
            id,
            Visibility {
                not_joliet: !table.in_joliet,
                ..Visibility::default()
            },
        );
        tables.push((dir, id));
    }
    tables.sort_unstable();
    // Names do not depend on what is in the tables.
    let hierarchy = Hierarchy::new(tree, Names::Plain, options)?;
    for (index, directory) in hierarchy.directories.iter().enumerate() {
        let Some(dir) = directory.node else { continue };
        let Ok(at) = tables.binary_search_by_key(&dir, |(dir, _)| *dir) else {
            continue;
        };
        let Some((_, id)) = tables.get(at).copied() else {
            continue;
        };
        let text = rows(tree, &hierarchy, index, id);
        if let NodeKind::File { content } = tree.node(id).kind
            && let Some(content) = tree.contents.get_mut(content as usize)
        {
            content.source = Source::bytes(text);
        }
    }
    Ok(())
}

fn rows(tree: &ImageTree, hierarchy: &Hierarchy, index: usize, table: NodeId) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(directory) = hierarchy.directories.get(index) else {
        return out;
    };
    for record in &directory.records {
        let node = match record.target {
            Target::File(id) if id == table => continue,
            Target::File(id) => Some(id),
            Target::Directory(child) | Target::Relocated(child) => {
                hierarchy.directories.get(child as usize).and_then(|d| d.node)
            }
        };
        let Some(node) = node else { continue };
        let kind = match tree.file_type(node) {
            FileType::Directory => b'D',
            FileType::Symlink => b'L',
            FileType::CharDevice => b'C',
            FileType::BlockDevice => b'B',
            FileType::Fifo => b'P',
            FileType::Socket => b'S',
            FileType::Regular => b'F',
        };
        out.extend_from_slice(&[kind, b' ']);
        out.extend_from_slice(&record.identifier);
        let fill = COLUMNS.saturating_sub(record.identifier.len());
        out.extend(std::iter::repeat_n(b' ', fill));
        out.push(b'\t');
        out.extend_from_slice(tree.name(node));
        match &tree.node(node).kind {
            NodeKind::Symlink { target } => {
                out.push(b'\t');
                out.extend_from_slice(target);
            }
            NodeKind::Special {
                file_type: FileType::CharDevice | FileType::BlockDevice,
                device: (major, minor),
            } => out.extend_from_slice(format!("\t{major} {minor}").as_bytes()),
            _ => {}
        }
        out.push(b'\n');
    }
    out
}
