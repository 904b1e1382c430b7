//! Telling what a slice of storage holds.

use crate::kind::Kind;
use crate::signature;
use disksmith_storage::StorageRef;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What it is.
    pub kind: Kind,
    /// Its label, where it has one.
    pub label: Option<Vec<u8>>,
    /// Its identifier as `blkid` prints UUID.
    pub uuid: Option<String>,
}

impl Probed {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            label: None,
            uuid: None,
        }
    }
}

/// Tells what a slice of storage holds, by signature. `None` where nothing is known, or cannot be read.
///
/// Containers come first: a RAID or LVM member can begin with what looks like the filesystem in it.
pub fn probe(storage: &StorageRef) -> Option<Probed> {
    signature::raid::find(&**storage)
        .or_else(|| signature::container::find(&**storage))
        .or_else(|| signature::unix::find(&**storage))
        .or_else(|| signature::windows::find(&**storage))
        .or_else(|| {
            let found = disksmith_fat::identify(storage)?;
            Some(Probed {
                kind: Kind::Vfat,
                label: found.label,
                uuid: found.uuid,
            })
        })
        .or_else(|| signature::swap::find(&**storage))
        .or_else(|| signature::optical::find(&**storage))
        .or_else(|| signature::foreign::find(&**storage))
        .or_else(|| signature::bsd::find(&**storage))
}
