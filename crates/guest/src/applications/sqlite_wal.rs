//! Write-ahead logs of SQLite (SQLite's "Database File Format", section 4): pages that are newer than those in the database.

use super::database_file::{DatabaseFile, be32};
use crate::error::Result;
use std::collections::HashMap;

const HEADER: u64 = 32;
const FRAME_HEADER: usize = 24;
/// Its last bit says in which byte order the checksums are computed.
const MAGIC: u32 = 0x377f_0682;
/// The longest log that is read, in bytes.
const MAX_LOG: u64 = 1 << 30;

/// Where in a log the newest committed state of each page lies.
#[derive(Debug, Default)]
pub(super) struct Wal {
    /// Page number to offset of its contents.
    pages: HashMap<u32, u64>,
    /// The number of pages of the database after the last commit.
    page_count: Option<u32>,
}

impl Wal {
    /// Reads a log: the frames up to the last commit whose salts and checksums are right, as SQLite does. A log of other page size, or
    /// without header, holds nothing.
    pub(super) fn read(file: &DatabaseFile, page_size: u32) -> Result<Self> {
        let mut wal = Self::default();
        if file.size() < HEADER || file.size() > MAX_LOG {
            return Ok(wal);
        }
        let header = file.read(0, HEADER as usize)?;
        let magic = be32(&header, 0).unwrap_or(0);
        if magic & !1 != MAGIC || be32(&header, 8) != Some(page_size) {
            return Ok(wal);
        }
        let big = magic & 1 != 0;
        let mut sum = checksum((0, 0), header.get(..24).unwrap_or_default(), big);
        if (be32(&header, 24), be32(&header, 28)) != (Some(sum.0), Some(sum.1)) {
            return Ok(wal);
        }
        let salts = header.get(16..24).unwrap_or_default().to_vec();
        let frame_len = FRAME_HEADER + page_size as usize;
        let mut pending = HashMap::new();
        let mut at = HEADER;
        while at.saturating_add(frame_len as u64) <= file.size() {
            let frame = file.read(at, frame_len)?;
            sum = checksum(sum, frame.get(..8).unwrap_or_default(), big);
            sum = checksum(sum, frame.get(FRAME_HEADER..).unwrap_or_default(), big);
            let is_right = frame.get(8..16) == Some(salts.as_slice())
                && (be32(&frame, 16), be32(&frame, 20)) == (Some(sum.0), Some(sum.1));
            if !is_right {
                break;
            }
            pending.insert(be32(&frame, 0).unwrap_or(0), at + FRAME_HEADER as u64);
            let size_after_commit = be32(&frame, 4).unwrap_or(0);
            if size_after_commit != 0 {
                wal.pages.extend(pending.drain());
                wal.page_count = Some(size_after_commit);
            }
            at += frame_len as u64;
        }
        Ok(wal)
    }

    /// Where in the log a page lies, if it does.
    pub(super) fn page(&self, number: u32) -> Option<u64> {
        self.pages.get(&number).copied()
    }

    /// How many pages the database has by the log, if it says.
    pub(super) fn page_count(&self) -> Option<u32> {
        self.page_count
    }
}

/// Goes on with a checksum over words of 32 bits, two at a time.
fn checksum(start: (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    bytes.chunks_exact(8).fold(start, |(a, b), pair| {
        let word = |at: usize| {
            let word: [u8; 4] = pair
                .get(at..)
                .and_then(|w| w.first_chunk().copied())
                .unwrap_or_default();
            if big {
                u32::from_be_bytes(word)
            } else {
                u32::from_le_bytes(word)
            }
        };
        let a = a.wrapping_add(word(0)).wrapping_add(b);
        (a, b.wrapping_add(word(4)).wrapping_add(a))
    })
}
