//! The inodes of a new filesystem, and what their blocks hold.

use super::file_blocks::FileBlocks;
use super::sizes::Sizes;
use crate::features::{Incompat, RoCompat};
use crate::inode::{Inode, InodeFlags, mode_of};
use crate::record::{put_array, put16, put32};
use disksmith_vfs::{FileType, Timestamp};

/// `s_want_extra_isize` of all fields that are known.
pub(super) const EXTRA_ISIZE: u16 = 32;

/// What is written into blocks.
#[derive(Debug)]
pub(super) enum Content {
    /// One block.
    Block {
        block: u64,
        bytes: Vec<u8>,
    },
    /// A directory: the entries are in its first block, the others are empty.
    Directory {
        inode: u32,
        blocks: FileBlocks,
        entries: Vec<(u32, Vec<u8>)>,
    },
    Journal {
        blocks: FileBlocks,
        log: u32,
        fast_commits: u32,
    },
    /// The multi-mount protection block.
    Mmp {
        block: u64,
    },
    OrphanFile {
        inode: u32,
        blocks: FileBlocks,
    },
}

/// An inode to write.
#[derive(Debug, Clone)]
pub(super) struct InodePlan {
    pub(super) number: u32,
    pub(super) inode: Inode,
    /// The inode of bad blocks keeps the old form.
    has_extra: bool,
    /// An empty area of extended attributes follows the fields, where inline data was moved out.
    pub(super) empty_xattrs: bool,
}

/// `h_magic` of extended attributes.
const XATTR_MAGIC: u32 = 0xEA02_0000;

impl InodePlan {
    pub(super) fn bad_blocks() -> Self {
        Self {
            number: 1,
            inode: Inode::default(),
            has_extra: false,
            empty_xattrs: false,
        }
    }

    pub(super) fn directory(
        number: u32,
        permissions: u16,
        links: u16,
        blocks: FileBlocks,
        sizes: &Sizes,
        owner: (u32, u32),
    ) -> Self {
        let len = blocks.runs.iter().map(|(_, _, len)| len).sum();
        let mut this = Self::file(number, len, blocks, sizes);
        this.inode.mode = mode_of(FileType::Directory) | permissions;
        this.inode.links = links;
        this.inode.set_uid(owner.0);
        this.inode.set_gid(owner.1);
        this
    }

    /// A hidden regular file of `len` blocks.
    pub(super) fn file(number: u32, len: u32, blocks: FileBlocks, sizes: &Sizes) -> Self {
        let mut inode = Inode {
            mode: mode_of(FileType::Regular) | 0o600,
            links: 1,
            ..Inode::default()
        };
        inode.set_size(u64::from(len) * u64::from(sizes.block_size));
        put_array(&mut inode.block, 0, &blocks.root);
        inode.set_flag(
            InodeFlags::EXTENTS,
            sizes.features.incompat.contains(Incompat::EXTENTS),
        );
        set_blocks(&mut inode, blocks.count(sizes.cluster), sizes);
        Self {
            number,
            inode,
            has_extra: true,
            empty_xattrs: false,
        }
    }

    /// The inode of the blocks reserved for descriptors; `double` is its double indirect block.
    pub(super) fn resize(number: u32, double: u64, blocks: u64, sizes: &Sizes) -> Self {
        let mut inode = Inode {
            mode: mode_of(FileType::Regular) | 0o600,
            links: 1,
            ..Inode::default()
        };
        let per_block = u64::from(sizes.block_size / 4);
        inode.set_size((per_block * per_block + per_block + 12) * u64::from(sizes.block_size));
        put32(&mut inode.block, 52, double as u32);
        set_blocks(&mut inode, blocks * u64::from(sizes.cluster), sizes);
        Self {
            number,
            inode,
            has_extra: true,
            empty_xattrs: false,
        }
    }

    /// The bytes of the inode, without its checksum. All its times become `time`.
    pub(super) fn to_raw(&self, size: u16, time: Timestamp) -> Vec<u8> {
        let mut raw = vec![0; size.into()];
        let mut inode = self.inode.clone();
        if self.has_extra && usize::from(size) > 128 {
            inode.extra_isize = EXTRA_ISIZE;
            put16(&mut raw, 0x80, EXTRA_ISIZE);
            inode.set_created(time);
            if self.empty_xattrs {
                put32(&mut raw, 128 + usize::from(EXTRA_ISIZE), XATTR_MAGIC);
            }
        }
        inode.set_accessed(time);
        inode.set_modified(time);
        inode.set_changed(time);
        inode.store_into(&mut raw);
        raw
    }
}

fn set_blocks(inode: &mut Inode, blocks: u64, sizes: &Sizes) {
    let huge = sizes.features.ro_compat.contains(RoCompat::HUGE_FILE);
    let sectors = blocks * u64::from(sizes.block_size / 512);
    inode.set_sectors(sectors, huge, sizes.block_size);
}
