//! What lies on the disks: partitions and what each holds.

use super::device_name::canonical_device_name;
use crate::error::{Error, Result};
use disksmith_fs::OpenOptions;
use disksmith_storage::{Diagnose, ErrorKind, StorageRef};
use disksmith_vfs::{FileSystemRef, Tree};
use disksmith_volume::{Disk, Partition, PartitionType};

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

/// Opens everything on a set of disks, which are given in the guest's order.
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
    Ok(volumes)
}

impl Volume {
    fn open(disk: usize, partition: &Partition, slice: &StorageRef, options: OpenOptions) -> Self {
        let content = match disksmith_fs::open(slice, options) {
            Ok(fs) => VolumeContent::FileSystem(fs),
            Err(error) => match disksmith_fs::probe(slice) {
                None => VolumeContent::Unknown,
                Some(found) => VolumeContent::Known {
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
        };
        Self {
            disk,
            partition: (partition.number > 0).then_some(partition.number),
            part_uuid: partition.uuid.clone(),
            part_label: partition.name.clone().filter(|n| !n.is_empty()),
            part_type: Some(partition.kind),
            logical: None,
            content,
            slice: Some(slice.clone()),
        }
    }

    /// Opens its filesystem again, in another way.
    ///
    /// # Errors
    /// Those of opening. A volume that holds no open filesystem, or has no bytes to open, stays as it is.
    pub fn reopen(&mut self, options: OpenOptions) -> Result<()> {
        if let (VolumeContent::FileSystem(fs), Some(slice)) = (&mut self.content, &self.slice) {
            *fs = disksmith_fs::open(slice, options).map_err(Error::below)?;
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

    /// Whether it holds the root of a Linux system: `/etc`, `/bin` (or its link to `usr/bin`), and `/etc/fstab` or `/etc/hosts`.
    pub fn is_root(&self) -> bool {
        let VolumeContent::FileSystem(fs) = &self.content else {
            return false;
        };
        let tree = Tree::new(fs.clone(), disksmith_vfs::Timestamp::default());
        let bin = tree.is_dir("/bin")
            || tree
                .read_link("/bin")
                .is_ok_and(|to| matches!(to.as_slice(), b"usr/bin" | b"/usr/bin" | b"usr/bin/"));
        tree.is_dir("/etc") && bin && (has_file(&tree, "/etc/fstab") || has_file(&tree, "/etc/hosts"))
    }

    /// Whether a disk name of fstab, or a tag like `UUID=…`, means this volume.
    pub(crate) fn is_meant_by(&self, spec: &str) -> bool {
        let is = |own: Option<String>, wanted: &str| own.is_some_and(|own| own.eq_ignore_ascii_case(wanted));
        let (tag, value) = match spec.split_once('=') {
            Some((tag, value)) => (tag, value.trim_matches('"')),
            None => {
                let by = [
                    ("/dev/disk/by-uuid/", "UUID"),
                    ("/dev/disk/by-label/", "LABEL"),
                    ("/dev/disk/by-partuuid/", "PARTUUID"),
                    ("/dev/disk/by-partlabel/", "PARTLABEL"),
                ];
                match by
                    .iter()
                    .find_map(|(dir, tag)| Some((*tag, spec.strip_prefix(dir)?)))
                {
                    Some(found) => found,
                    None => {
                        return super::parse_device_name(spec) == Some((self.disk, self.partition));
                    }
                }
            }
        };
        match tag {
            "UUID" => is(self.uuid(), value),
            "LABEL" => self.label().is_some_and(|own| own == decode(value)),
            "PARTUUID" => is(self.part_uuid.clone(), value),
            "PARTLABEL" => self.part_label.as_ref().is_some_and(|own| *own == decode(value)),
            _ => false,
        }
    }
}

fn has_file(tree: &Tree, path: &str) -> bool {
    // A link to a place outside of this filesystem counts as the file that it stands for.
    tree.symlink_metadata(path)
        .is_ok_and(|m| m.is_file() || m.is_symlink())
}

/// udev writes bytes of labels that are not plain as `\x20`.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 2..at + 4)
            .and_then(|h| std::str::from_utf8(h).ok());
        let value = hex.filter(|_| *byte == b'\\' && bytes.get(at + 1) == Some(&b'x'));
        match value.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 4;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
