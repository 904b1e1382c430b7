//! The anti-forensic splitter (LUKS on-disk format 1.2.3, section 2.4): a key is blown up to many stripes of which all are
//! needed, so that losing any part of them on the medium loses the key.

use crate::error::{Error, Result};
use crate::hash::HashAlgorithm;
use crate::outside::Outside;
use zeroize::Zeroizing;

/// Spreads each bit of `block` over all of it.
fn diffuse(hash: HashAlgorithm, block: &mut [u8]) {
    for (index, part) in block.chunks_mut(hash.digest_len()).enumerate() {
        let before = Zeroizing::new(part.to_vec());
        hash.digest(&[&(index as u32).to_be_bytes(), &before], part);
    }
}

fn xor(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= from;
    }
}

/// Splits `key` into `stripes` stripes of its length.
pub(crate) fn split(
    hash: HashAlgorithm,
    key: &[u8],
    stripes: usize,
    outside: &mut dyn Outside,
) -> Result<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(vec![0u8; key.len() * stripes]);
    let cut = out.len().saturating_sub(key.len());
    let (chance, last) = out.split_at_mut(cut);
    outside.random(chance).map_err(Error::Random)?;
    let mut block = Zeroizing::new(vec![0u8; key.len()]);
    for stripe in chance.chunks_exact(key.len().max(1)) {
        xor(&mut block, stripe);
        diffuse(hash, &mut block);
    }
    last.copy_from_slice(key);
    xor(last, &block);
    Ok(out)
}

/// Puts the key of `len` bytes together again.
pub(crate) fn merge(hash: HashAlgorithm, material: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut block = Zeroizing::new(vec![0u8; len]);
    let mut stripes = material.chunks_exact(len.max(1)).peekable();
    while let Some(stripe) = stripes.next() {
        xor(&mut block, stripe);
        if stripes.peek().is_some() {
            diffuse(hash, &mut block);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Counting(u8);
    impl Outside for Counting {
        fn random(&mut self, bytes: &mut [u8]) -> std::result::Result<(), String> {
            for byte in bytes {
                self.0 = self.0.wrapping_mul(17).wrapping_add(3);
                *byte = self.0;
            }
            Ok(())
        }
        fn elapsed(&mut self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_split_key_comes_together_and_needs_every_stripe() {
        for hash in HashAlgorithm::ALL {
            for len in [16, 24, 32, 64] {
                let key: Vec<u8> = (0..len).map(|i| i as u8 * 3).collect();
                let mut parts = split(hash, &key, 20, &mut Counting(1)).unwrap();
                assert_eq!(*merge(hash, &parts, len), key);
                parts[5] ^= 1;
                assert_ne!(*merge(hash, &parts, len), key);
            }
        }
    }
}
