//! Checksums of files' contents.

use disksmith_vfs::{FileSystem, InodeNo, Result};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// Bytes read at a time.
const CHUNK: usize = 1 << 18;

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The cyclic redundancy check of `cksum` (POSIX), in decimal.
    Crc,
    /// MD5, in hexadecimal, as all that follow.
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
}

impl Checksum {
    /// The algorithm of a name, in small letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "crc" => Self::Crc,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The checksum of a regular file of `size` bytes, as the tools print it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of_file(self, fs: &dyn FileSystem, inode: InodeNo, size: u64) -> Result<String> {
        match self {
            Self::Crc => {
                let mut crc = Crc(0);
                let mut length = 0u64;
                contents(fs, inode, size, |bytes| {
                    crc.update(bytes);
                    length += bytes.len() as u64;
                })?;
                // the length follows, its low bytes first, without zeroes at its end
                let used = 8 - length.leading_zeros() as usize / 8;
                crc.update(length.to_le_bytes().get(..used).unwrap_or_default());
                Ok((!crc.0).to_string())
            }
            Self::Md5 => digest::<Md5>(fs, inode, size),
            Self::Sha1 => digest::<Sha1>(fs, inode, size),
            Self::Sha224 => digest::<Sha224>(fs, inode, size),
            Self::Sha256 => digest::<Sha256>(fs, inode, size),
            Self::Sha384 => digest::<Sha384>(fs, inode, size),
            Self::Sha512 => digest::<Sha512>(fs, inode, size),
        }
    }
}

fn digest<D: Digest>(fs: &dyn FileSystem, inode: InodeNo, size: u64) -> Result<String> {
    let mut digest = D::new();
    contents(fs, inode, size, |bytes| digest.update(bytes))?;
    let hex = digest.finalize();
    Ok(hex.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn contents(fs: &dyn FileSystem, inode: InodeNo, size: u64, mut sink: impl FnMut(&[u8])) -> Result<()> {
    let mut buf = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
    let mut at = 0;
    while at < size {
        let want = buf.len().min(usize::try_from(size - at).unwrap_or(CHUNK));
        let n = fs.read(inode, at, buf.get_mut(..want).unwrap_or_default())?;
        if n == 0 {
            break;
        }
        sink(buf.get(..n).unwrap_or_default());
        at += n as u64;
    }
    Ok(())
}

/// POSIX.1-2017, `cksum`: generator 0x04C11DB7, high bit first.
struct Crc(u32);

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = (at as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000_0000 != 0 {
                (value << 1) ^ 0x04c1_1db7
            } else {
                value << 1
            };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

impl Crc {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = usize::from((self.0 >> 24) as u8 ^ byte);
            self.0 = (self.0 << 8) ^ TABLE.get(at).copied().unwrap_or(0);
        }
    }
}
