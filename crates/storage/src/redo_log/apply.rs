//! Carries a sealed log over to the image.

use super::digest::Digest;
use super::header::LogHeader;
use super::index::{self, Index, Logged};
use super::{LARGEST_MOVE, PAGE, SECTOR};
use crate::error::{Error, Result};
use crate::storage::Storage;
use std::path::Path;

/// Checksum of everything in a log after its header page.
pub(super) fn digest(log: &dyn Storage, length: u64) -> Result<u64> {
    let mut digest = Digest::default();
    let mut buf = vec![0; LARGEST_MOVE.min(length) as usize];
    let mut at = PAGE;
    while at < length {
        let n = (length - at).min(buf.len() as u64);
        let part = buf.get_mut(..n as usize).unwrap_or(&mut []);
        log.read_at(at, part)?;
        digest.update(part);
        at += n;
    }
    Ok(digest.finish())
}

/// Writes all that the log holds to the image and flushes it. May be done again, as often as needed.
pub(super) fn apply(image: &dyn Storage, log: &dyn Storage, header: &LogHeader, index: &Index) -> Result<()> {
    if image.size() < header.new_size {
        image.set_size(header.new_size)?;
        // A sector at the old end must not be half in the file.
        image.flush()?;
    }
    let limit = image.size();
    let mut buf = Vec::new();
    for run in index.iter() {
        let end = run.end.saturating_mul(PAGE).min(limit);
        let mut at = run.start.saturating_mul(PAGE);
        match run.value {
            Logged::Zero(mode) => image.write_zeroes(at, end.saturating_sub(at), mode)?,
            Logged::At(place) => {
                let mut from = place.saturating_mul(PAGE);
                while at < end {
                    let n = (end - at).min(LARGEST_MOVE);
                    buf.resize(n as usize, 0);
                    log.read_at(from, &mut buf)?;
                    image.write_at(at, &buf)?;
                    at += n;
                    from += n;
                }
            }
        }
    }
    if image.size() > header.new_size {
        // Else a sector at the new end might be half the old one.
        image.flush()?;
        image.set_size(header.new_size)?;
    }
    image.flush()
}

/// Checks that each sector that the log changes is as it was before the change, or as it is after it.
///
/// # Errors
/// [`Error::ChangedSince`] where one is neither.
pub(super) fn verify(
    image: &dyn Storage,
    log: &dyn Storage,
    log_path: &Path,
    header: &LogHeader,
    index: &Index,
) -> Result<()> {
    let changed = |offset| Error::ChangedSince {
        image: image.name(),
        log: log_path.into(),
        offset,
    };
    let size = image.size();
    if size != header.old_size && size != header.new_size {
        return Err(changed(size));
    }
    let mut now = vec![0; PAGE as usize];
    let mut after = vec![0; PAGE as usize];
    index::for_each_entry(log, log_path, header, |entry, data| {
        let logged = index::logged(&entry, data);
        // Another entry for the page counts, or it was cut off.
        if index.get(entry.page).map(|(value, _)| value) != Some(logged) {
            return Ok(());
        }
        let offset = entry.page.saturating_mul(PAGE);
        let there = size.saturating_sub(offset).min(PAGE) as usize;
        let (head, tail) = now.split_at_mut(there);
        if !head.is_empty() {
            image.read_at(offset, head)?;
        }
        tail.fill(0);
        match logged {
            Logged::At(place) => log.read_at(place.saturating_mul(PAGE), &mut after)?,
            Logged::Zero(_) => after.fill(0),
        }
        let sectors = now.chunks(SECTOR).zip(after.chunks(SECTOR)).zip(entry.before);
        for (i, ((now, after), before)) in sectors.enumerate() {
            if now != after && Digest::of(now) != before {
                return Err(changed(offset + (i * SECTOR) as u64));
            }
        }
        Ok(())
    })
}
