//! A hierarchy of directories as it will stand in the image: names translated, records sorted, directories numbered.
//! There is one for the plain names (with Rock Ridge), and one for Joliet.

use crate::error::{Error, Result};
use crate::joliet_names;
use crate::options::Options;
use crate::plain_names::{self, Translator};
use crate::tree::{ImageTree, NodeId};
use std::collections::VecDeque;

/// The deepest level of a directory (ECMA-119 6.8.2.1), the root being 1.
const MAX_LEVEL: usize = 8;

/// Which names a hierarchy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Plain,
    Joliet,
}

/// What a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Anything but a directory.
    File(NodeId),
    /// A directory, by its index.
    Directory(u32),
    /// A file that stands in for a directory that was relocated, by its index.
    Relocated(u32),
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) identifier: Box<[u8]>,
    pub(crate) target: Target,
}

#[derive(Debug, Clone)]
pub(crate) struct Directory {
    /// `None` is the directory to which deep ones were relocated.
    pub(crate) node: Option<NodeId>,
    /// Index of the directory that holds it here.
    pub(crate) parent: u32,
    /// Index of the directory that holds it in truth, where it was relocated.
    pub(crate) real_parent: Option<u32>,
    /// How many relocations are on the way to it.
    pub(crate) nesting: u32,
    pub(crate) identifier: Box<[u8]>,
    pub(crate) records: Vec<Record>,
    /// First block, set by the layout.
    pub(crate) extent: u32,
    /// Blocks of records.
    pub(crate) blocks: u32,
    /// Blocks of continuation areas, which follow.
    pub(crate) continuation_blocks: u32,
}

/// A hierarchy; directories are in the order of the path table (ECMA-119 6.9.1).
#[derive(Debug, Clone)]
pub(crate) struct Hierarchy {
    pub(crate) names: Names,
    pub(crate) directories: Vec<Directory>,
    /// The Rock Ridge name of the directory of relocated ones.
    pub(crate) relocation_name: Vec<u8>,
    /// How many directories were relocated.
    pub(crate) relocated: u32,
}

/// A directory before it has a number.
struct Draft {
    node: Option<NodeId>,
    parent: usize,
    real_parent: Option<usize>,
    level: usize,
    nesting: u32,
    entries: Vec<(NodeId, DraftTarget)>,
}

#[derive(Clone, Copy)]
enum DraftTarget {
    File,
    Directory(usize),
    Relocated(usize),
    /// The directory of relocated ones itself.
    Relocations(usize),
}

impl Hierarchy {
    /// Lays out the hierarchy of a tree.
    ///
    /// # Errors
    /// Two entries of one name; directories too deep where they cannot be relocated; too many directories.
    pub(crate) fn new(tree: &ImageTree, names: Names, options: &Options) -> Result<Self> {
        let drafts = draft(tree, names, options)?;
        if drafts.len() > usize::from(u16::MAX) {
            return Err(Error::TooManyDirectories { count: drafts.len() });
        }
        let relocation_name = relocation_name(tree, options);
        number(tree, names, options, drafts, relocation_name)
    }
}

impl Hierarchy {
    /// The order in which directories lie in the image: parents before children as everywhere, and what was relocated before
    /// the directories that stand in for it, inner relocations first. Readers that go through an image front to back
    /// (libarchive) find relocated directories only so.
    pub(crate) fn disk_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.directories.len() as u32).collect();
        if self.relocated > 0 {
            order.sort_by_key(|index| match self.directories.get(*index as usize) {
                Some(directory) if *index > 0 && directory.node.is_some() => {
                    (1, std::cmp::Reverse(directory.nesting))
                }
                _ => (0, std::cmp::Reverse(0)),
            });
        }
        order
    }
}

/// A name for the directory of relocated ones that the root does not have. Some readers know it only by the first two.
fn relocation_name(tree: &ImageTree, options: &Options) -> Vec<u8> {
    let mut name = options
        .relocation_name
        .clone()
        .unwrap_or_else(|| b"rr_moved".to_vec());
    let mut number = 0u32;
    while tree.child(tree.root(), &name).is_some() {
        name = match number {
            0 => b".rr_moved".to_vec(),
            _ => format!("rr_moved.{number}").into_bytes(),
        };
        number += 1;
    }
    name
}

/// Decides where each directory stands.
fn draft(tree: &ImageTree, names: Names, options: &Options) -> Result<Vec<Draft>> {
    let limited = names == Names::Plain && !options.any_depth();
    let shows = |id: &NodeId| {
        let visibility = tree.visibility(*id);
        match names {
            Names::Plain => !visibility.not_plain,
            Names::Joliet => !visibility.not_joliet,
        }
    };
    let mut drafts = vec![Draft {
        node: Some(tree.root()),
        parent: 0,
        real_parent: None,
        level: 1,
        nesting: 0,
        entries: Vec::new(),
    }];
    let mut relocations = None;
    let mut at = 0;
    while let Some(draft) = drafts.get(at) {
        let Some(node) = draft.node else {
            at += 1;
            continue;
        };
        let (level, nesting) = (draft.level, draft.nesting);
        let mut sorted: Vec<NodeId> = tree.children(node).iter().copied().filter(shows).collect();
        sorted.sort_by(|a, b| tree.node(*a).name.cmp(&tree.node(*b).name));
        for (a, b) in sorted.iter().zip(sorted.iter().skip(1)) {
            if tree.node(*a).name == tree.node(*b).name && !options.allows_same_names() {
                return Err(Error::Duplicate { path: tree.path(*b) });
            }
        }
        let mut entries = Vec::with_capacity(sorted.len());
        for child in sorted {
            if !tree.is_directory(child) {
                entries.push((child, DraftTarget::File));
                continue;
            }
            if !limited || level < MAX_LEVEL {
                entries.push((child, DraftTarget::Directory(drafts.len())));
                drafts.push(Draft {
                    node: Some(child),
                    parent: at,
                    real_parent: None,
                    level: level + 1,
                    nesting,
                    entries: Vec::new(),
                });
                continue;
            }
            if !options.rock_ridge {
                return Err(Error::TooDeep {
                    path: tree.path(child),
                    depth: level + 1,
                    limit: MAX_LEVEL,
                });
            }
            let home = *relocations.get_or_insert_with(|| {
                drafts.push(Draft {
                    node: None,
                    parent: 0,
                    real_parent: None,
                    level: 2,
                    nesting: 0,
                    entries: Vec::new(),
                });
                drafts.len() - 1
            });
            let index = drafts.len();
            entries.push((child, DraftTarget::Relocated(index)));
            drafts.push(Draft {
                node: Some(child),
                parent: home,
                real_parent: Some(at),
                level: 3,
                nesting: nesting + 1,
                entries: Vec::new(),
            });
            if let Some(home) = drafts.get_mut(home) {
                home.entries.push((child, DraftTarget::Directory(index)));
            }
        }
        if let Some(draft) = drafts.get_mut(at) {
            draft.entries = entries;
        }
        at += 1;
    }
    if let (Some(home), Some(root)) = (relocations, drafts.first_mut()) {
        root.entries.push((tree.root(), DraftTarget::Relocations(home)));
    }
    Ok(drafts)
}

/// Gives names, sorts, and numbers the directories level by level.
fn number(
    tree: &ImageTree,
    names: Names,
    options: &Options,
    mut drafts: Vec<Draft>,
    relocation_name: Vec<u8>,
) -> Result<Hierarchy> {
    let translator = Translator::new(options.plain_rules(), options.rock_ridge);
    let mut numbers = vec![0u32; drafts.len()];
    let mut directories: Vec<Directory> = Vec::with_capacity(drafts.len());
    let mut queue = VecDeque::from([(0usize, Box::<[u8]>::from([0u8].as_slice()))]);
    let mut next = 1u32;
    while let Some((at, identifier)) = queue.pop_front() {
        let Some(draft) = drafts.get_mut(at) else { continue };
        let entries = std::mem::take(&mut draft.entries);
        let identifiers = {
            let list = entries.iter().map(|(node, target)| match target {
                DraftTarget::Relocations(_) => (relocation_name.as_slice(), true),
                DraftTarget::Directory(_) | DraftTarget::Relocated(_) => (&*tree.node(*node).name, true),
                DraftTarget::File => (&*tree.node(*node).name, false),
            });
            match names {
                Names::Plain => translator.identifiers(&list.collect::<Vec<_>>()),
                Names::Joliet => joliet_names::identifiers(
                    &list.map(|(name, _)| name).collect::<Vec<_>>(),
                    options.joliet_long,
                    options.charset,
                ),
            }
        };
        let mut records: Vec<(Box<[u8]>, NodeId, DraftTarget)> = identifiers
            .into_iter()
            .zip(entries)
            .map(|(identifier, (node, target))| (identifier, node, target))
            .collect();
        match names {
            Names::Plain => records.sort_by(|a, b| plain_names::compare(&a.0, &b.0)),
            Names::Joliet => records.sort_by(|a, b| a.0.cmp(&b.0)),
        }
        for (identifier, _, target) in &records {
            if let DraftTarget::Directory(index) | DraftTarget::Relocations(index) = target {
                if let Some(slot) = numbers.get_mut(*index) {
                    *slot = next;
                    next += 1;
                }
                queue.push_back((*index, identifier.clone()));
            }
        }
        // Targets hold draft indices until all directories have their numbers.
        let records = records
            .into_iter()
            .map(|(identifier, node, target)| Record {
                identifier,
                target: match target {
                    DraftTarget::File => Target::File(node),
                    DraftTarget::Directory(index) | DraftTarget::Relocations(index) => {
                        Target::Directory(index as u32)
                    }
                    DraftTarget::Relocated(index) => Target::Relocated(index as u32),
                },
            })
            .collect();
        directories.push(Directory {
            node: draft.node,
            parent: draft.parent as u32,
            real_parent: draft.real_parent.map(|p| p as u32),
            nesting: draft.nesting,
            identifier,
            records,
            extent: 0,
            blocks: 0,
            continuation_blocks: 0,
        });
    }
    let renumber = |index: u32| numbers.get(index as usize).copied().unwrap_or(0);
    for directory in &mut directories {
        directory.parent = renumber(directory.parent);
        directory.real_parent = directory.real_parent.map(renumber);
        for record in &mut directory.records {
            record.target = match record.target {
                Target::File(node) => Target::File(node),
                Target::Directory(index) => Target::Directory(renumber(index)),
                Target::Relocated(index) => Target::Relocated(renumber(index)),
            };
        }
    }
    let relocated = directories.iter().filter(|d| d.real_parent.is_some()).count() as u32;
    Ok(Hierarchy {
        names,
        directories,
        relocation_name,
        relocated,
    })
}
