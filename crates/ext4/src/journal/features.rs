//! Feature flags of the journal's superblock.

use bitflags::bitflags;

bitflags! {
    /// Features that a reader may ignore (`s_feature_compat`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct JournalCompat: u32 {
        /// Commit blocks carry a CRC-32 of their whole transaction (version 1 checksums).
        const CHECKSUM = 0x1;
    }
}

bitflags! {
    /// Features that a reader has to know (`s_feature_incompat`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct JournalIncompat: u32 {
        /// There are revocation blocks.
        const REVOKE = 0x1;
        /// Block numbers have 64 bits.
        const BIT64 = 0x2;
        /// A commit block may reach the disk before its transaction's other blocks.
        const ASYNC_COMMIT = 0x4;
        /// Metadata checksums, 16 bits of them in each tag.
        const CSUM_V2 = 0x8;
        /// Metadata checksums, 32 bits of them in each tag.
        const CSUM_V3 = 0x10;
        /// The end of the journal is an area of fast commits.
        const FAST_COMMIT = 0x20;
    }
}

impl JournalIncompat {
    /// Whether the journal's blocks carry CRC-32C checksums (versions 2 and 3).
    pub(super) fn has_metadata_checksums(self) -> bool {
        self.intersects(Self::CSUM_V2 | Self::CSUM_V3)
    }
}
