//! Making a filesystem.

use crate::error::{Error, Result};
use crate::kind::Kind;
use disksmith_storage::StorageRef;

/// How a filesystem is made. Everything that would otherwise be random or the clock's is given, so that the same options give
/// the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatOptions {
    /// Its label.
    pub label: Vec<u8>,
    /// Its identifier.
    pub uuid: [u8; 16],
    /// The seed of its directories' hashes.
    pub hash_seed: [u8; 16],
    /// When it is made, in seconds since 1970.
    pub time: i64,
}

/// Makes a filesystem of a kind, with that kind's usual features, over the whole of a storage. A FAT takes its serial number from the first
/// four bytes of the identifier, and its label as code page 850 can carry it.
///
/// # Errors
/// [`Error::Unsupported`] for a kind that cannot be made; those of making it.
pub fn format(storage: &StorageRef, kind: Kind, options: &FormatOptions) -> Result<()> {
    let object = storage.name();
    let made = match kind {
        Kind::Ext4 => format_ext4(storage, options),
        Kind::Vfat => format_fat(storage, options),
        _ => return Err(Error::Unsupported { object, kind }),
    };
    made.map_err(|source| Error::File { object, source })
}

fn format_ext4(storage: &StorageRef, options: &FormatOptions) -> disksmith_vfs::Result<()> {
    let mut ext4 = disksmith_ext4::FormatOptions::new(options.uuid, options.hash_seed, options.time);
    ext4.label.clone_from(&options.label);
    disksmith_ext4::format(&**storage, &ext4)
        .map(drop)
        .map_err(|source| source.into_vfs(Kind::Ext4.name()))
}

fn format_fat(storage: &StorageRef, options: &FormatOptions) -> disksmith_vfs::Result<()> {
    let [a, b, c, d, ..] = options.uuid;
    let time = disksmith_vfs::Timestamp {
        seconds: options.time,
        nanoseconds: 0,
    };
    let mut fat = disksmith_fat::FormatOptions::new(u32::from_be_bytes([a, b, c, d]), time);
    if !options.label.is_empty() {
        fat.label = Some(String::from_utf8_lossy(&options.label).into_owned());
    }
    disksmith_fat::format(&**storage, &fat).map(drop)
}
