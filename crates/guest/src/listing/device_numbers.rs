//! The numbers that Linux gives the devices of a guest's filesystems.

use crate::inspect::{Guest, parse_device_name};

/// Major numbers (Linux, `Documentation/admin-guide/devices.txt`): the first of SCSI disks, the next ones, and, as they are handed out
/// where nothing else asks for one, that of the device mapper.
const SCSI: (u32, u32) = (8, 65);
const DEVICE_MAPPER: u32 = 253;

/// The numbers of the devices that a guest's filesystems lie on, in the order of mounting: disks as those of SCSI, logical volumes in the
/// order of their groups' metadata. What has none gets zeroes.
pub fn device_numbers(guest: &Guest) -> Vec<(u32, u32)> {
    let numbers = guest.tree().mounts().map(|(path, _)| number(guest, path));
    numbers.map(|number| number.unwrap_or((0, 0))).collect()
}

fn number(guest: &Guest, path: &[u8]) -> Option<(u32, u32)> {
    let mounted = guest.mounts().iter().find(|m| m.path.as_bytes() == path)?;
    let mut logical = guest.volumes().iter().filter(|v| v.logical.is_some());
    if let Some(index) = logical.position(|v| v.device() == mounted.device) {
        return Some((DEVICE_MAPPER, u32::try_from(index).ok()?));
    }
    let (disk, partition) = parse_device_name(&mounted.device)?;
    let minor = u32::try_from(disk)
        .ok()?
        .checked_mul(16)?
        .checked_add(partition.unwrap_or(0))?;
    let major = match minor / 256 {
        0 => SCSI.0,
        more => SCSI.1 + more - 1,
    };
    Some((major, minor % 256))
}
