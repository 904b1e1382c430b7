//! The programs that make images, and judge.

use disksmith_fat::Fat;
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef};
use disksmith_vfs::{FileSystemRef, Timestamp, Tree};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Whether a program is there. In CI it must be.
pub(crate) fn have(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing");
    if !found {
        eprintln!("SKIPPED: {program} is missing");
    }
    found
}

/// Runs a program to its end and gives its standard output.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {error}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    output.stdout
}

/// A new FAT of so many MiB.
pub(crate) fn format(dir: &Path, mib: u64, args: &[&str]) -> PathBuf {
    let path = dir.join("fat.img");
    std::fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    run(Command::new("mkfs.vfat").args(args).arg(&path));
    path
}

/// Copies a host file or directory into the root of an image.
pub(crate) fn mcopy(image: &Path, source: &Path) {
    run(Command::new("mcopy")
        .args(["-s", "-m", "-i"])
        .arg(image)
        .arg(source)
        .arg("::/"));
}

pub(crate) fn storage(image: &Path) -> StorageRef {
    Arc::new(HostFile::open(image, OpenMode::Read, LockMode::None).unwrap())
}

pub(crate) fn tree(image: &Path) -> Tree {
    let fs: FileSystemRef = Arc::new(Fat::open(storage(image)).unwrap());
    Tree::new(fs, Timestamp::default())
}

/// fsck finds nothing.
pub(crate) fn is_clean(image: &Path) {
    run(Command::new("fsck.vfat").arg("-n").arg(image));
}
