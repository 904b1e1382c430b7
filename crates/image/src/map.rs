//! `map`: which parts of an image are held where.

use crate::error::Result;
use disksmith_storage::{Extent, ExtentState, Storage};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// A run of an image that is held in one way. Offsets and lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapEntry {
    /// Where it starts, as a guest counts.
    pub start: u64,
    /// How it is held; its length is the entry's.
    pub extent: Extent,
}

/// Maps `len` bytes from `start`, or up to the end: the runs in order, without gaps.
///
/// # Errors
/// Those of reading the image's metadata.
pub fn map(storage: &dyn Storage, start: u64, len: u64) -> Result<Vec<MapEntry>> {
    let mut entries: Vec<MapEntry> = Vec::new();
    for_each_run(storage, start, len, |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// Calls `visit` with each run of the range in order, neighbours that can be told as one joined; memory does not grow with
/// the number of runs.
///
/// # Errors
/// Those of reading the image's metadata, and of `visit`.
pub fn for_each_run(
    storage: &dyn Storage,
    start: u64,
    len: u64,
    mut visit: impl FnMut(MapEntry) -> Result<()>,
) -> Result<()> {
    let end = start.saturating_add(len).min(storage.size());
    let mut pending: Option<MapEntry> = None;
    let mut at = start;
    while at < end {
        let mut extent = storage.extent_at(at, end - at)?;
        extent.len = extent.len.clamp(1, end - at);
        let next = at + extent.len;
        match &mut pending {
            Some(entry) if entry.extent.continues(&extent) => entry.extent.len += extent.len,
            _ => {
                if let Some(entry) = pending.replace(MapEntry { start: at, extent }) {
                    visit(entry)?;
                }
            }
        }
        at = next;
    }
    pending.map_or(Ok(()), visit)
}

impl MapEntry {
    /// The entry as one line of `qemu-img map --output=json`, without brackets and commas around it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let extent = &self.extent;
        let mut out = format!(
            "{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {}, \"compressed\": {}",
            self.start,
            extent.len,
            extent.depth,
            extent.state != ExtentState::Absent,
            extent.reads_as_zero(),
            extent.state == ExtentState::Data,
            extent.compressed
        );
        if let Some(host) = &extent.host {
            // Writing to a String cannot fail.
            let _ = write!(out, ", \"offset\": {}", host.offset);
        }
        out.push('}');
        out
    }
}

/// The text of `qemu-img map --output=json` for these entries.
#[must_use]
pub fn map_to_json(entries: &[MapEntry]) -> String {
    let lines: Vec<String> = entries.iter().map(MapEntry::to_json).collect();
    format!("[{}]\n", lines.join(",\n"))
}

/// The text of `qemu-img map` for these entries: data only, with the file that holds it. `None` where a part is compressed,
/// encrypted or otherwise not plainly in a file, which this layout cannot tell.
#[must_use]
pub fn map_to_human(entries: &[MapEntry]) -> Option<String> {
    let mut out = format!("{:<16}{:<16}{:<16}{}\n", "Offset", "Length", "Mapped to", "File");
    let mut line = |start: u64, len: u64, offset: u64, file: &Arc<Path>| {
        let _ = writeln!(
            out,
            "{:<16}{:<16}{:<16}{}",
            hex(start),
            hex(len),
            hex(offset),
            file.display()
        );
    };
    // Runs that differ only in their depth are one line here where file and offset go on.
    let mut pending: Option<(u64, u64, u64, &Arc<Path>)> = None;
    for entry in entries.iter().filter(|e| e.extent.state == ExtentState::Data) {
        let host = entry.extent.host.as_ref()?;
        match &mut pending {
            Some((start, len, offset, file))
                if *start + *len == entry.start && *offset + *len == host.offset && *file == &host.file =>
            {
                *len += entry.extent.len;
            }
            _ => {
                if let Some((start, len, offset, file)) =
                    pending.replace((entry.start, entry.extent.len, host.offset, &host.file))
                {
                    line(start, len, offset, file);
                }
            }
        }
    }
    if let Some((start, len, offset, file)) = pending {
        line(start, len, offset, file);
    }
    Some(out)
}

/// C's `%#x`: zero has no prefix.
fn hex(number: u64) -> String {
    if number == 0 {
        "0".into()
    } else {
        format!("{number:#x}")
    }
}
