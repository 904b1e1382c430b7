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

/// Makes a filesystem of a kind, with that kind's usual features, over the whole of a storage.
///
/// # Errors
/// [`Error::Unsupported`] for a kind that cannot be made; those of making it.
pub fn format(storage: &StorageRef, kind: Kind, options: &FormatOptions) -> Result<()> {
    let object = storage.name();
    if kind != Kind::Ext4 {
        return Err(Error::Unsupported { object, kind });
    }
    let mut ext4 = disksmith_ext4::FormatOptions::new(options.uuid, options.hash_seed, options.time);
    ext4.label.clone_from(&options.label);
    disksmith_ext4::format(&**storage, &ext4)
        .map(drop)
        .map_err(|source| Error::File {
            object,
            source: source.into_vfs(kind.name()),
        })
}
