//! Putting files into a new filesystem, in one pass and in the order in which they lie on the disk: directories first, then the
//! files' contents, beside them the inodes in the order of their numbers.

use super::attribute_area::AttributeBlocks;
use super::content::EXTRA_ISIZE;
use super::directory_image::{DirectoryFormat, DirectoryImage, Entry};
use super::file_blocks::FileBlocks;
use super::file_map::{self, DataRun};
use super::groups::Groups;
use super::options::FormatOptions;
use super::sizes::Sizes;
use super::write::{FIRST_FILE, LOST_AND_FOUND, LOST_AND_FOUND_SIZE, Maker, ROOT};
use crate::checksum::Checksums;
use crate::directory::{MAX_NAME, NameHasher, kind_of};
use crate::error::{Error, Result};
use crate::features::{Compat, Incompat, RoCompat};
use crate::inode::{Inode, InodeFlags, mode_of};
use crate::record::{put_array, put16};
use disksmith_vfs::{FileType, SourceBody, SourceContents, SourceInode, SourceTree, Timestamp};

/// Links that a directory may have before they are no longer counted.
const MAX_DIR_LINKS: u32 = 65_000;
/// A symbolic link shorter than this stands in its inode.
const INLINE_LINK: usize = 60;
/// Half of MD4.
const HASH_HALF_MD4: u8 = 1;
/// So much is read and written at once.
const PIECE: usize = 1 << 20;
/// Inodes are written in pieces of so many bytes.
const INODE_PIECE: usize = 1 << 18;

/// Numbers of the files of a tree, and how they are stored.
pub(super) struct Fill<'a> {
    tree: &'a SourceTree,
    sizes: Sizes,
    checksums: Checksums,
    format: DirectoryFormat,
    /// For each file of the tree its inode number; 0 where it is not used.
    numbers: Vec<u32>,
    /// For each file of the tree the file that holds it, of directories only.
    parents: Vec<u32>,
    /// The tree's own `lost+found`, which takes the place of the one that is always made.
    lost_and_found: Option<u32>,
    /// The highest number.
    pub(super) last: u32,
}

impl<'a> Fill<'a> {
    /// Numbers the files of a tree in their order.
    pub(super) fn new(
        tree: &'a SourceTree,
        sizes: Sizes,
        checksums: Checksums,
        options: &FormatOptions,
    ) -> Result<Self> {
        let mut seed = [0; 4];
        for (word, bytes) in seed.iter_mut().zip(options.hash_seed.chunks_exact(4)) {
            *word = crate::record::le32(bytes, 0);
        }
        let hashed = sizes.features.compat.contains(Compat::DIR_INDEX);
        let mut this = Self {
            tree,
            sizes,
            checksums,
            format: DirectoryFormat {
                block_size: sizes.block_size as usize,
                filetype: sizes.features.incompat.contains(Incompat::FILETYPE),
                hasher: NameHasher::from_version(HASH_HALF_MD4, false, seed).filter(|_| hashed),
                hash_version: HASH_HALF_MD4,
                max_levels: if sizes.features.incompat.contains(Incompat::LARGEDIR) {
                    2
                } else {
                    1
                },
            },
            numbers: vec![0; tree.inodes().len()],
            parents: vec![0; tree.inodes().len()],
            lost_and_found: tree.inodes().first().and_then(|root| {
                let (_, found) = root.entries().iter().find(|(name, _)| **name == *b"lost+found")?;
                let inode = tree.inode(*found)?;
                (inode.file_type() == FileType::Directory).then_some(*found)
            }),
            last: 0,
        };
        let named = tree
            .inodes()
            .first()
            .is_some_and(|root| root.entries().iter().any(|(name, _)| **name == *b"lost+found"));
        if named && this.lost_and_found.is_none() {
            // The directory of this name is always made.
            return Err(Error::File(disksmith_vfs::Error::Exists {
                path: "/lost+found".into(),
            }));
        }
        let mut next = first_number(&sizes);
        for (index, number) in (0u32..).zip(this.numbers.iter_mut()) {
            *number = if index == 0 {
                ROOT
            } else if Some(index) == this.lost_and_found {
                LOST_AND_FOUND
            } else if tree.is_used(index) {
                next = next.checked_add(1).ok_or(Error::NoSpace { what: "inodes" })?;
                next - 1
            } else {
                0
            };
        }
        this.last = next - 1;
        if this.last > sizes.inodes_per_group.saturating_mul(sizes.groups) {
            return Err(Error::NoSpace { what: "inodes" });
        }
        for (index, inode) in (0u32..).zip(tree.inodes()) {
            for (_, child) in inode.entries() {
                if let Some(parent) = this.parents.get_mut(*child as usize) {
                    *parent = index;
                }
            }
        }
        Ok(this)
    }

    /// The users and groups that own files, and those of the files that are always there.
    pub(super) fn owners(&self) -> [Vec<u32>; 3] {
        let mut ids = [vec![0], vec![0], Vec::new()];
        for (file, inode) in (0u32..).zip(self.tree.inodes()) {
            if self.number(file) != 0 {
                ids[0].push(inode.uid);
                ids[1].push(inode.gid);
            }
        }
        if self.lost_and_found.is_some() {
            ids[0].remove(0);
            ids[1].remove(0);
        }
        ids
    }

    fn number(&self, file: u32) -> u32 {
        self.numbers.get(file as usize).copied().unwrap_or(0)
    }

    /// What a directory of the tree looks like.
    pub(super) fn directory(&self, file: u32) -> Result<DirectoryImage> {
        let Some(inode) = self.tree.inode(file) else {
            return Ok(DirectoryImage {
                bytes: Vec::new(),
                indexed: false,
            });
        };
        let mut entries: Vec<Entry<'_>> = Vec::with_capacity(inode.entries().len() + 1);
        if file == 0 && self.lost_and_found.is_none() {
            entries.push(Entry {
                name: b"lost+found",
                inode: LOST_AND_FOUND,
                kind: kind_of(FileType::Directory),
            });
        }
        for (name, child) in inode.entries() {
            if name.len() > MAX_NAME {
                return Err(Error::File(disksmith_vfs::Error::NameTooLong {
                    path: self.tree.path(*child),
                    limit: MAX_NAME,
                }));
            }
            let kind = self.tree.inode(*child).map_or(0, |c| kind_of(c.file_type()));
            entries.push(Entry {
                name,
                inode: self.number(*child),
                kind,
            });
        }
        let own = self.number(file);
        let parent = self.parents.get(file as usize).copied().unwrap_or(0);
        let seed = self.checksums.inode_seed(own, 0);
        let mut image = self.format.build(own, self.number(parent), &entries, seed)?;
        if own == LOST_AND_FOUND {
            let size = self.sizes.block_size;
            let empty = super::directory::block(size, &[], false, seed);
            while !image.indexed && image.bytes.len() < LOST_AND_FOUND_SIZE.min(12 * size) as usize {
                image.bytes.extend_from_slice(&empty);
            }
        }
        Ok(image)
    }

    /// Blocks that the root directory takes, and `lost+found` where it comes from the tree.
    pub(super) fn first_directories(&self) -> Result<(u32, Option<u32>)> {
        let blocks = |image: DirectoryImage| (image.bytes.len() / self.sizes.block_size as usize) as u32;
        let lost = match self.lost_and_found {
            Some(file) => Some(blocks(self.directory(file)?)),
            None => None,
        };
        Ok((blocks(self.directory(0)?), lost))
    }

    /// Directories in each group.
    pub(super) fn count_directories(&self, dirs: &mut [u32]) {
        for (inode, number) in self.tree.inodes().iter().zip(&self.numbers) {
            if inode.file_type() == FileType::Directory
                && *number >= FIRST_FILE
                && let Some(count) = dirs.get_mut(((number - 1) / self.sizes.inodes_per_group) as usize)
            {
                *count += 1;
            }
        }
    }

    fn map(&self, groups: &mut Groups, number: u32, data: &[DataRun]) -> Result<FileBlocks> {
        if self.sizes.features.incompat.contains(Incompat::EXTENTS) {
            file_map::extents(groups, data, self.checksums.inode_seed(number, 0))
        } else {
            file_map::block_map(groups, data)
        }
    }

    /// The runs of blocks that hold the data of a file.
    fn runs(&self, file: u32, inode: &SourceInode) -> Result<Vec<DataRun>> {
        let size = u64::from(self.sizes.block_size);
        let cluster = u64::from(self.sizes.cluster);
        let length = match &inode.body {
            SourceBody::File { size, .. } => *size,
            _ => 0,
        };
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (offset, len) in inode.data() {
            let (mut start, mut end) = (offset / size, offset.saturating_add(len).div_ceil(size));
            if cluster > 1 {
                // A cluster is mapped as a whole, as far as the file goes.
                start -= start % cluster;
                end = end.next_multiple_of(cluster).min(length.div_ceil(size));
            }
            if end > u64::from(u32::MAX) {
                return Err(Error::File(disksmith_vfs::Error::FileTooLarge {
                    path: self.tree.path(file),
                }));
            }
            match runs.last_mut() {
                Some((_, last)) if *last >= start => *last = (*last).max(end),
                _ => runs.push((start, end)),
            }
        }
        Ok(runs
            .iter()
            .map(|(start, end)| (*start as u32, (end - start) as u32))
            .collect())
    }

    /// Writes everything. `first` are the blocks of the root directory and of `lost+found`, which have their places already,
    /// `reserved` the inodes before those of the tree.
    pub(super) fn write(
        &self,
        maker: &mut Maker<'_>,
        contents: &mut dyn SourceContents,
        first: [&FileBlocks; 2],
        reserved: &mut [Vec<u8>],
        time: Timestamp,
    ) -> Result<()> {
        let mut attributes = AttributeBlocks::default();
        let mut places: Vec<Option<(Box<FileBlocks>, bool)>> = Vec::new();
        places.resize_with(self.tree.inodes().len(), || None);
        for (file, inode) in (0u32..).zip(self.tree.inodes()) {
            if inode.file_type() != FileType::Directory {
                continue;
            }
            let image = self.directory(file)?;
            let number = self.number(file);
            let blocks = match number {
                ROOT => first[0].clone(),
                LOST_AND_FOUND => first[1].clone(),
                _ => {
                    let count = image.bytes.len() / self.sizes.block_size as usize;
                    self.map(&mut maker.groups, number, &[(0, count as u32)])?
                }
            };
            let mut rest = image.bytes.as_slice();
            for (_, block, len) in &blocks.runs {
                let bytes = *len as usize * self.sizes.block_size as usize;
                let (part, after) = rest.split_at(bytes.min(rest.len()));
                maker.write_block(*block, part)?;
                rest = after;
            }
            maker.map(&blocks.map)?;
            if let Some(place) = places.get_mut(file as usize) {
                *place = Some((Box::new(blocks), image.indexed));
            }
        }
        let mut inodes = InodeWriter::new(&self.sizes);
        let mut pieces = PieceWriter::default();
        // The root and lost+found are among the first inodes.
        for file in [Some(0), self.lost_and_found].into_iter().flatten() {
            let place = places.get_mut(file as usize).and_then(Option::take);
            let raw = self.inode(maker, &mut attributes, file, place, time)?;
            if let Some(slot) = reserved.get_mut(self.number(file) as usize - 1) {
                *slot = raw;
            }
        }
        for raw in &mut *reserved {
            inodes.push(maker, raw)?;
        }
        for (file, inode) in (0u32..).zip(self.tree.inodes()) {
            if self.number(file) < FIRST_FILE || Some(file) == self.lost_and_found {
                continue;
            }
            let place = match &inode.body {
                SourceBody::Directory(_) => places.get_mut(file as usize).and_then(Option::take),
                SourceBody::File { size, .. } => {
                    let runs = self.runs(file, inode)?;
                    let blocks = self.map(&mut maker.groups, self.number(file), &runs)?;
                    pieces.copy(maker, contents, file, *size, &blocks)?;
                    maker.map(&blocks.map)?;
                    Some((Box::new(blocks), false))
                }
                SourceBody::Symlink(target) if target.len() >= INLINE_LINK => {
                    if target.len() >= self.sizes.block_size as usize {
                        return Err(Error::File(disksmith_vfs::Error::NameTooLong {
                            path: self.tree.path(file),
                            limit: self.sizes.block_size as usize - 1,
                        }));
                    }
                    let blocks = self.map(&mut maker.groups, self.number(file), &[(0, 1)])?;
                    if let Some(block) = blocks.physical(0) {
                        pieces.put(maker, block, target)?;
                    }
                    Some((Box::new(blocks), false))
                }
                _ => None,
            };
            let mut raw = self.inode(maker, &mut attributes, file, place, time)?;
            inodes.push(maker, &mut raw)?;
        }
        pieces.flush(maker)?;
        inodes.flush(maker)?;
        attributes.finish(maker)
    }

    /// The bytes of an inode, without its checksum.
    fn inode(
        &self,
        maker: &mut Maker<'_>,
        attributes: &mut AttributeBlocks,
        file: u32,
        place: Option<(Box<FileBlocks>, bool)>,
        time: Timestamp,
    ) -> Result<Vec<u8>> {
        let mut raw = vec![0; self.sizes.inode_size.into()];
        let Some(source) = self.tree.inode(file) else {
            return Ok(raw);
        };
        let mut inode = Inode {
            mode: mode_of(source.file_type()) | source.permissions,
            ..Inode::default()
        };
        inode.set_uid(source.uid);
        inode.set_gid(source.gid);
        let mut used = 0;
        if let Some((blocks, indexed)) = &place {
            put_array(&mut inode.block, 0, &blocks.root);
            let extents = self.sizes.features.incompat.contains(Incompat::EXTENTS);
            inode.set_flag(InodeFlags::EXTENTS, extents);
            inode.set_flag(InodeFlags::INDEX, *indexed);
            used = blocks.count(self.sizes.cluster);
        }
        inode.links = source.names.min(65_000) as u16;
        match &source.body {
            SourceBody::File { size, .. } => inode.set_size(*size),
            SourceBody::Directory(_) => {
                let blocks: u64 = place
                    .iter()
                    .flat_map(|(b, _)| &b.runs)
                    .map(|r| u64::from(r.2))
                    .sum();
                inode.set_size(blocks * u64::from(self.sizes.block_size));
                inode.links = self.directory_links(file, source)?;
            }
            SourceBody::Symlink(target) => {
                inode.set_size(target.len() as u64);
                if place.is_none() {
                    put_array(&mut inode.block, 0, target);
                }
            }
            SourceBody::CharDevice(major, minor) | SourceBody::BlockDevice(major, minor) => {
                inode.set_device(*major, *minor);
            }
            SourceBody::Fifo | SourceBody::Socket => {}
        }
        if source.file_type() != FileType::Directory && source.names > MAX_DIR_LINKS {
            return Err(Error::File(disksmith_vfs::Error::TooManyLinks {
                path: self.tree.path(file),
            }));
        }
        if self.sizes.inode_size > 128 {
            inode.extra_isize = EXTRA_ISIZE;
            put16(&mut raw, 0x80, EXTRA_ISIZE);
            inode.set_created(time);
        }
        inode.set_accessed(source.modified);
        inode.set_modified(source.modified);
        inode.set_changed(time);
        if !source.xattrs.is_empty() {
            let block = attributes
                .store(maker, &mut raw, &source.xattrs)
                .map_err(|error| self.named(file, error))?;
            if let Some(block) = block {
                inode.set_xattr_block(block);
                used += u64::from(self.sizes.cluster);
            }
        }
        let huge = self.sizes.features.ro_compat.contains(RoCompat::HUGE_FILE);
        let sectors = used * u64::from(self.sizes.block_size / 512);
        if !inode.set_sectors(sectors, huge, self.sizes.block_size) {
            return Err(Error::File(disksmith_vfs::Error::FileTooLarge {
                path: self.tree.path(file),
            }));
        }
        inode.store_into(&mut raw);
        Ok(raw)
    }

    fn directory_links(&self, file: u32, source: &SourceInode) -> Result<u16> {
        let links = source.names.saturating_add(2) + u32::from(file == 0 && self.lost_and_found.is_none());
        if links <= MAX_DIR_LINKS {
            Ok(links as u16)
        } else if self.sizes.features.ro_compat.contains(RoCompat::DIR_NLINK) {
            Ok(1)
        } else {
            Err(Error::File(disksmith_vfs::Error::TooManyLinks {
                path: self.tree.path(file),
            }))
        }
    }

    fn named(&self, file: u32, error: Error) -> Error {
        match error {
            Error::NoSpace { .. } => Error::InvalidOption {
                what: "extended attributes",
                reason: format!("those of {} do not fit", self.tree.path(file)),
            },
            other => other,
        }
    }
}

/// The number of the first file of a tree.
fn first_number(sizes: &Sizes) -> u32 {
    let [.., project] = sizes.quotas;
    FIRST_FILE + u32::from(sizes.features.compat.contains(Compat::ORPHAN_FILE)) + u32::from(project)
}

/// How many blocks and inodes the files of a tree take in a filesystem with such sizes, extended attributes with a block each.
pub(super) fn needs(tree: &SourceTree, sizes: &Sizes) -> (u64, u64) {
    let size = u64::from(sizes.block_size);
    let room = usize::from(sizes.inode_size).saturating_sub(128 + 32 + 8);
    let cluster = u64::from(sizes.cluster);
    let (mut blocks, mut inodes) = (0u64, u64::from(first_number(sizes)));
    for (file, inode) in (0u32..).zip(tree.inodes()) {
        if !tree.is_used(file) {
            continue;
        }
        inodes += 1;
        let own = match &inode.body {
            SourceBody::Directory(entries) => {
                let bytes: u64 = entries
                    .iter()
                    .map(|(name, _)| name.len().next_multiple_of(4) as u64 + 8)
                    .sum();
                let bytes = bytes + 24;
                if bytes + 12 > size {
                    (bytes * 4 / 3).div_ceil(size) + 3 + bytes / (size * size / 16)
                } else {
                    1
                }
            }
            SourceBody::File { .. } => {
                let parts = inode.data();
                let data: u64 = parts
                    .iter()
                    .map(|(offset, len)| (offset + len).div_ceil(size) - offset / size)
                    .map(|blocks| {
                        blocks.next_multiple_of(cluster) + if parts.len() > 1 { cluster - 1 } else { 0 }
                    })
                    .sum();
                if sizes.features.incompat.contains(Incompat::EXTENTS) {
                    let extents = parts.len() as u64 + data / 32768;
                    data + if extents > 3 {
                        (extents / (size / 12 - 2) + 2) * cluster
                    } else {
                        0
                    }
                } else {
                    data + if data > 12 {
                        data / (size / 4) + 3 + 2 * parts.len() as u64
                    } else {
                        2 * parts.len() as u64 - u64::from(parts.len() == 1) * 2
                    }
                }
            }
            SourceBody::Symlink(target) => u64::from(target.len() >= INLINE_LINK),
            _ => 0,
        };
        blocks = blocks.saturating_add(sizes.whole_clusters(own));
        let attributes: usize = inode
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len() + 24)
            .sum();
        if attributes > room {
            blocks += cluster;
        }
    }
    (blocks, inodes)
}

/// Gathers the contents of files that lie one behind the other.
#[derive(Default)]
struct PieceWriter {
    bytes: Vec<u8>,
    offset: u64,
}

impl PieceWriter {
    fn flush(&mut self, maker: &mut Maker<'_>) -> Result<()> {
        if !self.bytes.is_empty() {
            maker.write(self.offset, &self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Room for `len` bytes at an offset, behind which zeroes follow up to a whole block.
    fn room(&mut self, maker: &mut Maker<'_>, offset: u64, len: usize, padded: usize) -> Result<&mut [u8]> {
        if self.offset + self.bytes.len() as u64 != offset || self.bytes.len() + padded > PIECE {
            self.flush(maker)?;
            self.offset = offset;
        }
        let at = self.bytes.len();
        self.bytes.resize(at + padded, 0);
        Ok(self.bytes.get_mut(at..at + len).unwrap_or_default())
    }

    fn put(&mut self, maker: &mut Maker<'_>, block: u64, bytes: &[u8]) -> Result<()> {
        let (offset, size) = (maker.offset(block), maker.sizes.block_size as usize);
        let room = self.room(maker, offset, bytes.len(), bytes.len().next_multiple_of(size))?;
        room.copy_from_slice(bytes);
        Ok(())
    }

    fn copy(
        &mut self,
        maker: &mut Maker<'_>,
        contents: &mut dyn SourceContents,
        file: u32,
        size: u64,
        blocks: &FileBlocks,
    ) -> Result<()> {
        let block_size = u64::from(maker.sizes.block_size);
        for (logical, physical, len) in &blocks.runs {
            let mut at = u64::from(*logical) * block_size;
            let end = (at + u64::from(*len) * block_size).min(size);
            let mut to = maker.offset(*physical);
            while at < end {
                let n = (end - at).min(PIECE as u64) as usize;
                let padded = n.next_multiple_of(block_size as usize);
                let room = self.room(maker, to, n, padded)?;
                contents.read(file, at, room)?;
                at += n as u64;
                to += padded as u64;
            }
        }
        Ok(())
    }
}

/// Writes inodes in the order of their numbers.
pub(super) struct InodeWriter {
    next: u32,
    bytes: Vec<u8>,
    offset: u64,
    per_group: u32,
}

impl InodeWriter {
    pub(super) fn new(sizes: &Sizes) -> Self {
        Self {
            next: 1,
            bytes: Vec::new(),
            offset: 0,
            per_group: sizes.inodes_per_group,
        }
    }

    /// Adds the next inode and gives it its checksum.
    pub(super) fn push(&mut self, maker: &mut Maker<'_>, raw: &mut [u8]) -> Result<()> {
        maker.charge(self.next, raw);
        maker.checksums.seal_inode(self.next, 0, raw);
        let (group, index) = ((self.next - 1) / self.per_group, (self.next - 1) % self.per_group);
        if index == 0 || self.bytes.len() >= INODE_PIECE {
            self.flush(maker)?;
            let table = maker.groups.list.get(group as usize).map_or(0, |g| g.inode_table);
            self.offset = maker.offset(table) + u64::from(index) * raw.len() as u64;
        }
        self.bytes.extend_from_slice(raw);
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    pub(super) fn flush(&mut self, maker: &mut Maker<'_>) -> Result<()> {
        if !self.bytes.is_empty() {
            maker.write(self.offset, &self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}
