//! The defaults that depend on the size (`/etc/mke2fs.conf` of e2fsprogs 1.47).

use super::options::Usage;

const MIB: u64 = 1 << 20;

/// Block size and bytes per inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsageDefaults {
    pub(super) block_size: u32,
    pub(super) inode_ratio: u64,
}

impl UsageDefaults {
    /// What applies to a filesystem of `size` bytes.
    pub(super) fn of(usage: Usage, size: u64) -> Self {
        let by_size = match size {
            s if s < 3 * MIB => Usage::Floppy,
            s if s < 512 * MIB => Usage::Small,
            s if s < 4 << 40 => Usage::Default,
            s if s < 16 << 40 => Usage::Big,
            _ => Usage::Huge,
        };
        let (block_size, inode_ratio) = match if usage == Usage::Default { by_size } else { usage } {
            Usage::Default | Usage::Ordinary => (4096, 16384),
            Usage::Floppy => (1024, 8192),
            Usage::Small => (1024, 4096),
            Usage::Big => (4096, 32768),
            Usage::Huge => (4096, 65536),
            Usage::News => (4096, 4096),
            Usage::LargeFile => (4096, 1 << 20),
            Usage::LargeFile4 => (4096, 4 << 20),
        };
        Self {
            block_size,
            inode_ratio,
        }
    }
}

/// Blocks of the journal of a filesystem with so many blocks; `None` where it is too small for one.
pub(super) fn journal_blocks(fs_blocks: u64) -> Option<u32> {
    const K: u64 = 1024;
    Some(match fs_blocks {
        n if n < 2 * K => return None,
        n if n < 32 * K => 1 << 10,
        n if n < 256 * K => 1 << 12,
        n if n < 512 * K => 1 << 13,
        n if n < 4096 * K => 1 << 14,
        n if n < 8192 * K => 1 << 15,
        n if n < 16384 * K => 1 << 16,
        n if n < 32768 * K => 1 << 17,
        _ => 1 << 18,
    })
}
