//! The superblock.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.1 (super block).

use crate::checksum::{self, Checksums};
use crate::error::{Error, Result};
use crate::features::{Features, Incompat, RoCompat};
use crate::record::record;

/// Byte offset of the primary superblock.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Size of a superblock in bytes.
pub(crate) const SUPERBLOCK_SIZE: usize = 1024;
/// `s_magic`.
pub(crate) const MAGIC: u16 = 0xef53;
/// `s_state`: cleanly unmounted.
pub(crate) const STATE_VALID: u16 = 1;
/// `s_state`: errors were seen.
pub(crate) const STATE_ERROR: u16 = 2;
/// `s_flags`: directory hashes treat bytes as signed.
pub(crate) const FLAG_SIGNED_HASH: u32 = 1;
/// `s_flags`: directory hashes treat bytes as unsigned.
pub(crate) const FLAG_UNSIGNED_HASH: u32 = 2;

record! {
    /// The superblock as stored, little-endian; numbers that are stored in two halves have a method that joins them.
    pub struct Superblock {
        /// Number of inodes.
        inodes_count: u32 = 0x00,
        /// Number of blocks, lower half.
        blocks_count_lo: u32 = 0x04,
        /// Reserved blocks, lower half.
        reserved_blocks_lo: u32 = 0x08,
        /// Free blocks, lower half (with `bigalloc` too, in blocks).
        free_blocks_lo: u32 = 0x0c,
        /// Free inodes.
        free_inodes: u32 = 0x10,
        /// First block of group 0: 1 for blocks of 1 KiB without `bigalloc`, else 0.
        first_data_block: u32 = 0x14,
        /// Block size is 1024 << this.
        log_block_size: u32 = 0x18,
        /// Cluster size is 1024 << this.
        log_cluster_size: u32 = 0x1c,
        /// Blocks per group.
        blocks_per_group: u32 = 0x20,
        /// Clusters per group.
        clusters_per_group: u32 = 0x24,
        /// Inodes per group.
        inodes_per_group: u32 = 0x28,
        /// Last mount, seconds.
        mount_time: u32 = 0x2c,
        /// Last write, seconds.
        write_time: u32 = 0x30,
        /// Mounts since the last check.
        mount_count: u16 = 0x34,
        /// Mounts until a check is due.
        max_mount_count: u16 = 0x36,
        /// [`MAGIC`].
        magic: u16 = 0x38,
        /// [`STATE_VALID`] and others.
        state: u16 = 0x3a,
        /// What to do on errors.
        errors: u16 = 0x3c,
        /// Minor revision.
        minor_revision: u16 = 0x3e,
        /// Last check, seconds.
        last_check: u32 = 0x40,
        /// Seconds between checks.
        check_interval: u32 = 0x44,
        /// Creator: 0 is Linux.
        creator_os: u32 = 0x48,
        /// Revision: 0 has fixed inode size and no features.
        revision: u32 = 0x4c,
        /// User who may use reserved blocks.
        reserved_uid: u16 = 0x50,
        /// Group that may use reserved blocks.
        reserved_gid: u16 = 0x52,
        /// First inode for files.
        first_inode: u32 = 0x54,
        /// Inode size in bytes.
        inode_size: u16 = 0x58,
        /// Group that this copy stands in.
        block_group_nr: u16 = 0x5a,
        /// See [`Features`].
        feature_compat: u32 = 0x5c,
        /// See [`Features`].
        feature_incompat: u32 = 0x60,
        /// See [`Features`].
        feature_ro_compat: u32 = 0x64,
        /// UUID.
        uuid: [u8; 16] = 0x68,
        /// Label, padded with NUL.
        volume_name: [u8; 16] = 0x78,
        /// Where it was mounted last.
        last_mounted: [u8; 64] = 0x88,
        /// Compression algorithms (unused).
        algorithm_usage_bitmap: u32 = 0xc8,
        /// Blocks to preallocate for files (unused).
        prealloc_blocks: u8 = 0xcc,
        /// Blocks to preallocate for directories (unused).
        prealloc_dir_blocks: u8 = 0xcd,
        /// Blocks reserved behind each copy of the descriptor table.
        reserved_gdt_blocks: u16 = 0xce,
        /// UUID of the external journal.
        journal_uuid: [u8; 16] = 0xd0,
        /// Inode of the journal.
        journal_inode: u32 = 0xe0,
        /// Device number of the external journal.
        journal_device: u32 = 0xe4,
        /// Head of the list of orphans.
        last_orphan: u32 = 0xe8,
        /// Seed of directory hashes.
        hash_seed: [u32; 4] = 0xec,
        /// Hash of new directories.
        default_hash_version: u8 = 0xfc,
        /// What `journal_backup` holds: 1 is the journal inode's `i_block` and size.
        journal_backup_type: u8 = 0xfd,
        /// Size of a group descriptor with `64bit`.
        descriptor_size: u16 = 0xfe,
        /// Default mount options.
        default_mount_options: u32 = 0x100,
        /// First meta group that is laid out by `meta_bg`.
        first_meta_bg: u32 = 0x104,
        /// Creation, seconds.
        mkfs_time: u32 = 0x108,
        /// Backup of the journal inode.
        journal_backup: [u32; 17] = 0x10c,
        /// Number of blocks, upper half.
        blocks_count_hi: u32 = 0x150,
        /// Reserved blocks, upper half.
        reserved_blocks_hi: u32 = 0x154,
        /// Free blocks, upper half.
        free_blocks_hi: u32 = 0x158,
        /// Extra bytes that every inode has.
        min_extra_isize: u16 = 0x15c,
        /// Extra bytes that new inodes get.
        want_extra_isize: u16 = 0x15e,
        /// [`FLAG_SIGNED_HASH`] and others.
        flags: u32 = 0x160,
        /// RAID stride in blocks.
        raid_stride: u16 = 0x164,
        /// Seconds between looks at the multi-mount protection block.
        mmp_interval: u16 = 0x166,
        /// Block number of the multi-mount protection block.
        mmp_block: u64 = 0x168,
        /// RAID stripe width in blocks.
        raid_stripe_width: u32 = 0x170,
        /// Groups in a flex group are 1 << this.
        log_groups_per_flex: u8 = 0x174,
        /// Kind of `metadata_csum`: 1 is crc32c.
        checksum_type: u8 = 0x175,
        /// Version of encryption.
        encryption_level: u8 = 0x176,
        /// KiB written in its lifetime.
        kbytes_written: u64 = 0x178,
        /// Number of errors seen.
        error_count: u32 = 0x194,
        /// First error, seconds.
        first_error_time: u32 = 0x198,
        /// Last error, seconds.
        last_error_time: u32 = 0x1cc,
        /// Mount options.
        mount_options: [u8; 64] = 0x200,
        /// Inode of user quotas.
        user_quota_inode: u32 = 0x240,
        /// Inode of group quotas.
        group_quota_inode: u32 = 0x244,
        /// Blocks (clusters with `bigalloc`) of overhead, 0 where not counted.
        overhead: u32 = 0x248,
        /// Groups with backup superblocks with `sparse_super2`.
        backup_groups: [u32; 2] = 0x24c,
        /// Encryption algorithms.
        encrypt_algorithms: [u8; 4] = 0x254,
        /// Salt for encryption.
        encrypt_salt: [u8; 16] = 0x258,
        /// Inode of `lost+found`.
        lost_found_inode: u32 = 0x268,
        /// Inode of project quotas.
        project_quota_inode: u32 = 0x26c,
        /// Seed of checksums with `metadata_csum_seed`.
        checksum_seed: u32 = 0x270,
        /// Last write, upper 8 bits of 40.
        write_time_hi: u8 = 0x274,
        /// Last mount, upper 8 bits of 40.
        mount_time_hi: u8 = 0x275,
        /// Creation, upper 8 bits of 40.
        mkfs_time_hi: u8 = 0x276,
        /// Last check, upper 8 bits of 40.
        last_check_hi: u8 = 0x277,
        /// Character set of case-insensitive names.
        encoding: u16 = 0x27c,
        /// Flags of that.
        encoding_flags: u16 = 0x27e,
        /// Inode of the orphan file.
        orphan_file_inode: u32 = 0x280,
        /// crc32c of the superblock.
        checksum: u32 = 0x3fc,
    }
}

fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Superblock {
    /// Decodes a superblock and checks its magic, its checksum, and the bounds of every field that the geometry
    /// depends on. `offset` is where it stands, for messages. Does not judge features.
    pub fn from_bytes(bytes: &[u8], offset: u64) -> Result<Self> {
        let superblock = Self::parse(bytes);
        if superblock.magic != MAGIC {
            return Err(Error::NotExt {
                magic: superblock.magic,
            });
        }
        superblock.check(bytes, offset)?;
        Ok(superblock)
    }

    fn check(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let bad =
            |field, value: u64, reason: &str| Err(Error::corrupt("superblock", offset, field, value, reason));
        if self.features().has_metadata_csum() {
            if self.checksum_type != 1 {
                return bad(
                    "s_checksum_type",
                    u64::from(self.checksum_type),
                    "unknown kind of checksum",
                );
            }
            if checksum::superblock(bytes) != self.checksum {
                return bad(
                    "s_checksum",
                    u64::from(self.checksum),
                    "the checksum does not match",
                );
            }
        }
        if self.revision > 1 {
            return bad("s_rev_level", u64::from(self.revision), "unknown revision");
        }
        if self.log_block_size > 6 {
            return bad(
                "s_log_block_size",
                u64::from(self.log_block_size),
                "blocks larger than 64 KiB",
            );
        }
        let block_size = self.block_size();
        let bits = block_size * 8;
        if self.has_bigalloc() {
            if self.log_cluster_size < self.log_block_size || self.log_cluster_size > 20 {
                return bad(
                    "s_log_cluster_size",
                    u64::from(self.log_cluster_size),
                    "out of range",
                );
            }
        } else if self.log_cluster_size != self.log_block_size && self.revision > 0 {
            return bad(
                "s_log_cluster_size",
                u64::from(self.log_cluster_size),
                "differs from the block size without bigalloc",
            );
        }
        let per_group = self.clusters_in_group();
        if per_group == 0 || per_group > bits || !per_group.is_multiple_of(8) {
            return bad(
                "s_clusters_per_group",
                u64::from(per_group),
                "does not fit a bitmap of one block",
            );
        }
        if u64::from(per_group) << self.cluster_shift() != u64::from(self.blocks_per_group) {
            return bad(
                "s_blocks_per_group",
                u64::from(self.blocks_per_group),
                "contradicts s_clusters_per_group",
            );
        }
        let inode_size = u32::from(self.inode_bytes());
        if inode_size < 128 || inode_size > block_size || !inode_size.is_power_of_two() {
            return bad("s_inode_size", u64::from(inode_size), "out of range");
        }
        if self.inodes_per_group == 0
            || self.inodes_per_group > bits
            || !self.inodes_per_group.is_multiple_of(8)
        {
            return bad(
                "s_inodes_per_group",
                u64::from(self.inodes_per_group),
                "does not fit a bitmap of one block",
            );
        }
        let descriptor = u32::from(self.descriptor_bytes());
        if descriptor < 32 || descriptor > block_size.min(1024) || !descriptor.is_power_of_two() {
            return bad("s_desc_size", u64::from(descriptor), "out of range");
        }
        if self.features().incompat.contains(Incompat::BIT64) && descriptor < 64 {
            return bad("s_desc_size", u64::from(descriptor), "too small for 64bit");
        }
        if u64::from(self.first_data_block) >= self.blocks_count() {
            return bad(
                "s_first_data_block",
                u64::from(self.first_data_block),
                "beyond the end of the filesystem",
            );
        }
        if self.first_data_block > 1 {
            return bad(
                "s_first_data_block",
                u64::from(self.first_data_block),
                "larger than 1",
            );
        }
        let groups = self.group_count();
        if groups > u64::from(u32::MAX)
            || u64::from(self.inodes_count) != groups * u64::from(self.inodes_per_group)
        {
            return bad(
                "s_inodes_count",
                u64::from(self.inodes_count),
                "contradicts the number of groups and inodes per group",
            );
        }
        if self.first_inode_number() < 11 || self.first_inode_number() > self.inodes_count {
            return bad("s_first_ino", u64::from(self.first_inode), "out of range");
        }
        if self.log_groups_per_flex > 31 {
            return bad(
                "s_log_groups_per_flex",
                u64::from(self.log_groups_per_flex),
                "out of range",
            );
        }
        Ok(())
    }

    /// Refuses an external journal, which has a superblock without what makes a filesystem.
    ///
    /// # Errors
    /// [`Error::UnsupportedFeatures`].
    pub(crate) fn check_kind(bytes: &[u8]) -> Result<()> {
        let superblock = Self::parse(bytes);
        if superblock.magic == MAGIC && superblock.features().incompat.contains(Incompat::JOURNAL_DEV) {
            return superblock.features().check_readable();
        }
        Ok(())
    }

    /// Refuses to trust a superblock that says it has no checksum, and has one: that of itself with `metadata_csum` (and
    /// revision 1). Who turns the feature off changes more than that bit; a flipped bit does not.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn check_lost_checksum(&self, bytes: &[u8]) -> Result<()> {
        if self.features().has_metadata_csum() || self.checksum == 0 || self.checksum_type != 1 {
            return Ok(());
        }
        let mut whole = bytes.to_vec();
        let mut meant = self.clone();
        meant.revision = 1;
        meant.feature_ro_compat |= RoCompat::METADATA_CSUM.bits();
        meant.encode_into(&mut whole);
        if checksum::superblock(&whole) != self.checksum {
            return Ok(());
        }
        let (field, value) = if self.revision == 0 {
            ("s_rev_level", self.revision)
        } else {
            ("s_feature_ro_compat", self.feature_ro_compat)
        };
        Err(Error::corrupt(
            "superblock",
            SUPERBLOCK_OFFSET,
            field,
            value,
            "the superblock's checksum is that of one with metadata_csum, which it says it does not have",
        ))
    }

    /// Encodes over `bytes` (1024 of them; unknown bytes stay) and puts the checksum in where there is one.
    pub fn seal_into(&mut self, bytes: &mut [u8]) {
        self.encode_into(bytes);
        if self.features().has_metadata_csum() {
            self.checksum = checksum::superblock(bytes);
            crate::record::put32(bytes, 0x3fc, self.checksum);
        }
    }

    /// The features; none for revision 0.
    pub fn features(&self) -> Features {
        if self.revision == 0 {
            return Features::default();
        }
        Features::from_bits(self.feature_compat, self.feature_incompat, self.feature_ro_compat)
    }

    /// Stores the features.
    pub fn set_features(&mut self, features: Features) {
        self.feature_compat = features.compat.bits();
        self.feature_incompat = features.incompat.bits();
        self.feature_ro_compat = features.ro_compat.bits();
    }

    /// How checksums are made.
    pub fn checksums(&self) -> Checksums {
        let features = self.features();
        if features.has_metadata_csum() {
            Checksums::Crc32c {
                seed: if features.incompat.contains(Incompat::CSUM_SEED) {
                    self.checksum_seed
                } else {
                    checksum::crc32c(!0, &self.uuid)
                },
            }
        } else if features.ro_compat.contains(RoCompat::GDT_CSUM) {
            Checksums::Crc16 {
                seed: checksum::crc16(!0, &self.uuid),
            }
        } else {
            Checksums::None
        }
    }

    fn has_bigalloc(&self) -> bool {
        self.features().ro_compat.contains(RoCompat::BIGALLOC)
    }

    fn is_64bit(&self) -> bool {
        self.features().incompat.contains(Incompat::BIT64)
    }

    /// Block size in bytes. Bounded once [`from_bytes`](Self::from_bytes) has checked it.
    pub fn block_size(&self) -> u32 {
        1024u32.checked_shl(self.log_block_size).unwrap_or(0)
    }

    /// A cluster is this many blocks, as a power of two; 0 without `bigalloc`.
    pub fn cluster_shift(&self) -> u32 {
        if self.has_bigalloc() {
            self.log_cluster_size.saturating_sub(self.log_block_size)
        } else {
            0
        }
    }

    /// Clusters per group; blocks per group without `bigalloc`.
    pub fn clusters_in_group(&self) -> u32 {
        if self.has_bigalloc() {
            self.clusters_per_group
        } else {
            self.blocks_per_group
        }
    }

    /// Size of an inode record in bytes.
    pub fn inode_bytes(&self) -> u16 {
        if self.revision == 0 { 128 } else { self.inode_size }
    }

    /// First inode that is not reserved.
    pub fn first_inode_number(&self) -> u32 {
        if self.revision == 0 { 11 } else { self.first_inode }
    }

    /// Size of a group descriptor in bytes.
    pub fn descriptor_bytes(&self) -> u16 {
        if self.is_64bit() { self.descriptor_size } else { 32 }
    }

    /// Number of blocks.
    pub fn blocks_count(&self) -> u64 {
        join(
            if self.is_64bit() { self.blocks_count_hi } else { 0 },
            self.blocks_count_lo,
        )
    }

    /// Sets the number of blocks.
    pub fn set_blocks_count(&mut self, count: u64) {
        self.blocks_count_lo = count as u32;
        self.blocks_count_hi = (count >> 32) as u32;
    }

    /// Number of free blocks.
    pub fn free_blocks(&self) -> u64 {
        join(
            if self.is_64bit() { self.free_blocks_hi } else { 0 },
            self.free_blocks_lo,
        )
    }

    /// Sets the number of free blocks.
    pub fn set_free_blocks(&mut self, count: u64) {
        self.free_blocks_lo = count as u32;
        self.free_blocks_hi = (count >> 32) as u32;
    }

    /// Blocks reserved for root.
    pub fn reserved_blocks(&self) -> u64 {
        join(
            if self.is_64bit() {
                self.reserved_blocks_hi
            } else {
                0
            },
            self.reserved_blocks_lo,
        )
    }

    /// Sets the number of blocks reserved for root.
    pub fn set_reserved_blocks(&mut self, count: u64) {
        self.reserved_blocks_lo = count as u32;
        self.reserved_blocks_hi = (count >> 32) as u32;
    }

    /// Number of block groups.
    pub fn group_count(&self) -> u64 {
        let per_group = u64::from(self.blocks_per_group).max(1);
        self.blocks_count()
            .saturating_sub(u64::from(self.first_data_block))
            .div_ceil(per_group)
    }

    /// Whether group `group` holds a copy of the superblock (group 0 always does).
    pub fn group_has_superblock(&self, group: u32) -> bool {
        let features = self.features();
        if group == 0 {
            return true;
        }
        if features.compat.contains(crate::features::Compat::SPARSE_SUPER2) {
            return self.backup_groups.contains(&group);
        }
        if group == 1 || !features.ro_compat.contains(RoCompat::SPARSE_SUPER) {
            return true;
        }
        [3u64, 5, 7].iter().any(|base| {
            let mut power = *base;
            while power < u64::from(group) {
                power *= base;
            }
            power == u64::from(group)
        })
    }

    /// The label without its padding; empty where there is none.
    pub fn label(&self) -> &[u8] {
        let end = self.volume_name.iter().position(|b| *b == 0).unwrap_or(16);
        self.volume_name.get(..end).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_groups() {
        let mut sb = Superblock {
            revision: 1,
            feature_ro_compat: RoCompat::SPARSE_SUPER.bits(),
            ..Superblock::default()
        };
        let with: Vec<u32> = (0..130).filter(|g| sb.group_has_superblock(*g)).collect();
        assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
        sb.feature_compat = crate::features::Compat::SPARSE_SUPER2.bits();
        sb.backup_groups = [1, 17];
        let with: Vec<u32> = (0..130).filter(|g| sb.group_has_superblock(*g)).collect();
        assert_eq!(with, [0, 1, 17]);
    }

    #[test]
    fn unknown_bytes_stay() {
        let mut bytes: Vec<u8> = (0..1024u32).map(|i| (i * 7) as u8).collect();
        let before = bytes.clone();
        Superblock::parse(&before).encode_into(&mut bytes);
        assert_eq!(bytes, before);
    }
}
