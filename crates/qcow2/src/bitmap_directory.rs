//! The directory of persistent dirty bitmaps (specification: "Bitmaps").

use crate::error::{Error, Result};
use crate::extension::BitmapsExtension;
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::{Storage, read_vec};

/// Length of the fixed part of an entry in bytes.
const FIXED: usize = 24;
/// QEMU's limit on the size of the directory.
pub(crate) const MAX_DIRECTORY: u64 = 64 << 20;
/// QEMU's limit on the number of bitmaps.
pub(crate) const MAX_BITMAPS: u32 = 65535;
/// Bits 9 to 55 of a bitmap table entry: a cluster of the bitmap.
pub(crate) const TABLE_OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// Bits of a bitmap table entry that must be zero.
pub(crate) const TABLE_RESERVED: u64 = 0xff00_0000_0000_01fe;

/// Flag: the bitmap was not saved properly; its contents are not to be trusted.
pub(crate) const IN_USE: u32 = 1;
/// Flag: the bitmap must be kept up to date.
pub(crate) const AUTO: u32 = 2;
/// Bit 0 of a bitmap table entry without a cluster: all bits of it are set.
pub(crate) const TABLE_ALL_ONES: u64 = 1;

/// A persistent dirty bitmap, as the directory tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitmapEntry {
    /// Byte offset of the bitmap table.
    pub table_offset: u64,
    /// Number of entries of the bitmap table.
    pub table_entries: u32,
    /// Bit 0: in use, its contents are not to be trusted. Bit 1: automatic, it must be kept up to date.
    pub flags: u32,
    /// Log2 of the number of bytes that one bit stands for.
    pub granularity_bits: u8,
    /// Its name.
    pub name: Vec<u8>,
    /// What sort of a bitmap it is: 1 is a dirty bitmap, and there are no others.
    pub kind: u8,
    /// Extra data, which nobody understands so far.
    pub extra: Vec<u8>,
}

/// Flag: who does not understand the extra data may use the bitmap all the same.
pub(crate) const EXTRA_DATA_COMPATIBLE: u32 = 4;

impl BitmapEntry {
    /// Whether its contents can be trusted, and are understood.
    pub fn is_consistent(&self) -> bool {
        self.flags & IN_USE == 0
    }

    /// Whether it records what changes from now on.
    pub fn is_enabled(&self) -> bool {
        self.flags & AUTO != 0
    }

    /// Appends the entry, padded to 8 bytes. `None` when name or extra data are too long.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        let mut fixed = [0u8; FIXED];
        BigEndian::write_u64(&mut fixed[0..8], self.table_offset);
        BigEndian::write_u32(&mut fixed[8..12], self.table_entries);
        BigEndian::write_u32(&mut fixed[12..16], self.flags);
        fixed[16] = self.kind;
        fixed[17] = self.granularity_bits;
        BigEndian::write_u16(&mut fixed[18..20], u16::try_from(self.name.len()).ok()?);
        BigEndian::write_u32(&mut fixed[20..24], u32::try_from(self.extra.len()).ok()?);
        for part in [&fixed[..], &self.extra, &self.name] {
            out.extend_from_slice(part);
        }
        out.resize(out.len().next_multiple_of(8), 0);
        Some(())
    }

    /// Length of the entry in the directory, in bytes.
    pub(crate) fn encoded_len(&self) -> u64 {
        ((FIXED + self.extra.len() + self.name.len()) as u64).next_multiple_of(8)
    }

    /// Where the flags of an entry lie, from its start.
    pub(crate) const FLAGS_AT: u64 = 12;

    /// Reads the directory.
    pub(crate) fn load_directory(file: &dyn Storage, place: &BitmapsExtension) -> Result<Vec<Self>> {
        let image = file.name();
        let fail = |at: usize, value: u64, problem| {
            Error::corrupt(
                &image,
                "bitmap directory",
                place.directory_offset.saturating_add(at as u64),
                value,
                problem,
            )
        };
        if place.count > MAX_BITMAPS || place.directory_size > MAX_DIRECTORY {
            return Err(fail(0, place.directory_size, "too large"));
        }
        let bytes = read_vec(file, place.directory_offset, place.directory_size as usize)?;
        let mut list = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let entry = bytes.get(at..).unwrap_or(&[]);
            let Some(fixed) = entry.get(..FIXED) else {
                return Err(fail(at, entry.len() as u64, "the last entry is cut off"));
            };
            let name_len = usize::from(BigEndian::read_u16(&fixed[18..20]));
            let extra_len = BigEndian::read_u32(&fixed[20..24]) as usize;
            let len = FIXED.saturating_add(extra_len).saturating_add(name_len);
            let Some(name) = entry.get(FIXED.saturating_add(extra_len)..len) else {
                return Err(fail(at, len as u64, "an entry reaches beyond the end"));
            };
            list.push(Self {
                table_offset: BigEndian::read_u64(&fixed[0..8]),
                table_entries: BigEndian::read_u32(&fixed[8..12]),
                flags: BigEndian::read_u32(&fixed[12..16]),
                granularity_bits: fixed[17],
                name: name.to_vec(),
                kind: fixed[16],
                extra: entry
                    .get(FIXED..FIXED.saturating_add(extra_len))
                    .unwrap_or(&[])
                    .to_vec(),
            });
            at = at.saturating_add(len.next_multiple_of(8));
        }
        if list.len() != place.count as usize {
            return Err(fail(
                0,
                list.len() as u64,
                "the number of bitmaps differs from the header's",
            ));
        }
        Ok(list)
    }
}
