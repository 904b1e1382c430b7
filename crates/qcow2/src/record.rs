//! What recovery needs to switch a prepared change set in after a crash.
//!
//! ```text
//! offset  length  content
//!      0       8  "dsqcow2\x01"
//!      8     512  the first 512 bytes of the file before the switch
//!    520     512  and after it
//!   1032       8  length of the file, big-endian as all numbers
//!   1040       4  number of ranges
//!   1044   n×20   offset (8), length (8) and CRC-32C (4) of each range of the file that the switch relies on
//!    end       4  CRC-32C of all the above
//! ```

use crate::entry::OFFSET_MASK;
use crate::error::{Error, Result};
use crate::give_back::give_back;
use crate::header::SECTOR;
use crate::io::read_padded;
use crate::snapshot_table::Snapshot;
use crate::state::{Mode, State};
use crate::types::{Geometry, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_REFCOUNT_TABLE_BYTES, MIN_CLUSTER_BITS};
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::Storage;

const MAGIC: &[u8; 8] = b"dsqcow2\x01";
const FIXED: usize = 1044;
const RANGE: usize = 20;

/// A part of the file, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    offset: u64,
    len: u64,
    crc: u32,
}

/// The record of a prepared switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SwitchRecord {
    pub(crate) old_sector: Box<[u8; SECTOR]>,
    pub(crate) new_sector: Box<[u8; SECTOR]>,
    file_len: u64,
    ranges: Vec<Range>,
}

/// What [`recover_switch`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// The switch had happened already.
    AlreadySwitched,
    /// The image was in the old state, and is in the new one now.
    Switched,
}

impl SwitchRecord {
    /// The record of a state that was just prepared, over an image whose L1 table is `old_l1`.
    pub(crate) fn of(state: &State, old_l1: &[u64]) -> Result<Self> {
        let geometry = state.core.geometry;
        let mut parts: Vec<(u64, u64)> = Vec::new();
        let old_table: &[u64] = match &state.mode {
            Mode::Shadow { old_table } => old_table,
            Mode::Direct => &[],
        };
        let new_sector = state.new_sector();
        if new_sector != state.sector {
            parts.extend(state.area.iter().flat_map(|area| area.ranges()));
            parts.push((state.header.l1_offset, state.l1.len() as u64 * 8));
            parts.push((
                state.header.refcount_table_offset,
                state.refcount_table.len() as u64 * 8,
            ));
            for (index, block) in state.refcount_table.iter().enumerate() {
                let old = old_table.get(index).copied().unwrap_or(0);
                if *block != old {
                    parts.push((*block, geometry.cluster_size()));
                    // The old block tells whether somebody allocated clusters meanwhile.
                    if old != 0 {
                        parts.push((old, geometry.cluster_size()));
                    }
                }
            }
            if state.header.snapshots > 0 {
                let (file, place) = (&*state.core.file, state.header.snapshots_offset);
                let (list, len) = Snapshot::load_table(file, place, state.header.snapshots)?;
                parts.push((place, len));
                let l1 = |s: &Snapshot| (s.l1_offset, u64::from(s.l1_entries) * 8);
                parts.extend(list.iter().map(l1).filter(|(_, len)| *len <= MAX_L1_BYTES));
            }
            for (index, entry) in state.l1.iter().enumerate() {
                if old_l1.get(index) != Some(entry) && entry & OFFSET_MASK != 0 {
                    parts.push((entry & OFFSET_MASK, geometry.cluster_size()));
                }
            }
        }
        let mut ranges = Vec::with_capacity(parts.len());
        for (offset, len) in parts {
            ranges.push(Range {
                offset,
                len,
                crc: checksum(&*state.core.file, offset, len)?,
            });
        }
        Ok(Self {
            old_sector: state.sector.clone(),
            new_sector,
            file_len: state.file_len,
            ranges,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + self.ranges.len() * RANGE + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.old_sector[..]);
        out.extend_from_slice(&self.new_sector[..]);
        out.extend_from_slice(&self.file_len.to_be_bytes());
        out.extend_from_slice(&(self.ranges.len() as u32).to_be_bytes());
        for range in &self.ranges {
            out.extend_from_slice(&range.offset.to_be_bytes());
            out.extend_from_slice(&range.len.to_be_bytes());
            out.extend_from_slice(&range.crc.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// After the switch: gives the host back what only the old state used. Only what the refcounts that are in force call free
    /// is touched, whatever became of the old ones.
    fn give_back(&self, file: &dyn Storage) {
        let (Some((old, table)), Some((new, new_table))) = (
            refcount_table(file, &self.old_sector),
            refcount_table(file, &self.new_sector),
        ) else {
            return;
        };
        if old == new
            && let Err(error) = give_back(file, &new, &table, &new_table)
        {
            log::warn!("{error}");
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if BigEndian::read_u32(crc) != crc32c::crc32c(body) || body.get(..8)? != MAGIC {
            return None;
        }
        let sector = |at: usize| -> Option<Box<[u8; SECTOR]>> {
            let bytes: [u8; SECTOR] = body.get(at..at + SECTOR)?.try_into().ok()?;
            Some(Box::new(bytes))
        };
        let count = BigEndian::read_u32(body.get(1040..1044)?) as usize;
        let list = body.get(FIXED..)?;
        if list.len() != count.checked_mul(RANGE)? {
            return None;
        }
        let ranges = list
            .chunks_exact(RANGE)
            .map(|r| {
                Some(Range {
                    offset: BigEndian::read_u64(r.get(..8)?),
                    len: BigEndian::read_u64(r.get(8..16)?),
                    crc: BigEndian::read_u32(r.get(16..20)?),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            old_sector: sector(8)?,
            new_sector: sector(520)?,
            file_len: BigEndian::read_u64(body.get(1032..1040)?),
            ranges,
        })
    }
}

/// The geometry and the refcount table that a header leads to; `None` where it leads nowhere.
fn refcount_table(file: &dyn Storage, sector: &[u8; SECTOR]) -> Option<(Geometry, Vec<u64>)> {
    let version = BigEndian::read_u32(&sector[4..8]);
    let geometry = Geometry {
        cluster_bits: BigEndian::read_u32(&sector[20..24]),
        refcount_order: match version {
            2 => 4,
            _ => BigEndian::read_u32(&sector[96..100]),
        },
        extended_l2: false,
    };
    let (offset, clusters) = (
        BigEndian::read_u64(&sector[48..56]),
        u64::from(BigEndian::read_u32(&sector[56..60])),
    );
    let known = (MIN_CLUSTER_BITS..=MAX_CLUSTER_BITS).contains(&geometry.cluster_bits)
        && geometry.refcount_order <= 6;
    let len = clusters.checked_mul(1 << geometry.cluster_bits.min(MAX_CLUSTER_BITS))?;
    if !known || len > MAX_REFCOUNT_TABLE_BYTES || offset.checked_add(len)? > file.size() {
        return None;
    }
    let mut bytes = vec![0u8; len as usize];
    read_padded(file, offset, &mut bytes).ok()?;
    let entries = bytes.chunks_exact(8).map(BigEndian::read_u64);
    let entries: Vec<u64> = entries.map(|e| if e < file.size() { e } else { 0 }).collect();
    Some((geometry, entries))
}

fn checksum(file: &dyn Storage, offset: u64, len: u64) -> Result<u32> {
    let mut buf = vec![0; len.min(1 << 20) as usize];
    let (mut crc, mut done) = (0, 0);
    while done < len {
        let n = (len - done).min(buf.len() as u64) as usize;
        let Some(part) = buf.get_mut(..n) else { break };
        read_padded(file, offset.saturating_add(done), part)?;
        crc = crc32c::crc32c_append(crc, part);
        done += n as u64;
    }
    Ok(crc)
}

/// Finishes a switch whose record an intent file holds: if the image is still as it was when the change set was
/// prepared, the new state becomes its state, durably. Otherwise nothing is changed.
///
/// # Errors
/// [`Error::NotUntouched`] when somebody changed the image in between; [`Error::Request`] when the record is damaged.
pub fn recover_switch(file: &dyn Storage, record: &[u8]) -> Result<Recovered> {
    let image = file.name();
    let Some(record) = SwitchRecord::parse(record) else {
        return Err(Error::request(format!(
            "the record of an interrupted edit of {image} is damaged"
        )));
    };
    let mut now = [0u8; SECTOR];
    read_padded(file, 0, &mut now)?;
    if now == *record.new_sector {
        file.flush()?;
        record.give_back(file);
        return Ok(Recovered::AlreadySwitched);
    }
    let differs = |what, offset| {
        Err(Error::NotUntouched {
            image: image.clone(),
            what,
            offset,
        })
    };
    if now != *record.old_sector {
        return differs("the header differs", 0);
    }
    if file.size() != record.file_len {
        return differs("its length differs", file.size());
    }
    for range in &record.ranges {
        let inside = range
            .offset
            .checked_add(range.len)
            .is_some_and(|end| end <= file.size() + (4 << 20));
        if !inside || checksum(file, range.offset, range.len)? != range.crc {
            return differs("metadata differs", range.offset);
        }
    }
    file.write_at(0, &record.new_sector[..])?;
    file.flush()?;
    record.give_back(file);
    Ok(Recovered::Switched)
}
