//! Block devices, by a loop device where this process may make one.

use disksmith_storage::{
    Error, HostFile, LockMode, OpenMode, RawShadow, Shadow, Storage, ZeroMode, open_for_change, read_vec,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path) -> Option<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output()
            .ok()?;
        if !output.status.success() {
            eprintln!(
                "SKIPPED: no loop device: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return None;
        }
        Some(Self(String::from_utf8(output.stdout).unwrap().trim().into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn is_read_written_zeroed_and_changed_through_a_log() {
    let _alone = crate::judge::alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("disk");
    std::fs::write(&file, vec![0xaa; 4 << 20]).unwrap();
    let Some(device) = Loop::new(&file) else { return };
    let disk = HostFile::open(&device.0, OpenMode::Write, LockMode::Lock).unwrap();
    assert!(disk.is_block_device());
    assert_eq!(disk.size(), 4 << 20);
    disk.write_at(1000, b"hello").unwrap();
    assert_eq!(read_vec(&disk, 999, 7).unwrap(), b"\xaahello\xaa");
    disk.write_zeroes(8192, 65536, ZeroMode::Unmap).unwrap();
    disk.write_zeroes(100_001, 5000, ZeroMode::Keep).unwrap();
    disk.discard(1 << 20, 1 << 20).unwrap();
    assert_eq!(read_vec(&disk, 8192, 65536).unwrap(), vec![0; 65536]);
    assert_eq!(read_vec(&disk, 100_000, 5002).unwrap()[1..5001], [0; 5000]);
    assert_eq!(read_vec(&disk, 100_000, 1).unwrap(), [0xaa]);
    assert!(matches!(disk.set_size(1), Err(Error::Unsupported { .. })));
    assert_eq!(disk.extent_at(0, u64::MAX).unwrap().len, 4 << 20);
    disk.flush().unwrap();
    drop(disk);

    let logs = tempfile::tempdir().unwrap();
    let disk = Arc::new(open_for_change(&device.0, Some(logs.path())).unwrap());
    // Where no folder is named the log goes to the system's, which is root's.
    let shadow = RawShadow::new(disk.clone(), None).unwrap();
    shadow.write_at(0, &[1]).unwrap();
    let name = device.0.file_name().unwrap().to_str().unwrap();
    let usual = std::path::PathBuf::from(format!("/var/lib/disksmith/{name}-0.disksmith-log"));
    assert!(usual.exists());
    drop(shadow);
    assert!(!usual.exists());
    let shadow = Box::new(RawShadow::new(disk.clone(), Some(logs.path())).unwrap());
    shadow.write_at(12_345, &[1; 20_000]).unwrap();
    shadow.write_zeroes(3 << 20, 1 << 20, ZeroMode::Unmap).unwrap();
    assert!(shadow.set_size(1).is_err());
    assert_eq!(read_vec(disk.as_ref(), 12_345, 1).unwrap(), [0]);
    shadow.prepare().unwrap().switch().unwrap();
    assert_eq!(read_vec(disk.as_ref(), 12_345, 20_000).unwrap(), vec![1; 20_000]);
    assert_eq!(
        read_vec(disk.as_ref(), 3 << 20, 1 << 20).unwrap(),
        vec![0; 1 << 20]
    );
    assert_eq!(std::fs::read_dir(logs.path()).unwrap().count(), 0);
}

#[test]
fn is_not_written_while_mounted() {
    let _alone = crate::judge::alone();
    let directory = tempfile::tempdir().unwrap();
    let (file, mount) = (directory.path().join("disk"), directory.path().join("mount"));
    std::fs::create_dir(&mount).unwrap();
    std::fs::File::create(&file).unwrap().set_len(8 << 20).unwrap();
    let run = |program: &str, arguments: &[&Path]| {
        Command::new(program)
            .args(arguments)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !run("mkfs.ext4", &[Path::new("-q"), &file]) {
        eprintln!("SKIPPED: mkfs.ext4 is not installed");
        return;
    }
    let Some(device) = Loop::new(&file) else { return };
    if !run("mount", &[&device.0, &mount]) {
        eprintln!("SKIPPED: mounting is not possible here");
        return;
    }
    let result = HostFile::open(&device.0, OpenMode::Write, LockMode::Lock);
    let reader = HostFile::open(&device.0, OpenMode::Read, LockMode::Lock);
    assert!(run("umount", &[&mount]));
    assert!(matches!(result, Err(Error::Locked { .. })), "{result:?}");
    reader.unwrap();
}
