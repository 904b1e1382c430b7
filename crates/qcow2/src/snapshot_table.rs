//! The snapshot table (specification: "Snapshots").

use crate::error::{Error, Result};
use crate::io::read_padded;
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::Storage;

/// Length of the fixed part of an entry in bytes.
const FIXED: usize = 40;
/// QEMU's limit on extra data.
const MAX_EXTRA: usize = 1024;
/// QEMU's limit on the whole table in bytes.
pub(crate) const MAX_TABLE: u64 = 64 << 20;

/// An internal snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Byte offset of its L1 table.
    pub l1_offset: u64,
    /// Number of entries of its L1 table.
    pub l1_entries: u32,
    /// Its id, by convention a number.
    pub id: Vec<u8>,
    /// Its name.
    pub name: Vec<u8>,
    /// When it was taken, seconds since 1970.
    pub date_seconds: u32,
    /// The rest of that time, in nanoseconds.
    pub date_nanoseconds: u32,
    /// How long the guest had been running, in nanoseconds.
    pub vm_clock: u64,
    /// Size of the saved VM state in bytes; 0 where there is none.
    pub vm_state_size: u64,
    /// Size of the disk in bytes when it was taken, where that is known.
    pub disk_size: Option<u64>,
    /// Number of instructions executed, where that was counted.
    pub instructions: Option<u64>,
    /// The extra data, with what is not known of it.
    pub extra: Vec<u8>,
}

impl Snapshot {
    /// Version 3 wants at least so much extra data: size of the VM state, and of the disk.
    pub(crate) const MIN_EXTRA: usize = 16;

    /// Reads a table of `count` snapshots at `offset`. Also gives its length in bytes.
    pub(crate) fn load_table(file: &dyn Storage, offset: u64, count: u32) -> Result<(Vec<Self>, u64)> {
        let image = file.name();
        let mut list = Vec::new();
        let mut at = offset;
        for _ in 0..count {
            let fail =
                |at, value, problem| Error::corrupt(&image, "snapshot table entry", at, value, problem);
            let mut fixed = [0u8; FIXED];
            read_padded(file, at, &mut fixed)?;
            let extra_len = BigEndian::read_u32(&fixed[36..40]) as usize;
            if extra_len > MAX_EXTRA {
                return Err(fail(at, extra_len as u64, "more than 1024 bytes of extra data"));
            }
            let id_len = usize::from(BigEndian::read_u16(&fixed[12..14]));
            let name_len = usize::from(BigEndian::read_u16(&fixed[14..16]));
            let mut rest = vec![0u8; extra_len + id_len + name_len];
            read_padded(file, at + FIXED as u64, &mut rest)?;
            let (extra, names) = rest.split_at(extra_len);
            let (id, name) = names.split_at(id_len);
            let word = |at: usize| extra.get(at..at + 8).map(BigEndian::read_u64);
            list.push(Self {
                l1_offset: BigEndian::read_u64(&fixed[0..8]),
                l1_entries: BigEndian::read_u32(&fixed[8..12]),
                id: id.to_vec(),
                name: name.to_vec(),
                date_seconds: BigEndian::read_u32(&fixed[16..20]),
                date_nanoseconds: BigEndian::read_u32(&fixed[20..24]),
                vm_clock: BigEndian::read_u64(&fixed[24..32]),
                vm_state_size: word(0).unwrap_or(BigEndian::read_u32(&fixed[32..36]).into()),
                disk_size: word(8),
                instructions: word(16).filter(|i| *i != u64::MAX),
                extra: extra.to_vec(),
            });
            at += ((FIXED + rest.len()) as u64).next_multiple_of(8);
            if at - offset > MAX_TABLE {
                return Err(fail(offset, at - offset, "the table exceeds 64 MiB"));
            }
        }
        Ok((list, at - offset))
    }

    /// Adds what an entry lacks of the fields that are written now, as QEMU does: a disk of unknown size has the
    /// image's size, and instructions were not counted.
    pub(crate) fn complete(&mut self, disk_size: u64) {
        self.disk_size.get_or_insert(disk_size);
        if self.instructions.is_none() && self.extra.len() < 24 {
            self.extra.resize(16, 0);
            self.extra.extend_from_slice(&u64::MAX.to_be_bytes());
        }
    }

    /// Appends the entry, padded to 8 bytes. `None` when a name or the extra data is too long.
    pub fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut extra = self.extra.clone();
        let known = [Some(self.vm_state_size), self.disk_size, self.instructions];
        for (i, value) in known.into_iter().enumerate() {
            let Some(value) = value else { continue };
            if extra.len() < 8 * i + 8 {
                extra.resize(8 * i + 8, 0);
            }
            BigEndian::write_u64(extra.get_mut(8 * i..8 * i + 8)?, value);
        }
        let mut fixed = [0u8; FIXED];
        BigEndian::write_u64(&mut fixed[0..8], self.l1_offset);
        BigEndian::write_u32(&mut fixed[8..12], self.l1_entries);
        BigEndian::write_u16(&mut fixed[12..14], u16::try_from(self.id.len()).ok()?);
        BigEndian::write_u16(&mut fixed[14..16], u16::try_from(self.name.len()).ok()?);
        BigEndian::write_u32(&mut fixed[16..20], self.date_seconds);
        BigEndian::write_u32(&mut fixed[20..24], self.date_nanoseconds);
        BigEndian::write_u64(&mut fixed[24..32], self.vm_clock);
        BigEndian::write_u32(&mut fixed[32..36], u32::try_from(self.vm_state_size).unwrap_or(0));
        BigEndian::write_u32(&mut fixed[36..40], u32::try_from(extra.len()).ok()?);
        if extra.len() > MAX_EXTRA {
            return None;
        }
        for part in [&fixed[..], &extra, &self.id, &self.name] {
            out.extend_from_slice(part);
        }
        out.resize(out.len().next_multiple_of(8), 0);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disksmith_storage::Memory;

    #[test]
    fn round_trip() {
        let snapshot = Snapshot {
            l1_offset: 0x30000,
            l1_entries: 3,
            id: b"1".to_vec(),
            name: b"before".to_vec(),
            date_seconds: 1,
            date_nanoseconds: 2,
            vm_clock: 3,
            vm_state_size: 4,
            disk_size: Some(5),
            instructions: Some(6),
            extra: [4u64, 5, 6, 7].iter().flat_map(|v| v.to_be_bytes()).collect(),
        };
        let mut bytes = Vec::new();
        snapshot.encode(&mut bytes).unwrap();
        snapshot.encode(&mut bytes).unwrap();
        let (list, len) = Snapshot::load_table(&Memory::from_bytes(&bytes), 0, 2).unwrap();
        assert_eq!(list, [snapshot.clone(), snapshot]);
        assert_eq!(len, bytes.len() as u64);
    }
}
