//! Blocks whose checksums start from their inode: directories, nodes of extent trees, the orphan file.

use super::Resealer;
use crate::checksum::InodeSeed;
use crate::directory::{count_offset, entry::verify_leaf, index_node, seal_index, seal_leaf};
use crate::error::{Error, Result};
use crate::extent_record::{EXTENT_MAGIC, EXTENT_RECORD_SIZE, ExtentHeader, ExtentIndex, MAX_EXTENT_DEPTH};
use crate::features::Compat;
use crate::inode::InodeFlags;
use crate::inode_table::Node;
use crate::record::{le32, put32};
use disksmith_vfs::FileType;

impl Resealer {
    /// Seals all blocks of an inode that have checksums.
    pub(super) fn seal_blocks(&self, node: &Node, old: InodeSeed, new: InodeSeed) -> Result<()> {
        let kind = node.rec.file_type();
        let is_orphan_file =
            self.layout.g.has_compat(Compat::ORPHAN_FILE) && node.ino == self.layout.sb.orphan_file_inode;
        // The map is read while its nodes still have the checksums that it is verified by.
        if kind == Some(FileType::Directory) {
            for block in self
                .runs(node)?
                .into_iter()
                .flat_map(|(start, len)| start..start + len)
            {
                self.seal_directory_block(node, block, old, new)?;
            }
        } else if is_orphan_file {
            for block in self
                .runs(node)?
                .into_iter()
                .flat_map(|(start, len)| start..start + len)
            {
                self.seal_orphan_block(node, block, old, new)?;
            }
        }
        let may_have_tree = matches!(
            kind,
            Some(FileType::Regular | FileType::Directory | FileType::Symlink)
        );
        if may_have_tree && node.has(InodeFlags::EXTENTS) {
            let depth = ExtentHeader::parse(&node.rec.block).depth;
            self.seal_children(node, &node.rec.block, depth, old, new)?;
        }
        Ok(())
    }

    fn mismatch(&self, node: &Node, what: &str, block: u64) -> Error {
        Error::corrupt(
            format!("{what} of inode {}", node.ino),
            self.layout.g.offset(block),
            "checksum",
            block,
            "the checksum does not match",
        )
    }

    fn seal_directory_block(&self, node: &Node, block: u64, old: InodeSeed, new: InodeSeed) -> Result<()> {
        let mut bytes = self.read_block(block)?;
        if count_offset(&bytes).is_some() {
            if !index_node::verify(&bytes, old) {
                return Err(self.mismatch(node, "directory block", block));
            }
            seal_index(&mut bytes, new);
        } else {
            if verify_leaf(&bytes, old) != Some(true) {
                return Err(self.mismatch(node, "directory block", block));
            }
            seal_leaf(&mut bytes, Some(new));
        }
        self.write_block(block, &bytes)
    }

    fn seal_orphan_block(&self, node: &Node, block: u64, old: InodeSeed, new: InodeSeed) -> Result<()> {
        let mut bytes = self.read_block(block)?;
        let at = bytes.len().saturating_sub(4);
        if old.orphan_block(block, &bytes) != le32(&bytes, at) {
            return Err(self.mismatch(node, "orphan file block", block));
        }
        let sum = new.orphan_block(block, &bytes);
        put32(&mut bytes, at, sum);
        self.write_block(block, &bytes)
    }

    /// Seals the nodes below a node. None is sealed twice: the second time it would not match.
    fn seal_children(
        &self,
        node: &Node,
        parent: &[u8],
        depth: u16,
        old: InodeSeed,
        new: InodeSeed,
    ) -> Result<()> {
        let header = ExtentHeader::parse(parent);
        if header.magic != EXTENT_MAGIC {
            return Err(node.corrupt("eh_magic", header.magic, "not 0xf30a"));
        }
        if header.depth != depth || depth > MAX_EXTENT_DEPTH {
            return Err(node.corrupt("eh_depth", header.depth, "not what its parent says"));
        }
        if depth == 0 {
            return Ok(());
        }
        let records = parent
            .chunks_exact(EXTENT_RECORD_SIZE)
            .skip(1)
            .take(header.entries.into());
        for record in records {
            let child = ExtentIndex::parse(record).child;
            let mut bytes = self.read_block(child)?;
            let max = ExtentHeader::parse(&bytes).max;
            let tail = EXTENT_RECORD_SIZE * (1 + usize::from(max));
            if tail + 4 > bytes.len() || old.extent_block(&bytes, max) != le32(&bytes, tail) {
                return Err(self.mismatch(node, "extent tree node", child));
            }
            let sum = new.extent_block(&bytes, max);
            put32(&mut bytes, tail, sum);
            self.write_block(child, &bytes)?;
            self.seal_children(node, &bytes, depth - 1, old, new)?;
        }
        Ok(())
    }
}
