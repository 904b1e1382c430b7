//! Multi-mount protection: a block in which whoever has the filesystem mounted leaves a sign of life.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.8 (multiple mount protection).

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::Incompat;
use crate::record::record;

/// `mmp_magic`.
const MAGIC: u32 = 0x004d_4d50;
/// `mmp_seq`: not mounted.
const SEQ_CLEAN: u32 = 0xff4d_4d50;

record! {
    /// The protection block.
    pub(crate) struct MmpBlock {
        /// Magic number.
        magic: u32 = 0x00,
        /// Counts up while it is mounted.
        sequence: u32 = 0x04,
        /// Last sign of life, seconds.
        time: u64 = 0x08,
        /// Host name.
        node: [u8; 64] = 0x10,
        /// Device name.
        device: [u8; 32] = 0x50,
        /// Seconds between signs of life.
        interval: u16 = 0x70,
        /// crc32c.
        checksum: u32 = 0x3fc,
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let name = String::from_utf8_lossy(bytes.get(..end).unwrap_or(&[])).into_owned();
    if name.is_empty() {
        "an unknown host".into()
    } else {
        name
    }
}

impl Core {
    /// Refuses a filesystem that somebody has mounted.
    pub(crate) fn check_mmp(&self) -> Result<()> {
        if !self.geometry.has_incompat(Incompat::MMP) {
            return Ok(());
        }
        let number = self.superblock.mmp_block;
        if !self.geometry.holds(number, 1) {
            return Err(Error::corrupt(
                "superblock",
                1024,
                "s_mmp_block",
                number,
                "outside of the filesystem",
            ));
        }
        let offset = self.geometry.offset(number);
        let bytes = disksmith_storage::read_vec(&*self.storage, offset, self.geometry.block_size as usize)?;
        let block = MmpBlock::parse(&bytes);
        let bad = |field, value: u32, reason: &str| {
            Err(Error::corrupt(
                "multi-mount protection block",
                offset,
                field,
                value,
                reason,
            ))
        };
        if block.magic != MAGIC {
            return bad("mmp_magic", block.magic, "not 0x4d4d50");
        }
        if self
            .geometry
            .checksums
            .mmp(&bytes)
            .is_some_and(|want| want != block.checksum)
        {
            return bad("mmp_checksum", block.checksum, "the checksum does not match");
        }
        if block.sequence != SEQ_CLEAN {
            return Err(Error::InUse {
                block: number,
                node: text(&block.node),
                device: text(&block.device),
            });
        }
        Ok(())
    }
}
