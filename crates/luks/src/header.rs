//! The header (LUKS on-disk format 1.2.3, section 2.1, "The partition header").

use crate::algorithm::{CipherAlgorithm, CipherMode, CipherSpec, IvAlgorithm};
use crate::error::{Error, Result};
use crate::hash::HashAlgorithm;
use crate::key_slot::{KEY_SLOTS, KeySlot, STRIPES};
use crate::sector_cipher::{SECTOR, essiv_cipher};
use byteorder::{BigEndian, ByteOrder};
use disksmith_storage::Storage;

/// The first bytes of a header.
pub const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// Length of the header in bytes, without key material.
pub const HEADER_LEN: usize = 592;
/// Key material starts at multiples of so many sectors.
const SLOT_ALIGNMENT: u64 = 8;
/// Length of the digest of the master key in bytes.
pub(crate) const DIGEST_LEN: usize = 20;

/// A header that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How sectors are encrypted.
    pub spec: CipherSpec,
    /// The hash of key derivation, splitter and digest.
    pub hash: HashAlgorithm,
    /// Where the encrypted sectors start, in sectors; 0 where they are in another file.
    pub payload_sector: u32,
    /// Digest of the master key.
    pub(crate) digest: [u8; DIGEST_LEN],
    pub(crate) digest_salt: [u8; 32],
    /// Rounds of key derivation for the digest.
    pub digest_rounds: u32,
    /// The volume's identifier as text.
    pub uuid: String,
    /// The key slots.
    pub slots: [KeySlot; KEY_SLOTS],
}

/// Sectors that the key material of one slot takes, not aligned.
fn material_sectors(key_len: usize) -> u64 {
    (key_len as u64 * u64::from(STRIPES)).div_ceil(SECTOR)
}

impl Header {
    /// A header with no key yet, laid out as QEMU and cryptsetup lay it out.
    pub(crate) fn new(spec: CipherSpec, hash: HashAlgorithm, uuid: [u8; 16], detached: bool) -> Self {
        let first = (HEADER_LEN as u64)
            .div_ceil(SECTOR)
            .next_multiple_of(SLOT_ALIGNMENT);
        let each = material_sectors(spec.key_len()).next_multiple_of(SLOT_ALIGNMENT);
        let at = |slot: u64| (first + slot * each) as u32;
        Self {
            spec,
            hash,
            payload_sector: if detached { 0 } else { at(KEY_SLOTS as u64) },
            digest: [0; DIGEST_LEN],
            digest_salt: [0; 32],
            digest_rounds: 0,
            uuid: uuid_text(uuid),
            slots: std::array::from_fn(|slot| KeySlot::unused(at(slot as u64))),
        }
    }

    /// Length in bytes of a new header with all its key material, for a key of this length.
    #[must_use]
    pub fn area_len(spec: &CipherSpec) -> u64 {
        let first = (HEADER_LEN as u64)
            .div_ceil(SECTOR)
            .next_multiple_of(SLOT_ALIGNMENT);
        let each = material_sectors(spec.key_len()).next_multiple_of(SLOT_ALIGNMENT);
        (first + each * KEY_SLOTS as u64) * SECTOR
    }

    /// Byte offset of the encrypted sectors.
    #[must_use]
    pub fn payload_offset(&self) -> u64 {
        u64::from(self.payload_sector) * SECTOR
    }

    /// Byte offset and length of a slot's key material.
    pub(crate) fn material(&self, slot: &KeySlot) -> (u64, usize) {
        (
            u64::from(slot.material_sector) * SECTOR,
            self.spec.key_len() * STRIPES as usize,
        )
    }

    /// How many slots hold a key.
    #[must_use]
    pub fn active_slots(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_active()).count()
    }

    /// Reads and checks the header at the start of `storage`. `detached` says that the encrypted sectors are elsewhere.
    ///
    /// # Errors
    /// [`Error::Header`] in QEMU's words; [`Error::Storage`].
    pub fn load(storage: &dyn Storage, detached: bool) -> Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        let there = storage.size().min(HEADER_LEN as u64) as usize;
        storage.read_at(0, bytes.get_mut(..there).unwrap_or_default())?;
        Self::parse(&bytes, detached)
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// [`Error::Header`].
    pub fn parse(bytes: &[u8; HEADER_LEN], detached: bool) -> Result<Self> {
        if bytes[..6] != MAGIC {
            return Err(Error::header("magic", 0, 0, "Volume is not in LUKS format"));
        }
        let version = BigEndian::read_u16(&bytes[6..8]);
        if version != 1 {
            let problem = format!("LUKS version {version} is not supported");
            return Err(Error::header("version", 6, version.into(), problem));
        }
        let cipher = text(&bytes[8..40], "cipher-name", 8, "cipher name")?;
        let mode = text(&bytes[40..72], "cipher-mode", 40, "cipher mode")?;
        let hash = text(&bytes[72..104], "hash-spec", 72, "hash spec")?;
        let payload_sector = BigEndian::read_u32(&bytes[104..108]);
        let key_len = BigEndian::read_u32(&bytes[108..112]);
        if !detached && u64::from(payload_sector) < (HEADER_LEN as u64).div_ceil(SECTOR) {
            return Err(Error::header(
                "payload-offset",
                104,
                payload_sector.into(),
                "LUKS payload is overlapping with the header",
            ));
        }
        let digest_rounds = BigEndian::read_u32(&bytes[164..168]);
        if digest_rounds == 0 {
            let problem = "LUKS key iteration count is zero";
            return Err(Error::header("mk-digest-iter", 164, 0, problem));
        }
        let slots: [KeySlot; KEY_SLOTS] = std::array::from_fn(|index| {
            let at = 208 + index * KeySlot::LEN;
            let mut slot = [0; KeySlot::LEN];
            slot.copy_from_slice(&bytes[at..at + KeySlot::LEN]);
            KeySlot::parse(&slot)
        });
        check_slots(&slots, key_len, payload_sector, detached)?;
        let hash =
            HashAlgorithm::from_name(hash).ok_or_else(|| unknown("hash-spec", 72, "Hash algorithm", hash))?;
        let spec = read_spec(cipher, mode, key_len)?;
        let mut digest = [0; DIGEST_LEN];
        digest.copy_from_slice(&bytes[112..132]);
        let mut digest_salt = [0; 32];
        digest_salt.copy_from_slice(&bytes[132..164]);
        let uuid = bytes[168..208].split(|b| *b == 0).next().unwrap_or_default();
        Ok(Self {
            spec,
            hash,
            payload_sector,
            digest,
            digest_salt,
            digest_rounds,
            uuid: String::from_utf8_lossy(uuid).into_owned(),
            slots,
        })
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, data: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(at).zip(data) {
                *to = *from;
            }
        };
        put(0, &MAGIC);
        put(6, &1u16.to_be_bytes());
        put(8, self.spec.cipher.family().as_bytes());
        let mut mode = format!("{}-{}", self.spec.mode.name(), self.spec.iv.name());
        if let Some(hash) = self.spec.iv_hash.filter(|_| self.spec.iv == IvAlgorithm::Essiv) {
            mode = format!("{mode}:{}", hash.name());
        }
        put(40, mode.as_bytes());
        put(72, self.hash.name().as_bytes());
        put(104, &self.payload_sector.to_be_bytes());
        put(108, &(self.spec.key_len() as u32).to_be_bytes());
        put(112, &self.digest);
        put(132, &self.digest_salt);
        put(164, &self.digest_rounds.to_be_bytes());
        put(
            168,
            self.uuid.as_bytes().get(..39).unwrap_or(self.uuid.as_bytes()),
        );
        for (index, slot) in self.slots.iter().enumerate() {
            put(208 + index * KeySlot::LEN, &slot.encode());
        }
        bytes
    }
}

fn text<'a>(bytes: &'a [u8], field: &'static str, offset: u64, what: &str) -> Result<&'a str> {
    let end = bytes.iter().position(|b| *b == 0).ok_or_else(|| {
        Error::header(
            field,
            offset,
            0,
            format!("LUKS header {what} is not NUL terminated"),
        )
    })?;
    std::str::from_utf8(bytes.get(..end).unwrap_or_default())
        .map_err(|_| Error::header(field, offset, 0, format!("LUKS header {what} is not text")))
}

fn unknown(field: &'static str, offset: u64, what: &str, name: &str) -> Error {
    Error::header(field, offset, 0, format!("{what} '{name}' is not recognized"))
}

fn check_slots(slots: &[KeySlot; KEY_SLOTS], key_len: u32, payload: u32, detached: bool) -> Result<()> {
    let len = (u64::from(key_len) * u64::from(STRIPES)).div_ceil(SECTOR);
    for (index, slot) in slots.iter().enumerate() {
        let at = |within: u64| (208 + index * KeySlot::LEN) as u64 + within;
        let start = u64::from(slot.material_sector);
        if slot.stripes != STRIPES {
            let problem = format!(
                "Keyslot {index} is corrupted (stripes {} != {STRIPES})",
                slot.stripes as i32
            );
            return Err(Error::header("stripes", at(44), slot.stripes.into(), problem));
        }
        if start < (HEADER_LEN as u64).div_ceil(SECTOR) {
            let problem = format!("Keyslot {index} is overlapping with the LUKS header");
            return Err(Error::header("key-material-offset", at(40), start, problem));
        }
        if slot.is_odd() {
            let problem = format!("Keyslot {index} state (active/disable) is corrupted");
            return Err(Error::header("active", at(0), 0, problem));
        }
        if slot.is_active() && slot.rounds == 0 {
            let problem = format!("Keyslot {index} iteration count is zero");
            return Err(Error::header("iterations", at(4), 0, problem));
        }
        if !detached && start + len > u64::from(payload) {
            let problem = format!("Keyslot {index} is overlapping with the encrypted payload");
            return Err(Error::header("key-material-offset", at(40), start, problem));
        }
        for (other, next) in slots.iter().enumerate().skip(index + 1) {
            let second = u64::from(next.material_sector);
            if start < second + len && second < start + len {
                let problem = format!("Keyslots {index} and {other} are overlapping in the header");
                return Err(Error::header("key-material-offset", at(40), start, problem));
            }
        }
    }
    Ok(())
}

fn read_spec(cipher: &str, mode: &str, key_len: u32) -> Result<CipherSpec> {
    let Some((mode_name, iv)) = mode.split_once('-') else {
        let problem = format!("Unexpected cipher mode string format '{mode}'");
        return Err(Error::header("cipher-mode", 40, 0, problem));
    };
    let (iv_name, iv_hash) = match iv.split_once(':') {
        Some((iv, hash)) => (iv, Some(hash)),
        None => (iv, None),
    };
    let mode = CipherMode::from_name(mode_name)
        .ok_or_else(|| unknown("cipher-mode", 40, "Cipher mode", mode_name))?;
    if !CipherAlgorithm::ALL.iter().any(|known| known.family() == cipher) {
        return Err(unknown("cipher-name", 8, "Algorithm", cipher));
    }
    let each = key_len as usize / mode.keys();
    let algorithm = CipherAlgorithm::of_family(cipher, each)
        .filter(|found| found.key_len() * mode.keys() == key_len as usize)
        .ok_or_else(|| {
            let problem = format!("Algorithm '{cipher}' with key size {each} bits not supported");
            Error::header("key-bytes", 108, key_len.into(), problem)
        })?;
    let iv =
        IvAlgorithm::from_name(iv_name).ok_or_else(|| unknown("cipher-mode", 40, "IV generator", iv_name))?;
    let iv_hash = iv_hash
        .map(|name| {
            HashAlgorithm::from_name(name).ok_or_else(|| unknown("cipher-mode", 40, "Hash algorithm", name))
        })
        .transpose()?;
    if iv == IvAlgorithm::Essiv {
        let Some(hash) = iv_hash else {
            let problem = "Missing IV generator hash specification";
            return Err(Error::header("cipher-mode", 40, 0, problem));
        };
        essiv_cipher(algorithm, hash)?;
    }
    Ok(CipherSpec {
        cipher: algorithm,
        mode,
        iv,
        iv_hash,
    })
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
