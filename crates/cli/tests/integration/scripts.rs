//! `sysprep --script`: how scripts are run, and what a signal leaves.

use crate::lab::{Lab, judges};
use crate::small_guest::{Layout, make};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn lab() -> Option<Lab> {
    if !judges(&["qemu-img", "e2fsck", "mke2fs"]) {
        return None;
    }
    if !Path::new("/dev/fuse").exists() {
        assert!(std::env::var_os("CI").is_none(), "/dev/fuse is missing");
        eprintln!("SKIPPED, for want of /dev/fuse");
        return None;
    }
    let lab = Lab::new();
    make(&lab, "vm.raw", Layout::Bare, "");
    Some(lab)
}

fn script(lab: &Lab, name: &str, text: &str) -> String {
    let path = lab.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_script_without_interpreter_is_run_by_the_shell() {
    let Some(lab) = lab() else { return };
    let plain = script(&lab, "plain", "echo hello >etc/motd\n");
    lab.disksmith(&format!("sysprep -a vm.raw --enable script --script {plain}"))
        .ok();
    assert_eq!(lab.disksmith("cat -a vm.raw /etc/motd").ok(), "hello\n");
    let said = lab
        .disksmith("sysprep -a vm.raw --enable script --script /nope")
        .fails(1);
    assert!(said.contains("No such file") && said.contains("/nope"), "{said}");
}

#[test]
fn a_signal_ends_the_script_and_takes_the_mount_away() {
    let Some(lab) = lab() else { return };
    let before = lab.read("vm.raw");
    let started = lab.path("started");
    let sleeper = script(
        &lab,
        "sleeper",
        &format!(
            "#!/bin/sh\necho x >etc/motd\npwd >{}\nsleep 100\n",
            started.display()
        ),
    );
    let mut child = lab
        .command(&[
            "sysprep", "-a", "vm.raw", "--enable", "script", "--script", &sleeper,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while std::fs::read_to_string(&started)
        .unwrap_or_default()
        .trim()
        .is_empty()
    {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the script did not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let place = std::fs::read_to_string(&started).unwrap();
    lab.tool(&format!("kill -TERM {}", child.id())).ok();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(place.trim()), "{place} is mounted still");
    assert!(!Path::new(place.trim()).exists());
    assert!(lab.read("vm.raw") == before, "a stopped edit changed the image");
}
