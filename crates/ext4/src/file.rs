//! Contents of files.

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::{Incompat, RoCompat};
use crate::inode::InodeFlags;
use crate::inode_table::Node;
use crate::mapping::Mapped;
use disksmith_storage::ZeroMode;
use disksmith_vfs as vfs;

/// Largest number of runs that are joined to one range of data.
const MAX_PIECES: u32 = 4096;

impl Core {
    /// Refuses what cannot be read without a key.
    fn check_contents(&self, node: &Node) -> Result<()> {
        if node.has(InodeFlags::ENCRYPT) {
            return Err(Error::unsupported("reading or writing an encrypted file"));
        }
        Ok(())
    }

    /// Refuses to change what must not be changed.
    fn check_change(&self, node: &Node, appends: bool) -> Result<()> {
        self.check_contents(node)?;
        let refuse = |reason| {
            Err(Error::File(vfs::Error::NotPermitted {
                path: node.name(),
                reason,
            }))
        };
        if node.has(InodeFlags::IMMUTABLE) {
            return refuse("it is immutable");
        }
        if node.has(InodeFlags::VERITY) {
            return refuse("it is protected by verity");
        }
        if node.has(InodeFlags::APPEND) && !appends {
            return refuse("it is append-only");
        }
        Ok(())
    }

    /// Largest size of a file in bytes.
    fn max_size(&self, node: &Node) -> u64 {
        self.max_blocks(node)
            .saturating_mul(u64::from(self.geometry.block_size))
    }

    /// Reads contents; fewer bytes than asked only at the end.
    pub(crate) fn read_file(&self, node: &Node, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.check_contents(node)?;
        let size = node.rec.size();
        let len = size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let Some(buf) = buf.get_mut(..len) else {
            return Ok(0);
        };
        if len == 0 {
            return Ok(0);
        }
        if node.has(InodeFlags::INLINE_DATA) {
            let contents = self.inline_contents(node)?;
            let from = offset as usize;
            if let Some(part) = contents.get(from..from + len) {
                buf.copy_from_slice(part);
            }
            return Ok(len);
        }
        let shift = self.geometry.block_shift;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let within = at & u64::from(self.geometry.block_size - 1);
            let blocks = (within + rest.len() as u64).div_ceil(u64::from(self.geometry.block_size));
            let (mapped, run) = self.map(node, at >> shift, blocks)?;
            let bytes = ((run << shift) - within).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at_mut(bytes);
            match mapped {
                Mapped::Data(block) => self.storage.read_at(self.geometry.offset(block) + within, now)?,
                Mapped::Hole | Mapped::Unwritten(_) => now.fill(0),
            }
            at += bytes as u64;
            rest = later;
        }
        Ok(len)
    }

    /// The next range with data at or after `offset`.
    pub(crate) fn next_data_of(&self, node: &Node, offset: u64) -> Result<Option<(u64, u64)>> {
        self.check_contents(node)?;
        let size = node.rec.size();
        if offset >= size {
            return Ok(None);
        }
        if node.has(InodeFlags::INLINE_DATA) {
            return Ok(Some((offset, size - offset)));
        }
        let shift = self.geometry.block_shift;
        let end = size.div_ceil(u64::from(self.geometry.block_size));
        let mut at = offset >> shift;
        let mut start = None;
        // A range may be told in parts; so a map that is broken into endless pieces takes no endless time.
        let mut pieces = 0;
        while at < end && (start.is_none() || pieces < MAX_PIECES) {
            pieces += 1;
            let (mapped, run) = self.map(node, at, end - at)?;
            match (mapped, start) {
                (Mapped::Data(_), None) => start = Some(at),
                (Mapped::Data(_), Some(_)) | (_, None) => {}
                (_, Some(_)) => break,
            }
            at += run;
        }
        Ok(start.map(|start| {
            let from = (start << shift).max(offset);
            (from, (at << shift).min(size) - from)
        }))
    }

    /// Writes bytes into blocks, taking what is missing. Size and times are the caller's.
    pub(crate) fn write_blocks(&mut self, node: &mut Node, offset: u64, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let shift = self.geometry.block_shift;
        let block_size = u64::from(self.geometry.block_size);
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= self.max_size(node))
            .ok_or_else(|| Error::File(vfs::Error::FileTooLarge { path: node.name() }))?;
        let (first, last) = (offset >> shift, (end - 1) >> shift);
        // Blocks that hold nothing yet: what is not overwritten of them must become zeroes.
        let mut blank_edges = [false; 2];
        for (edge, block, partial) in [
            (
                0,
                first,
                offset & (block_size - 1) != 0 || end < (first + 1) << shift,
            ),
            (1, last, end & (block_size - 1) != 0),
        ] {
            if partial && let Some(slot) = blank_edges.get_mut(edge) {
                *slot = !matches!(self.map(node, block, 1)?.0, Mapped::Data(_));
            }
        }
        self.hold_mmp()?;
        self.fill_holes(node, first, last + 1, false)?;
        if node.has(InodeFlags::EXTENTS) {
            let mut at = first;
            while at <= last {
                let (mapped, run) = self.map(node, at, last + 1 - at)?;
                if matches!(mapped, Mapped::Unwritten(_)) {
                    self.mark_written(node, at as u32, at + run)?;
                }
                at += run;
            }
        }
        for (edge, block) in [(0usize, first), (1, last)] {
            if !blank_edges.get(edge).is_some_and(|b| *b) || edge == 1 && first == last && blank_edges[0] {
                continue;
            }
            if let (Mapped::Data(physical), _) = self.map(node, block, 1)? {
                let base = self.geometry.offset(physical);
                let start = block << shift;
                let head = offset.saturating_sub(start).min(block_size);
                let tail = end.saturating_sub(start).min(block_size);
                let zeroes = vec![0u8; block_size as usize];
                for (from, to) in [(0, head), (tail, block_size)] {
                    if let Some(part) = zeroes.get(from as usize..to as usize) {
                        self.storage.write_at(base + from, part)?;
                    }
                }
            }
        }
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let within = at & (block_size - 1);
            let blocks = (within + rest.len() as u64).div_ceil(block_size);
            let (mapped, run) = self.map(node, at >> shift, blocks)?;
            let Mapped::Data(block) = mapped else {
                return Err(node.corrupt("i_block", at >> shift, "a block that was taken is gone"));
            };
            let bytes = ((run << shift) - within).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at(bytes);
            self.storage.write_at(self.geometry.offset(block) + within, now)?;
            at += bytes as u64;
            rest = later;
        }
        Ok(())
    }

    /// Sets the size, and the feature that says that there are large files.
    fn grow_size(&mut self, node: &mut Node, size: u64) {
        node.rec.set_size(size);
        if size > i32::MAX as u64 && !self.geometry.has_ro_compat(RoCompat::LARGE_FILE) {
            self.update_superblock(|sb| {
                sb.feature_ro_compat |= RoCompat::LARGE_FILE.bits();
                sb.revision = sb.revision.max(1);
            });
        }
    }

    fn touch(&self, node: &mut Node) {
        let now = self.now();
        node.rec.set_modified(now);
        node.rec.set_changed(now);
    }

    /// Makes the bytes between `from` and `to`, which lie in one block, zero where that block holds data.
    fn zero_within(&mut self, node: &Node, from: u64, to: u64) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let shift = self.geometry.block_shift;
        if let (Mapped::Data(block), _) = self.map(node, from >> shift, 1)? {
            let within = from & u64::from(self.geometry.block_size - 1);
            let zeroes = vec![0u8; (to - from) as usize];
            self.hold_mmp()?;
            self.storage
                .write_at(self.geometry.offset(block) + within, &zeroes)?;
        }
        Ok(())
    }

    /// Writes to a file.
    pub(crate) fn write_file(&mut self, node: &mut Node, offset: u64, data: &[u8]) -> Result<()> {
        let size = node.rec.size();
        self.check_change(node, offset >= size)?;
        if data.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(data.len() as u64);
        let is_inline = self.change_inline(node, end, |contents| {
            let (from, to) = (offset as usize, end as usize);
            if contents.len() < to {
                contents.resize(to, 0);
            }
            if let Some(slot) = contents.get_mut(from..to) {
                slot.copy_from_slice(data);
            }
        })?;
        if !is_inline {
            if node.has(InodeFlags::INLINE_DATA) {
                self.uninline_file(node)?;
            }
            if offset > size {
                self.zero_tail(node, size)?;
            }
            self.write_blocks(node, offset, data)?;
        }
        if end > size {
            self.grow_size(node, end);
        }
        self.touch(node);
        self.store(node)
    }

    /// Makes the rest of the block that holds the end of a file zero.
    fn zero_tail(&mut self, node: &Node, size: u64) -> Result<()> {
        let block_end = size.next_multiple_of(u64::from(self.geometry.block_size));
        self.zero_within(node, size, block_end)
    }

    /// Cuts or extends a file.
    pub(crate) fn resize_file(&mut self, node: &mut Node, size: u64) -> Result<()> {
        self.check_change(node, false)?;
        if size > self.max_size(node) {
            return Err(Error::File(vfs::Error::FileTooLarge { path: node.name() }));
        }
        let is_inline = node.has(InodeFlags::INLINE_DATA)
            && self.change_inline(node, size, |contents| contents.resize(size as usize, 0))?;
        if !is_inline && node.has(InodeFlags::INLINE_DATA) {
            self.uninline_file(node)?;
        }
        let old = node.rec.size();
        if is_inline {
            node.rec.set_size(size);
        } else if size < old {
            let block_size = u64::from(self.geometry.block_size);
            self.unmap(node, size.div_ceil(block_size), u64::from(u32::MAX) + 1)?;
            self.zero_tail(node, size)?;
            node.rec.set_size(size);
        } else {
            self.zero_tail(node, old)?;
            self.grow_size(node, size);
        }
        self.touch(node);
        self.store(node)
    }

    /// Frees what lies beyond the end of a file, as is due for one whose truncation was interrupted.
    pub(crate) fn trim_file(&mut self, node: &mut Node) -> Result<()> {
        if node.has(InodeFlags::INLINE_DATA) || !self.has_blocks(node) {
            return self.store(node);
        }
        let block_size = u64::from(self.geometry.block_size);
        let size = node.rec.size();
        self.unmap(node, size.div_ceil(block_size), u64::from(u32::MAX) + 1)?;
        self.zero_tail(node, size)?;
        self.store(node)
    }

    /// Makes a range a hole.
    pub(crate) fn punch_file(&mut self, node: &mut Node, offset: u64, len: u64) -> Result<()> {
        self.check_change(node, false)?;
        let size = node.rec.size();
        if offset >= size || len == 0 {
            return Ok(());
        }
        if node.has(InodeFlags::INLINE_DATA) {
            self.uninline_file(node)?;
        }
        let block_size = u64::from(self.geometry.block_size);
        let whole_end = size.next_multiple_of(block_size);
        let end = offset.saturating_add(len).min(whole_end);
        let (first, last) = (offset.next_multiple_of(block_size), end / block_size * block_size);
        if first >= last {
            let middle = first.min(end);
            self.zero_within(node, offset, middle)?;
            self.zero_within(node, middle, end)?;
        } else {
            // Splitting an extent can fail for lack of space: contents change only when that is over.
            self.unmap(node, first / block_size, last / block_size)?;
            self.zero_within(node, offset, first)?;
            self.zero_within(node, last, end)?;
        }
        self.touch(node);
        self.store(node)
    }

    /// Takes space for a range.
    pub(crate) fn allocate_file(
        &mut self,
        node: &mut Node,
        offset: u64,
        len: u64,
        keep_size: bool,
    ) -> Result<()> {
        self.check_change(node, offset >= node.rec.size())?;
        if len == 0 {
            return Ok(());
        }
        if node.has(InodeFlags::INLINE_DATA) {
            self.uninline_file(node)?;
        }
        let size = node.rec.size();
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= self.max_size(node))
            .ok_or_else(|| Error::File(vfs::Error::FileTooLarge { path: node.name() }))?;
        let extents = node.has(InodeFlags::EXTENTS);
        if !extents && keep_size && end > size {
            return Err(Error::unsupported(
                "preallocation beyond the end of a file without extents",
            ));
        }
        let shift = self.geometry.block_shift;
        let (first, last) = (offset >> shift, (end - 1) >> shift);
        // Whether there is room is known before anything is taken.
        let needed = (last + 1 - first) >> self.geometry.cluster_shift;
        if needed > self.free_clusters {
            let mut missing = 0;
            let mut at = first;
            while at <= last {
                let (mapped, run) = self.map(node, at, last + 1 - at)?;
                if mapped == Mapped::Hole {
                    missing += run;
                }
                at += run;
            }
            if missing >> self.geometry.cluster_shift > self.free_clusters {
                return Err(Error::NoSpace { what: "blocks" });
            }
        }
        if !keep_size && end > size {
            self.zero_tail(node, size)?;
        }
        let fresh = self.fill_holes(node, first, last + 1, true)?;
        if !extents {
            self.hold_mmp()?;
            for run in fresh {
                let start = self.geometry.offset(run.physical);
                self.storage
                    .write_zeroes(start, u64::from(run.len) << shift, ZeroMode::Keep)?;
            }
        }
        if !keep_size && end > size {
            self.grow_size(node, end);
            self.touch(node);
        } else {
            let now = self.now();
            node.rec.set_changed(now);
        }
        self.store(node)
    }

    /// Whether the blocks of an inode are pointed to from `i_block`: not those of devices, nor of links that are in the inode.
    pub(crate) fn has_blocks(&self, node: &Node) -> bool {
        match node.rec.file_type() {
            Some(vfs::FileType::Regular | vfs::FileType::Directory) => !node.has(InodeFlags::INLINE_DATA),
            Some(vfs::FileType::Symlink) => !self.is_short_link(node),
            _ => false,
        }
    }

    /// Whether a link's target is in `i_block`. As in the kernel, it is when no data blocks are charged to the inode.
    pub(crate) fn is_short_link(&self, node: &Node) -> bool {
        if node.has(InodeFlags::INLINE_DATA) {
            return true;
        }
        if self.geometry.has_incompat(Incompat::EA_INODE) {
            // Blocks of attributes' values are charged too, so that the size alone decides.
            return node.rec.size() < 60;
        }
        let attributes = if node.rec.xattr_block() != 0 {
            u64::from(self.geometry.cluster_blocks()) * u64::from(self.geometry.block_size / 512)
        } else {
            0
        };
        let huge = self.geometry.has_ro_compat(RoCompat::HUGE_FILE);
        node.rec.size() < 60 && node.rec.sectors(huge, self.geometry.block_size) <= attributes
    }

    /// The target of a symbolic link.
    pub(crate) fn link_target(&self, node: &Node) -> Result<Vec<u8>> {
        self.check_contents(node)?;
        if node.has(InodeFlags::INLINE_DATA) {
            return self.inline_contents(node);
        }
        let size = node.rec.size();
        if self.is_short_link(node) {
            return Ok(node.rec.block.get(..size as usize).unwrap_or(&[]).to_vec());
        }
        if size > u64::from(self.geometry.block_size) {
            return Err(node.corrupt("i_size", size, "a link longer than a block"));
        }
        let mut target = vec![0; size as usize];
        self.read_file(node, 0, &mut target)?;
        Ok(target)
    }
}
