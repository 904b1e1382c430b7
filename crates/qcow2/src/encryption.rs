//! Encrypted images (specification: "Header", `crypt_method`, and "Full disk encryption header pointer").

use crate::core::Core;
use crate::error::{Error, Result};
use crate::extension::Extension;
use crate::header::Header;
use crate::io::read_padded;
use disksmith_luks as luks;
use disksmith_luks::{FreshHeader, Passphrase, SECTOR, SectorCipher, Volume};
use disksmith_storage::{StorageRef, Window};
use std::sync::{Arc, Mutex, PoisonError};

/// How an image's guest data is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionMethod {
    /// AES-128-CBC with the passphrase as the key (`crypt_method` 1): weak, kept for old images.
    Aes,
    /// A LUKS header in clusters of the image (`crypt_method` 2).
    Luks,
}

impl EncryptionMethod {
    /// The value of `crypt_method`.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Aes => 1,
            Self::Luks => 2,
        }
    }

    /// QEMU's name: `aes`, `luks`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Luks => "luks",
        }
    }
}

/// The encryption of a new image.
#[derive(Debug, Clone)]
pub enum NewEncryption {
    /// The old way.
    Aes(Passphrase),
    /// With this LUKS header.
    Luks(FreshHeader),
}

impl NewEncryption {
    pub(crate) fn method(&self) -> EncryptionMethod {
        match self {
            Self::Aes(_) => EncryptionMethod::Aes,
            Self::Luks(_) => EncryptionMethod::Luks,
        }
    }

    /// Length of what it needs in the image, in bytes.
    pub(crate) fn header_len(&self) -> u64 {
        match self {
            Self::Aes(_) => 0,
            Self::Luks(header) => header.len,
        }
    }

    /// The pieces of its header that are not zero: byte offset from the header's start, and bytes.
    pub(crate) fn pieces(&self) -> &[(u64, Vec<u8>)] {
        match self {
            Self::Aes(_) => &[],
            Self::Luks(header) => &header.pieces,
        }
    }

    /// The cipher with which the new image can be opened at once.
    ///
    /// # Errors
    /// Those of [`SectorCipher::of_old_qcow`].
    pub fn cipher(&self) -> luks::Result<Arc<SectorCipher>> {
        match self {
            Self::Aes(passphrase) => SectorCipher::of_old_qcow(passphrase).map(Arc::new),
            Self::Luks(header) => Ok(header.cipher.clone()),
        }
    }
}

/// The encryption of an open image.
#[derive(Debug, Clone)]
pub(crate) enum Encryption {
    /// Guest data is plain.
    None,
    /// The passphrase was not given: guest data can neither be read nor written.
    Locked,
    /// Guest data can be read and written.
    Open {
        method: EncryptionMethod,
        cipher: Arc<SectorCipher>,
        /// Held while a sector is changed in part.
        edges: Arc<Mutex<()>>,
    },
}

/// What opens an encrypted image.
#[derive(Debug, Clone, Default)]
pub struct Unlock {
    /// The passphrase.
    pub passphrase: Option<Passphrase>,
    /// The cipher, where it is known already; then no passphrase is needed.
    pub cipher: Option<Arc<SectorCipher>>,
    /// Opens the image even without either. Its guest data cannot be read or written then.
    pub metadata_only: bool,
}

impl Unlock {
    /// Opens with a passphrase, if there is one.
    #[must_use]
    pub fn with(passphrase: Option<Passphrase>) -> Self {
        Self {
            passphrase,
            ..Self::default()
        }
    }

    /// Opens for work that needs no guest data.
    #[must_use]
    pub fn metadata_only() -> Self {
        Self {
            metadata_only: true,
            ..Self::default()
        }
    }
}

impl Header {
    /// Where the LUKS header lies in the file: byte offset and length.
    pub fn luks_area(&self) -> Option<(u64, u64)> {
        self.extensions.iter().find_map(|extension| match extension {
            Extension::Encryption { offset, length } => Some((*offset, *length)),
            _ => None,
        })
    }

    /// The LUKS header of the image in `file`, with its key slots.
    ///
    /// # Errors
    /// Where the image has none, it lies outside the file, or it is damaged.
    pub fn luks_volume(&self, file: &StorageRef) -> Result<Volume> {
        let image = file.name();
        let fail = |value, problem| Error::Header {
            image: image.clone(),
            field: "full disk encryption header",
            offset: 0,
            value,
            problem,
        };
        let Some((offset, length)) = self
            .luks_area()
            .filter(|_| self.encryption == Some(EncryptionMethod::Luks))
        else {
            return Err(fail(0, "there is none"));
        };
        if self.geometry.within(offset) != 0 {
            return Err(fail(offset, "its offset is not a multiple of the cluster size"));
        }
        if offset.checked_add(length).is_none_or(|end| end > file.size()) {
            return Err(fail(offset, "it reaches beyond the end of the file"));
        }
        let window: StorageRef = Arc::new(Window::new(file.clone(), offset, length, image.clone())?);
        Volume::open(window, false).map_err(|source| Error::encryption(&image, source))
    }
}

impl Encryption {
    /// Finds the key.
    pub(crate) fn open(file: &StorageRef, header: &Header, unlock: &Unlock) -> Result<Self> {
        let Some(method) = header.encryption else {
            return Ok(Self::None);
        };
        let name = file.name();
        let fail = |source| Error::encryption(&name, source);
        let cipher = match (&unlock.cipher, &unlock.passphrase, method) {
            (Some(cipher), _, _) => cipher.clone(),
            (None, Some(passphrase), EncryptionMethod::Aes) => {
                Arc::new(SectorCipher::of_old_qcow(passphrase).map_err(fail)?)
            }
            (None, Some(passphrase), EncryptionMethod::Luks) => {
                let volume = header.luks_volume(file)?;
                let key = volume.unlock(passphrase).map_err(fail)?;
                Arc::new(volume.cipher(&key).map_err(fail)?)
            }
            (None, None, _) if unlock.metadata_only => return Ok(Self::Locked),
            (None, None, _) => return Err(fail(luks::Error::PassphraseMissing { prefix: "encrypt." })),
        };
        Ok(Self::Open {
            method,
            cipher,
            edges: Arc::default(),
        })
    }

    /// Whether guest data is not plain.
    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// So much is encrypted at a time.
const PIECE: usize = 256 << 10;

impl Core {
    fn locked(&self) -> Error {
        Error::encryption(&self.name, luks::Error::PassphraseMissing { prefix: "encrypt." })
    }

    /// Reads the guest bytes at guest offset `pos`, which lie at `at` in the data file.
    pub(crate) fn read_data(&self, at: u64, pos: u64, buf: &mut [u8]) -> Result<()> {
        let (method, cipher) = match &self.encryption {
            Encryption::None => return Ok(read_padded(&**self.data(), at, buf)?),
            Encryption::Locked => return Err(self.locked()),
            Encryption::Open { method, cipher, .. } => (*method, cipher),
        };
        let head = (at % SECTOR) as usize;
        if head == 0 && (buf.len() as u64).is_multiple_of(SECTOR) {
            read_padded(&**self.data(), at, buf)?;
            cipher.decrypt(sector_number(method, at, pos), buf);
            return Ok(());
        }
        let mut sectors = vec![0; (head + buf.len()).next_multiple_of(SECTOR as usize)];
        let (at, pos) = (at - head as u64, pos.saturating_sub(head as u64));
        read_padded(&**self.data(), at, &mut sectors)?;
        cipher.decrypt(sector_number(method, at, pos), &mut sectors);
        for (to, from) in buf.iter_mut().zip(sectors.iter().skip(head)) {
            *to = *from;
        }
        Ok(())
    }

    /// Writes the guest bytes of guest offset `pos` to `at` in the data file.
    pub(crate) fn write_data(&self, at: u64, pos: u64, buf: &[u8]) -> Result<()> {
        let (method, cipher, edges) = match &self.encryption {
            Encryption::None => return Ok(self.data().write_at(at, buf)?),
            Encryption::Locked => return Err(self.locked()),
            Encryption::Open {
                method,
                cipher,
                edges,
            } => (*method, cipher, edges),
        };
        let head = (at.next_multiple_of(SECTOR) - at).min(buf.len() as u64) as usize;
        let (first, rest) = buf.split_at(head);
        let (whole, last) = rest.split_at(rest.len() - rest.len() % SECTOR as usize);
        let part = |at: u64, pos: u64, bytes: &[u8]| -> Result<()> {
            if bytes.is_empty() {
                return Ok(());
            }
            let _edges = edges.lock().unwrap_or_else(PoisonError::into_inner);
            let within = at % SECTOR;
            let (at, pos) = (at - within, pos.saturating_sub(within));
            let mut sector = [0u8; SECTOR as usize];
            read_padded(&**self.data(), at, &mut sector)?;
            cipher.decrypt(sector_number(method, at, pos), &mut sector);
            for (to, from) in sector.iter_mut().skip(within as usize).zip(bytes) {
                *to = *from;
            }
            cipher.encrypt(sector_number(method, at, pos), &mut sector);
            Ok(self.data().write_at(at, &sector)?)
        };
        part(at, pos, first)?;
        let mut done = head as u64;
        let mut sectors = Vec::with_capacity(whole.len().min(PIECE));
        for piece in whole.chunks(PIECE) {
            sectors.clear();
            sectors.extend_from_slice(piece);
            cipher.encrypt(sector_number(method, at + done, pos + done), &mut sectors);
            self.data().write_at(at + done, &sectors)?;
            done += piece.len() as u64;
        }
        part(at + done, pos + done, last)
    }
}

/// The number that goes into a sector's initial vector: by its place in the file with LUKS, by its place on the guest's
/// disk in the old way.
fn sector_number(method: EncryptionMethod, at: u64, pos: u64) -> u64 {
    match method {
        EncryptionMethod::Luks => at / SECTOR,
        EncryptionMethod::Aes => pos / SECTOR,
    }
}
