//! The checksum of LVM2's structures: CRC-32 with a start value of its own, not inverted at the end.

/// What the register begins with.
const START: u32 = 0xf597_a6cf;

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    // crc32fast inverts what goes in and what comes out.
    let mut hasher = crc32fast::Hasher::new_with_initial(!START);
    hasher.update(bytes);
    !hasher.finalize()
}
