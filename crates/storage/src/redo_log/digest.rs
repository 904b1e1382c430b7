//! Checksums of 64 bits: two independent CRCs side by side.

/// CRC-32C in the low half, CRC-32 (IEEE) in the high half. Either finds every burst of up to 32 bits; that both
/// miss a random change has a chance of 2⁻⁶⁴.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digest {
    low: u32,
    high: crc32fast::Hasher,
}

impl Digest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.low = crc32c::crc32c_append(self.low, bytes);
        self.high.update(bytes);
    }

    pub(crate) fn finish(self) -> u64 {
        u64::from(self.high.finalize()) << 32 | u64::from(self.low)
    }

    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut digest = Self::default();
        digest.update(bytes);
        digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn has_the_catalogue_values() {
        // The check values of CRC-32/ISCSI and CRC-32/ISO-HDLC.
        assert_eq!(Digest::of(b"123456789"), 0xcbf4_3926_e306_9283);
        let mut digest = Digest::default();
        digest.update(b"1234");
        digest.update(b"56789");
        assert_eq!(digest.finish(), Digest::of(b"123456789"));
    }
}
