//! Multi-mount protection: a block in which whoever has the filesystem mounted leaves a sign of life.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.8 (multiple mount protection).

use crate::core::Core;
use crate::error::{Error, Result};
use crate::features::Incompat;
use crate::record::record;

/// `mmp_magic`.
pub(crate) const MMP_MAGIC: u32 = 0x004d_4d50;
/// `mmp_seq`: not mounted.
pub(crate) const SEQ_CLEAN: u32 = 0xff4d_4d50;
/// `mmp_seq`: a program works on it, and nobody may mount it.
const SEQ_AT_WORK: u32 = 0xe24d_4d50;

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
    /// Tells others that the filesystem is being changed, before the first change of it. Where changes are staged this is
    /// never seen; where they go straight to a device it keeps others from mounting what is half done.
    pub(crate) fn hold_mmp(&mut self) -> Result<()> {
        if self.mmp_held || !self.geometry.has_incompat(Incompat::MMP) {
            return Ok(());
        }
        self.check_mmp()?;
        self.write_mmp(SEQ_AT_WORK)?;
        self.mmp_held = true;
        Ok(())
    }

    /// Takes that back, when everything is written.
    pub(crate) fn release_mmp(&mut self) -> Result<()> {
        if self.mmp_held {
            self.write_mmp(SEQ_CLEAN)?;
            self.mmp_held = false;
        }
        Ok(())
    }

    fn write_mmp(&self, sequence: u32) -> Result<()> {
        let offset = self.geometry.offset(self.superblock.mmp_block);
        let size = self.geometry.block_size as usize;
        let mut bytes = disksmith_storage::read_vec(&*self.storage, offset, size)?;
        let mut block = MmpBlock::parse(&bytes);
        block.sequence = sequence;
        block.time = self.now().seconds.max(0) as u64;
        block.node = [0; 64];
        crate::record::put_array(&mut block.node, 0, b"disksmith");
        block.encode_into(&mut bytes);
        if let Some(checksum) = self.geometry.checksums.mmp(&bytes) {
            block.checksum = checksum;
            block.encode_into(&mut bytes);
        }
        Ok(self.storage.write_at(offset, &bytes)?)
    }

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
        if block.magic != MMP_MAGIC {
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
