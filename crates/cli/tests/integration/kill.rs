//! `kill -9` at random moments of an edit: the image holds the old state or the new one.

use crate::customize::{everything, host_files};
use crate::lab::{Lab, judges, long};
use crate::small_guest::{Layout, make};
use std::process::Stdio;
use std::time::Instant;

/// Kills an edit of copies of `image` again and again; counts how often the old and the new state were found.
fn torture(image: &str, kills: usize) {
    let lab = Lab::new();
    host_files(&lab);
    make(&lab, image, Layout::Gpt, "");
    lab.disksmith(&format!("customize -a {image} --mkdir /usr/local/bin"))
        .ok();
    std::fs::rename(lab.path(image), lab.path("original")).unwrap();
    let copy = || {
        lab.tool(&format!("cp --sparse=always --reflink=auto original {image}"))
            .ok()
    };
    copy();
    let started = Instant::now();
    lab.disksmith_args(&everything(image)).ok();
    let whole = started.elapsed();
    let (mut old, mut new) = (0, 0);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..kills {
        copy();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let delay = whole.mul_f64((random % 1100) as f64 / 1000.0);
        let mut child = lab
            .command(&everything(image))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(delay);
        let _ = child.kill();
        child.wait().unwrap();
        lab.disksmith(&format!("recover {image}")).ok();
        if image.ends_with("qcow2") {
            let said = lab.tool(&format!("qemu-img check {image}"));
            assert!(
                said.stdout.contains("No errors were found"),
                "after {delay:?}: {said:?}"
            );
        }
        lab.e2fsck(image, Layout::Gpt.root_offset());
        let hostname = lab.disksmith(&format!("cat -a {image} /etc/hostname")).ok();
        let shadow = lab.disksmith(&format!("cat -a {image} /etc/shadow")).ok();
        let cloned = lab
            .disksmith(&format!("ls -a {image} /etc"))
            .ok()
            .lines()
            .any(|name| name == "cloned");
        match hostname.as_str() {
            "template\n" => {
                assert!(
                    !cloned && !shadow.contains("$y$"),
                    "half a change after {delay:?}"
                );
                old += 1;
            }
            "web1\n" => {
                assert!(cloned && shadow.contains("$y$"), "half a change after {delay:?}");
                new += 1;
            }
            other => panic!("neither old nor new after {delay:?}: {other:?}"),
        }
    }
    eprintln!("{image}: {kills} kills within {whole:?}: {old} old, {new} new");
}

#[test]
fn killed_edits_of_qcow2() {
    if judges(&["qemu-img", "e2fsck", "mke2fs", "sfdisk"]) {
        torture("vm.qcow2", if long() { 1000 } else { 50 });
    }
}

#[test]
fn killed_edits_of_raw() {
    if judges(&["qemu-img", "e2fsck", "mke2fs", "sfdisk"]) {
        torture("vm.raw", if long() { 1000 } else { 50 });
    }
}
