//! Which processes hold locks on a file.
//!
//! A lock of an open file description belongs to no process, and `/proc/locks` says -1 where the process number
//! would be. But each process's `fdinfo` shows the locks of the descriptors it has (proc_pid_fdinfo(5)).

use crate::error::LockHolder;
use crate::host_file::FileId;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The processes that hold a lock on one of the bytes `at` of a file, as far as this user may see them.
pub(super) fn find(file: &File, id: FileId, at: &[u64]) -> Vec<LockHolder> {
    let Ok(inode) = file.metadata().map(|m| m.ino()) else {
        return Vec::new();
    };
    let own = (std::process::id(), file.as_raw_fd().to_string());
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if holds(&entry.path(), pid, id, inode, at, &own) {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            holders.push(LockHolder {
                pid,
                command: command.trim_end().to_owned(),
            });
        }
    }
    holders.sort_by_key(|holder| holder.pid);
    holders
}

fn holds(process: &Path, pid: u32, id: FileId, inode: u64, at: &[u64], own: &(u32, String)) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fdinfo")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let number = descriptor.file_name();
        if pid == own.0 && number.to_str() == Some(&own.1) {
            return false;
        }
        let Ok(text) = fs::read_to_string(descriptor.path()) else {
            return false;
        };
        text.lines().any(|line| is_lock_on(line, inode, at))
            // Inode numbers repeat from device to device. The device that fdinfo names is not what stat says on
            // every filesystem (btrfs), so the open file itself is asked.
            && fs::metadata(process.join("fd").join(&number)).is_ok_and(|m| FileId::of(&m) == id)
    })
}

/// Whether a line of `fdinfo` tells of a lock on this inode that covers one of the bytes:
/// `lock: 1: OFDLCK ADVISORY READ -1 fe:00:10010782 100 101`.
fn is_lock_on(line: &str, inode: u64, at: &[u64]) -> bool {
    let Some(rest) = line.strip_prefix("lock:") else {
        return false;
    };
    let mut last = rest.split_whitespace().rev();
    let (Some(end), Some(start), Some(place)) = (last.next(), last.next(), last.next()) else {
        return false;
    };
    let end = match end {
        "EOF" => u64::MAX,
        number => match number.parse() {
            Ok(number) => number,
            Err(_) => return false,
        },
    };
    let Ok(start) = start.parse::<u64>() else {
        return false;
    };
    place.rsplit(':').next().and_then(|n| n.parse().ok()) == Some(inode)
        && at.iter().any(|b| (start..=end).contains(b))
}

/// Whether a process is a child of this one that still runs this program: it is about to run another.
pub(super) fn is_starting(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // The command, in parentheses, may hold anything; state and parent come after it.
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1))
        .and_then(|field| field.parse::<u32>().ok());
    let program = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    parent == Some(std::process::id()) && program(&pid.to_string()) == program("self")
}

#[cfg(test)]
mod tests {
    use super::is_lock_on;

    #[test]
    fn reads_lines_of_fdinfo() {
        let line = "lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:10010782 100 101";
        assert!(is_lock_on(line, 10_010_782, &[101, 201]));
        assert!(!is_lock_on(line, 10_010_782, &[102, 201]));
        assert!(!is_lock_on(line, 782, &[101]));
        assert!(is_lock_on(
            "lock:\t1: POSIX  ADVISORY  WRITE 77 fe:00:5 0 EOF",
            5,
            &[203]
        ));
        for line in [
            "",
            "pos:\t0",
            "lock:",
            "lock: a b",
            "lock: x:5 1 y",
            "lock: x:5 z 3",
        ] {
            assert!(!is_lock_on(line, 5, &[1]), "{line}");
        }
    }
}
