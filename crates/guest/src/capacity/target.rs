//! The partition whose size changes, and what lies in it.

use super::report::Remains;
use crate::error::{Error, Result};
use disksmith_fs::{Clock, Extent, Kind, extent};
use disksmith_image::{DiskSpec, NewSize, Output, TransactionOptions};
use disksmith_storage::{Diagnose, ErrorKind, StorageRef};
use disksmith_volume::{Disk, Notice, Partition, Table, TableChange};
use std::fmt;
use std::path::Path;

/// A refusal, with what the user can do.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: ErrorKind,
    text: String,
    hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl Diagnose for Refusal {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::below(refusal)
    }
}

/// A size that is meant, in bytes, rounded up to whole sectors.
pub(super) fn meant(path: &Path, old: u64, size: NewSize) -> Result<u64> {
    let new = match size {
        NewSize::To(bytes) => Some(bytes),
        NewSize::Grow(bytes) => old.checked_add(bytes),
        NewSize::Shrink(bytes) => old.checked_sub(bytes),
    };
    new.and_then(|bytes| bytes.checked_next_multiple_of(512))
        .filter(|bytes| *bytes <= disksmith_image::MAX_SIZE && *bytes > 0)
        .ok_or_else(|| {
            let text = format!("{}: that is no size for a disk of {old} bytes", path.display());
            Refusal::new(ErrorKind::Usage, text).into()
        })
}

/// Looks what is on a disk. A GPT whose first copy is damaged is repaired from the other one, so that both can be found
/// when the end of the disk moves.
pub(super) fn probe(storage: &StorageRef) -> Result<Disk> {
    let disk = Disk::probe(storage.clone()).map_err(Error::below)?;
    let cut = |notice: &&Notice| matches!(notice, Notice::CutAtEnd { .. } | Notice::OutsideDisk { .. });
    if let Some(notice) = disk.notices().iter().find(cut) {
        let text = format!("{}: {notice}", storage.name());
        return Err(Refusal::new(ErrorKind::Corrupt, text)
            .hint("get the whole image again: what is missing cannot be made up for by another size")
            .into());
    }
    let repair = disk
        .notices()
        .iter()
        .any(|notice| matches!(notice, Notice::BackupGptUsed { .. }));
    if repair {
        let change = TableChange {
            disk_size: storage.size(),
            partition: None,
        };
        disk.change_table(&**storage, change).map_err(Error::below)?;
        return Disk::probe(storage.clone()).map_err(Error::below);
    }
    Ok(disk)
}

/// The partition that is meant: the one that was named, else the one that lies last.
pub(super) fn choose(disk: &Disk, path: &Path, number: Option<u32>) -> Result<Option<Partition>> {
    let list: Vec<&Partition> = disk.partitions().iter().filter(|p| !p.is_extended()).collect();
    if disk.table() == Table::None {
        if let Some(number) = number {
            let text = format!(
                "{}: there is no partition {number}: the disk has no partition table",
                path.display()
            );
            return Err(Refusal::new(ErrorKind::NotFound, text).into());
        }
        return Ok(None);
    }
    let found = match number {
        Some(number) => list.iter().find(|p| p.number == number),
        None => list.iter().max_by_key(|p| p.start),
    };
    match found {
        Some(partition) => Ok(Some((*partition).clone())),
        None => {
            let known: Vec<String> = list.iter().map(|p| p.number.to_string()).collect();
            let text = match number {
                Some(number) => format!(
                    "{}: there is no partition {number}; it has {}",
                    path.display(),
                    if known.is_empty() {
                        "none".into()
                    } else {
                        known.join(", ")
                    }
                ),
                None => format!("{}: its partition table lists no partition", path.display()),
            };
            Err(Refusal::new(ErrorKind::NotFound, text).into())
        }
    }
}

/// What a slice holds, where that can be told.
pub(super) fn look(storage: &StorageRef, clock: &Clock) -> Result<Option<Extent>> {
    extent(storage, clock).map_err(Error::below)
}

/// How a partition is called in messages.
pub(super) fn place(partition: Option<&Partition>) -> String {
    partition.map_or_else(|| "the disk".into(), |p| format!("partition {}", p.number))
}

/// What the user does about something that has to be grown from within.
pub(super) fn to_be_grown(kind: Option<Kind>, place: &str) -> Remains {
    let advice = match kind {
        Some(Kind::Xfs) => "run `xfs_growfs /` in the guest, with the path where it is mounted",
        Some(Kind::Btrfs) => {
            "run `btrfs filesystem resize max /` in the guest, with the path where it is mounted"
        }
        Some(Kind::F2fs) => "run `resize.f2fs` on it while it is not mounted",
        Some(Kind::Lvm2Member) => {
            "run `pvresize` on it in the guest, then `lvextend --resizefs -l +100%FREE` on the logical volume"
        }
        Some(Kind::Luks) => "run `cryptsetup resize` in the guest, then grow what is in it",
        Some(Kind::LinuxRaidMember) => {
            "run `mdadm --grow --size=max` in the guest, then grow what is on the array"
        }
        Some(Kind::Ntfs) => "run `ntfsresize` on it, or extend the volume in Windows' disk management",
        Some(Kind::Swap) => "run `swapoff`, `mkswap -U` with its UUID, and `swapon` in the guest",
        Some(Kind::Vfat | Kind::Exfat) => {
            "copy its files to a new one: filesystems of this kind cannot be grown"
        }
        Some(_) => "grow it from within the guest",
        None => "nothing that is known lies there; grow it with its own tools",
    };
    let what = match kind {
        Some(kind) if kind.is_container() || matches!(kind, Kind::Swap | Kind::ExtJournal) => {
            format!("{} on {place}", kind.description())
        }
        Some(kind) => format!("the {} filesystem on {place}", kind.name()),
        None => format!("what {place} holds"),
    };
    Remains {
        what,
        advice: advice.into(),
    }
}

/// An edit goes into the image, or a new file.
pub(super) fn begin(
    spec: &DiskSpec,
    options: &TransactionOptions,
) -> Result<(disksmith_image::Transaction, StorageRef)> {
    let transaction =
        disksmith_image::Transaction::begin(std::slice::from_ref(spec), options).map_err(Error::below)?;
    let storage = transaction
        .storage(0)
        .ok_or_else(|| Refusal::new(ErrorKind::Usage, "no image was given"))?;
    debug_assert!(matches!(
        spec.output,
        Output::InPlace | Output::Overlay(_) | Output::Copy(..)
    ));
    Ok((transaction, storage))
}
