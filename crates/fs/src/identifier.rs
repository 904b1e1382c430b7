//! Other identifiers for filesystems that nobody has mounted.

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::open::Clock;
use crate::probe::probe;
use disksmith_storage::StorageRef;

/// Where swap space has its UUID: `struct swap_header` of linux/swap.h.
const SWAP_UUID: u64 = 1036;

impl Kind {
    /// How the identifier made of these bytes is written, in fstab for one; `None` for a kind that cannot be given another. A FAT takes the
    /// first four bytes.
    pub fn identifier(self, uuid: [u8; 16]) -> Option<String> {
        match self {
            Self::Ext2 | Self::Ext3 | Self::Ext4 | Self::Swap => {
                Some(uuid::Uuid::from_bytes(uuid).hyphenated().to_string())
            }
            Self::Vfat => {
                let [a, b, c, d, ..] = uuid;
                Some(format!("{a:02X}{b:02X}-{c:02X}{d:02X}"))
            }
            _ => None,
        }
    }
}

/// Gives what a slice of storage holds another identifier, in place: as [`Kind::identifier`] writes it.
///
/// # Errors
/// [`Error::Unsupported`] for a kind that cannot be given one, [`Error::Unknown`] where nothing known lies there; those of the
/// filesystem, after which what was staged has to be thrown away.
pub fn set_identifier(storage: &StorageRef, uuid: [u8; 16], clock: &Clock) -> Result<()> {
    let object = storage.name();
    let Some(found) = probe(storage) else {
        return Err(Error::Unknown { object });
    };
    let kind = found.kind;
    let done: disksmith_vfs::Result<()> = match kind {
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => disksmith_ext4::set_uuid(storage, uuid, clock.clone())
            .map_err(|error| error.into_vfs(kind.name())),
        Kind::Vfat => {
            let [a, b, c, d, ..] = uuid;
            disksmith_fat::set_serial(&**storage, u32::from_be_bytes([a, b, c, d]))
        }
        // Swap space of the first kind has none.
        Kind::Swap if found.uuid.is_some() => storage.write_at(SWAP_UUID, &uuid).map_err(Into::into),
        _ => return Err(Error::Unsupported { object, kind }),
    };
    done.map_err(|source| Error::File { object, source })
}
