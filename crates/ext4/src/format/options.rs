//! What a new filesystem shall be.

use super::feature_list::FeatureList;

/// Which defaults apply, as `mke2fs -t` chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatKind {
    /// No journal, no extents.
    Ext2,
    /// A journal, no extents.
    Ext3,
    /// Everything that is usual today.
    #[default]
    Ext4,
}

/// What the filesystem will hold, as `mke2fs -T` chooses: it decides block size and number of inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// By size: `floppy` below 3 MiB, `small` below 512 MiB, `big` from 4 TiB, `huge` from 16 TiB.
    Default,
    /// 4 KiB blocks, an inode per 16 KiB, whatever the size.
    Ordinary,
    /// 1 KiB blocks, an inode per 8 KiB.
    Floppy,
    /// 1 KiB blocks, an inode per 4 KiB.
    Small,
    /// An inode per 32 KiB.
    Big,
    /// An inode per 64 KiB.
    Huge,
    /// An inode per 4 KiB.
    News,
    /// An inode per MiB.
    LargeFile,
    /// An inode per 4 MiB.
    LargeFile4,
}

/// The journal's size and place, as `mke2fs -J` chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FormatJournal {
    /// Size in MiB; by the filesystem's size where `None`.
    pub size_mib: Option<u32>,
    /// Block at or after which it is placed; in the middle where `None`.
    pub location: Option<u64>,
    /// Size in KiB of the part for fast commits, with `fast_commit`; by the journal's size where `None`.
    pub fast_commit_kib: Option<u32>,
}

/// What a new filesystem shall be. [`FormatOptions::new`] gives what mke2fs does without options.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatOptions {
    /// `-t`.
    pub kind: FormatKind,
    /// `-T`.
    pub usage: Usage,
    /// The filesystem's size in blocks; all of the storage where `None`.
    pub blocks: Option<u64>,
    /// The filesystem's size in bytes; what is left over of the last block is not used. Where `blocks` is given too, that counts.
    pub size: Option<u64>,
    /// `-b`: block size in bytes, 1024 to 65536.
    pub block_size: Option<u32>,
    /// `-C`: cluster size in bytes, with `bigalloc`; 16 blocks where `None`.
    pub cluster_size: Option<u32>,
    /// `-I`: inode size in bytes.
    pub inode_size: Option<u16>,
    /// `-i`: bytes per inode.
    pub inode_ratio: Option<u64>,
    /// `-N`: number of inodes.
    pub inodes: Option<u64>,
    /// `-g`: blocks per group.
    pub blocks_per_group: Option<u32>,
    /// `-G`: groups in a flex group.
    pub flex_groups: Option<u32>,
    /// `-m`: reserved blocks in percent, 0 to 50.
    pub reserved_percent: f64,
    /// `-L`: at most 16 bytes.
    pub label: Vec<u8>,
    /// `-M`: at most 64 bytes.
    pub last_mounted: Vec<u8>,
    /// `-U`.
    pub uuid: [u8; 16],
    /// `-O`.
    pub features: FeatureList,
    /// `-J`.
    pub journal: FormatJournal,
    /// `-E hash_seed`.
    pub hash_seed: [u8; 16],
    /// `-E root_owner`: user and group.
    pub root_owner: (u32, u32),
    /// `-E stride`, in blocks.
    pub stride: u16,
    /// `-E stripe_width`, in blocks.
    pub stripe_width: u32,
    /// `-E resize`: the number of blocks that the descriptor table shall have room for.
    pub resize_limit: Option<u64>,
    /// `-E mmp_update_interval`, in seconds, with `mmp`; at most 300, 0 for 5.
    pub mmp_interval: u16,
    /// `-E quotatype`: whether quotas of users, groups and projects are counted, with `quota`; where `None` those of users and
    /// groups, and with `project` those of projects.
    pub quotas: Option<[bool; 3]>,
    /// `-E orphan_file_size`, in bytes, with `orphan_file`; by the filesystem's size where `None`.
    pub orphan_file_size: Option<u64>,
    /// `-E test_fs`: marks it as one on which code is tried.
    pub test: bool,
    /// `-E packed_meta_blocks`: bitmaps, inode tables and journal all stand at the start.
    pub packed: bool,
    /// `-E num_backup_sb`: copies of the superblock, 0 to 2, with `sparse_super2`.
    pub backups: u8,
    /// `-E encoding_flags`, with `casefold`: 1 refuses names that are no UTF-8.
    pub encoding_flags: u16,
    /// `-e`: what the kernel does on errors: 1 goes on, 2 makes it read-only, 3 panics.
    pub errors: u16,
    /// The time of all that is made, in seconds since 1970.
    pub time: i64,
}

impl FormatOptions {
    /// The options of mke2fs without arguments.
    pub fn new(uuid: [u8; 16], hash_seed: [u8; 16], time: i64) -> Self {
        Self {
            kind: FormatKind::default(),
            usage: Usage::Default,
            blocks: None,
            size: None,
            block_size: None,
            cluster_size: None,
            inode_size: None,
            inode_ratio: None,
            inodes: None,
            blocks_per_group: None,
            flex_groups: None,
            reserved_percent: 5.0,
            label: Vec::new(),
            last_mounted: Vec::new(),
            uuid,
            features: FeatureList::default(),
            journal: FormatJournal::default(),
            hash_seed,
            root_owner: (0, 0),
            stride: 0,
            stripe_width: 0,
            resize_limit: None,
            mmp_interval: 0,
            quotas: None,
            orphan_file_size: None,
            test: false,
            packed: false,
            backups: 2,
            encoding_flags: 0,
            errors: 1,
            time,
        }
    }
}
