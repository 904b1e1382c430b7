//! Numbers that must not be confused, and the geometry by which they convert.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

number! {
    /// A byte offset as the guest sees the disk.
    GuestOffset
}
number! {
    /// A byte offset in the file that holds the image (or in its external data file).
    HostOffset
}
number! {
    /// The index of a cluster as the guest sees the disk.
    GuestCluster
}
number! {
    /// The index of a cluster in the file that holds the image.
    HostCluster
}

/// Smallest `cluster_bits` (512 bytes), as QEMU limits it.
pub const MIN_CLUSTER_BITS: u32 = 9;
/// Greatest `cluster_bits` (2 MiB), as QEMU limits it.
pub const MAX_CLUSTER_BITS: u32 = 21;
/// Greatest size of an L1 table in bytes (QEMU: `QCOW_MAX_L1_SIZE`).
pub const MAX_L1_BYTES: u64 = 32 << 20;
/// Greatest size of the refcount table in bytes (QEMU: `QCOW_MAX_REFTABLE_SIZE`).
pub const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// Host offsets in tables have 56 bits; a cluster must end below this.
pub(crate) const MAX_HOST_OFFSET: u64 = 1 << 56;

/// The sizes of an image's structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Log2 of the cluster size in bytes: 9 to 21.
    pub cluster_bits: u32,
    /// Log2 of the width of a refcount in bits: 0 to 6.
    pub refcount_order: u32,
    /// Whether L2 entries are 16 bytes, with a bitmap of 32 subclusters.
    pub extended_l2: bool,
}

impl Geometry {
    /// Cluster size in bytes.
    pub fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Size of an L2 entry in bytes.
    pub fn l2_entry_size(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Log2 of the number of entries of an L2 table.
    pub fn l2_bits(&self) -> u32 {
        self.cluster_bits - if self.extended_l2 { 4 } else { 3 }
    }

    /// Number of entries of an L2 table.
    pub fn l2_entries(&self) -> u64 {
        1 << self.l2_bits()
    }

    /// Guest bytes that one L1 entry covers.
    pub fn l1_entry_span(&self) -> u64 {
        1 << (self.l2_bits() + self.cluster_bits)
    }

    /// Log2 of the number of refcounts in a refcount block.
    pub fn block_bits(&self) -> u32 {
        self.cluster_bits + 3 - self.refcount_order
    }

    /// Number of refcounts in a refcount block.
    pub fn block_entries(&self) -> u64 {
        1 << self.block_bits()
    }

    /// The greatest refcount that can be stored.
    pub fn refcount_max(&self) -> u64 {
        match 1u32 << self.refcount_order {
            64 => u64::MAX,
            bits => (1 << bits) - 1,
        }
    }

    /// Number of clusters that `bytes` bytes fill, wholly or partly.
    pub fn clusters(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster_size())
    }

    /// Number of L1 entries that a disk of `size` bytes needs.
    pub fn l1_entries(&self, size: u64) -> u64 {
        size.div_ceil(self.l1_entry_span())
    }

    /// Offset inside its cluster.
    pub fn within(&self, offset: u64) -> u64 {
        offset & (self.cluster_size() - 1)
    }

    /// Whether a table of `bytes` bytes can lie at `offset`: cluster aligned, and within what a file can hold.
    pub(crate) fn can_lie_at(&self, offset: u64, bytes: u64) -> bool {
        self.within(offset) == 0
            && offset
                .checked_add(bytes)
                .is_some_and(|end| end <= i64::MAX as u64)
    }

    /// Size of a subcluster in bytes (of a cluster, without extended L2 entries).
    pub fn subcluster_size(&self) -> u64 {
        if self.extended_l2 {
            self.cluster_size() / 32
        } else {
            self.cluster_size()
        }
    }
}

impl HostCluster {
    /// The byte offset at which the cluster starts.
    pub fn offset(self, geometry: &Geometry) -> HostOffset {
        HostOffset(self.0 << geometry.cluster_bits)
    }
}

impl HostOffset {
    /// The cluster that holds this byte.
    pub fn cluster(self, geometry: &Geometry) -> HostCluster {
        HostCluster(self.0 >> geometry.cluster_bits)
    }
}

impl GuestOffset {
    /// The cluster that holds this byte.
    pub fn cluster(self, geometry: &Geometry) -> GuestCluster {
        GuestCluster(self.0 >> geometry.cluster_bits)
    }
}

impl GuestCluster {
    /// The byte offset at which the cluster starts; `None` when there is no such offset.
    pub fn offset(self, geometry: &Geometry) -> Option<GuestOffset> {
        self.0.checked_mul(geometry.cluster_size()).map(GuestOffset)
    }
}
