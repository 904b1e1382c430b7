//! Loop devices of this host that stand on a file. The kernel takes no lock on it, but writes to it whenever it likes.

use super::FileId;
use crate::error::{Error, Result};
use std::fs;
use std::path::Path;

/// Refuses to go on when a loop device stands on the file.
///
/// # Errors
/// [`Error::Attached`].
pub(super) fn refuse_attached(path: &Path, id: FileId) -> Result<()> {
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("loop")) else {
            continue;
        };
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        let backing = backing.trim_end_matches('\n');
        if FileId::of_path(Path::new(backing)).is_ok_and(|found| found == id) {
            let device = format!("/dev/{name}");
            return Err(Error::Attached {
                path: path.into(),
                mounted_at: mounted_at(&device),
                device,
            });
        }
    }
    Ok(())
}

/// Where the device, or a partition of it, is mounted (proc_mounts(5)).
fn mounted_at(device: &str) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let source = fields.next()?.strip_prefix(device)?;
        let partition =
            source.is_empty() || source.strip_prefix('p').is_some_and(|n| n.parse::<u32>().is_ok());
        fields.next().filter(|_| partition).map(str::to_owned)
    })
}
