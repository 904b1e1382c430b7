//! Block ciphers with their keys, behind one face that takes many blocks at once, so that processors with instructions
//! for a cipher work on several blocks side by side.

use crate::algorithm::CipherAlgorithm;
use crate::error::{Error, Result};
use aes::{Aes128, Aes192, Aes256};
use cast5::Cast5;
use cipher::{Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use serpent::Serpent;
use sm4::Sm4;
use twofish::Twofish;

/// A block cipher with its key.
pub(crate) trait Blocks: Send + Sync {
    /// Length of a block in bytes.
    fn block_len(&self) -> usize;
    /// Encrypts each block of `data` by itself. What is left over at the end stays as it is.
    fn encrypt(&self, data: &mut [u8]);
    /// Decrypts each block of `data` by itself.
    fn decrypt(&self, data: &mut [u8]);
}

struct Keyed<C>(C);

impl<C> Blocks for Keyed<C>
where
    C: BlockSizeUser + BlockCipherEncrypt + BlockCipherDecrypt + Send + Sync,
{
    fn block_len(&self) -> usize {
        C::block_size()
    }

    fn encrypt(&self, data: &mut [u8]) {
        let (blocks, _): (&mut [Block<C>], _) = Array::slice_as_chunks_mut(data);
        self.0.encrypt_blocks(blocks);
    }

    fn decrypt(&self, data: &mut [u8]) {
        let (blocks, _): (&mut [Block<C>], _) = Array::slice_as_chunks_mut(data);
        self.0.decrypt_blocks(blocks);
    }
}

fn keyed<C>(key: &[u8]) -> Result<Box<dyn Blocks>>
where
    C: KeyInit + BlockSizeUser + BlockCipherEncrypt + BlockCipherDecrypt + Send + Sync + 'static,
{
    let cipher = C::new_from_slice(key)
        .map_err(|_| Error::refused(format!("a key of {} bytes does not fit the cipher", key.len())))?;
    Ok(Box::new(Keyed(cipher)))
}

/// The cipher with this key.
pub(crate) fn blocks(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Box<dyn Blocks>> {
    let wanted = algorithm.key_len();
    if key.len() != wanted {
        return Err(Error::refused(format!(
            "Cipher key length {} should be {wanted}",
            key.len()
        )));
    }
    match algorithm {
        CipherAlgorithm::Aes128 => keyed::<Aes128>(key),
        CipherAlgorithm::Aes192 => keyed::<Aes192>(key),
        CipherAlgorithm::Aes256 => keyed::<Aes256>(key),
        CipherAlgorithm::Cast5 => keyed::<Cast5>(key),
        CipherAlgorithm::Serpent128 | CipherAlgorithm::Serpent192 | CipherAlgorithm::Serpent256 => {
            keyed::<Serpent>(key)
        }
        CipherAlgorithm::Twofish128 | CipherAlgorithm::Twofish192 | CipherAlgorithm::Twofish256 => {
            keyed::<Twofish>(key)
        }
        CipherAlgorithm::Sm4 => keyed::<Sm4>(key),
    }
}
