//! Growing and shrinking a filesystem that nobody has mounted.

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::open::Clock;
use crate::probe::probe;
use disksmith_storage::StorageRef;

/// How large a filesystem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes, which may be less than that of its partition.
    pub size: u64,
    /// The smallest size in bytes that it can be shrunk to, as far as that can be told; `None` for a kind that cannot be
    /// resized.
    pub minimum: Option<u64>,
    /// Bytes of the unit that its size is a multiple of.
    pub unit: u64,
}

impl Kind {
    /// Whether disksmith can give a filesystem of this kind another size.
    pub fn is_resizable(self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4)
    }
}

/// Tells what a slice of storage holds and how large that is; `None` where nothing is known. What cannot be resized has the
/// size of the slice.
///
/// # Errors
/// Those of opening.
pub fn extent(storage: &StorageRef, clock: &Clock) -> Result<Option<Extent>> {
    let Some(found) = probe(storage) else {
        return Ok(None);
    };
    let kind = found.kind;
    if !kind.is_resizable() {
        return Ok(Some(Extent {
            kind,
            size: storage.size(),
            minimum: None,
            unit: 512,
        }));
    }
    let report =
        disksmith_ext4::size_report(storage, clock.clone()).map_err(|error| failed(storage, kind, error))?;
    let unit = u64::from(report.block_size);
    Ok(Some(Extent {
        kind,
        size: report.blocks.saturating_mul(unit),
        minimum: Some(report.minimum.saturating_mul(unit)),
        unit,
    }))
}

/// Gives the filesystem in a slice of storage a size of at most `size` bytes, in place. The slice must have room for it.
/// Returns what it is now.
///
/// # Errors
/// [`Error::Unsupported`] for a kind that cannot be resized, [`Error::Unknown`] where nothing known lies there; those of
/// the filesystem, after which what was staged has to be thrown away.
pub fn resize(storage: &StorageRef, size: u64, clock: &Clock) -> Result<Extent> {
    let object = storage.name();
    let Some(found) = probe(storage) else {
        return Err(Error::Unknown { object });
    };
    let kind = found.kind;
    if !kind.is_resizable() {
        return Err(Error::Unsupported { object, kind });
    }
    let failed = |error| failed(storage, kind, error);
    let report = disksmith_ext4::size_report(storage, clock.clone()).map_err(failed)?;
    let unit = u64::from(report.block_size);
    let options = disksmith_ext4::ResizeOptions::new(clock.clone());
    let done = disksmith_ext4::resize(storage, size / unit, &options).map_err(failed)?;
    Ok(Extent {
        kind,
        size: done.blocks.saturating_mul(unit),
        minimum: None,
        unit,
    })
}

fn failed(storage: &StorageRef, kind: Kind, error: disksmith_ext4::Error) -> Error {
    Error::File {
        object: storage.name(),
        source: error.into_vfs(kind.name()),
    }
}
