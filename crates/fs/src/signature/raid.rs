//! Members of a Linux software RAID, linux/raid/md_p.h.

use super::{label, le32, read, uuid};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::Storage;

const MAGIC: u32 = 0xa92b_4efc;
const KIB: u64 = 1024;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    let size = storage.size();
    // Version 1.1 lies at the start, 1.2 4 KiB after it, 1.0 at least 8 KiB before the end on a 4 KiB boundary.
    let at_end = (size / 512).checked_sub(16).map(|sector| (sector & !7) * 512);
    [Some(0), Some(4 * KIB), at_end]
        .into_iter()
        .flatten()
        .find_map(|at| version_1(storage, at))
        .or_else(|| version_0(storage, (size & !(64 * KIB - 1)).checked_sub(64 * KIB)?))
}

/// Major version at 4, UUID of the set at 16, name at 32, own place in sectors at 144.
fn version_1(storage: &dyn Storage, at: u64) -> Option<Probed> {
    if le32(storage, at)? != MAGIC || le32(storage, at + 4)? != 1 {
        return None;
    }
    let place = u64::from_le_bytes(read(storage, at + 144)?);
    (place.checked_mul(512)? == at).then_some(())?;
    Some(Probed {
        kind: Kind::LinuxRaidMember,
        label: label(&read::<32>(storage, at + 32)?),
        uuid: uuid(read(storage, at + 16)?),
    })
}

/// Version 0.90 in the last 64 KiB: the UUID is made of four words, at 20 and at 52 to 63, in the byte order of the machine.
fn version_0(storage: &dyn Storage, at: u64) -> Option<Probed> {
    if le32(storage, at)? != MAGIC || le32(storage, at + 4)? != 0 {
        return None;
    }
    let mut bytes = [0; 16];
    let words = [at + 20, at + 52, at + 56, at + 60];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&le32(storage, word)?.to_be_bytes());
    }
    Some(Probed {
        uuid: uuid(bytes),
        ..Probed::new(Kind::LinuxRaidMember)
    })
}
