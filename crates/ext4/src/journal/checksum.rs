//! The two checksums of journals.

pub(super) use crate::checksum::crc32c;

/// CRC-32C of `block` as if the four bytes at `hole` were zero.
pub(super) fn crc32c_with_hole(seed: u32, block: &[u8], hole: usize) -> u32 {
    let after = hole.saturating_add(4).min(block.len());
    let hole = hole.min(block.len());
    let (head, rest) = block.split_at(hole);
    let (gap, tail) = rest.split_at(after - hole);
    let zeroes = [0u8; 4];
    let crc = crc32c(seed, head);
    let crc = crc32c(crc, zeroes.get(..gap.len()).unwrap_or(&[]));
    crc32c(crc, tail)
}

/// CRC-32 with the most significant bit first (polynomial 0x04C11DB7), as version 1 checksums use it.
pub(super) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| {
        let index = (crc >> 24) as u8 ^ *byte;
        (crc << 8) ^ TABLE.get(usize::from(index)).copied().unwrap_or(0)
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 {
                (crc << 1) ^ 0x04C1_1DB7
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // CRC-32/MPEG-2 of the catalogue's check string.
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_E6E7);
        // CRC-32C is 0xE3069283 after the final inversion, which the kernel leaves out.
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn hole_counts_as_zeroes() {
        let mut block = [7u8; 32];
        let with_hole = crc32c_with_hole(5, &block, 12);
        block[12..16].fill(0);
        assert_eq!(with_hole, crc32c(5, &block));
        assert_eq!(crc32c_with_hole(5, &block[..14], 12), crc32c(5, &block[..14]));
    }
}
