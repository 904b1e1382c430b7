//! An entry of a journal file ("Journal File Format", "Entry Objects").

use crate::error::{Result, damaged};
use crate::object::{id_at, u32_at, u64_at};

/// Bytes before the items.
pub(crate) const FIXED: usize = 64;

/// The most fields of an entry that are looked at; journald takes 1024.
pub(crate) const MAX_ITEMS: usize = 4096;

/// An entry: when it was written, and where its fields are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the sequence of its file.
    pub sequence: u64,
    /// When it was written: microseconds since 1970.
    pub realtime: u64,
    /// The same on the monotonic clock of its boot, in microseconds.
    pub monotonic: u64,
    /// Which boot.
    pub boot_id: [u8; 16],
    /// All hashes of its fields, joined.
    pub(crate) hash: u64,
    /// Byte offsets of the data objects that are its fields.
    pub(crate) items: Vec<u64>,
}

impl Entry {
    /// Parses the whole object, its header with it.
    pub(crate) fn parse(offset: u64, object: &[u8], compact: bool) -> Result<Self> {
        let cut = || damaged("entry", offset, "it is too short");
        let items = object.get(FIXED..).ok_or_else(cut)?;
        let offsets: Vec<u64> = if compact {
            let words = items.chunks_exact(4).filter_map(|item| u32_at(item, 0));
            words.map(u64::from).take(MAX_ITEMS).collect()
        } else {
            let items = items.chunks_exact(16).filter_map(|item| u64_at(item, 0));
            items.take(MAX_ITEMS).collect()
        };
        Ok(Self {
            sequence: u64_at(object, 16).ok_or_else(cut)?,
            realtime: u64_at(object, 24).ok_or_else(cut)?,
            monotonic: u64_at(object, 32).ok_or_else(cut)?,
            boot_id: id_at(object, 40).ok_or_else(cut)?,
            hash: u64_at(object, 56).ok_or_else(cut)?,
            items: offsets,
        })
    }
}
