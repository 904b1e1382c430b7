//! Which internal snapshot a state of the disk came from, told by what they share: the format does not record it.

use crate::error::Result;
use crate::image::Image;
use crate::open::OpenOptions;
use crate::snapshot_diff::{extent_at, is_same, snapshot_disk};
use disksmith_qcow2::{Qcow2, SnapshotKey};
use disksmith_storage::Storage;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// With more snapshots than this, each is taken to come from the one before it.
const MOST_COMPARED: usize = 64;

/// A state of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotNode {
    /// The snapshot's id; `None` for the disk as it is now.
    pub id: Option<String>,
    /// The snapshot's name.
    pub name: String,
    /// The place in the list of the state that it came from.
    pub parent: Option<usize>,
    /// Bytes of the disk that it does not share with that one.
    pub own: u64,
}

/// The states of the disk in the image at `path`, each with the earlier one that it shares most with. The last one is the disk as it is now.
///
/// # Errors
/// Those of opening and reading the image.
pub fn snapshot_tree(path: &Path, open: &OpenOptions) -> Result<Vec<SnapshotNode>> {
    let image = Image::open(path, &open.clone().without_backing())?;
    let now = snapshot_disk(&image, None)?;
    let list = now.snapshots().map_err(crate::Error::qcow2(path))?;
    let mut disks: Vec<Arc<Qcow2>> = Vec::new();
    let mut nodes: Vec<SnapshotNode> = Vec::new();
    for snapshot in &list {
        disks.push(snapshot_disk(&image, Some(SnapshotKey::Id(&snapshot.id)))?);
        nodes.push(SnapshotNode {
            id: Some(String::from_utf8_lossy(&snapshot.id).into_owned()),
            name: String::from_utf8_lossy(&snapshot.name).into_owned(),
            parent: None,
            own: 0,
        });
    }
    disks.push(now);
    nodes.push(SnapshotNode {
        id: None,
        name: String::new(),
        parent: None,
        own: 0,
    });
    for (index, (node, disk)) in nodes.iter_mut().zip(&disks).enumerate() {
        let first = match list.len() > MOST_COMPARED {
            true => index.saturating_sub(1),
            false => 0,
        };
        let earlier = disks.get(first..index).unwrap_or_default();
        let mut best = None;
        for (place, other) in earlier.iter().enumerate() {
            let own = not_shared(disk, other)?;
            // Of those that share as much the latest.
            if best.is_none_or(|(least, _)| own <= least) {
                best = Some((own, first + place));
            }
        }
        (node.own, node.parent) = match best {
            Some((own, parent)) => (own, Some(parent)),
            None => (held(disk)?, None),
        };
    }
    Ok(nodes)
}

/// Bytes of `disk` that are not held where `other` holds them.
fn not_shared(disk: &Qcow2, other: &Qcow2) -> Result<u64> {
    let size = disk.size();
    let (mut at, mut sum) = (0, 0);
    while at < size {
        let (a, b) = (extent_at(disk, at, size)?, extent_at(other, at, size)?);
        let len = a.len.min(b.len).clamp(1, size - at);
        if !is_same(&a, &b) {
            sum += len;
        }
        at += len;
    }
    Ok(sum)
}

fn held(disk: &Qcow2) -> Result<u64> {
    let size = disk.size();
    let (mut at, mut sum) = (0, 0);
    while at < size {
        let extent = extent_at(disk, at, size)?;
        let len = extent.len.clamp(1, size - at);
        if !extent.reads_as_zero() {
            sum += len;
        }
        at += len;
    }
    Ok(sum)
}

/// The tree for people, one state a line.
#[must_use]
pub fn snapshot_tree_to_human(nodes: &[SnapshotNode]) -> String {
    let mut out = String::new();
    // Each with how its line and those below it are led in.
    let mut waiting: Vec<(usize, String, String)> = Vec::new();
    let roots: Vec<usize> = (0..nodes.len())
        .rev()
        .filter(|i| nodes.get(*i).is_some_and(|n| n.parent.is_none()))
        .collect();
    waiting.extend(roots.into_iter().map(|i| (i, String::new(), String::new())));
    while let Some((index, lead, below)) = waiting.pop() {
        let Some(node) = nodes.get(index) else { continue };
        let what = match &node.id {
            Some(id) => format!("{id} {}", node.name),
            None => "(the disk as it is now)".into(),
        };
        let share = if node.parent.is_some() {
            "of its own"
        } else {
            "held"
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{lead}{what}  {} {share}",
            crate::byte_size::human_size(node.own)
        );
        let children: Vec<usize> = (0..nodes.len())
            .filter(|i| nodes.get(*i).is_some_and(|n| n.parent == Some(index)))
            .collect();
        for (place, child) in children.iter().enumerate().rev() {
            let last = place + 1 == children.len();
            let (lead, next) = if last {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            waiting.push((*child, format!("{below}{lead}"), format!("{below}{next}")));
        }
    }
    out
}
