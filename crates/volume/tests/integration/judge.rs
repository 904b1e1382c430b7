//! The programs that judge.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Runs a program to its end and gives what it said on both streams.
pub(crate) fn run(program: &str, args: &[&str], image: &Path, input: &str) -> String {
    let mut child = Command::new(program)
        .args(args)
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}");
    text
}

/// A sparse file.
pub(crate) fn image(dir: &Path, name: &str, size: u64) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

/// What blkid says, as pairs.
pub(crate) fn blkid(image: &Path, args: &[&str]) -> Vec<(String, String)> {
    let mut all = vec!["-p", "-o", "export"];
    all.extend(args);
    run("blkid", &all, image, "")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// An image as a loop device, which goes with the value.
pub(crate) struct LoopDevice {
    device: std::path::PathBuf,
}

impl LoopDevice {
    /// `None` where the machine does not let us have one.
    pub(crate) fn new(image: &Path, sector: u32) -> Option<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector.to_string()])
            .arg(image)
            .output()
            .ok()?;
        if !output.status.success() {
            eprintln!(
                "SKIPPED: no loop device: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            return None;
        }
        let device = String::from_utf8(output.stdout).ok()?.trim().into();
        Some(Self { device })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.device
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}
