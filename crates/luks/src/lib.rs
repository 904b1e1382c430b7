//! LUKS version 1 as QEMU and cryptsetup have it, and the encryption of sectors with which qcow2 images are encrypted too.
//!
//! [`Volume`] reads a header and finds the master key that a [`Passphrase`] opens; [`NewVolume`] makes headers;
//! [`Volume::amend`] changes key slots. [`SectorCipher`] encrypts and decrypts sectors, and [`Payload`] is the
//! [`disksmith_storage::Storage`] of a volume's plain bytes. Random bytes and time come from the caller's [`Outside`].
//!
//! The format is specified in "LUKS On-Disk Format Specification", version 1.2.3; comments name its sections.

mod algorithm;
mod amend;
mod blocks;
mod error;
mod hash;
mod header;
mod key_slot;
mod new_volume;
mod outside;
mod passphrase;
mod payload;
mod sector_cipher;
mod splitter;
mod volume;
mod wrapped_secret;

pub use algorithm::{CipherAlgorithm, CipherMode, CipherSpec, IvAlgorithm};
pub use amend::Amendment;
pub use error::{Error, Result};
pub use hash::HashAlgorithm;
pub use header::{HEADER_LEN, Header, MAGIC};
pub use key_slot::{KEY_SLOTS, KeySlot, STRIPES};
pub use new_volume::{FreshHeader, NewVolume};
pub use outside::Outside;
pub use passphrase::Passphrase;
pub use payload::{Holder, Payload};
pub use sector_cipher::{SECTOR, SectorCipher};
pub use volume::{MAX_ROUNDS, MasterKey, Volume};
pub use wrapped_secret::unwrap_secret;
