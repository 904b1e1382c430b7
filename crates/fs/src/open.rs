//! Opening a filesystem.

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::probe::{Probed, probe};
use disksmith_ext4::Ext4;
use disksmith_fat::Fat;
use disksmith_iso9660::Iso;
use disksmith_storage::StorageRef;
use disksmith_vfs::{FileSystemRef, Timestamp};
use std::sync::Arc;

/// How a filesystem is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Whether it shall be written. A kind that disksmith only reads opens all the same, and refuses changes.
    pub writable: bool,
    /// The time that calls which set one themselves use.
    pub clock: Timestamp,
}

/// Tells the time whenever it is asked.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Opens the filesystem that fills a slice of storage.
///
/// # Errors
/// [`Error::Unknown`] where nothing known lies there, [`Error::Unsupported`] for a kind that disksmith cannot open (it is named),
/// [`Error::File`] for a damaged one and for features that disksmith lacks.
pub fn open(storage: &StorageRef, options: OpenOptions) -> Result<FileSystemRef> {
    let clock = options.clock;
    open_with_clock(storage, options.writable, Arc::new(move || clock))
}

/// As [`open`], for a filesystem that stays open while time passes.
///
/// # Errors
/// Those of [`open`].
pub fn open_with_clock(storage: &StorageRef, writable: bool, clock: Clock) -> Result<FileSystemRef> {
    let object = storage.name();
    match probe(storage) {
        None => Err(Error::Unknown { object }),
        Some(found) => open_probed(storage, &found, writable, clock),
    }
}

fn open_probed(storage: &StorageRef, found: &Probed, writable: bool, clock: Clock) -> Result<FileSystemRef> {
    let object = storage.name();
    match found.kind {
        Kind::Vfat => {
            let options = disksmith_fat::OpenOptions::new(writable, clock);
            match Fat::open_with(Arc::clone(storage), options) {
                Ok(fat) => Ok(Arc::new(fat)),
                Err(source) => Err(Error::File { object, source }),
            }
        }
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => {
            let options = disksmith_ext4::OpenOptions::new(clock).writable(writable);
            match Ext4::open(Arc::clone(storage), options) {
                Ok(ext) => Ok(Arc::new(ext)),
                Err(error) => Err(Error::File {
                    source: error.into_vfs(found.kind.name()),
                    object,
                }),
            }
        }
        // For reading only: such an image is made as a whole.
        Kind::Iso9660 => match Iso::open(Arc::clone(storage)) {
            Ok(iso) => Ok(Arc::new(iso)),
            Err(source) => Err(Error::File { object, source }),
        },
        kind => Err(Error::Unsupported { object, kind }),
    }
}
