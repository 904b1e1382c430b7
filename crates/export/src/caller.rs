//! Who makes a request.

use disksmith_vfs::Metadata;
use fuser::Request;

/// Who makes a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    gid: u32,
    pid: u32,
}

impl Caller {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            uid: request.uid(),
            gid: request.gid(),
            pid: request.pid(),
        }
    }

    /// Whether a group is one of the caller's. Requests name only one; the others are asked of the kernel.
    fn is_in(self, group: u32) -> bool {
        if self.gid == group {
            return true;
        }
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.pid)) else {
            return false;
        };
        status
            .lines()
            .find_map(|line| line.strip_prefix("Groups:"))
            .is_some_and(|groups| groups.split_whitespace().any(|g| g.parse() == Ok(group)))
    }

    /// What is left of a file's permissions when the caller changes it, or its owner.
    pub(crate) fn without_privileges(self, metadata: &Metadata) -> u16 {
        let permissions = metadata.permissions;
        if permissions & 0o6000 == 0 || metadata.is_dir() {
            return permissions;
        }
        // Without the right to execute the bit once meant mandatory locks, and stays for members and root.
        let drops_group = permissions & 0o2000 != 0
            && (permissions & 0o010 != 0 || self.uid != 0 && !self.is_in(metadata.gid));
        permissions & !0o4000 & if drops_group { !0o2000 } else { !0 }
    }
}
