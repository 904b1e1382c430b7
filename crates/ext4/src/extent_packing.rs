//! Packing extent trees: after many changes in the middle of a file, the nodes of its tree are half empty. e2fsck asks to
//! "optimize" a tree with more free records on one level than a block holds; a tree of that kind is built anew at a sync.

use crate::core::Core;
use crate::error::Result;
use crate::extents::TreeShape;
use crate::inode::InodeFlags;

/// Trees of more extents than this stay as they are: rebuilding one takes memory for all of them.
const MAX_EXTENTS: usize = 1 << 20;

impl Core {
    /// Packs the trees that were changed since the last sync and became wasteful. A tree that cannot be packed for
    /// lack of space stays as it is, which is no damage.
    pub(crate) fn pack_trees(&mut self) -> Result<()> {
        for ino in std::mem::take(&mut self.crooked_trees) {
            self.begin();
            match self.pack_tree(ino).and_then(|()| self.settle_quotas()) {
                Ok(()) => self.keep(),
                Err(crate::error::Error::NoSpace { .. }) => self.give_up(),
                Err(error) => {
                    self.give_up();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn pack_tree(&mut self, ino: u32) -> Result<()> {
        // The operation that made the inode may have been given up.
        if !self.inode_in_use(ino)? {
            return Ok(());
        }
        let mut node = self.load_any(ino)?;
        if node.rec.links == 0 || !node.has(InodeFlags::EXTENTS) || !self.has_blocks(&node) {
            return Ok(());
        }
        let Some(shape) = self.tree_shape(&node, MAX_EXTENTS)? else {
            return Ok(());
        };
        if !is_wasteful(&shape, self.extents_per_block()) {
            return Ok(());
        }
        self.rebuild_tree(&mut node, shape)?;
        self.store(&mut node)
    }
}

/// Whether some level has more room than a block, or would fit where a higher level is.
fn is_wasteful(shape: &TreeShape, per_block: usize) -> bool {
    let levels = &shape.levels;
    levels.iter().enumerate().any(|(i, (used, room))| {
        room - used > per_block || levels.iter().take(i).any(|(_, above)| used < above)
    })
}
