//! Entries of the L1 and L2 tables (specification: "Cluster mapping").

use crate::types::Geometry;

/// Bit 63 of L1 and L2 entries: what it points to has refcount 1.
pub(crate) const COPIED: u64 = 1 << 63;
/// Bit 62 of L2 entries: a compressed cluster descriptor.
pub(crate) const COMPRESSED: u64 = 1 << 62;
/// Bit 0 of standard L2 entries: reads as zeroes (version 3, without extended L2 entries).
pub(crate) const ZERO: u64 = 1;
/// Bits 9 to 55: a host offset.
pub(crate) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
/// Reserved bits of L1 entries.
pub(crate) const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
/// Reserved bits of standard L2 entries.
pub(crate) const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
/// Subcluster bitmap: all 32 allocated.
pub(crate) const ALL_ALLOCATED: u64 = 0xffff_ffff;
/// Subcluster bitmap: all 32 read as zeroes.
pub(crate) const ALL_ZERO: u64 = 0xffff_ffff_0000_0000;

/// An L2 entry: the descriptor, and with extended L2 entries the subcluster bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct L2Entry {
    pub(crate) descriptor: u64,
    pub(crate) bitmap: u64,
}

/// How (a part of) a cluster is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Not in this image. With a subcluster bitmap its cluster may be allocated all the same.
    Nowhere,
    /// Reads as zeroes, no cluster.
    Zero,
    /// Reads as zeroes; a cluster is allocated at this host offset.
    ZeroAllocated(u64),
    /// At this host offset.
    Data(u64),
    /// Compressed.
    Compressed(CompressedAt),
}

/// Where a compressed cluster lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CompressedAt {
    /// Byte offset of its first byte.
    pub(crate) offset: u64,
    /// Upper bound of its length in bytes: it ends within the last 512-byte sector counted.
    pub(crate) len: u64,
}

impl CompressedAt {
    fn shift(geometry: &Geometry) -> u32 {
        62 - (geometry.cluster_bits - 8)
    }

    /// Reads a compressed cluster descriptor.
    pub(crate) fn parse(descriptor: u64, geometry: &Geometry) -> Self {
        let shift = Self::shift(geometry);
        let offset = descriptor & ((1 << shift) - 1);
        let sectors = ((descriptor & (COMPRESSED - 1)) >> shift) + 1;
        Self {
            offset,
            len: sectors * 512 - (offset & 511),
        }
    }

    /// The descriptor for `len` bytes at `offset`; `None` when they cannot be described.
    pub(crate) fn encode(offset: u64, len: u64, geometry: &Geometry) -> Option<u64> {
        let shift = Self::shift(geometry);
        if len == 0 || offset >= 1 << shift.min(56) {
            return None;
        }
        let sectors = (offset + len - 1) / 512 - offset / 512;
        (sectors < 1 << (62 - shift)).then_some(COMPRESSED | (sectors << shift) | offset)
    }

    /// The host clusters it touches, first and last.
    pub(crate) fn clusters(&self, geometry: &Geometry) -> (u64, u64) {
        (
            self.offset >> geometry.cluster_bits,
            (self.offset + self.len - 1) >> geometry.cluster_bits,
        )
    }
}

impl L2Entry {
    /// The host offset of a standard entry; 0 is none.
    pub(crate) fn offset(self) -> u64 {
        self.descriptor & OFFSET_MASK
    }

    pub(crate) fn is_compressed(self) -> bool {
        self.descriptor & COMPRESSED != 0
    }

    pub(crate) fn is_copied(self) -> bool {
        self.descriptor & COPIED != 0
    }

    /// Whether a whole host cluster is taken by this (standard) entry.
    pub(crate) fn has_cluster(self, data_file: bool) -> bool {
        // In an external data file the first cluster's place is 0.
        let first = data_file && self.is_copied() && self.descriptor & ZERO == 0;
        !self.is_compressed() && (self.offset() != 0 || first)
    }

    /// How subcluster `index` is held (always 0 without extended L2 entries).
    pub(crate) fn held(self, index: u32, geometry: &Geometry, data_file: bool) -> Held {
        if self.is_compressed() {
            return Held::Compressed(CompressedAt::parse(self.descriptor, geometry));
        }
        let cluster = self.has_cluster(data_file);
        if geometry.extended_l2 {
            let offset = self.offset() + u64::from(index) * geometry.subcluster_size();
            let zero = self.bitmap >> (32 + index) & 1 != 0;
            let allocated = self.bitmap >> index & 1 != 0;
            return match (cluster, zero, allocated) {
                (true, true, _) => Held::ZeroAllocated(offset),
                (false, true, _) => Held::Zero,
                (true, false, true) => Held::Data(offset),
                (_, false, _) => Held::Nowhere,
            };
        }
        match (cluster, self.descriptor & ZERO != 0) {
            (true, true) => Held::ZeroAllocated(self.offset()),
            (false, true) => Held::Zero,
            (true, false) => Held::Data(self.offset()),
            (false, false) => Held::Nowhere,
        }
    }

    /// An entry whose whole cluster is data at `offset`, with refcount 1.
    pub(crate) fn data(offset: u64, geometry: &Geometry) -> Self {
        Self {
            descriptor: COPIED | offset,
            bitmap: if geometry.extended_l2 { ALL_ALLOCATED } else { 0 },
        }
    }

    /// An entry without a cluster that reads as zeroes.
    pub(crate) fn zero(geometry: &Geometry) -> Self {
        if geometry.extended_l2 {
            Self {
                descriptor: 0,
                bitmap: ALL_ZERO,
            }
        } else {
            Self {
                descriptor: ZERO,
                bitmap: 0,
            }
        }
    }

    /// The same cluster, reading as zeroes.
    pub(crate) fn zeroed_in_place(self, geometry: &Geometry) -> Self {
        if geometry.extended_l2 {
            Self {
                bitmap: ALL_ZERO,
                ..self
            }
        } else {
            Self {
                descriptor: self.descriptor | ZERO,
                bitmap: 0,
            }
        }
    }

    /// Whether every part of the cluster reads as zeroes without looking anywhere else.
    pub(crate) fn is_all_zero(self, geometry: &Geometry) -> bool {
        if self.is_compressed() {
            false
        } else if geometry.extended_l2 {
            self.bitmap & ALL_ZERO == ALL_ZERO
        } else {
            self.descriptor & ZERO != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_descriptor_round_trip() {
        for cluster_bits in 9..=21 {
            let g = Geometry {
                cluster_bits,
                refcount_order: 4,
                extended_l2: false,
            };
            for (offset, len) in [
                (0x1234u64, 1u64),
                (0x10000, 511),
                (0x101ff, g.cluster_size() - 1),
                (512, 512),
            ] {
                let d = CompressedAt::encode(offset, len, &g).unwrap();
                let at = CompressedAt::parse(d, &g);
                assert_eq!(at.offset, offset);
                assert!(
                    at.len >= len && at.len < len + 512,
                    "{cluster_bits} {offset} {len} {at:?}"
                );
            }
        }
    }
}
