//! The hashes of directory names.
//!
//! Linux kernel documentation, "ext4 Data Structures and Algorithms", section 4.6.2 (hash tree directories). Half MD4 is a cut
//! down form of RFC 1320, TEA is Wheeler's and Needham's Tiny Encryption Algorithm (1994).

/// Kind of hash, as stored in the root of a hash tree (0 to 2) or derived from the superblock's flags (3 to 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// The oldest one.
    Legacy,
    /// Half MD4; the default.
    HalfMd4,
    /// TEA.
    Tea,
}

/// Kind of hash and how bytes above 127 are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameHasher {
    /// Kind.
    pub kind: HashKind,
    /// Bytes are unsigned.
    pub unsigned: bool,
    /// Seed from the superblock; all zero means the standard start values.
    pub seed: [u32; 4],
}

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

impl NameHasher {
    /// From `dx_root.hash_version`; `None` for kinds that are unknown or need a key.
    pub fn from_version(version: u8, unsigned: bool, seed: [u32; 4]) -> Option<Self> {
        let (kind, unsigned) = match version {
            0 => (HashKind::Legacy, unsigned),
            1 => (HashKind::HalfMd4, unsigned),
            2 => (HashKind::Tea, unsigned),
            3 => (HashKind::Legacy, true),
            4 => (HashKind::HalfMd4, true),
            5 => (HashKind::Tea, true),
            _ => return None,
        };
        Some(Self { kind, unsigned, seed })
    }

    /// The hash of a name, its lowest bit clear; never the value that marks the end of a directory.
    pub fn hash(&self, name: &[u8]) -> u32 {
        let start = if self.seed == [0; 4] { START } else { self.seed };
        let hash = match self.kind {
            HashKind::Legacy => self.legacy(name),
            HashKind::HalfMd4 => {
                let mut state = start;
                for at in (0..name.len()).step_by(32) {
                    let mut words = [0u32; 8];
                    self.pack(name.get(at..).unwrap_or(&[]), &mut words);
                    half_md4(&mut state, &words);
                }
                state[1]
            }
            HashKind::Tea => {
                let mut state = start;
                for at in (0..name.len()).step_by(16) {
                    let mut words = [0u32; 4];
                    self.pack(name.get(at..).unwrap_or(&[]), &mut words);
                    tea(&mut state, &words);
                }
                state[0]
            }
        };
        let hash = hash & !1;
        if hash == 0x7fff_ffff << 1 {
            0x7fff_fffe << 1
        } else {
            hash
        }
    }

    fn widen(&self, byte: u8) -> u32 {
        if self.unsigned {
            u32::from(byte)
        } else {
            i32::from(byte as i8) as u32
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut hash0, mut hash1) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
        for byte in name {
            let mut hash = hash1.wrapping_add(hash0 ^ self.widen(*byte).wrapping_mul(7_152_373));
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7fff_ffff);
            }
            hash1 = hash0;
            hash0 = hash;
        }
        hash0 << 1
    }

    /// Packs the start of a name into words, most significant byte first, the rest filled with its length. `left` is all
    /// that is left of the name; the length counted is that, not the part which fits.
    fn pack(&self, left: &[u8], words: &mut [u32]) {
        let len = left.len() as u32;
        let pad = (len | len << 8) & 0xffff;
        let pad = pad | pad << 16;
        let mut bytes = left.iter().take(words.len() * 4);
        for word in words {
            let mut value = pad;
            for _ in 0..4 {
                match bytes.next() {
                    Some(byte) => value = self.widen(*byte).wrapping_add(value << 8),
                    None => break,
                }
            }
            *word = value;
        }
    }
}

fn tea(state: &mut [u32; 4], words: &[u32; 4]) {
    let (mut b0, mut b1) = (state[0], state[1]);
    let [a, b, c, d] = *words;
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        b0 = b0.wrapping_add((b1 << 4).wrapping_add(a) ^ b1.wrapping_add(sum) ^ (b1 >> 5).wrapping_add(b));
        b1 = b1.wrapping_add((b0 << 4).wrapping_add(c) ^ b0.wrapping_add(sum) ^ (b0 >> 5).wrapping_add(d));
    }
    state[0] = state[0].wrapping_add(b0);
    state[1] = state[1].wrapping_add(b1);
}

fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    let choose = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let parity = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let [mut a, mut b, mut c, mut d] = *state;
    let mut round = |f: &dyn Fn(u32, u32, u32) -> u32, order: [usize; 8], add: u32, turns: [u32; 4]| {
        for (step, index) in order.into_iter().enumerate() {
            let word = words.get(index).copied().unwrap_or(0).wrapping_add(add);
            let turn = turns.get(step % 4).copied().unwrap_or(0);
            let value = a.wrapping_add(f(b, c, d)).wrapping_add(word).rotate_left(turn);
            (a, b, c, d) = (d, value, b, c);
        }
    };
    round(&choose, [0, 1, 2, 3, 4, 5, 6, 7], 0, [3, 7, 11, 19]);
    round(&majority, [1, 3, 5, 7, 0, 2, 4, 6], 0x5a82_7999, [3, 5, 9, 13]);
    round(&parity, [3, 7, 2, 6, 1, 5, 0, 4], 0x6ed9_eba1, [3, 9, 11, 15]);
    for (slot, add) in state.iter_mut().zip([a, b, c, d]) {
        *slot = slot.wrapping_add(add);
    }
}
