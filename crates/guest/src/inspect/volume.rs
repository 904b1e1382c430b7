//! What lies on the disks: partitions and what each holds.

use super::device_name::{canonical_device_name, parse_device_name};
use super::fstab_spec::Spec;
use super::guest::MountSpec;
use super::role::Role;
use crate::error::{Error, Result};
use disksmith_fs::OpenOptions;
use disksmith_storage::{Diagnose, ErrorKind, StorageRef};
use disksmith_vfs::FileSystemRef;
use disksmith_volume::{Disk, LogicalVolume, Lvm, Partition, PartitionType};

/// The kind of a physical volume of LVM.
const LVM_MEMBER: &str = "LVM2_member";

/// A partition, or a whole disk without partition table.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The disk, counted from 0 in the order in which the disks were given.
    pub disk: usize,
    /// The partition's number; `None` for a whole disk.
    pub partition: Option<u32>,
    /// The partition's own identifier (PARTUUID).
    pub part_uuid: Option<String>,
    /// The partition's own name (PARTLABEL).
    pub part_label: Option<String>,
    /// What the partition table says that it is for.
    pub part_type: Option<PartitionType>,
    /// Its names, where it is a logical volume of LVM.
    pub logical: Option<LogicalName>,
    /// What it holds.
    pub content: VolumeContent,
    /// Its bytes, to open it again; `None` where it was not opened from a disk.
    pub slice: Option<StorageRef>,
}

/// The names of a logical volume: it is `/dev/GROUP/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalName {
    /// The volume group.
    pub group: String,
    /// The logical volume.
    pub name: String,
    /// The identifiers of both without their hyphens, the group's first, as device-mapper joins them.
    pub uuid: Option<String>,
}

/// What a volume holds.
#[derive(Debug, Clone)]
pub enum VolumeContent {
    /// A filesystem that was opened.
    FileSystem(FileSystemRef),
    /// Something that is known by its signature but cannot be opened: another filesystem, swap, a container.
    Known {
        /// Its kind as `blkid` says it: `xfs`, `swap`, `crypto_LUKS`.
        kind: String,
        /// Its UUID, where one could be read.
        uuid: Option<String>,
        /// Its label, where one could be read.
        label: Option<String>,
        /// Why it was not opened.
        reason: String,
        /// Of what sort that is: damaged, or of a kind that is not supported.
        class: ErrorKind,
    },
    /// Nothing that is known.
    Unknown,
}

/// Opens everything on a set of disks, which are given in the guest's order: partitions, then the logical volumes of LVM in the order
/// of their names.
///
/// # Errors
/// A partition table that is damaged. What a partition holds is never an error here: see [`VolumeContent`].
pub fn open_volumes(disks: &[StorageRef], options: OpenOptions) -> Result<Vec<Volume>> {
    let mut volumes = Vec::new();
    for (index, storage) in disks.iter().enumerate() {
        let disk = Disk::probe(storage.clone()).map_err(Error::below)?;
        for partition in disk.partitions().iter().filter(|p| !p.is_extended()) {
            let slice = disk.open(partition).map_err(Error::below)?;
            volumes.push(Volume::open(index, partition, &slice, options));
        }
    }
    let lvm = find_lvm(&volumes);
    for member in &lvm.physical {
        if let Some(Volume {
            content: VolumeContent::Known { reason, .. },
            ..
        }) = volumes.get_mut(member.index)
        {
            *reason = match &member.group {
                Some(group) => format!("it is a part of the volume group {group}"),
                None => "it is a physical volume of LVM in no volume group".into(),
            };
            for notice in &lvm.notices {
                reason.push_str(&format!("; {notice}"));
            }
        }
    }
    for logical in &lvm.logical {
        let disk = volumes.get(logical.index).map_or(0, |member| member.disk);
        volumes.push(Volume::open_logical(disk, logical, options));
    }
    Ok(volumes)
}

/// The same, and whole disks that the user wants mounted though they have partitions: ISO images that boot from sticks have
/// their files on the disk itself. They can only be read.
///
/// # Errors
/// Those of [`open_volumes`].
pub fn open_volumes_for(
    disks: &[StorageRef],
    mounts: &[MountSpec],
    options: OpenOptions,
) -> Result<Vec<Volume>> {
    let mut volumes = open_volumes(disks, options)?;
    for spec in mounts {
        let Some((index, None)) = parse_device_name(&spec.device) else {
            continue;
        };
        let Some(storage) = disks.get(index) else {
            continue;
        };
        if volumes.iter().any(|v| v.is_meant_by(&spec.device)) {
            continue;
        }
        let whole = Volume {
            disk: index,
            partition: None,
            part_uuid: None,
            part_label: None,
            part_type: Some(PartitionType::WholeDisk),
            logical: None,
            content: VolumeContent::open(
                storage,
                OpenOptions {
                    writable: false,
                    ..options
                },
            ),
            slice: Some(storage.clone()),
        };
        // Of any other kind it would be the remains of what was there before the partitions.
        if whole.kind() == "iso9660" {
            volumes.push(whole);
        }
    }
    Ok(volumes)
}

/// What LVM has on the volumes of a set of disks: the numbers in it count these volumes.
pub fn find_lvm(volumes: &[Volume]) -> Lvm {
    // Where there is none, nothing is read.
    let is_member = |v: &Volume| v.logical.is_none() && v.kind() == LVM_MEMBER;
    let members: Vec<(usize, StorageRef)> = volumes
        .iter()
        .enumerate()
        .filter_map(|(index, volume)| Some((index, volume.slice.clone().filter(|_| is_member(volume))?)))
        .collect();
    let slices: Vec<StorageRef> = members.iter().map(|(_, slice)| slice.clone()).collect();
    let mut lvm = Lvm::find(&slices);
    let place = |index: usize| members.get(index).map_or(0, |(place, _)| *place);
    for physical in &mut lvm.physical {
        physical.index = place(physical.index);
    }
    for group in &mut lvm.groups {
        group.members = group.members.iter().map(|index| place(*index)).collect();
    }
    for logical in &mut lvm.logical {
        logical.index = place(logical.index);
    }
    lvm
}

/// Some slices can only be read: a logical volume that has snapshots.
fn only_what_is_allowed(slice: &StorageRef, options: OpenOptions) -> OpenOptions {
    OpenOptions {
        writable: options.writable && slice.is_writable(),
        ..options
    }
}

impl VolumeContent {
    fn open(slice: &StorageRef, options: OpenOptions) -> Self {
        match disksmith_fs::open(slice, only_what_is_allowed(slice, options)) {
            Ok(fs) => Self::FileSystem(fs),
            Err(error) => match disksmith_fs::probe(slice) {
                None => Self::Unknown,
                Some(found) => Self::Known {
                    class: error.kind(),
                    kind: found.kind.name().to_owned(),
                    uuid: found.uuid,
                    label: found.label.map(|l| String::from_utf8_lossy(&l).into_owned()),
                    reason: match error {
                        disksmith_fs::Error::Unsupported { kind, .. } => {
                            format!("{} is not supported yet", kind.description())
                        }
                        disksmith_fs::Error::File { source, .. } => source.to_string(),
                        other => other.to_string(),
                    },
                },
            },
        }
    }
}

impl Volume {
    fn open(disk: usize, partition: &Partition, slice: &StorageRef, options: OpenOptions) -> Self {
        Self {
            disk,
            partition: (partition.number > 0).then_some(partition.number),
            part_uuid: partition.uuid.clone(),
            part_label: partition.name.clone().filter(|n| !n.is_empty()),
            part_type: Some(partition.kind),
            logical: None,
            content: VolumeContent::open(slice, options),
            slice: Some(slice.clone()),
        }
    }

    fn open_logical(disk: usize, logical: &LogicalVolume, options: OpenOptions) -> Self {
        let (content, slice) = match &logical.storage {
            Ok(storage) => (VolumeContent::open(storage, options), Some(storage.clone())),
            Err(reason) => (
                VolumeContent::Known {
                    kind: "unknown".into(),
                    uuid: None,
                    label: None,
                    reason: reason.clone(),
                    class: ErrorKind::Unsupported,
                },
                None,
            ),
        };
        Self {
            disk,
            partition: None,
            part_uuid: None,
            part_label: None,
            part_type: None,
            logical: Some(LogicalName {
                group: logical.group.clone(),
                name: logical.name.clone(),
                uuid: Some(logical.mapper_uuid.clone()),
            }),
            content,
            slice,
        }
    }

    /// Opens its filesystem again, in another way.
    ///
    /// # Errors
    /// Those of opening. A volume that holds no open filesystem, or has no bytes to open, stays as it is.
    pub fn reopen(&mut self, options: OpenOptions) -> Result<()> {
        if let (VolumeContent::FileSystem(fs), Some(slice)) = (&mut self.content, &self.slice) {
            *fs = disksmith_fs::open(slice, only_what_is_allowed(slice, options)).map_err(Error::below)?;
        }
        Ok(())
    }

    /// Its canonical name: `/dev/sda1`, `/dev/GROUP/NAME`.
    pub fn device(&self) -> String {
        if let Some(LogicalName { group, name, .. }) = &self.logical {
            return format!("/dev/{group}/{name}");
        }
        canonical_device_name(self.disk, self.partition)
    }

    /// The kind of what it holds.
    pub fn kind(&self) -> &str {
        match &self.content {
            VolumeContent::FileSystem(fs) => fs.kind(),
            VolumeContent::Known { kind, .. } => kind,
            VolumeContent::Unknown => "unknown",
        }
    }

    /// The UUID of what it holds.
    pub fn uuid(&self) -> Option<String> {
        match &self.content {
            VolumeContent::FileSystem(fs) => fs.uuid(),
            VolumeContent::Known { uuid, .. } => uuid.clone(),
            VolumeContent::Unknown => None,
        }
    }

    /// The label of what it holds.
    pub fn label(&self) -> Option<String> {
        match &self.content {
            VolumeContent::FileSystem(fs) => fs.label().map(|l| String::from_utf8_lossy(&l).into_owned()),
            VolumeContent::Known { label, .. } => label.clone(),
            VolumeContent::Unknown => None,
        }
    }

    /// What its filesystem is in its operating system; `None` where no filesystem was opened.
    pub fn role(&self) -> Option<Role> {
        match &self.content {
            VolumeContent::FileSystem(fs) => Some(Role::of(fs)),
            _ => None,
        }
    }

    /// Whether it holds the root of an operating system.
    pub fn is_root(&self) -> bool {
        matches!(self.role(), Some(Role::Root(_)))
    }

    /// Whether the system checks at boot that nothing in it was changed: Flatcar's and ChromeOS's `/usr`.
    pub(crate) fn is_verified(&self) -> bool {
        matches!(self.part_label.as_deref(), Some("USR-A" | "USR-B")) && self.role() == Some(Role::Usr)
    }

    /// Whether a filesystem was opened on it.
    pub fn is_open(&self) -> bool {
        matches!(self.content, VolumeContent::FileSystem(_))
    }

    /// Whether a name that fstab or the user gives means this volume.
    pub(crate) fn is_meant_by(&self, spec: &str) -> bool {
        Spec::parse(spec).means(self)
    }
}
