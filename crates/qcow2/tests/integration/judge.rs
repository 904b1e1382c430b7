//! Running qemu-img and qemu-io.

use disksmith_qcow2::{OpenOptions, Qcow2};
use disksmith_storage::{HostFile, LockMode, OpenMode, StorageRef};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// Whether the judge is there; a missing one fails in CI.
pub(crate) fn available() -> bool {
    let found = Command::new("qemu-img")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "qemu-img is missing");
        eprintln!("SKIPPED: qemu-img is missing");
    }
    found
}

pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

/// Runs qemu-img, which must succeed; gives its standard output.
pub(crate) fn qemu_img(args: &[&str]) -> String {
    let output = run("qemu-img", args);
    assert!(output.status.success(), "qemu-img {args:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs qemu-io commands on an image.
pub(crate) fn qemu_io(image: &Path, commands: &[String]) {
    for chunk in commands.chunks(200) {
        let mut args: Vec<&str> = vec!["-f", "qcow2", "-d", "unmap"];
        for command in chunk {
            args.extend(["-c", command]);
        }
        args.push(image.to_str().unwrap());
        let output = run("qemu-io", &args);
        assert!(
            output.status.success() && !text(&output).contains("failed"),
            "{}",
            text(&output)
        );
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// `qemu-img check` finds nothing at all: no corruption, no leak.
pub(crate) fn assert_clean(image: &Path) {
    let output = run(
        "qemu-img",
        &["check", "-f", "qcow2", "-U", image.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// The image's contents as the other program reads them.
pub(crate) fn contents(image: &Path, scratch: &Path) -> Vec<u8> {
    let raw = scratch.join("judge.raw");
    qemu_img(&[
        "convert",
        "-U",
        "-f",
        "qcow2",
        "-O",
        "raw",
        image.to_str().unwrap(),
        raw.to_str().unwrap(),
    ]);
    let bytes = std::fs::read(&raw).unwrap();
    std::fs::remove_file(&raw).unwrap();
    bytes
}

pub(crate) fn file(path: &Path, mode: OpenMode) -> StorageRef {
    Arc::new(HostFile::open(path, mode, LockMode::None).unwrap())
}

/// Opens an image, with a backing image (whose format is given) if it names one.
pub(crate) fn open(path: &Path, writable: bool) -> Arc<Qcow2> {
    let mode = if writable { OpenMode::Write } else { OpenMode::Read };
    let storage = file(path, mode);
    let header = disksmith_qcow2::Header::load(&*storage).unwrap();
    let backing = header.backing_name.as_ref().map(|name| -> StorageRef {
        let name = path.parent().unwrap().join(std::str::from_utf8(name).unwrap());
        match header.backing_format() {
            Some(b"raw") => file(&name, OpenMode::Read),
            _ => open(&name, false),
        }
    });
    let options = OpenOptions {
        backing,
        writable,
        ..OpenOptions::default()
    };
    Arc::new(Qcow2::open(storage, options).unwrap())
}
