//! What the disks show: filesystems that are not clean, identifiers that are not unique.

use super::images::found;
use super::{Finding, Severity};
use crate::inspect::{Guest, Volume, VolumeContent};
use disksmith_storage::Storage;
use std::collections::BTreeMap;

/// Everything about the volumes of the disks, and the guest's mounts.
pub(super) fn findings(volumes: &[Volume], guest: Option<&Guest>) -> Vec<Finding> {
    let mut all = Vec::new();
    for volume in volumes {
        let device = volume.device();
        if let Some(slice) = &volume.slice {
            if let Some(state) = unclean(&**slice, volume.kind()) {
                all.push(found("unclean-filesystem", &device, state));
            }
            if volume.kind() == "swap" && holds_pages(&**slice) {
                all.push(found("swap-contents", &device, "holds pages of memory"));
            }
        }
        if volume.kind() == "crypto_LUKS" {
            all.push(found(
                "shared-master-key",
                &device,
                "is encrypted with a key that clones share",
            ));
        }
        match &volume.content {
            // Its logical volumes are looked into themselves.
            VolumeContent::Known { kind, reason, .. }
                if kind == "LVM2_member" && is_of_group(reason, volumes) => {}
            VolumeContent::Known { kind, reason, .. } if kind != "swap" => {
                let message = format!("{kind} was not looked into: {reason}");
                all.push(found("unreachable", &device, message));
            }
            _ => {}
        }
    }
    for mount in guest.map(Guest::mounts).unwrap_or_default() {
        if let Some(reason) = &mount.unreachable {
            let message = format!(
                "what is mounted there ({}) was not looked into: {reason}",
                mount.device
            );
            all.push(found("unreachable", &mount.path, message));
        }
    }
    let filesystems = volumes.iter().filter_map(|v| Some((v.uuid()?, v.device())));
    all.extend(repeated(filesystems, "filesystem"));
    let partitions = volumes
        .iter()
        .filter_map(|v| Some((v.part_uuid.clone()?, v.device())));
    all.extend(repeated(partitions, "partition"));
    all
}

/// Whether a physical volume is a part of a group whose logical volumes are known.
fn is_of_group(reason: &str, volumes: &[Volume]) -> bool {
    let mut groups = volumes.iter().filter_map(|v| Some(&v.logical.as_ref()?.group));
    groups.any(|group| reason == format!("it is a part of the volume group {group}"))
}

/// Identifiers that several devices bear.
fn repeated(named: impl Iterator<Item = (String, String)>, what: &str) -> Vec<Finding> {
    let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, device) in named {
        by_id.entry(id.to_ascii_lowercase()).or_default().push(device);
    }
    by_id
        .into_iter()
        .filter(|(_, devices)| devices.len() > 1)
        .map(|(id, devices)| {
            let message = format!("have the same {what} UUID {id}");
            Finding {
                severity: Severity::Error,
                ..found("duplicate-uuid", &devices.join(", "), message)
            }
        })
        .collect()
}

fn byte_at(storage: &dyn Storage, offset: u64) -> Option<u8> {
    let mut byte = [0; 1];
    storage.read_at(offset, &mut byte).ok()?;
    byte.first().copied()
}

fn u16_at(storage: &dyn Storage, offset: u64) -> Option<u16> {
    let mut bytes = [0; 2];
    storage.read_at(offset, &mut bytes).ok()?;
    Some(u16::from_le_bytes(bytes))
}

/// What a filesystem says of itself, where it is not clean.
///
/// ext: the superblock's `s_state` and `s_feature_incompat` (kernel documentation, "Super Block"). FAT: the dirty bit of the
/// extended boot record (`BS_Reserved1`), at 0x25 in FAT12 and FAT16, at 0x41 in FAT32.
fn unclean(storage: &dyn Storage, kind: &str) -> Option<String> {
    const SUPERBLOCK: u64 = 1024;
    match kind {
        "ext2" | "ext3" | "ext4" => {
            let state = u16_at(storage, SUPERBLOCK + 0x3a)?;
            let incompatible = u16_at(storage, SUPERBLOCK + 0x60)?;
            if state & 2 != 0 {
                Some("holds errors that a checker has to repair".into())
            } else if incompatible & 4 != 0 {
                Some("was not unmounted: its journal is to be replayed".into())
            } else if state & 1 == 0 {
                Some("was not unmounted".into())
            } else {
                None
            }
        }
        "vfat" | "fat" => {
            let fat32 = u16_at(storage, 0x16)? == 0;
            let flags = byte_at(storage, if fat32 { 0x41 } else { 0x25 })?;
            match flags & 3 {
                0 => None,
                flags if flags & 2 != 0 => Some("holds errors that a checker has to repair".into()),
                _ => Some("was not unmounted".into()),
            }
        }
        _ => None,
    }
}

/// Whether there is anything behind the header page of a swap area. Only its beginning is looked at, and what is known to be zero
/// is not read.
fn holds_pages(storage: &dyn Storage) -> bool {
    const PAGE: u64 = 4096;
    const LOOKED_AT: u64 = 16 << 20;
    let end = storage.size().min(LOOKED_AT);
    let mut buf = vec![0; 1 << 16];
    let mut at = PAGE;
    while at < end {
        let want = (end - at).min(buf.len() as u64);
        let Some(space) = buf.get_mut(..usize::try_from(want).unwrap_or(0)) else {
            return false;
        };
        if space.is_empty() || storage.read_at(at, space).is_err() {
            return false;
        }
        if space.iter().any(|b| *b != 0) {
            return true;
        }
        at += want;
    }
    false
}
