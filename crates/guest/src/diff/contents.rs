//! Whether the contents of two files are the same.

use super::FileState;
use crate::error::Result;
use disksmith_vfs::Tree;

/// Bytes compared at a time, of each file.
const CHUNK: usize = 1 << 20;

/// Whether two regular files differ by a byte. Where both have a hole nothing is read.
pub(super) fn differ(old_tree: &Tree, old: &FileState, new_tree: &Tree, new: &FileState) -> Result<bool> {
    if old.metadata.size != new.metadata.size {
        return Ok(true);
    }
    let (old_fs, old_inode) = old_tree.open_node(old.node);
    let (new_fs, new_inode) = new_tree.open_node(new.node);
    let size = old.metadata.size;
    let chunk = usize::try_from(size).unwrap_or(CHUNK).min(CHUNK);
    let (mut a, mut b) = (vec![0; chunk], vec![0; chunk]);
    let mut at = 0;
    while at < size {
        // Both are holes up to the first data of either.
        let next = |found: Option<(u64, u64)>| found.map_or(size, |(start, _)| start.clamp(at, size));
        let data = next(
            old_fs
                .next_data(old_inode, at)
                .map_err(|e| e.at_path(&old.path))?,
        )
        .min(next(
            new_fs
                .next_data(new_inode, at)
                .map_err(|e| e.at_path(&new.path))?,
        ));
        at = data;
        let wanted = usize::try_from(size - at).unwrap_or(CHUNK).min(chunk);
        if wanted == 0 {
            break;
        }
        let (Some(a), Some(b)) = (a.get_mut(..wanted), b.get_mut(..wanted)) else {
            break;
        };
        let of_a = old_fs.read(old_inode, at, a).map_err(|e| e.at_path(&old.path))?;
        let of_b = new_fs.read(new_inode, at, b).map_err(|e| e.at_path(&new.path))?;
        if of_a != of_b || a != b {
            return Ok(true);
        }
        if of_a == 0 {
            break;
        }
        at = at.saturating_add(of_a as u64);
    }
    Ok(false)
}
