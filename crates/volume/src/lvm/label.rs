//! The label of a physical volume and the header behind it (LVM2, lib/label/label.h "label_header", lib/format_text/layout.h "pv_header").

use super::checksum::checksum;
use crate::error::{Error, Result};
use disksmith_storage::{Storage, read_vec};

const SECTOR: u64 = 512;
/// The label lies in one of the first four sectors.
const SECTORS: u64 = 4;
/// How many areas of each kind are read; LVM2 makes one or two.
const MAX_AREAS: usize = 16;

/// A part of a physical volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) offset: u64,
    /// 0 in a data area means: to the end.
    pub(super) size: u64,
}

/// What the label of a physical volume says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// The identifier, 32 characters.
    pub(super) id: String,
    /// The size of the device in bytes, as it was when the volume was made.
    pub(super) device_size: u64,
    /// Where the metadata lies.
    pub(super) metadata: Vec<Area>,
}

impl Label {
    /// Reads the label; `None` where there is none.
    pub(super) fn read(storage: &dyn Storage) -> Result<Option<Self>> {
        for sector in 0..SECTORS {
            let at = sector * SECTOR;
            if storage.check_range(at, SECTOR).is_err() {
                return Ok(None);
            }
            let bytes = read_vec(storage, at, SECTOR as usize)?;
            if bytes.starts_with(b"LABELONE") && bytes.get(24..32) == Some(b"LVM2 001") {
                return Self::parse(storage, at, &bytes).map(Some);
            }
        }
        Ok(None)
    }

    fn parse(storage: &dyn Storage, at: u64, bytes: &[u8]) -> Result<Self> {
        let wrong = |field, value: String| Error::CorruptLvm {
            object: storage.name(),
            structure: "label",
            field,
            offset: at,
            value,
        };
        let stored = le32(bytes, 16).unwrap_or_default();
        let computed = checksum(bytes.get(20..).unwrap_or_default());
        if stored != computed {
            return Err(wrong(
                "checksum",
                format!("{stored:#010x}, computed {computed:#010x}"),
            ));
        }
        let number = le64(bytes, 8).unwrap_or_default();
        if number != at / SECTOR {
            return Err(wrong("sector", number.to_string()));
        }
        let offset = le32(bytes, 20).unwrap_or_default() as usize;
        let header = bytes
            .get(offset..)
            .filter(|h| h.len() >= 40)
            .ok_or_else(|| wrong("offset of the header", offset.to_string()))?;
        let id = header.get(..32).unwrap_or_default();
        if !id.iter().all(u8::is_ascii_alphanumeric) {
            return Err(wrong("identifier", format!("{:?}", String::from_utf8_lossy(id))));
        }
        let mut areas = header.get(40..).unwrap_or_default();
        let data = take_areas(&mut areas).ok_or_else(|| wrong("list of data areas", "without end".into()))?;
        let metadata =
            take_areas(&mut areas).ok_or_else(|| wrong("list of metadata areas", "without end".into()))?;
        log::debug!("{}: {} data areas", storage.name(), data.len());
        Ok(Self {
            id: String::from_utf8_lossy(id).into_owned(),
            device_size: le64(header, 32).unwrap_or_default(),
            metadata,
        })
    }
}

/// Pairs of offset and size up to one whose offset is 0.
fn take_areas(bytes: &mut &[u8]) -> Option<Vec<Area>> {
    let mut areas = Vec::new();
    loop {
        let (offset, size) = (le64(bytes, 0)?, le64(bytes, 8)?);
        *bytes = bytes.get(16..)?;
        if offset == 0 {
            return Some(areas);
        }
        if areas.len() == MAX_AREAS {
            return None;
        }
        areas.push(Area { offset, size });
    }
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field))
}

pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*field))
}
