//! The FSInfo sector of a FAT32, FAT specification 1.03, "FAT32 FSInfo Sector Structure".

use byteorder::{ByteOrder, LittleEndian};
use disksmith_storage::Storage;
use disksmith_vfs::Result;

/// Bytes of the structure.
const LEN: usize = 512;
const LEAD_SIGNATURE: u32 = 0x4161_5252;
const STRUCTURE_SIGNATURE: u32 = 0x6141_7272;
const TRAIL_SIGNATURE: u32 = 0xaa55_0000;
const FREE_AT: u64 = 488;

/// What the sector tells. Only a hint, as the specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FsInfo {
    /// How many clusters are free. Bytes 488 to 491.
    pub(crate) free: u32,
    /// The cluster that was allocated last. Bytes 492 to 495.
    pub(crate) last: u32,
}

impl FsInfo {
    /// Reads the sector; `None` where there is none with the right signatures.
    pub(crate) fn load(storage: &dyn Storage, offset: u64) -> Result<Option<Self>> {
        if storage.check_range(offset, LEN as u64).is_err() {
            return Ok(None);
        }
        let mut bytes = [0; LEN];
        storage.read_at(offset, &mut bytes)?;
        let sound = LittleEndian::read_u32(&bytes[..4]) == LEAD_SIGNATURE
            && LittleEndian::read_u32(&bytes[484..488]) == STRUCTURE_SIGNATURE;
        Ok(sound.then(|| Self {
            free: LittleEndian::read_u32(&bytes[488..492]),
            last: LittleEndian::read_u32(&bytes[492..496]),
        }))
    }

    /// Writes both numbers into a sector that is there.
    pub(crate) fn store(self, storage: &dyn Storage, offset: u64) -> Result<()> {
        let mut bytes = [0; 8];
        LittleEndian::write_u32(&mut bytes[..4], self.free);
        LittleEndian::write_u32(&mut bytes[4..], self.last);
        Ok(storage.write_at(offset + FREE_AT, &bytes)?)
    }

    /// A whole new sector.
    pub(crate) fn encode(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        LittleEndian::write_u32(&mut bytes[..4], LEAD_SIGNATURE);
        LittleEndian::write_u32(&mut bytes[484..488], STRUCTURE_SIGNATURE);
        LittleEndian::write_u32(&mut bytes[488..492], self.free);
        LittleEndian::write_u32(&mut bytes[492..496], self.last);
        LittleEndian::write_u32(&mut bytes[508..], TRAIL_SIGNATURE);
        bytes
    }
}
