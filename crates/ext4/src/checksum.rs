//! The checksums of ext4 metadata.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 2.15 (Checksums). `metadata_csum`:
//! crc32c (Castagnoli, reflected) started from all ones and not inverted at the end. `uninit_bg`: crc16 (ARC
//! polynomial 0xA001), group descriptors only.

/// Continues a crc32c over `data`, without inversion at either end.
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, data)
}

const CRC16_TABLE: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xA001
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// Continues a crc16 over `data`.
pub(crate) fn crc16(seed: u16, data: &[u8]) -> u16 {
    data.iter().fold(seed, |crc, byte| {
        (crc >> 8) ^ CRC16_TABLE[usize::from((crc ^ u16::from(*byte)) & 0xff)]
    })
}

/// What the checksums of inode-owned blocks (directories, extent trees) start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InodeSeed(pub u32);

/// Which checksums a filesystem has, and what they start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// None.
    None,
    /// crc16 of group descriptors, started from the filesystem's UUID.
    Crc16 {
        /// The crc16 of the UUID.
        seed: u16,
    },
    /// crc32c of all metadata.
    Crc32c {
        /// The crc32c of the UUID, or `s_checksum_seed`.
        seed: u32,
    },
}

/// Byte offset of `bg_checksum` in a group descriptor.
const GROUP_CHECKSUM_OFFSET: usize = 0x1e;
/// Byte offsets of the two halves of an inode's checksum.
const INODE_CHECKSUM_LO: usize = 0x7c;
const INODE_CHECKSUM_HI: usize = 0x82;

/// Bytes from `from` to `to`, as far as there are any.
fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to.min(bytes.len())).unwrap_or(&[])
}

impl Checksums {
    /// Whether all metadata has a crc32c.
    pub fn is_crc32c(&self) -> bool {
        matches!(self, Self::Crc32c { .. })
    }

    /// The checksum of group descriptor number `group`, given as stored (its own checksum field is left out).
    /// `None` where there are no checksums.
    pub fn group_descriptor(&self, group: u32, descriptor: &[u8]) -> Option<u16> {
        let before = part(descriptor, 0, GROUP_CHECKSUM_OFFSET);
        let after = part(descriptor, GROUP_CHECKSUM_OFFSET + 2, descriptor.len());
        match self {
            Self::None => None,
            Self::Crc16 { seed } => Some(crc16(crc16(crc16(*seed, &group.to_le_bytes()), before), after)),
            Self::Crc32c { seed } => {
                let crc = crc32c(crc32c(*seed, &group.to_le_bytes()), before);
                Some((crc32c(crc32c(crc, &[0, 0]), after) & 0xffff) as u16)
            }
        }
    }

    /// The checksum of the used part of a bitmap. The upper half is kept only by descriptors of 64 bytes or more.
    pub fn bitmap(&self, used: &[u8]) -> Option<u32> {
        match self {
            Self::Crc32c { seed } => Some(crc32c(*seed, used)),
            _ => None,
        }
    }

    /// What the checksums of the blocks of an inode start from.
    pub fn inode_seed(&self, inode: u32, generation: u32) -> Option<InodeSeed> {
        match self {
            Self::Crc32c { seed } => {
                let crc = crc32c(*seed, &inode.to_le_bytes());
                Some(InodeSeed(crc32c(crc, &generation.to_le_bytes())))
            }
            _ => None,
        }
    }

    /// The checksum of an inode, given as stored in the inode table (its checksum fields are left out).
    pub fn inode(&self, inode: u32, generation: u32, raw: &[u8]) -> Option<u32> {
        let InodeSeed(seed) = self.inode_seed(inode, generation)?;
        let crc = crc32c(seed, part(raw, 0, INODE_CHECKSUM_LO));
        let crc = crc32c(crc, &[0, 0]);
        let crc = crc32c(crc, part(raw, INODE_CHECKSUM_LO + 2, 128));
        if raw.len() <= 128 {
            return Some(crc);
        }
        let crc = crc32c(crc, part(raw, 128, INODE_CHECKSUM_HI));
        Some(if inode_checksum_has_upper_half(raw) {
            crc32c(crc32c(crc, &[0, 0]), part(raw, INODE_CHECKSUM_HI + 2, raw.len()))
        } else {
            crc32c(crc, part(raw, INODE_CHECKSUM_HI, raw.len()))
        })
    }

    /// Checks the stored checksum of an inode.
    pub fn verify_inode(&self, inode: u32, generation: u32, raw: &[u8]) -> bool {
        let Some(want) = self.inode(inode, generation, raw) else {
            return true;
        };
        let low = u32::from(crate::record::le16(raw, INODE_CHECKSUM_LO));
        if inode_checksum_has_upper_half(raw) {
            want == low | u32::from(crate::record::le16(raw, INODE_CHECKSUM_HI)) << 16
        } else {
            want & 0xffff == low
        }
    }

    /// Puts the checksum into an inode as stored in the inode table.
    pub fn seal_inode(&self, inode: u32, generation: u32, raw: &mut [u8]) {
        if let Some(crc) = self.inode(inode, generation, raw) {
            crate::record::put16(raw, INODE_CHECKSUM_LO, (crc & 0xffff) as u16);
            if inode_checksum_has_upper_half(raw) {
                crate::record::put16(raw, INODE_CHECKSUM_HI, (crc >> 16) as u16);
            }
        }
    }

    /// The checksum of a block of extended attributes; its own checksum field (at byte 16) is left out.
    pub fn xattr_block(&self, block_number: u64, block: &[u8]) -> Option<u32> {
        let Self::Crc32c { seed } = self else { return None };
        let crc = crc32c(*seed, &block_number.to_le_bytes());
        let crc = crc32c(crc, part(block, 0, 16));
        let crc = crc32c(crc, &[0; 4]);
        Some(crc32c(crc, part(block, 20, block.len())))
    }

    /// The checksum of a multi-mount protection block.
    pub fn mmp(&self, block: &[u8]) -> Option<u32> {
        match self {
            Self::Crc32c { seed } => Some(crc32c(*seed, part(block, 0, 1020))),
            _ => None,
        }
    }

    /// The checksum of the value held in an inode of extended attributes (stored in that inode's access time).
    pub fn xattr_value(&self, value: &[u8]) -> Option<u32> {
        match self {
            Self::Crc32c { seed } => Some(crc32c(*seed, value)),
            _ => None,
        }
    }
}

impl InodeSeed {
    /// The checksum of a directory leaf block whose last 12 bytes are its tail.
    pub fn directory_leaf(self, block: &[u8]) -> u32 {
        crc32c(self.0, part(block, 0, block.len().saturating_sub(12)))
    }

    /// The checksum of a hash tree node: `count_offset` is the offset of the count and limit, `count` of the
    /// entries (the first holds count and limit), `tail` the first four bytes of the node's tail.
    pub fn directory_index(self, block: &[u8], count_offset: usize, count: usize, tail: &[u8]) -> u32 {
        let end = count_offset.saturating_add(count.saturating_mul(8));
        let crc = crc32c(self.0, part(block, 0, end));
        crc32c(crc32c(crc, part(tail, 0, 4)), &[0; 4])
    }

    /// The checksum of an extent tree block of `max` entries, which stands right behind the last of them.
    pub fn extent_block(self, block: &[u8], max: u16) -> u32 {
        crc32c(self.0, part(block, 0, 12 + 12 * usize::from(max)))
    }

    /// The checksum of a block of the orphan file: `block_number` is where it lies in the filesystem.
    pub fn orphan_block(self, block_number: u64, block: &[u8]) -> u32 {
        let crc = crc32c(self.0, &block_number.to_le_bytes());
        crc32c(crc, part(block, 0, block.len().saturating_sub(8)))
    }
}

/// The checksum of a superblock of 1024 bytes; its own checksum field is the last four.
pub(crate) fn superblock(raw: &[u8]) -> u32 {
    crc32c(!0, part(raw, 0, 1020))
}

/// Whether an inode has room for the upper half of its checksum.
fn inode_checksum_has_upper_half(raw: &[u8]) -> bool {
    raw.len() > 128 && usize::from(crate::record::le16(raw, 0x80)) + 128 >= INODE_CHECKSUM_HI + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32c(!0, b"123456789"), !0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }
}
