//! Swap space: its signature ends the first page, whose size depends on the machine.

use super::{is_at, label, read, uuid};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::Storage;

const PAGE_SIZES: [u64; 5] = [4096, 8192, 16_384, 32_768, 65_536];

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    let is_new = PAGE_SIZES
        .iter()
        .any(|page| is_at(storage, page - 10, b"SWAPSPACE2"));
    if is_new {
        // struct swap_header of linux/swap.h: UUID at 1036, label at 1052.
        return Some(Probed {
            kind: Kind::Swap,
            label: label(&read::<16>(storage, 1052)?),
            uuid: uuid(read(storage, 1036)?),
        });
    }
    let is_old = PAGE_SIZES
        .iter()
        .any(|page| is_at(storage, page - 10, b"SWAP-SPACE"));
    is_old.then(|| Probed::new(Kind::Swap))
}
