//! Everything that lies on a guest's disks: filesystems, partitions, the disks themselves, physical volumes of LVM.

use crate::error::{Error, Result};
use crate::inspect::{Volume, VolumeContent, canonical_device_name, find_lvm, open_volumes};
use disksmith_fs::OpenOptions;
use disksmith_storage::StorageRef;
use disksmith_vfs::Timestamp;
use disksmith_volume::{Disk, PartitionType};
use serde::Serialize;

/// What something on the disks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// What a partition or a whole disk holds, where files or swap could be; also nothing that is known.
    FileSystem,
    /// A logical volume of LVM.
    Lv,
    /// A volume group of LVM.
    Vg,
    /// A physical volume of LVM.
    Pv,
    /// A partition, whatever it holds.
    Partition,
    /// A disk.
    Device,
}

impl ItemKind {
    /// The name in tables: `filesystem`, `pv`, `partition`, `device`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileSystem => "filesystem",
            Self::Lv => "lv",
            Self::Vg => "vg",
            Self::Pv => "pv",
            Self::Partition => "partition",
            Self::Device => "device",
        }
    }
}

/// Something that lies on the disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its canonical name: `/dev/sda1`.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ItemKind,
    /// Of a filesystem, its kind as `blkid` says it; `unknown` where nothing is known.
    pub vfs: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Of a partition in a master boot record, its type.
    pub mbr_id: Option<u8>,
    /// Its size in bytes; of a filesystem that could be mounted, what `statfs` gives as its total.
    pub size: u64,
    /// On what it lies: the disk of a partition.
    pub parents: Vec<String>,
    /// Its identifier.
    pub uuid: Option<String>,
}

/// Which items are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WantedItems {
    /// Filesystems that could be mounted.
    pub filesystems: bool,
    /// Also swap space, and what holds nothing that is known.
    pub extra: bool,
    /// Logical volumes.
    pub lvs: bool,
    /// Volume groups.
    pub vgs: bool,
    /// Physical volumes.
    pub pvs: bool,
    /// Partitions.
    pub partitions: bool,
    /// Disks.
    pub devices: bool,
}

impl WantedItems {
    /// Everything.
    pub const ALL: Self = Self {
        filesystems: true,
        extra: true,
        lvs: true,
        vgs: true,
        pvs: true,
        partitions: true,
        devices: true,
    };
}

/// Lists what lies on disks, which are given in the guest's order: by kinds, and in each by disk and partition.
///
/// # Errors
/// A partition table that is damaged.
pub fn list_items(disks: &[StorageRef], wanted: WantedItems) -> Result<Vec<Item>> {
    let options = OpenOptions {
        writable: false,
        clock: Timestamp::default(),
    };
    let mut items = Vec::new();
    let mut on_disks = Vec::new();
    if wanted.filesystems || wanted.extra || wanted.lvs || wanted.vgs || wanted.pvs {
        let volumes = open_volumes(disks, options)?;
        add_logical(&volumes, &mut items);
        for volume in in_order(&volumes) {
            let size = volume.slice.as_ref().map_or(0, |slice| slice.size());
            let plain = |kind| Item {
                name: volume.device(),
                kind,
                vfs: None,
                label: None,
                mbr_id: None,
                size,
                parents: Vec::new(),
                uuid: None,
            };
            match volume.kind() {
                kind if is_container(kind) => {}
                kind => {
                    let is_extra = matches!(kind, "swap" | "unknown" | "jbd");
                    if wanted.filesystems && !is_extra || wanted.extra {
                        items.push(Item {
                            vfs: Some(kind.to_owned()),
                            label: volume.label().filter(|label| !label.is_empty()),
                            size: usable_size(volume).unwrap_or(size),
                            uuid: volume.uuid().filter(|uuid| !uuid.is_empty()),
                            ..plain(ItemKind::FileSystem)
                        });
                    }
                }
            }
        }
    }
    for (index, storage) in disks.iter().enumerate() {
        let name = canonical_device_name(index, None);
        let device = Item {
            name: name.clone(),
            kind: ItemKind::Device,
            vfs: None,
            label: None,
            mbr_id: None,
            size: storage.size(),
            parents: Vec::new(),
            uuid: None,
        };
        if wanted.partitions {
            let disk = Disk::probe(storage.clone()).map_err(Error::below)?;
            for partition in disk.partitions().iter().filter(|p| p.number > 0) {
                items.push(Item {
                    name: canonical_device_name(index, Some(partition.number)),
                    kind: ItemKind::Partition,
                    mbr_id: match partition.kind {
                        PartitionType::Mbr(byte) => Some(byte),
                        _ => None,
                    },
                    // The kernel shows the first two sectors of an extended partition only.
                    size: if partition.is_extended() {
                        partition.len.min(1024)
                    } else {
                        partition.len
                    },
                    parents: vec![name.clone()],
                    ..device.clone()
                });
            }
        }
        on_disks.push(device);
    }
    if wanted.devices {
        items.extend(on_disks);
    }
    items.retain(|item| match item.kind {
        ItemKind::Lv => wanted.lvs,
        ItemKind::Vg => wanted.vgs,
        ItemKind::Pv => wanted.pvs,
        _ => true,
    });
    items.sort_by_key(|item| item.kind);
    Ok(items)
}

/// The order in which libguestfs lists what holds files: whole disks, partitions, logical volumes.
pub(crate) fn in_order(volumes: &[Volume]) -> Vec<&Volume> {
    let mut ordered: Vec<&Volume> = volumes.iter().collect();
    ordered.sort_by_key(|volume| (volume.logical.is_some(), volume.partition.is_some()));
    ordered
}

/// Adds logical volumes, volume groups and physical volumes of LVM.
fn add_logical(volumes: &[Volume], items: &mut Vec<Item>) {
    let lvm = find_lvm(volumes);
    let device = |index: &usize| volumes.get(*index).map(Volume::device);
    let item = |name, kind, size| Item {
        name,
        kind,
        vfs: None,
        label: None,
        mbr_id: None,
        size,
        parents: Vec::new(),
        uuid: None,
    };
    for logical in &lvm.logical {
        items.push(Item {
            parents: vec![format!("/dev/{}", logical.group)],
            uuid: Some(logical.uuid.clone()),
            ..item(
                format!("/dev/{}/{}", logical.group, logical.name),
                ItemKind::Lv,
                logical.size,
            )
        });
    }
    for group in &lvm.groups {
        items.push(Item {
            parents: group.members.iter().filter_map(device).collect(),
            uuid: Some(group.uuid.replace('-', "")),
            ..item(
                format!("/dev/{}", group.name),
                ItemKind::Vg,
                group.extents.saturating_mul(group.extent_size),
            )
        });
    }
    for physical in &lvm.physical {
        let Some(name) = device(&physical.index) else {
            continue;
        };
        items.push(Item {
            uuid: Some(physical.uuid.replace('-', "")),
            ..item(name, ItemKind::Pv, physical.size)
        });
    }
}

/// Whether something holds other slices rather than files.
fn is_container(kind: &str) -> bool {
    matches!(
        kind,
        "LVM2_member" | "crypto_LUKS" | "BitLocker" | "linux_raid_member" | "zfs_member"
    )
}

/// The size of a filesystem to those who use it, in bytes; `None` where it cannot be told.
fn usable_size(volume: &Volume) -> Option<u64> {
    match &volume.content {
        VolumeContent::FileSystem(fs) => {
            let stat = fs.stat_fs().ok()?;
            stat.blocks.checked_mul(stat.block_size)
        }
        VolumeContent::Known { .. } => {
            let slice = volume.slice.as_ref()?;
            disksmith_fs::capacity(&**slice, disksmith_fs::probe(slice)?.kind)
        }
        VolumeContent::Unknown => None,
    }
}
