//! Hashes passwords as crypt(3) does.

mod md5;
#[cfg(test)]
mod tests;

use crate::context::RandomSource;
use crate::error::{Error, Result};
use md5::Md5;
use std::fmt;

/// How a password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `$1$`: broken; only where asked for.
    Md5,
    /// `$5$`.
    Sha256,
    /// `$6$`.
    Sha512,
    /// `$y$`.
    Yescrypt,
}

impl Scheme {
    /// The scheme of a name as `--password-crypto` takes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5,
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            "yescrypt" => Self::Yescrypt,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Yescrypt => "yescrypt",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digits of crypt(3)'s base 64.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Hashes a password with a fresh salt; returns what stands in `/etc/shadow`.
pub fn hash_password(password: &[u8], scheme: Scheme, random: &mut dyn RandomSource) -> Result<String> {
    // 128 bits for yescrypt; as much as fits in the 16 (or 8) characters of the others.
    let mut salt = vec![
        0u8;
        match scheme {
            Scheme::Yescrypt => 16,
            Scheme::Sha256 | Scheme::Sha512 => 12,
            Scheme::Md5 => 6,
        }
    ];
    random.fill(&mut salt)?;
    hash_with_salt(password, scheme, &salt)
}

/// Hashes a password with the salt that these bytes encode.
pub(crate) fn hash_with_salt(password: &[u8], scheme: Scheme, salt: &[u8]) -> Result<String> {
    let text = encode(salt);
    Ok(match scheme {
        Scheme::Yescrypt => {
            let mut hash = [0u8; 32];
            // The default parameters are those of Debian, Fedora and libxcrypt: "j9T".
            yescrypt::yescrypt(password, salt, &yescrypt::Params::default(), &mut hash).map_err(|_| {
                Error::Hash {
                    scheme: scheme.name(),
                }
            })?;
            format!("$y$j9T${text}${}", encode(&hash))
        }
        Scheme::Sha512 => {
            let hash = sha_crypt::sha512_crypt(password, text.as_bytes(), sha_crypt::Params::default());
            format!("$6${text}${}", encode_groups(&hash, &sha512_order()))
        }
        Scheme::Sha256 => {
            let hash = sha_crypt::sha256_crypt(password, text.as_bytes(), sha_crypt::Params::default());
            format!("$5${text}${}", encode_groups(&hash, &sha256_order()))
        }
        Scheme::Md5 => {
            let hash = md5_crypt(password, text.as_bytes());
            let order = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5, 11];
            format!("$1${text}${}", encode_groups(&hash, &order))
        }
    })
}

/// Three bytes become four digits, the lowest six bits first.
fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let value = chunk
            .iter()
            .rev()
            .fold(0u32, |value, b| value << 8 | u32::from(*b));
        for digit in 0..=chunk.len() {
            let index = (value >> (6 * digit) & 63) as usize;
            out.push(char::from(DIGITS.get(index).copied().unwrap_or(b'.')));
        }
    }
    out
}

/// Encodes bytes in the order in which a scheme gives them: each group's highest byte first.
fn encode_groups(hash: &[u8], order: &[usize]) -> String {
    let mut bytes = Vec::with_capacity(order.len());
    for group in order.chunks(3) {
        bytes.extend(group.iter().rev().map(|i| hash.get(*i).copied().unwrap_or(0)));
    }
    encode(&bytes)
}

/// The order of "Unix crypt using SHA-256 and SHA-512" (U. Drepper), step 22: thirds of the hash, turned by one each time.
fn sha512_order() -> Vec<usize> {
    let mut order = Vec::new();
    for i in 0..21 {
        let group = [i, i + 21, i + 42];
        order.extend((0..3).map(|k| group.get((k + i) % 3).copied().unwrap_or(0)));
    }
    order.push(63);
    order
}

fn sha256_order() -> Vec<usize> {
    let mut order = Vec::new();
    for i in 0..10 {
        let group = [i, i + 10, i + 20];
        order.extend((0..3).map(|k| group.get((k + 2 * i) % 3).copied().unwrap_or(0)));
    }
    order.extend([31, 30]);
    order
}

/// The hash of FreeBSD's MD5 crypt (P.-H. Kamp).
fn md5_crypt(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let inner = Md5::digest(&[password, salt, password]);
    let mut first = Md5::new();
    first.update(password);
    first.update(b"$1$");
    first.update(salt);
    let mut left = password.len();
    while left > 0 {
        let n = left.min(16);
        first.update(inner.get(..n).unwrap_or(&inner));
        left -= n;
    }
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            first.update(&[0]);
        } else {
            first.update(password.get(..1).unwrap_or_default());
        }
        bits >>= 1;
    }
    let mut hash = first.finish();
    for round in 0..1000 {
        let mut next = Md5::new();
        next.update(if round & 1 == 1 { password } else { &hash });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round & 1 == 1 { &hash } else { password });
        hash = next.finish();
    }
    hash
}

/// A password of 16 characters that cannot be mistaken for each other (no 0 and O, 1 and l and I).
pub fn random_password(random: &mut dyn RandomSource) -> Result<String> {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut password = String::new();
    while password.len() < 16 {
        let mut byte = [0u8; 1];
        random.fill(&mut byte)?;
        // Bytes beyond a multiple of the alphabet would make its first letters likelier.
        let limit = 256 / LETTERS.len() * LETTERS.len();
        let value = usize::from(byte[0]);
        if value < limit {
            password.push(char::from(
                LETTERS.get(value % LETTERS.len()).copied().unwrap_or(b'x'),
            ));
        }
    }
    Ok(password)
}
