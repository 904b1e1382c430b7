//! A host filesystem without space, by a small tmpfs where this process may mount one.

use disksmith_storage::{
    Diagnose, ErrorKind, HostFile, LockMode, OpenMode, RawShadow, Shadow, Storage, ZeroMode, open_for_change,
    recover,
};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

struct Mount(tempfile::TempDir);

impl Mount {
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(directory.path())
            .output()
            .ok()?;
        if !output.status.success() {
            eprintln!("SKIPPED: no tmpfs: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn is_met_before_the_image_is_touched() {
    let _alone = crate::judge::alone();
    let Some(mount) = Mount::new("size=1m") else {
        return;
    };
    let path = mount.path().join("disk.raw");
    let bytes = [vec![7; 300_000], vec![0; 9_700_000]].concat();
    let file = HostFile::create_new(&path).unwrap();
    file.set_size(bytes.len() as u64).unwrap();
    file.write_at(0, &bytes[..300_000]).unwrap();
    drop(file);
    let logs = tempfile::tempdir().unwrap();
    for log_dir in [None, Some(logs.path())] {
        let file = Arc::new(open_for_change(&path, log_dir).unwrap());
        let shadow = Box::new(RawShadow::new(file.clone(), log_dir).unwrap());
        // Beside the image the log itself does not fit; elsewhere, the space for the image cannot be taken.
        let result = shadow
            .write_at(0, &[8; 100_000])
            .and_then(|()| shadow.write_at(5_000_000, &[9; 1_000_000]));
        let error = match result {
            Err(error) => {
                shadow.abandon().unwrap();
                error
            }
            Ok(()) => shadow.prepare().unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        drop(file);
        recover(&path, log_dir).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
    assert_eq!(std::fs::read_dir(mount.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(logs.path()).unwrap().count(), 0);
}

#[test]
fn tmpfs_can_zero_and_punch() {
    let _alone = crate::judge::alone();
    let Some(mount) = Mount::new("size=4m") else {
        return;
    };
    let path = mount.path().join("disk.raw");
    std::fs::write(&path, vec![5; 1 << 20]).unwrap();
    let file = HostFile::open(&path, OpenMode::Write, LockMode::Lock).unwrap();
    let full = file.allocated().unwrap();
    file.write_zeroes(100, 500_000, ZeroMode::Keep).unwrap();
    assert_eq!(file.allocated().unwrap(), full);
    file.write_zeroes(600_000, 400_000, ZeroMode::Unmap).unwrap();
    assert!(file.allocated().unwrap() < full);
    let mut expected = vec![5; 1 << 20];
    expected[100..500_100].fill(0);
    expected[600_000..1_000_000].fill(0);
    assert!(std::fs::read(&path).unwrap() == expected);
}
