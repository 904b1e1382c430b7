//! Signatures of what disksmith recognises, and where each keeps its name.

pub(crate) mod bsd;
pub(crate) mod container;
pub(crate) mod foreign;
pub(crate) mod optical;
pub(crate) mod raid;
pub(crate) mod swap;
pub(crate) mod unix;
pub(crate) mod windows;

use disksmith_storage::{Storage, read_vec};
use uuid::Uuid;

/// Bytes at an offset; `None` where the storage has none there.
pub(crate) fn read<const N: usize>(storage: &dyn Storage, offset: u64) -> Option<[u8; N]> {
    read_vec(storage, offset, N).ok()?.first_chunk().copied()
}

/// Whether certain bytes lie at an offset.
fn is_at(storage: &dyn Storage, offset: u64, bytes: &[u8]) -> bool {
    read_vec(storage, offset, bytes.len()).is_ok_and(|found| found == bytes)
}

/// A label that ends with its first NUL or its field; `None` where it is empty.
fn label(bytes: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = bytes.iter().copied().take_while(|b| *b != 0).collect();
    (!text.is_empty()).then_some(text)
}

/// A UUID in the order in which it is printed; `None` where it is all zero.
fn uuid(bytes: [u8; 16]) -> Option<String> {
    let uuid = Uuid::from_bytes(bytes);
    (!uuid.is_nil()).then(|| uuid.to_string())
}

fn le16(storage: &dyn Storage, offset: u64) -> Option<u16> {
    read(storage, offset).map(u16::from_le_bytes)
}

pub(crate) fn le32(storage: &dyn Storage, offset: u64) -> Option<u32> {
    read(storage, offset).map(u32::from_le_bytes)
}
