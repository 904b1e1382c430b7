//! How full the filesystems of a guest are.

use crate::error::Result;
use crate::filesystems::in_order;
use crate::inspect::{VolumeContent, open_volumes};
use disksmith_fs::OpenOptions;
use disksmith_storage::{StorageRef, read_vec};
use disksmith_vfs::{StatFs, Timestamp};

/// How full a filesystem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The canonical name of what it lies on: `/dev/sda1`.
    pub device: String,
    /// Its kind.
    pub vfs: String,
    /// What `statfs` says of it.
    pub stat: StatFs,
}

/// A filesystem of which it cannot be told how full it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageUnknown {
    /// The canonical name of what it lies on.
    pub device: String,
    /// Its kind.
    pub vfs: String,
    /// Why not.
    pub reason: String,
}

/// Tells how full each filesystem of some disks is, in the order of disks and partitions; and which ones could not be asked.
///
/// # Errors
/// A partition table that is damaged.
pub fn disk_usage(disks: &[StorageRef]) -> Result<(Vec<Usage>, Vec<UsageUnknown>)> {
    let options = OpenOptions {
        writable: false,
        clock: Timestamp::default(),
    };
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let volumes = open_volumes(disks, options)?;
    for volume in in_order(&volumes) {
        let (device, vfs) = (volume.device(), volume.kind().to_owned());
        match &volume.content {
            VolumeContent::FileSystem(fs) => match fs.stat_fs() {
                Ok(stat) => known.push(Usage { device, vfs, stat }),
                Err(error) => unknown.push(UsageUnknown {
                    device,
                    vfs,
                    reason: error.to_string(),
                }),
            },
            VolumeContent::Known { kind, reason, .. } => {
                let full = volume.slice.as_ref().filter(|_| kind == "squashfs");
                let size =
                    full.and_then(|slice| disksmith_fs::capacity(&**slice, disksmith_fs::Kind::Squashfs));
                match size {
                    // It is never anything but full.
                    Some(size) => known.push(Usage {
                        device,
                        vfs,
                        stat: StatFs {
                            block_size: 1024,
                            blocks: size / 1024,
                            inodes: volume.slice.as_ref().and_then(squashfs_inodes).unwrap_or(0),
                            ..StatFs::default()
                        },
                    }),
                    None if holds_files(kind) => unknown.push(UsageUnknown {
                        device,
                        vfs,
                        reason: reason.clone(),
                    }),
                    None => {}
                }
            }
            VolumeContent::Unknown => {}
        }
    }
    Ok((known, unknown))
}

/// Whether it is a filesystem at all.
fn holds_files(kind: &str) -> bool {
    !matches!(
        kind,
        "swap" | "jbd" | "LVM2_member" | "crypto_LUKS" | "BitLocker" | "linux_raid_member" | "zfs_member"
    )
}

/// The number of inodes in the superblock of SquashFS.
fn squashfs_inodes(slice: &StorageRef) -> Option<u64> {
    let bytes = read_vec(&**slice, 4, 4).ok()?;
    bytes
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)
        .map(u64::from)
}
