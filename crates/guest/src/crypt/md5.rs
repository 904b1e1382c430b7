//! MD5 (RFC 1321), for the password hashes of old guests.

/// An MD5 computation.
#[derive(Debug, Clone)]
pub(crate) struct Md5 {
    state: [u32; 4],
    pending: Vec<u8>,
    length: u64,
}

const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

impl Md5 {
    pub(crate) fn new() -> Self {
        Self {
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
            pending: Vec::with_capacity(64),
            length: 0,
        }
    }

    /// The digest of several pieces one behind the other.
    pub(crate) fn digest(pieces: &[&[u8]]) -> [u8; 16] {
        let mut md5 = Self::new();
        pieces.iter().for_each(|piece| md5.update(piece));
        md5.finish()
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.length = self.length.wrapping_add(data.len() as u64);
        for byte in data {
            self.pending.push(*byte);
            if self.pending.len() == 64 {
                self.block();
            }
        }
    }

    pub(crate) fn finish(mut self) -> [u8; 16] {
        let bits = self.length.wrapping_mul(8);
        self.update(&[0x80]);
        while self.pending.len() != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_le_bytes());
        let mut out = [0; 16];
        for (to, from) in out
            .iter_mut()
            .zip(self.state.iter().flat_map(|word| word.to_le_bytes()))
        {
            *to = from;
        }
        out
    }

    /// Takes the 64 pending bytes in (section 3.4).
    fn block(&mut self) {
        let mut words = [0u32; 16];
        for (word, bytes) in words.iter_mut().zip(self.pending.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |value, b| value << 8 | u32::from(*b));
        }
        self.pending.clear();
        let [mut a, mut b, mut c, mut d] = self.state;
        for step in 0..64usize {
            let (mixed, index) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((b & d) | (c & !d), 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            // Table T of the specification: the integer part of 2^32 |sin(step + 1)|.
            let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(constant)
                .wrapping_add(words.get(index % 16).copied().unwrap_or(0));
            let shift = SHIFTS
                .get(step / 16)
                .and_then(|row| row.get(step % 4))
                .copied()
                .unwrap_or(0);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        for (state, new) in self.state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(new);
        }
    }
}
