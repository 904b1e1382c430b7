//! The first 512 bytes of a redo log. They are written with one write, which a device does whole or not at all.

use super::digest::Digest;
use super::{PAGE, SECTOR};
use crate::error::{Error, Result};
use crate::host_file::FileId;
use byteorder::{ByteOrder, LittleEndian};
use std::path::Path;

const MAGIC: u64 = u64::from_le_bytes(*b"dsksmlog");
const VERSION: u32 = 1;

const MAGIC_OFFSET: usize = 0;
const VERSION_OFFSET: usize = 8;
const STATE_OFFSET: usize = 12;
const DEVICE_OFFSET: usize = 16;
const INODE_OFFSET: usize = 24;
const OLD_SIZE_OFFSET: usize = 32;
const NEW_SIZE_OFFSET: usize = 40;
const SEGMENTS_OFFSET: usize = 48;
const LENGTH_OFFSET: usize = 56;
const DIGEST_OFFSET: usize = 64;
/// Checksum of all bytes before it.
const CHECKSUM_OFFSET: usize = SECTOR - 8;

/// How far a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogState {
    /// Being written.
    Open,
    /// All is in it and durable. Whether it counts is decided by its seal, or by an intent file that names it.
    Complete,
    /// It counts: the image is the image with this log applied.
    Sealed,
}

/// What the first sector of a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogHeader {
    pub(super) state: LogState,
    /// The image.
    pub(super) id: FileId,
    /// Size of the image before and after, in bytes.
    pub(super) old_size: u64,
    pub(super) new_size: u64,
    /// How many segments follow.
    pub(super) segments: u64,
    /// Where the last one ends, in bytes from the start of the log.
    pub(super) length: u64,
    /// Checksum of everything from the first page to `length`.
    pub(super) digest: u64,
}

impl LogHeader {
    /// The header of a log that has just been begun.
    pub(super) fn begin(id: FileId, size: u64) -> Self {
        Self {
            state: LogState::Open,
            id,
            old_size: size,
            new_size: size,
            segments: 0,
            length: PAGE,
            digest: Digest::default().finish(),
        }
    }

    pub(super) fn encode(&self) -> [u8; SECTOR] {
        let mut bytes = [0; SECTOR];
        let state = match self.state {
            LogState::Open => 0,
            LogState::Complete => 1,
            LogState::Sealed => 2,
        };
        LittleEndian::write_u64(&mut bytes[MAGIC_OFFSET..], MAGIC);
        LittleEndian::write_u32(&mut bytes[VERSION_OFFSET..], VERSION);
        LittleEndian::write_u32(&mut bytes[STATE_OFFSET..], state);
        LittleEndian::write_u64(&mut bytes[DEVICE_OFFSET..], self.id.device);
        LittleEndian::write_u64(&mut bytes[INODE_OFFSET..], self.id.inode);
        LittleEndian::write_u64(&mut bytes[OLD_SIZE_OFFSET..], self.old_size);
        LittleEndian::write_u64(&mut bytes[NEW_SIZE_OFFSET..], self.new_size);
        LittleEndian::write_u64(&mut bytes[SEGMENTS_OFFSET..], self.segments);
        LittleEndian::write_u64(&mut bytes[LENGTH_OFFSET..], self.length);
        LittleEndian::write_u64(&mut bytes[DIGEST_OFFSET..], self.digest);
        let checksum = Digest::of(&bytes[..CHECKSUM_OFFSET]);
        LittleEndian::write_u64(&mut bytes[CHECKSUM_OFFSET..], checksum);
        bytes
    }

    /// `None` where nothing was written yet: the log was never begun as far as the disk knows.
    pub(super) fn parse(bytes: &[u8; SECTOR], log: &Path) -> Result<Option<Self>> {
        if crate::is_zero(bytes) {
            return Ok(None);
        }
        let damaged = |field, offset: usize, value| Error::LogDamaged {
            log: log.into(),
            field,
            offset: offset as u64,
            value,
        };
        let word = |offset: usize| LittleEndian::read_u64(&bytes[offset..]);
        let half = |offset: usize| LittleEndian::read_u32(&bytes[offset..]);
        if word(MAGIC_OFFSET) != MAGIC {
            return Err(damaged("log header: magic", MAGIC_OFFSET, word(MAGIC_OFFSET)));
        }
        if word(CHECKSUM_OFFSET) != Digest::of(&bytes[..CHECKSUM_OFFSET]) {
            return Err(damaged(
                "log header: checksum",
                CHECKSUM_OFFSET,
                word(CHECKSUM_OFFSET),
            ));
        }
        if half(VERSION_OFFSET) != VERSION {
            return Err(damaged(
                "log header: version",
                VERSION_OFFSET,
                half(VERSION_OFFSET).into(),
            ));
        }
        let state = match half(STATE_OFFSET) {
            0 => LogState::Open,
            1 => LogState::Complete,
            2 => LogState::Sealed,
            other => return Err(damaged("log header: state", STATE_OFFSET, other.into())),
        };
        let length = word(LENGTH_OFFSET);
        if length < PAGE || length % PAGE != 0 {
            return Err(damaged("log header: length", LENGTH_OFFSET, length));
        }
        if word(SEGMENTS_OFFSET) > length / PAGE {
            return Err(damaged(
                "log header: segments",
                SEGMENTS_OFFSET,
                word(SEGMENTS_OFFSET),
            ));
        }
        Ok(Some(Self {
            state,
            id: FileId {
                device: word(DEVICE_OFFSET),
                inode: word(INODE_OFFSET),
            },
            old_size: word(OLD_SIZE_OFFSET),
            new_size: word(NEW_SIZE_OFFSET),
            segments: word(SEGMENTS_OFFSET),
            length,
            digest: word(DIGEST_OFFSET),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let header = LogHeader {
            state: LogState::Sealed,
            id: FileId { device: 1, inode: 2 },
            old_size: 3,
            new_size: 4,
            segments: 5,
            length: 10 * PAGE,
            digest: 7,
        };
        let log = Path::new("log");
        let mut bytes = header.encode();
        assert_eq!(LogHeader::parse(&bytes, log).unwrap(), Some(header));
        assert_eq!(LogHeader::parse(&[0; SECTOR], log).unwrap(), None);
        for at in 0..SECTOR {
            bytes[at] ^= 0x10;
            assert!(LogHeader::parse(&bytes, log).is_err(), "{at}");
            bytes[at] ^= 0x10;
        }
    }
}
