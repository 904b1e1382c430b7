//! The header cluster with all that is in it: replaced so that one write of the first 512 bytes decides.
//!
//! The list of extensions may reach beyond the first 512 bytes, and so does most often the backing file's name. What
//! the new header has there is written before the switch, to bytes that the old one does not use. Where both want
//! the same bytes, the old list is moved out of the way first: a record that readers skip bridges the gap.

use crate::core::Core;
use crate::error::{Error, Result};
use crate::extension::{Extension, FEATURE_NAMES};
use crate::header::{CompressionType, Header, MAGIC, SECTOR, V2_LENGTH, V3_LENGTH};
use crate::io::read_padded;
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::Storage;
use std::ops::Range;

/// The type of the record that bridges a gap in the list ("dsgp"); its data is whatever lies there.
pub(crate) const BRIDGE: u32 = 0x6473_6770;
/// Type and length of a record; also the length of the mark that ends the list.
const RECORD: usize = 8;

/// A new content of the header cluster.
#[derive(Debug, Clone)]
pub(crate) struct HeaderChange {
    /// The header cluster as it was found, as far as it is in use.
    found: Vec<u8>,
    /// It again, with its list moved out of the way; the same where nothing was in the way.
    moved: Vec<u8>,
    /// The new content.
    new: Vec<u8>,
    /// Where the new content is in use.
    used: Vec<Range<usize>>,
    /// Whether the parts behind the first 512 bytes can only be written together with them: the cluster is too
    /// small to hold both states at once.
    at_once: bool,
}

/// The part of a header cluster that is in use: the list with its end mark, and the name.
fn used(header: &Header, area: &[u8]) -> Vec<Range<usize>> {
    let start = header.header_length as usize;
    let limit = match header.backing_offset as usize {
        0 => area.len(),
        at => at.min(area.len()),
    };
    let mut end = start.min(limit);
    for record in records(area.get(start..limit).unwrap_or(&[])) {
        end = start + record.end;
    }
    let list = 0..(end + RECORD).min(limit).max(end);
    let mut parts = Vec::from([list]);
    if header.backing_offset != 0 {
        let len = area.get(16..20).map_or(0, BigEndian::read_u32) as usize;
        parts.push(limit..limit.saturating_add(len).min(area.len()));
    }
    parts
}

/// The records of a list, without the mark that ends it.
fn records(list: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0usize;
    while let Some(fixed) = list.get(at..at + RECORD) {
        let (magic, len) = (BigEndian::read_u32(fixed), BigEndian::read_u32(&fixed[4..]));
        let end = (at + RECORD).saturating_add(len as usize);
        if magic == 0 || end > list.len() {
            break;
        }
        let next = end.next_multiple_of(8).min(list.len());
        found.push(at..next);
        at = next;
    }
    found
}

impl Header {
    /// Whether a change from `old` needs more than the fields that [`Header::patch`] writes.
    pub(crate) fn area_differs(&self, old: &Self) -> bool {
        self.extensions != old.extensions
            || self.backing_name != old.backing_name
            || self.version != old.version
            || self.geometry != old.geometry
            || self.compression != old.compression
    }

    /// The header proper, the list and its end mark, over the bytes `base` of the header that is there.
    fn encode_over(&self, base: &[u8], base_version: u32) -> Option<Vec<u8>> {
        let length = match (self.version, base_version) {
            (2, _) => V2_LENGTH,
            (_, 2) => V3_LENGTH,
            _ => self.header_length,
        } as usize;
        // Fields that are not known are kept; those that version 2 has not are 0.
        let mut out = base.get(..length.min(base.len()))?.to_vec();
        if self.version != base_version {
            out.truncate(V2_LENGTH as usize);
        }
        out.resize(length, 0);
        BigEndian::write_u32(out.get_mut(0..4)?, MAGIC);
        BigEndian::write_u32(out.get_mut(4..8)?, self.version);
        if self.version >= 3 {
            BigEndian::write_u32(out.get_mut(96..100)?, self.geometry.refcount_order);
            BigEndian::write_u32(out.get_mut(100..104)?, length as u32);
            if let Some(byte) = out.get_mut(104) {
                *byte = u8::from(self.compression == CompressionType::Zstd);
            }
        }
        for extension in &self.extensions {
            extension.encode(&mut out);
        }
        out.extend_from_slice(&[0; RECORD]);
        Some(out)
    }
}

/// Sets where the name lies.
fn point_to_name(area: &mut [u8], name: Option<(usize, usize)>) {
    let (at, len) = name.unwrap_or_default();
    if let Some(field) = area.get_mut(8..20) {
        BigEndian::write_u64(&mut field[..8], at as u64);
        BigEndian::write_u32(&mut field[8..], len as u32);
    }
}

/// Copies `bytes` to `at`.
fn place(area: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    area.get_mut(at..at.checked_add(bytes.len())?)?
        .copy_from_slice(bytes);
    Some(())
}

/// Whether `new` can be written behind the first 512 bytes while `old` is in force.
fn fits_beside(old: &[u8], old_used: &[Range<usize>], new: &[u8], new_used: &[Range<usize>]) -> bool {
    new_used
        .iter()
        .flat_map(|part| part.clone())
        .filter(|at| *at >= SECTOR)
        .all(|at| old.get(at) == new.get(at) || !old_used.iter().any(|part| part.contains(&at)))
}

/// A content of the header cluster.
type Area = (Vec<u8>, Vec<Range<usize>>);

impl HeaderChange {
    /// Lays out the header `new` beside the one that the file holds.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where it does not fit into one cluster.
    pub(crate) fn plan(core: &Core, new: &Header) -> Result<Self> {
        let old = &Header::load(&*core.file)?;
        let mut area = vec![0; core.geometry.cluster_size() as usize];
        read_padded(&*core.file, 0, &mut area)?;
        let mut new = new.clone();
        new.extensions
            .retain(|e| !matches!(e, Extension::Unknown { magic: BRIDGE, .. }));
        let mut plan = Self::lay_out(&area, old, &new);
        if plan.as_ref().is_none_or(|plan| plan.at_once) {
            // Names of features are only a help for those who do not know them.
            new.extensions
                .retain(|e| !matches!(e, Extension::FeatureNames(_)));
            plan = Self::lay_out(&area, old, &new).or(plan);
        }
        plan.ok_or_else(|| Error::TooLarge {
            image: core.name.clone(),
            what: "the header with the backing file's name does not fit into one cluster",
        })
    }

    fn lay_out(area: &[u8], old: &Header, new: &Header) -> Option<Self> {
        let list = new.encode_over(area, old.version)?;
        let name = new.backing_name.as_deref().unwrap_or(&[]);
        let end = list.len().checked_add(name.len())?;
        if end > area.len() {
            return None;
        }
        let old_used = used(old, area);
        let old_end = old_used.iter().map(|part| part.end).max().unwrap_or(0);
        let at_place = |at: usize| -> Option<Area> {
            let mut content = vec![0; area.len()];
            place(&mut content, 0, &list)?;
            point_to_name(&mut content, (!name.is_empty()).then_some((at, name.len())));
            place(&mut content, at, name)?;
            Some((content, vec![0..list.len(), at..at + name.len()]))
        };
        let plan = |moved: Vec<u8>, (new, used): Area, at_once| Self {
            found: area.to_vec(),
            moved,
            new,
            used,
            at_once,
        };
        // The name stays where it is, or comes behind the list, or behind everything that is there.
        let kept = old.backing_offset as usize;
        let places = [kept.max(list.len()), list.len(), old_end.max(list.len())];
        for at in places {
            if let Some(content) = at_place(at)
                && fits_beside(area, &old_used, &content.0, &content.1)
            {
                return Some(plan(area.to_vec(), content, false));
            }
        }
        let content = at_place(list.len())?;
        let from = end.max(old_end);
        match move_away(area, old, from, true).or_else(|| move_away(area, old, from, false)) {
            Some(moved) => Some(plan(moved, content, false)),
            None => Some(plan(area.to_vec(), content, true)),
        }
    }

    /// Moves the old list out of the way if need be and writes what the new state has behind the first 512 bytes, durably.
    /// The image's state is not changed by that.
    pub(crate) fn prepare(&self, file: &dyn Storage) -> Result<()> {
        if self.moved != self.found {
            write_changes(file, &self.found, &self.moved, SECTOR..self.moved.len())?;
            file.flush()?;
            write_changes(file, &self.found, &self.moved, 0..SECTOR)?;
            file.flush()?;
        }
        if !self.at_once {
            for part in &self.used {
                let part = part.start.max(SECTOR)..part.end;
                if let Some(bytes) = self.new.get(part.clone())
                    && self.moved.get(part.clone()) != Some(bytes)
                {
                    file.write_at(part.start as u64, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The first 512 bytes of the file when the change is prepared.
    pub(crate) fn old_sector(&self) -> Option<Box<[u8; SECTOR]>> {
        Some(Box::new(self.moved.get(..SECTOR)?.try_into().ok()?))
    }

    /// The first 512 bytes of the new state, but for the fields that [`Header::patch`] writes.
    pub(crate) fn new_sector(&self) -> Option<Box<[u8; SECTOR]>> {
        Some(Box::new(self.new.get(..SECTOR)?.try_into().ok()?))
    }

    /// The bytes behind the first 512 that the new state relies on.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.used
            .iter()
            .map(|part| (part.start.max(SECTOR) as u64, part.end as u64))
            .filter(|(start, end)| start < end)
            .map(|(start, end)| (start, end - start))
    }

    /// What must be written together with the first 512 bytes, where the cluster cannot hold both states.
    pub(crate) fn at_once(&self) -> Option<&[u8]> {
        let end = self.used.iter().map(|part| part.end).max()?;
        self.at_once.then(|| self.new.get(SECTOR..end)).flatten()
    }

    /// After the switch: overwrites with zeroes what is in use no more.
    pub(crate) fn tidy(&self, file: &dyn Storage) -> Result<()> {
        let mut before = self.moved.clone();
        for part in &self.used {
            if let (Some(to), Some(from)) = (before.get_mut(part.clone()), self.new.get(part.clone())) {
                to.copy_from_slice(from);
            }
        }
        write_changes(file, &before, &self.new, SECTOR..self.new.len())
    }

    /// Instead of the switch: makes the header cluster what it was.
    pub(crate) fn undo(&self, file: &dyn Storage) -> Result<()> {
        let mut now = vec![0; self.found.len()];
        read_padded(file, 0, &mut now)?;
        if now.get(..SECTOR) != self.moved.get(..SECTOR) {
            // Somebody else's header: it stays.
            return Ok(());
        }
        // The moved list is in use until the first 512 bytes are the old ones again.
        let kept = self.moved_from();
        write_changes(file, &now, &self.found, SECTOR..kept)?;
        if self.moved != self.found {
            file.flush()?;
            write_changes(file, &now, &self.found, 0..SECTOR)?;
            file.flush()?;
        }
        write_changes(file, &now, &self.found, kept..self.found.len())
    }

    /// From where on the moved list lies.
    fn moved_from(&self) -> usize {
        let differs = |at: &usize| self.moved.get(*at) != self.found.get(*at);
        (SECTOR..self.found.len())
            .find(differs)
            .unwrap_or(self.found.len())
    }
}

/// The header cluster with its list and name behind `from`, and a record in the first 512 bytes that leads there. The names of
/// features, which are only a help, may have to go.
fn move_away(area: &[u8], old: &Header, from: usize, with_features: bool) -> Option<Vec<u8>> {
    let start = old.header_length as usize;
    let limit = match old.backing_offset as usize {
        0 => area.len(),
        at => at.min(area.len()),
    };
    let list = area.get(start..limit)?;
    let records = records(list);
    let mut bridge = start;
    for record in &records {
        let end = start + record.end;
        if end + RECORD <= SECTOR {
            bridge = end;
        }
    }
    if bridge + RECORD > SECTOR {
        return None;
    }
    let from = from.next_multiple_of(8).max(SECTOR);
    let mut moved = area.to_vec();
    let mut head = [0; RECORD];
    BigEndian::write_u32(&mut head[..4], BRIDGE);
    BigEndian::write_u32(
        &mut head[4..],
        u32::try_from(from.checked_sub(bridge + RECORD)?).ok()?,
    );
    place(&mut moved, bridge, &head)?;
    let mut rest = Vec::new();
    for record in records.iter().filter(|record| start + record.start >= bridge) {
        let record = list.get(record.clone())?;
        if with_features || BigEndian::read_u32(record) != FEATURE_NAMES {
            rest.extend_from_slice(record);
        }
    }
    place(&mut moved, from, &rest)?;
    let behind = from + rest.len();
    place(&mut moved, behind, &[0; RECORD])?;
    let len = area.get(16..20).map_or(0, BigEndian::read_u32) as usize;
    if old.backing_offset != 0 {
        let name = area.get(limit..limit.checked_add(len)?)?;
        place(&mut moved, behind + RECORD, name)?;
        point_to_name(&mut moved, Some((behind + RECORD, len)));
    }
    Some(moved)
}

/// Writes the part `within` of `new` where it differs from `old`, from the first difference to the last.
fn write_changes(file: &dyn Storage, old: &[u8], new: &[u8], within: Range<usize>) -> Result<()> {
    let differs = |at: &usize| old.get(*at) != new.get(*at);
    let (Some(first), Some(last)) = (within.clone().find(differs), within.rev().find(differs)) else {
        return Ok(());
    };
    if let Some(bytes) = new.get(first..=last) {
        file.write_at(first as u64, bytes)?;
    }
    Ok(())
}
