//! The names and numbers of ciphers, their modes, and the ways to make initial vectors.

use crate::hash::HashAlgorithm;

/// A block cipher with the length of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CipherAlgorithm {
    /// AES with a key of 128 bits.
    Aes128,
    /// AES with a key of 192 bits.
    Aes192,
    /// AES with a key of 256 bits.
    Aes256,
    /// CAST5 with a key of 128 bits; its blocks have 64 bits.
    Cast5,
    /// Serpent with a key of 128 bits.
    Serpent128,
    /// Serpent with a key of 192 bits.
    Serpent192,
    /// Serpent with a key of 256 bits.
    Serpent256,
    /// Twofish with a key of 128 bits.
    Twofish128,
    /// Twofish with a key of 192 bits.
    Twofish192,
    /// Twofish with a key of 256 bits.
    Twofish256,
    /// SM4.
    Sm4,
}

impl CipherAlgorithm {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Aes128,
        Self::Aes192,
        Self::Aes256,
        Self::Cast5,
        Self::Serpent128,
        Self::Serpent192,
        Self::Serpent256,
        Self::Twofish128,
        Self::Twofish192,
        Self::Twofish256,
        Self::Sm4,
    ];

    /// QEMU's name: `aes-256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128 => "aes-128",
            Self::Aes192 => "aes-192",
            Self::Aes256 => "aes-256",
            Self::Cast5 => "cast5-128",
            Self::Serpent128 => "serpent-128",
            Self::Serpent192 => "serpent-192",
            Self::Serpent256 => "serpent-256",
            Self::Twofish128 => "twofish-128",
            Self::Twofish192 => "twofish-192",
            Self::Twofish256 => "twofish-256",
            Self::Sm4 => "sm4",
        }
    }

    /// The cipher of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.name() == name)
    }

    /// The name in LUKS headers, without the length of the key: `aes`.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => "aes",
            Self::Cast5 => "cast5",
            Self::Serpent128 | Self::Serpent192 | Self::Serpent256 => "serpent",
            Self::Twofish128 | Self::Twofish192 | Self::Twofish256 => "twofish",
            Self::Sm4 => "sm4",
        }
    }

    /// The cipher of a family with this key length in bytes.
    pub(crate) fn of_family(family: &str, key_len: usize) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|cipher| cipher.family() == family && cipher.key_len() == key_len)
    }

    /// Length of the key in bytes; XTS takes two keys.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128 | Self::Cast5 | Self::Serpent128 | Self::Twofish128 | Self::Sm4 => 16,
            Self::Aes192 | Self::Serpent192 | Self::Twofish192 => 24,
            Self::Aes256 | Self::Serpent256 | Self::Twofish256 => 32,
        }
    }

    /// Length of a block in bytes.
    pub(crate) fn block_len(self) -> usize {
        if self == Self::Cast5 { 8 } else { 16 }
    }
}

/// How the blocks of a sector are chained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CipherMode {
    /// Not at all.
    Ecb,
    /// Cipher block chaining.
    Cbc,
    /// A counter, big-endian.
    Ctr,
    /// XEX with ciphertext stealing (IEEE 1619; sectors are whole blocks, so nothing is stolen).
    Xts,
}

impl CipherMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ecb, Self::Cbc, Self::Ctr, Self::Xts];

    /// The name in headers and options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ecb => "ecb",
            Self::Cbc => "cbc",
            Self::Ctr => "ctr",
            Self::Xts => "xts",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// How many keys of the cipher's length it takes.
    pub(crate) fn keys(self) -> usize {
        if self == Self::Xts { 2 } else { 1 }
    }
}

/// How a sector's number becomes its initial vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IvAlgorithm {
    /// The lower 32 bits, little-endian.
    Plain,
    /// 64 bits, little-endian.
    Plain64,
    /// As `plain64`, encrypted with the hash of the key.
    Essiv,
}

impl IvAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Plain64, Self::Essiv];

    /// The name in headers and options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Plain64 => "plain64",
            Self::Essiv => "essiv",
        }
    }

    /// The way of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|iv| iv.name() == name)
    }
}

/// All that says how sectors are encrypted, but for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CipherSpec {
    /// The block cipher.
    pub cipher: CipherAlgorithm,
    /// How blocks are chained.
    pub mode: CipherMode,
    /// How initial vectors are made.
    pub iv: IvAlgorithm,
    /// The hash of [`IvAlgorithm::Essiv`].
    pub iv_hash: Option<HashAlgorithm>,
}

impl CipherSpec {
    /// Length of the key in bytes.
    #[must_use]
    pub fn key_len(&self) -> usize {
        self.cipher.key_len() * self.mode.keys()
    }
}
