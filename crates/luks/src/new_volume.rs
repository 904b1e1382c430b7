//! Making new headers.

use crate::algorithm::{CipherAlgorithm, CipherMode, CipherSpec, IvAlgorithm};
use crate::error::{Error, Result};
use crate::hash::HashAlgorithm;
use crate::header::Header;
use crate::outside::{Outside, random, rounds_for};
use crate::passphrase::Passphrase;
use crate::sector_cipher::SectorCipher;
use crate::splitter::split;
use crate::volume::{digest_of, slot_cipher};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a new header shall be. The defaults are QEMU's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// The block cipher.
    pub cipher: CipherAlgorithm,
    /// How blocks are chained.
    pub mode: CipherMode,
    /// How initial vectors are made.
    pub iv: IvAlgorithm,
    /// The hash for initial vectors, with [`IvAlgorithm::Essiv`]; SHA-256 where it is not said.
    pub iv_hash: Option<HashAlgorithm>,
    /// The hash of key derivation and splitter.
    pub hash: HashAlgorithm,
    /// How long deriving the key of a passphrase shall take, in milliseconds.
    pub iter_time: u64,
    /// Whether the encrypted sectors will be in another file.
    pub detached: bool,
}

impl Default for NewVolume {
    fn default() -> Self {
        Self {
            cipher: CipherAlgorithm::Aes256,
            mode: CipherMode::Xts,
            iv: IvAlgorithm::Plain64,
            iv_hash: None,
            hash: HashAlgorithm::Sha256,
            iter_time: Self::DEFAULT_ITER_TIME,
            detached: false,
        }
    }
}

impl NewVolume {
    /// [`iter_time`](Self::iter_time) where nothing is said.
    pub const DEFAULT_ITER_TIME: u64 = 2000;

    /// How its sectors will be encrypted.
    #[must_use]
    pub fn spec(&self) -> CipherSpec {
        CipherSpec {
            cipher: self.cipher,
            mode: self.mode,
            iv: self.iv,
            iv_hash: match self.iv {
                IvAlgorithm::Essiv => Some(self.iv_hash.unwrap_or(HashAlgorithm::Sha256)),
                _ => None,
            },
        }
    }

    /// Length of the header with all key material, in bytes.
    #[must_use]
    pub fn area_len(&self) -> u64 {
        Header::area_len(&self.spec())
    }

    /// Makes a header with a new master key in its first slot, opened by `passphrase`.
    ///
    /// # Errors
    /// When the parts do not go together, or `outside` gives no random bytes.
    pub fn make(&self, passphrase: &Passphrase, outside: &mut dyn Outside) -> Result<FreshHeader> {
        let spec = self.spec();
        let mut uuid = *random::<16>(outside)?;
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        let mut header = Header::new(spec, self.hash, uuid, self.detached);
        let mut key = Zeroizing::new(vec![0u8; spec.key_len()]);
        outside.random(&mut key).map_err(Error::Random)?;
        let cipher = SectorCipher::new(&spec, &key)?;
        header.digest_salt = *random::<32>(outside)?;
        header.digest_rounds = rounds_for(self.hash, crate::header::DIGEST_LEN, self.iter_time, 8, outside)?;
        header.digest = *digest_of(self.hash, &key, &header.digest_salt, header.digest_rounds);
        let rounds = rounds_for(self.hash, spec.key_len(), self.iter_time, 2, outside)?;
        let material = fill_slot(&mut header, 0, &key, passphrase, rounds, outside)?;
        let pieces = vec![(0, header.encode().to_vec()), material];
        Ok(FreshHeader {
            pieces,
            len: self.area_len(),
            cipher: Arc::new(cipher),
        })
    }
}

/// A new header: the pieces of it that are not zero.
#[derive(Debug, Clone)]
pub struct FreshHeader {
    /// Byte offset from the header's start, and bytes.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// Length of header and key material in bytes: where encrypted sectors may start.
    pub len: u64,
    /// The cipher for its sectors.
    pub cipher: Arc<SectorCipher>,
}

/// Puts the master key into a slot: gives the place and bytes of its key material.
pub(crate) fn fill_slot(
    header: &mut Header,
    index: usize,
    key: &[u8],
    passphrase: &Passphrase,
    rounds: u32,
    outside: &mut dyn Outside,
) -> Result<(u64, Vec<u8>)> {
    let salt = *random::<32>(outside)?;
    let Some(slot) = header.slots.get(index) else {
        return Err(Error::refused(format!("no key slot {index}")));
    };
    let slot = slot.enabled(rounds, salt);
    let mut material = split(header.hash, key, slot.stripes as usize, outside)?;
    let len = material.len();
    // The cipher works on whole sectors.
    let padded = len.next_multiple_of(512);
    let mut sectors = Zeroizing::new(vec![0u8; padded]);
    for (to, from) in sectors.iter_mut().zip(material.iter()) {
        *to = *from;
    }
    material.fill(0);
    slot_cipher(header, &slot, passphrase)?.encrypt(0, &mut sectors);
    let (offset, _) = header.material(&slot);
    if let Some(place) = header.slots.get_mut(index) {
        *place = slot;
    }
    Ok((offset, std::mem::take(&mut *sectors)))
}
