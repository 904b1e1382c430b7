//! Encrypting and decrypting sectors of 512 bytes.

use crate::algorithm::{CipherAlgorithm, CipherMode, CipherSpec, IvAlgorithm};
use crate::blocks::{Blocks, blocks};
use crate::error::{Error, Result};
use crate::hash::HashAlgorithm;
use crate::passphrase::Passphrase;
use std::fmt;
use zeroize::Zeroizing;

/// Size of a sector in bytes, for every cipher.
pub const SECTOR: u64 = 512;
const SECTOR_LEN: usize = SECTOR as usize;
/// So many sectors are worked on at once, to keep a processor's cipher units busy.
const BATCH: usize = 8;
/// Blocks of 16 bytes in a sector.
const SECTOR_BLOCKS: usize = SECTOR_LEN / 16;

/// A key at work on sectors. It can be used from several threads; its memory is cleared when it goes.
pub struct SectorCipher {
    mode: CipherMode,
    data: Box<dyn Blocks>,
    /// The second key of XTS.
    tweak: Option<Box<dyn Blocks>>,
    iv: IvAlgorithm,
    essiv: Option<Box<dyn Blocks>>,
}

impl fmt::Debug for SectorCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SectorCipher")
            .field("mode", &self.mode)
            .field("iv", &self.iv)
            .finish_non_exhaustive()
    }
}

impl SectorCipher {
    /// Takes a key of [`CipherSpec::key_len`] bytes.
    ///
    /// # Errors
    /// When the parts of `spec` do not go together, or the key has another length.
    pub fn new(spec: &CipherSpec, key: &[u8]) -> Result<Self> {
        if spec.mode == CipherMode::Xts && spec.cipher.block_len() != 16 {
            // its blocks have 64 bits, and XTS needs 128
            return Err(Error::refused("Unsupported cipher mode xts"));
        }
        if key.len() != spec.key_len() {
            return Err(Error::refused(format!(
                "Cipher key length {} should be {}",
                key.len(),
                spec.key_len()
            )));
        }
        let (first, second) = key.split_at(spec.cipher.key_len().min(key.len()));
        let tweak = match spec.mode {
            CipherMode::Xts => Some(blocks(spec.cipher, second)?),
            _ => None,
        };
        let essiv = match spec.iv {
            IvAlgorithm::Essiv => Some(essiv(spec, key)?),
            _ => None,
        };
        Ok(Self {
            mode: spec.mode,
            data: blocks(spec.cipher, first)?,
            tweak,
            iv: spec.iv,
            essiv,
        })
    }

    /// The cipher of old qcow and qcow2 images: AES-128-CBC whose key is the passphrase, cut off or filled up with zeroes.
    ///
    /// # Errors
    /// None with a passphrase of any length.
    pub fn of_old_qcow(passphrase: &Passphrase) -> Result<Self> {
        let mut key = Zeroizing::new([0u8; 16]);
        for (to, from) in key.iter_mut().zip(passphrase.bytes()) {
            *to = *from;
        }
        let spec = CipherSpec {
            cipher: CipherAlgorithm::Aes128,
            mode: CipherMode::Cbc,
            iv: IvAlgorithm::Plain64,
            iv_hash: None,
        };
        Self::new(&spec, &key[..])
    }

    /// Encrypts whole sectors, of which the first has the number `sector`. A part of a sector at the end of `data` is
    /// left as it is.
    pub fn encrypt(&self, sector: u64, data: &mut [u8]) {
        self.run(sector, data, true);
    }

    /// Decrypts whole sectors, of which the first has the number `sector`.
    pub fn decrypt(&self, sector: u64, data: &mut [u8]) {
        self.run(sector, data, false);
    }

    fn run(&self, sector: u64, data: &mut [u8], encrypt: bool) {
        let whole = data.len() - data.len() % SECTOR_LEN;
        let Some(data) = data.get_mut(..whole) else { return };
        match (self.mode, &self.tweak) {
            (CipherMode::Xts, Some(tweak)) => self.xts(&**tweak, sector, data, encrypt),
            (CipherMode::Cbc, _) => {
                for (index, part) in data.chunks_exact_mut(SECTOR_LEN).enumerate() {
                    let iv = self.vector(sector.wrapping_add(index as u64));
                    if encrypt {
                        self.cbc_encrypt(iv, part);
                    } else {
                        self.cbc_decrypt(iv, part);
                    }
                }
            }
            (CipherMode::Ctr, _) => {
                for (index, part) in data.chunks_exact_mut(SECTOR_LEN).enumerate() {
                    self.ctr(self.vector(sector.wrapping_add(index as u64)), part);
                }
            }
            _ if encrypt => self.data.encrypt(data),
            _ => self.data.decrypt(data),
        }
    }

    /// The initial vector of a sector; only as many bytes count as a block has.
    fn vector(&self, sector: u64) -> [u8; 16] {
        let mut iv = [0u8; 16];
        let number = match self.iv {
            IvAlgorithm::Plain => sector & 0xffff_ffff,
            IvAlgorithm::Plain64 | IvAlgorithm::Essiv => sector,
        };
        for (to, from) in iv.iter_mut().zip(number.to_le_bytes()) {
            *to = from;
        }
        if let Some(essiv) = &self.essiv
            && let Some(block) = iv.get_mut(..essiv.block_len())
        {
            essiv.encrypt(block);
        }
        iv
    }

    fn xts(&self, tweak: &dyn Blocks, sector: u64, data: &mut [u8], encrypt: bool) {
        let mut vectors = [0u8; 16 * BATCH];
        let mut masks = [0u128; SECTOR_BLOCKS * BATCH];
        for (index, batch) in data.chunks_mut(SECTOR_LEN * BATCH).enumerate() {
            let first = sector.wrapping_add((index * BATCH) as u64);
            for (i, vector) in vectors.chunks_exact_mut(16).enumerate() {
                vector.copy_from_slice(&self.vector(first.wrapping_add(i as u64)));
            }
            tweak.encrypt(&mut vectors);
            for (masks, vector) in masks
                .chunks_exact_mut(SECTOR_BLOCKS)
                .zip(vectors.chunks_exact(16))
            {
                let mut mask = number(vector);
                for to in masks {
                    *to = mask;
                    // times x in the field of IEEE 1619
                    mask = (mask << 1) ^ if mask >> 127 == 1 { 0x87 } else { 0 };
                }
            }
            mix(batch, &masks);
            if encrypt {
                self.data.encrypt(batch);
            } else {
                self.data.decrypt(batch);
            }
            mix(batch, &masks);
        }
    }

    fn cbc_encrypt(&self, iv: [u8; 16], sector: &mut [u8]) {
        let len = self.data.block_len();
        let mut last = iv;
        for block in sector.chunks_exact_mut(len) {
            xor(block, &last);
            self.data.encrypt(block);
            for (to, from) in last.iter_mut().zip(block.iter()) {
                *to = *from;
            }
        }
    }

    fn cbc_decrypt(&self, iv: [u8; 16], sector: &mut [u8]) {
        let len = self.data.block_len();
        // What is mixed into each block: the initial vector, then the blocks as they were.
        let mut before = [0u8; SECTOR_LEN];
        let (head, tail) = before.split_at_mut(len);
        for (to, from) in head.iter_mut().zip(iv) {
            *to = from;
        }
        for (to, from) in tail.iter_mut().zip(sector.iter()) {
            *to = *from;
        }
        self.data.decrypt(sector);
        xor(sector, &before);
    }

    fn ctr(&self, iv: [u8; 16], sector: &mut [u8]) {
        let len = self.data.block_len();
        let mut stream = [0u8; SECTOR_LEN];
        let mut counter = iv;
        for block in stream.chunks_exact_mut(len) {
            for (to, from) in block.iter_mut().zip(counter) {
                *to = from;
            }
            for byte in counter.iter_mut().take(len).rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
        self.data.encrypt(&mut stream);
        xor(sector, &stream);
    }
}

fn number(bytes: &[u8]) -> u128 {
    bytes.first_chunk::<16>().map_or(0, |b| u128::from_le_bytes(*b))
}

fn mix(data: &mut [u8], masks: &[u128]) {
    let (blocks, _) = data.as_chunks_mut::<16>();
    for (block, mask) in blocks.iter_mut().zip(masks) {
        *block = (u128::from_le_bytes(*block) ^ mask).to_le_bytes();
    }
}

fn xor(data: &mut [u8], with: &[u8]) {
    for (to, from) in data.iter_mut().zip(with) {
        *to ^= from;
    }
}

/// The cipher that encrypts initial vectors: of the data cipher's family, with the hash of the whole key as its key.
fn essiv(spec: &CipherSpec, key: &[u8]) -> Result<Box<dyn Blocks>> {
    let hash = spec.iv_hash.unwrap_or(HashAlgorithm::Sha256);
    let cipher = essiv_cipher(spec.cipher, hash)?;
    let mut salt = Zeroizing::new([0u8; 64]);
    hash.digest(&[key], &mut salt[..]);
    blocks(cipher, salt.get(..cipher.key_len()).unwrap_or_default())
}

/// As QEMU chooses it: the one of the family whose key is as long as the hash.
pub(crate) fn essiv_cipher(cipher: CipherAlgorithm, hash: HashAlgorithm) -> Result<CipherAlgorithm> {
    let len = hash.digest_len();
    let family = match cipher.family() {
        "aes" => "AES",
        "serpent" => "Serpent",
        "twofish" => "Twofish",
        _ => {
            return Err(Error::refused(format!(
                "Cipher {} not supported with essiv",
                cipher.name()
            )));
        }
    };
    CipherAlgorithm::of_family(cipher.family(), len)
        .ok_or_else(|| Error::refused(format!("No {family} cipher with key size {len} available")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn specs() -> Vec<CipherSpec> {
        let mut specs = Vec::new();
        for cipher in CipherAlgorithm::ALL {
            for mode in CipherMode::ALL {
                for iv in IvAlgorithm::ALL {
                    specs.push(CipherSpec {
                        cipher,
                        mode,
                        iv,
                        iv_hash: Some(HashAlgorithm::Sha256),
                    });
                }
            }
        }
        specs
    }

    /// IEEE 1619-2007, annex B, vector 4: XTS-AES-128, data unit 0.
    #[test]
    fn xts_gives_the_bytes_of_the_standard() {
        let mut key = Vec::new();
        key.extend(hex("27182818284590452353602874713526"));
        key.extend(hex("31415926535897932384626433832795"));
        let spec = CipherSpec {
            cipher: CipherAlgorithm::Aes128,
            mode: CipherMode::Xts,
            iv: IvAlgorithm::Plain64,
            iv_hash: None,
        };
        let mut data: Vec<u8> = (0..512).map(|i| i as u8).collect();
        SectorCipher::new(&spec, &key).unwrap().encrypt(0, &mut data);
        assert_eq!(data[..16], hex("27a7479befa1d476489f308cd4cfa6e2")[..]);
        assert_eq!(data[496..], hex("0a282df920147beabe421ee5319d0568")[..]);
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn what_is_encrypted_is_decrypted_in_any_cut(
            sectors in 1usize..20, first in any::<u64>(), cut in 0usize..20, seed in any::<u8>()
        ) {
            let plain: Vec<u8> = (0..sectors * 512).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            for spec in specs() {
                let key: Vec<u8> = (0..spec.key_len()).map(|i| i as u8 ^ seed).collect();
                let Ok(cipher) = SectorCipher::new(&spec, &key) else { continue };
                let mut data = plain.clone();
                cipher.encrypt(first, &mut data);
                prop_assert_ne!(&data, &plain);
                let cut = cut.min(sectors);
                let (head, tail) = data.split_at_mut(cut * 512);
                cipher.decrypt(first.wrapping_add(cut as u64), tail);
                cipher.decrypt(first, head);
                prop_assert_eq!(&data, &plain);
            }
        }
    }
}
