//! Revocation blocks (journal.rst, "Revocation Block"): blocks of the filesystem that must not be replayed from older
//! transactions.

use super::error::JournalError;
use super::features::JournalIncompat;
use super::header::HEADER_LEN;
use byteorder::{BigEndian, ByteOrder};

/// Header and the count of bytes used.
const RECORDS: usize = HEADER_LEN + 4;
const TAIL_LEN: usize = 4;

/// The block numbers in a revocation block. `log_block` is where it lies in the log.
pub(super) fn revoked_blocks(
    block: &[u8],
    log_block: u32,
    incompat: JournalIncompat,
) -> Result<Vec<u64>, JournalError> {
    let used = block.get(HEADER_LEN..RECORDS).map_or(0, BigEndian::read_u32);
    let tail = if incompat.has_metadata_checksums() {
        TAIL_LEN
    } else {
        0
    };
    let room = block.len().saturating_sub(tail);
    let records = block.get(RECORDS.min(used as usize)..used as usize);
    let records = match records {
        Some(records) if used as usize <= room => records,
        _ => {
            return Err(JournalError::Corrupt {
                structure: "revocation block",
                block: log_block.into(),
                field: "r_count",
                value: used.into(),
                reason: "more than the block holds",
            });
        }
    };
    Ok(if incompat.contains(JournalIncompat::BIT64) {
        records.chunks_exact(8).map(BigEndian::read_u64).collect()
    } else {
        records
            .chunks_exact(4)
            .map(|b| BigEndian::read_u32(b).into())
            .collect()
    })
}
