//! What is known of the mounts that run, so that whoever ends one can wait for its last commit and learn how it went.

use crate::failure::Failure;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The record of one mount.
#[derive(Debug)]
pub(crate) struct MountRecord {
    file: PathBuf,
    pid: u32,
}

/// Where records are kept, for the user that runs the program.
fn folder() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/run/disksmith");
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir).join("disksmith"),
        None => PathBuf::from(format!("/tmp/disksmith-{}", rustix::process::geteuid().as_raw())),
    }
}

/// The device number of a mount is its own while it is mounted.
fn file_of(place: &Path) -> Option<PathBuf> {
    let device = fs::metadata(place).ok()?.dev();
    Some(folder().join(format!("mount-{device:x}.json")))
}

impl MountRecord {
    /// Records that this process serves what is mounted at a place.
    pub(crate) fn write(place: &Path) -> std::io::Result<Self> {
        let file = file_of(place).ok_or_else(|| std::io::Error::other("the mount cannot be looked at"))?;
        let folder = folder();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        if fs::symlink_metadata(&folder)?.uid() != rustix::process::geteuid().as_raw() {
            return Err(std::io::Error::other(format!(
                "{} belongs to somebody else",
                folder.display()
            )));
        }
        let record = Self {
            file,
            pid: std::process::id(),
        };
        record.put(json!({ "pid": record.pid, "place": place.to_string_lossy() }))?;
        Ok(record)
    }

    fn put(&self, value: Value) -> std::io::Result<()> {
        fs::write(&self.file, format!("{value}\n"))
    }

    /// The record of what is mounted at a place.
    pub(crate) fn of(place: &Path) -> Option<Self> {
        let file = file_of(place)?;
        let value: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
        let pid = u32::try_from(value.get("pid")?.as_u64()?).ok()?;
        Some(Self { file, pid })
    }

    /// The mount has ended well.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(&self.file);
    }

    /// The mount has ended, and something was lost.
    pub(crate) fn fail(self, failure: &Failure) {
        let text = match failure.hint() {
            Some(hint) => format!("{} ({hint})", failure.message()),
            None => failure.message().to_owned(),
        };
        let _ = self.put(json!({ "pid": self.pid, "failed": text, "status": failure.exit_status() }));
    }

    /// Waits until the process that serves the mount has ended; says what went wrong, and the exit status for that.
    pub(crate) fn wait(self) -> Option<(String, u8)> {
        if let Some(pid) = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            && let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        {
            let mut wanted = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
            while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut wanted, None) {}
        }
        let value: Value = serde_json::from_slice(&fs::read(&self.file).ok()?).ok()?;
        let failed = value.get("failed")?.as_str()?.to_owned();
        let status = value.get("status").and_then(Value::as_u64);
        let _ = fs::remove_file(&self.file);
        Some((failed, status.and_then(|s| u8::try_from(s).ok()).unwrap_or(1)))
    }
}

/// Whether something is mounted at a place, and whether it is ours.
pub(crate) fn is_mounted(place: &Path) -> Option<bool> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut found = None;
    for line in table.lines() {
        let mut fields = line.split(' ');
        let Some(at) = fields.nth(4) else { continue };
        if unescape(at) != place.as_os_str().as_encoded_bytes() {
            continue;
        }
        let source = line
            .split_once(" - ")
            .and_then(|(_, rest)| rest.split(' ').nth(1));
        // The last one is on top.
        found = Some(source.is_some_and(|source| source.starts_with(disksmith_export::SOURCE)));
    }
    found
}

/// The kernel writes some bytes as `\040`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *byte == b'\\');
        let value = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match value {
            Some(value) => {
                out.push(value);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_in_the_kernels_table() {
        assert_eq!(unescape("/a\\040b\\134c"), b"/a b\\c");
        assert_eq!(unescape("/plain\\0"), b"/plain\\0");
    }
}
