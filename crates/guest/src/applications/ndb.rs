//! rpm's own database format (ndb, `Packages.db`; rpm's source, `lib/backend/ndb/rpmpkg.c`): pages of slots, each of which says where
//! in the file, in blocks of 16 bytes, a package header lies. All little-endian.

use super::database_file::{DatabaseFile, le32};
use super::rpm::HeaderSink;
use crate::error::Result;

const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"Slot");
const BLOB_MAGIC: u32 = u32::from_le_bytes(*b"BlbS");
const PAGE: u64 = 4096;
const SLOT: usize = 16;
/// The file's header takes the place of two slots.
const HEADER: usize = 32;
const BLOCK: u64 = 16;
/// A blob begins with magic, package number, generation and length, and ends with checksum, length and magic.
const BLOB_HEAD: u64 = 16;
const BLOB_TAIL: u64 = 12;

/// Gives every package header of the database.
pub(super) fn packages(file: &DatabaseFile, sink: HeaderSink<'_>) -> Result<()> {
    let header = file.read(0, HEADER)?;
    let number = |at| le32(&header, at).unwrap_or(0);
    if number(0) != HEADER_MAGIC {
        return Err(file.corrupt("its header has no magic number \"RpmP\""));
    }
    if number(4) != 0 {
        return Err(file.corrupt(format!("its version is {}", number(4))));
    }
    let pages = u64::from(number(12));
    if pages > file.size() / PAGE {
        return Err(file.corrupt(format!("it has {pages} pages of slots in {} bytes", file.size())));
    }
    for page in 0..pages {
        let bytes = file.read(page * PAGE, PAGE as usize)?;
        let skip = if page == 0 { HEADER } else { 0 };
        for slot in bytes.get(skip..).unwrap_or_default().chunks_exact(SLOT) {
            let [Some(magic), Some(package), Some(offset), Some(blocks)] =
                [0, 4, 8, 12].map(|at| le32(slot, at))
            else {
                continue;
            };
            if magic != SLOT_MAGIC {
                return Err(file.corrupt(format!("a slot of page {page} has the magic number {magic:#x}")));
            }
            if offset != 0 {
                blob(
                    file,
                    package,
                    u64::from(offset) * BLOCK,
                    u64::from(blocks) * BLOCK,
                    sink,
                )?;
            }
        }
    }
    Ok(())
}

fn blob(file: &DatabaseFile, package: u32, at: u64, room: u64, sink: HeaderSink<'_>) -> Result<()> {
    let head = file.read(at, BLOB_HEAD as usize)?;
    let number = |at| le32(&head, at).unwrap_or(0);
    let len = u64::from(number(12));
    if number(0) != BLOB_MAGIC || number(4) != package || len + BLOB_HEAD + BLOB_TAIL > room {
        return Err(file.corrupt(format!(
            "what lies at {at} is not package {package} of at most {room} bytes"
        )));
    }
    let start = at.saturating_add(BLOB_HEAD);
    if start.saturating_add(len) > file.size() {
        return Err(file.corrupt(format!("package {package} at {at} ends behind the file")));
    }
    sink(len as usize, &|wanted| file.read(start, wanted.min(len as usize)))
}
