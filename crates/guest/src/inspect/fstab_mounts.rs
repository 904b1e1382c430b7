//! The mounts that fstab asks for.

use crate::files::{FstabEntry, parse_fstab, text};
use disksmith_vfs::Tree;

/// Filesystems that live in no volume.
const VIRTUAL: &[&str] = &[
    "proc",
    "sysfs",
    "devpts",
    "devtmpfs",
    "tmpfs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "efivarfs",
    "mqueue",
    "hugetlbfs",
    "ramfs",
    "overlay",
    "aufs",
    "9p",
    "virtiofs",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "sshfs",
    "fuse",
    "ceph",
    "glusterfs",
    "autofs",
    "swap",
    "bpf",
    "configfs",
    "binfmt_misc",
    "pstore",
    "usbfs",
];

/// Largest fstab that is read, and the most entries of it that are followed.
const MAX_FSTAB: u64 = 1 << 20;
const MAX_MOUNTS: usize = 1000;

/// Entries of the guest's fstab that mount something of its disks below `/`, in the order in which they are to be mounted.
pub(crate) fn wanted_mounts(tree: &Tree, warnings: &mut Vec<String>) -> Vec<FstabEntry> {
    let contents = match tree.read_limited("/etc/fstab", MAX_FSTAB) {
        Ok(contents) => contents,
        Err(disksmith_vfs::Error::NotFound { .. }) => return Vec::new(),
        Err(error) => {
            warnings.push(format!(
                "the guest's fstab cannot be read: {error}; only its root filesystem is used"
            ));
            return Vec::new();
        }
    };
    let (entries, damaged) = parse_fstab(&contents);
    for (line, reason) in damaged.into_iter().take(MAX_MOUNTS) {
        warnings.push(format!(
            "/etc/fstab line {line} is damaged ({reason}) and is left out"
        ));
    }
    let mut wanted: Vec<FstabEntry> = Vec::new();
    for entry in entries {
        let path = normal(&entry.mountpoint);
        let removable = ["/dev/fd", "/dev/cdrom", "/dev/sr"]
            .iter()
            .any(|d| entry.spec.starts_with(d));
        let system = [&b"/dev"[..], b"/proc", b"/sys", b"/run", b"/media", b"/selinux"]
            .iter()
            .any(|dir| path == *dir || path.strip_prefix(*dir).is_some_and(|rest| rest.starts_with(b"/")));
        let bind = entry.options.iter().any(|o| o == "bind" || o == "rbind");
        if !entry.mountpoint.starts_with(b"/")
            || VIRTUAL.contains(&entry.fs_type.as_str())
            || entry.fs_type.starts_with("fuse.")
            || removable
            || system
            || entry.options.iter().any(|o| o == "_netdev")
        {
            continue;
        }
        if bind {
            warnings.push(format!(
                "/etc/fstab line {}: {} is a bind mount, which is not followed",
                entry.line,
                text(&entry.mountpoint)
            ));
            continue;
        }
        if wanted.iter().any(|w| normal(&w.mountpoint) == path) {
            warnings.push(format!(
                "/etc/fstab mounts {} twice; the first entry is used",
                text(&path)
            ));
            continue;
        }
        if wanted.len() == MAX_MOUNTS {
            warnings.push(format!(
                "/etc/fstab has more than {MAX_MOUNTS} entries; those from line {} on are left out",
                entry.line
            ));
            break;
        }
        wanted.push(FstabEntry {
            mountpoint: path,
            ..entry
        });
    }
    wanted.sort_by_key(|entry| entry.mountpoint.len());
    wanted
}

/// Without repeated and trailing slashes.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".") {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    if out.is_empty() { b"/".to_vec() } else { out }
}
