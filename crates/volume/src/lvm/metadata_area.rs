//! A metadata area: a header that says where in a ring of text the description of the volume group lies (LVM2,
//! lib/format_text/layout.h "mda_header", "raw_locn").

use super::checksum::checksum;
use super::label::{Area, le32, le64};
use crate::error::{Error, Result};
use disksmith_storage::{Storage, read_vec};

const HEADER: u64 = 512;
const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
/// Where the locations begin in the header, and the length of one.
const LOCATIONS: usize = 40;
const LOCATION: usize = 24;
/// The location is of an area that is not in use.
const IGNORED: u32 = 1;
/// Largest text that is read: LVM2's areas have 1 MiB by default.
const MAX_TEXT: u64 = 16 << 20;

/// The text in an area; `None` where it holds none: a fresh volume, or an area that is not in use.
pub(super) fn read_text(storage: &dyn Storage, area: Area) -> Result<Option<Vec<u8>>> {
    let wrong = |field, value: String| Error::CorruptLvm {
        object: storage.name(),
        structure: "metadata area",
        field,
        offset: area.offset,
        value,
    };
    if storage.check_range(area.offset, area.size).is_err() || area.size < HEADER {
        return Err(wrong("place", format!("{} bytes at {}", area.size, area.offset)));
    }
    let header = read_vec(storage, area.offset, HEADER as usize)?;
    let stored = le32(&header, 0).unwrap_or_default();
    let computed = checksum(header.get(4..).unwrap_or_default());
    if stored != computed {
        return Err(wrong(
            "checksum",
            format!("{stored:#010x}, computed {computed:#010x}"),
        ));
    }
    if header.get(4..20) != Some(MAGIC) {
        return Err(wrong("magic", "another".into()));
    }
    let version = le32(&header, 20).unwrap_or_default();
    if version != 1 {
        return Err(wrong("version", version.to_string()));
    }
    let start = le64(&header, 24).unwrap_or_default();
    if start != area.offset {
        return Err(wrong("start", start.to_string()));
    }
    let location = header.get(LOCATIONS..LOCATIONS + LOCATION).unwrap_or_default();
    let (offset, size) = (
        le64(location, 0).unwrap_or_default(),
        le64(location, 8).unwrap_or_default(),
    );
    let flags = le32(location, 20).unwrap_or_default();
    if offset == 0 || size == 0 || flags & IGNORED != 0 {
        return Ok(None);
    }
    if offset < HEADER || offset >= area.size || size > area.size - HEADER || size > MAX_TEXT {
        return Err(wrong("place of the text", format!("{size} bytes at {offset}")));
    }
    // What does not fit before the end goes on behind the header.
    let first = size.min(area.size - offset);
    let mut text = read_vec(storage, area.offset + offset, first as usize)?;
    if first < size {
        text.extend(read_vec(storage, area.offset + HEADER, (size - first) as usize)?);
    }
    let stored = le32(location, 16).unwrap_or_default();
    let computed = checksum(&text);
    if stored != computed {
        return Err(wrong(
            "checksum of the text",
            format!("{stored:#010x}, computed {computed:#010x}"),
        ));
    }
    Ok(Some(text))
}
