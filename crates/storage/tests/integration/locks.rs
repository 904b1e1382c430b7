//! Locks, against QEMU's own.

use crate::judge;
use disksmith_storage::{Error, HostFile, LockMode, OpenMode};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Image {
    _directory: tempfile::TempDir,
    path: PathBuf,
    format: &'static str,
}

impl Image {
    fn new(format: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("disk.{format}"));
        let status = Command::new("qemu-img")
            .args(["create", "-q", "-f", format])
            .arg(&path)
            .arg("1M")
            .status()
            .unwrap();
        assert!(status.success());
        Self {
            _directory: directory,
            path,
            format,
        }
    }

    fn open(&self, mode: OpenMode, lock: LockMode) -> Result<HostFile, Error> {
        HostFile::open(&self.path, mode, lock)
    }

    /// Starts a qemu-io that holds the image open.
    fn qemu_io(&self, options: &[&str]) -> Holder {
        let mut child = Command::new("qemu-io")
            .args(options)
            .args(["-f", self.format])
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It prompts when the image is open.
        let mut seen = Vec::new();
        let mut byte = [0];
        let stdout = child.stdout.as_mut().unwrap();
        while !seen.ends_with(b"qemu-io> ") {
            assert_eq!(
                stdout.read(&mut byte).unwrap(),
                1,
                "qemu-io ended: {}",
                String::from_utf8_lossy(&seen)
            );
            seen.push(byte[0]);
        }
        Holder(child)
    }

    /// Whether qemu-io can open the image.
    fn qemu_io_opens(&self, options: &[&str]) -> bool {
        let output = Command::new("qemu-io")
            .args(options)
            .args(["-f", self.format, "-c", "length"])
            .arg(&self.path)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            assert!(errors.contains("Failed to get"), "{errors}");
        }
        output.status.success()
    }
}

/// A process that holds an image; ended when dropped.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"quit\n");
        }
        if self.0.stdout.is_none() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

#[track_caller]
fn refused(result: Result<HostFile, Error>, holder: &Holder, name: &str) {
    match result {
        Err(Error::Locked { holders, .. }) => {
            assert_eq!(holders.len(), 1, "{holders:?}");
            assert_eq!(holders[0].pid, holder.0.id());
            assert_eq!(holders[0].command, name);
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_qemu_writes_is_refused() {
    let _alone = crate::judge::alone();
    if !judge::is_there("qemu-io") {
        return;
    }
    for format in ["raw", "qcow2"] {
        let image = Image::new(format);
        let writer = image.qemu_io(&[]);
        refused(image.open(OpenMode::Read, LockMode::Lock), &writer, "qemu-io");
        refused(image.open(OpenMode::Write, LockMode::Lock), &writer, "qemu-io");
        image.open(OpenMode::Read, LockMode::ForceShare).unwrap();
        image.open(OpenMode::Write, LockMode::None).unwrap();
        let message = image
            .open(OpenMode::Read, LockMode::Lock)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(&format!("is in use by qemu-io (process {})", writer.0.id())),
            "{message}"
        );
        drop(writer);
        image.open(OpenMode::Write, LockMode::Lock).unwrap();
    }
}

#[test]
fn what_qemu_reads_is_not_written() {
    let _alone = crate::judge::alone();
    if !judge::is_there("qemu-io") {
        return;
    }
    let image = Image::new("qcow2");
    let reader = image.qemu_io(&["-r"]);
    refused(image.open(OpenMode::Write, LockMode::Lock), &reader, "qemu-io");
    image.open(OpenMode::Read, LockMode::Lock).unwrap();
    image.open(OpenMode::Read, LockMode::ForceShare).unwrap();
    drop(reader);
    // One that shares with everybody keeps nobody out.
    let sharing = image.qemu_io(&["-r", "-U"]);
    image.open(OpenMode::Write, LockMode::Lock).unwrap();
    drop(sharing);
}

#[test]
fn qemu_refuses_what_is_written_here() {
    let _alone = crate::judge::alone();
    if !judge::is_there("qemu-io") {
        return;
    }
    for format in ["raw", "qcow2"] {
        let image = Image::new(format);
        let writer = image.open(OpenMode::Write, LockMode::Lock).unwrap();
        assert!(!image.qemu_io_opens(&[]));
        // QEMU's reader of a raw image bears with writers.
        assert_eq!(image.qemu_io_opens(&["-r"]), format == "raw");
        assert!(image.qemu_io_opens(&["-r", "-U"]));
        drop(writer);
        assert!(image.qemu_io_opens(&[]));
        let unlocked = image.open(OpenMode::Write, LockMode::None).unwrap();
        assert!(image.qemu_io_opens(&[]));
        drop(unlocked);
    }
}

#[test]
fn qemu_does_not_write_what_is_read_here() {
    let _alone = crate::judge::alone();
    if !judge::is_there("qemu-io") {
        return;
    }
    for format in ["raw", "qcow2"] {
        let image = Image::new(format);
        let reader = image.open(OpenMode::Read, LockMode::Lock).unwrap();
        assert!(!image.qemu_io_opens(&[]));
        assert!(image.qemu_io_opens(&["-r"]));
        drop(reader);
        let sharing = image.open(OpenMode::Read, LockMode::ForceShare).unwrap();
        assert!(image.qemu_io_opens(&[]));
        drop(sharing);
    }
}

#[test]
fn what_qemu_nbd_serves_is_refused() {
    let _alone = crate::judge::alone();
    if !judge::is_there("qemu-nbd") {
        return;
    }
    let image = Image::new("qcow2");
    let socket = image.path.with_file_name("socket");
    let start = |path: &Path| {
        Command::new("qemu-nbd")
            .args(["-t", "-f", "qcow2", "-k"])
            .arg(&socket)
            .arg(path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let server = Holder(start(&image.path));
    let patience = Instant::now() + Duration::from_secs(20);
    // It listens before it opens the image, so its locks are what tells that it has.
    let locks_all = |pid: u32| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fdinfo"))
            .into_iter()
            .flatten()
            .flatten();
        let text: String = descriptors
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .collect();
        [" 100 101\n", " 103 103\n", " 201 201\n", " 203 203\n"]
            .iter()
            .all(|range| text.contains(range))
    };
    while !locks_all(server.0.id()) {
        assert!(Instant::now() < patience, "qemu-nbd does not lock the image");
        std::thread::sleep(Duration::from_millis(50));
    }
    refused(image.open(OpenMode::Write, LockMode::Lock), &server, "qemu-nbd");
    refused(image.open(OpenMode::Read, LockMode::Lock), &server, "qemu-nbd");
    // A holder that does not answer is named all the same, and at once.
    let signal = |name: &str| {
        let status = Command::new("kill")
            .args([name, &server.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    };
    signal("-STOP");
    let began = Instant::now();
    refused(image.open(OpenMode::Write, LockMode::Lock), &server, "qemu-nbd");
    let took = began.elapsed();
    signal("-CONT");
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(server);
    let writer = image.open(OpenMode::Write, LockMode::Lock).unwrap();
    let output = start(&image.path).wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Failed to get"));
    drop(writer);
}
