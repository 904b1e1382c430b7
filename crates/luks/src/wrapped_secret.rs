//! Secrets that another secret encrypts, as QEMU's `secret` objects with a `keyid` are.

use crate::algorithm::CipherAlgorithm;
use crate::blocks::blocks;
use crate::error::{Error, Result};
use crate::passphrase::Passphrase;
use zeroize::Zeroizing;

/// Decrypts AES-256-CBC and takes off the padding (RFC 5652, section 6.3).
///
/// # Errors
/// [`Error::Refused`] in QEMU's words.
pub fn unwrap_secret(key: &[u8], iv: &[u8], data: &[u8]) -> Result<Passphrase> {
    if key.len() != 32 {
        return Err(Error::refused("Key should be 32 bytes in length"));
    }
    if iv.len() != 16 {
        return Err(Error::refused(format!(
            "IV should be 16 bytes in length not {}",
            iv.len()
        )));
    }
    if data.is_empty() || !data.len().is_multiple_of(16) {
        return Err(Error::refused(format!(
            "Length {} must be a multiple of block size 16",
            data.len()
        )));
    }
    let mut plain = Zeroizing::new(data.to_vec());
    blocks(CipherAlgorithm::Aes256, key)?.decrypt(&mut plain);
    for (byte, before) in plain.iter_mut().zip(iv.iter().chain(data)) {
        *byte ^= before;
    }
    let padding = plain.last().copied().unwrap_or(0);
    if !(1..=16).contains(&padding) {
        return Err(Error::refused(format!(
            "Incorrect number of padding bytes ({padding}) found on decrypted data"
        )));
    }
    let len = plain.len() - usize::from(padding);
    Ok(Passphrase::new(plain.get(..len).unwrap_or_default().to_vec()))
}
