//! A volume that has a header: finding its master key.

use crate::error::{Error, Result};
use crate::hash::HashAlgorithm;
use crate::header::{DIGEST_LEN, Header};
use crate::key_slot::KeySlot;
use crate::passphrase::Passphrase;
use crate::sector_cipher::SectorCipher;
use crate::splitter::merge;
use disksmith_storage::StorageRef;
use std::fmt;
use zeroize::Zeroizing;

/// How much work is done for one image before it is given up: runs of the hash function's compression, in pairs. A header
/// whose rounds were chosen by somebody malicious is refused beyond it; a slot that takes a modern machine a minute stays
/// below.
pub const MAX_ROUNDS: u64 = 1 << 29;

/// The key that sectors are encrypted with. Its memory is cleared when it goes.
pub struct MasterKey {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    slot: usize,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

impl MasterKey {
    /// The slot that it was found in.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot
    }
}

/// A header with its key slots, in the storage that holds it.
#[derive(Debug)]
pub struct Volume {
    pub(crate) storage: StorageRef,
    pub(crate) header: Header,
    limit: u64,
}

impl Volume {
    /// Reads the header at the start of `storage`; `detached` where the encrypted sectors are elsewhere.
    ///
    /// # Errors
    /// Those of [`Header::load`].
    pub fn open(storage: StorageRef, detached: bool) -> Result<Self> {
        let header = Header::load(&*storage, detached)?;
        Ok(Self {
            storage,
            header,
            limit: MAX_ROUNDS,
        })
    }

    /// Does no more than `rounds` rounds of key derivation for one passphrase (see [`MAX_ROUNDS`]).
    #[must_use]
    pub fn limit(mut self, rounds: u64) -> Self {
        self.limit = rounds;
        self
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The cipher for sectors.
    ///
    /// # Errors
    /// None with a key that [`unlock`](Self::unlock) gave.
    pub fn cipher(&self, key: &MasterKey) -> Result<SectorCipher> {
        SectorCipher::new(&self.header.spec, &key.bytes)
    }

    /// Tries the slots in their order.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`]; [`Error::TooExpensive`] where a slot was left out for that reason and no other opens.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<MasterKey> {
        let mut spent = 0;
        let mut expensive = None;
        for slot in 0..self.header.slots.len() {
            match self.try_slot(slot, passphrase, &mut spent) {
                Ok(Some(key)) => return Ok(key),
                Ok(None) => {}
                Err(error @ Error::TooExpensive { .. }) => expensive = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(expensive.unwrap_or(Error::WrongPassphrase))
    }

    /// Tries one slot: `None` where it is not in use or has another passphrase.
    pub(crate) fn try_slot(
        &self,
        index: usize,
        passphrase: &Passphrase,
        spent: &mut u64,
    ) -> Result<Option<MasterKey>> {
        let Some(slot) = self.header.slots.get(index).filter(|slot| slot.is_active()) else {
            return Ok(None);
        };
        let header = &self.header;
        let key_len = header.spec.key_len();
        let cost = u64::from(slot.rounds) * header.hash.blocks_for(key_len)
            + u64::from(header.digest_rounds) * header.hash.blocks_for(DIGEST_LEN);
        let rounds = spent.saturating_add(cost);
        if rounds > self.limit {
            return Err(Error::TooExpensive {
                rounds,
                limit: self.limit,
            });
        }
        *spent = rounds;
        let cipher = slot_cipher(header, slot, passphrase)?;
        let (offset, len) = header.material(slot);
        let mut material = Zeroizing::new(vec![0u8; len.next_multiple_of(512)]);
        self.storage.read_at(offset, &mut material)?;
        cipher.decrypt(0, &mut material);
        let key = merge(header.hash, material.get(..len).unwrap_or_default(), key_len);
        let digest = digest_of(header.hash, &key, &header.digest_salt, header.digest_rounds);
        Ok((*digest == header.digest).then_some(MasterKey {
            bytes: key,
            slot: index,
        }))
    }
}

/// The cipher of a slot's key material.
pub(crate) fn slot_cipher(header: &Header, slot: &KeySlot, passphrase: &Passphrase) -> Result<SectorCipher> {
    let mut key = Zeroizing::new(vec![0u8; header.spec.key_len()]);
    header
        .hash
        .derive(passphrase.bytes(), &slot.salt, slot.rounds, &mut key);
    SectorCipher::new(&header.spec, &key)
}

pub(crate) fn digest_of(
    hash: HashAlgorithm,
    key: &[u8],
    salt: &[u8; 32],
    rounds: u32,
) -> Zeroizing<[u8; DIGEST_LEN]> {
    let mut digest = Zeroizing::new([0u8; DIGEST_LEN]);
    hash.derive(key, salt, rounds, &mut digest[..]);
    digest
}
