//! Filesystems of Windows, but FAT.

use super::{is_at, read};
use crate::kind::Kind;
use crate::probe::Probed;
use disksmith_storage::Storage;

pub(crate) fn find(storage: &dyn Storage) -> Option<Probed> {
    // The OEM name in the boot sector.
    match &read::<8>(storage, 3)? {
        b"-FVE-FS-" => Some(Probed::new(Kind::BitLocker)),
        b"NTFS    " if has_signature(storage) => {
            let serial = u64::from_le_bytes(read(storage, 0x48)?);
            Some(Probed {
                uuid: (serial != 0).then(|| format!("{serial:016X}")),
                ..Probed::new(Kind::Ntfs)
            })
        }
        b"EXFAT   " if has_signature(storage) => {
            let serial = u32::from_le_bytes(read(storage, 100)?);
            Some(Probed {
                uuid: (serial != 0).then(|| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
                ..Probed::new(Kind::Exfat)
            })
        }
        _ => None,
    }
}

fn has_signature(storage: &dyn Storage) -> bool {
    is_at(storage, 510, &[0x55, 0xaa])
}
