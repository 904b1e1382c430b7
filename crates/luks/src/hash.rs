//! Hashes that headers name, and the key derivation over them.

use hmac::Hmac;
use md5::Md5;
use pbkdf2::pbkdf2;
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sm3::Sm3;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// MD5, which nobody should use any more.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// RIPEMD-160.
    Ripemd160,
    /// SM3.
    Sm3,
}

macro_rules! with_hash {
    ($algorithm:expr, $hash:ident => $body:expr) => {
        match $algorithm {
            HashAlgorithm::Md5 => {
                type $hash = Md5;
                $body
            }
            HashAlgorithm::Sm3 => {
                type $hash = Sm3;
                $body
            }
            HashAlgorithm::Sha1 => {
                type $hash = Sha1;
                $body
            }
            HashAlgorithm::Sha224 => {
                type $hash = Sha224;
                $body
            }
            HashAlgorithm::Sha256 => {
                type $hash = Sha256;
                $body
            }
            HashAlgorithm::Sha384 => {
                type $hash = Sha384;
                $body
            }
            HashAlgorithm::Sha512 => {
                type $hash = Sha512;
                $body
            }
            HashAlgorithm::Ripemd160 => {
                type $hash = Ripemd160;
                $body
            }
        }
    };
}

impl HashAlgorithm {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Md5,
        Self::Sm3,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Ripemd160,
    ];

    /// The name that headers and QEMU's options have for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sm3 => "sm3",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Ripemd160 => "ripemd160",
        }
    }

    /// The hash of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// Length of a digest in bytes.
    #[must_use]
    pub fn digest_len(self) -> usize {
        with_hash!(self, H => <H as Digest>::output_size())
    }

    /// Hashes `parts` one after the other and puts as much of the digest as fits into `out`; the rest of `out`
    /// stays as it is.
    pub(crate) fn digest(self, parts: &[&[u8]], out: &mut [u8]) {
        with_hash!(self, H => {
            let mut hash = H::new();
            for part in parts {
                hash.update(part);
            }
            let digest = hash.finalize();
            for (to, from) in out.iter_mut().zip(digest.iter()) {
                *to = *from;
            }
        });
    }

    /// Fills `out` with PBKDF2 (RFC 8018, section 5.2), HMAC of this hash as the pseudo-random function.
    pub(crate) fn derive(self, passphrase: &[u8], salt: &[u8], rounds: u32, out: &mut [u8]) {
        with_hash!(self, H => {
            // It fails only for outputs of 128 GiB and more; the key stays all zero then, and opens nothing.
            let _ = pbkdf2::<Hmac<H>>(passphrase, salt, rounds, out);
        });
    }

    /// How many times the hash function runs twice for one derivation of `len` bytes with one round.
    pub(crate) fn blocks_for(self, len: usize) -> u64 {
        len.div_ceil(self.digest_len()) as u64
    }
}
