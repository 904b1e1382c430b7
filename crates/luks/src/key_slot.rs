//! A key slot of the header (LUKS on-disk format 1.2.3, section 2.1, "Key slot layout").

use byteorder::{BigEndian, ByteOrder};

/// How many key slots a header has.
pub const KEY_SLOTS: usize = 8;
/// How many stripes the key material of a slot has; QEMU and cryptsetup know no other number.
pub const STRIPES: u32 = 4000;
/// Says that a slot is in use.
const ENABLED: u32 = 0x00ac_71f3;
/// Says that it is not.
const DISABLED: u32 = 0x0000_dead;

/// A key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySlot {
    state: u32,
    /// Rounds of key derivation for its passphrase.
    pub rounds: u32,
    /// Salt for its passphrase.
    pub salt: [u8; 32],
    /// Where its key material starts, in sectors of 512 bytes.
    pub material_sector: u32,
    /// Into how many stripes the master key is split.
    pub stripes: u32,
}

impl KeySlot {
    /// Length of a slot in the header in bytes.
    pub(crate) const LEN: usize = 48;

    /// A slot that is not in use.
    pub(crate) fn unused(material_sector: u32) -> Self {
        Self {
            state: DISABLED,
            rounds: 0,
            salt: [0; 32],
            material_sector,
            stripes: STRIPES,
        }
    }

    /// This slot in use, with a new salt and number of rounds.
    pub(crate) fn enabled(&self, rounds: u32, salt: [u8; 32]) -> Self {
        Self {
            state: ENABLED,
            rounds,
            salt,
            ..*self
        }
    }

    /// Whether it holds a key.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == ENABLED
    }

    /// Whether its state is neither of the two that there are.
    pub(crate) fn is_odd(&self) -> bool {
        self.state != ENABLED && self.state != DISABLED
    }

    pub(crate) fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let mut salt = [0; 32];
        for (to, from) in salt.iter_mut().zip(bytes.iter().skip(8)) {
            *to = *from;
        }
        Self {
            state: BigEndian::read_u32(&bytes[0..4]),
            rounds: BigEndian::read_u32(&bytes[4..8]),
            salt,
            material_sector: BigEndian::read_u32(&bytes[40..44]),
            stripes: BigEndian::read_u32(&bytes[44..48]),
        }
    }

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        BigEndian::write_u32(&mut bytes[0..4], self.state);
        BigEndian::write_u32(&mut bytes[4..8], self.rounds);
        bytes[8..40].copy_from_slice(&self.salt);
        BigEndian::write_u32(&mut bytes[40..44], self.material_sector);
        BigEndian::write_u32(&mut bytes[44..48], self.stripes);
        bytes
    }
}
