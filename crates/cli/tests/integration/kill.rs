//! `kill -9` at random moments of an edit: the image holds the old state or the new one.

use crate::boot::debian_guest;
use crate::customize::{everything, host_files};
use crate::lab::{Lab, judges, long, may_mount};
use crate::small_guest::{Layout, make};
use std::process::Stdio;
use std::time::Instant;

/// An image, `original` in the lab, whose edit is killed again and again.
struct Victim {
    lab: Lab,
    /// The name under which copies of it are edited; its ending is its format's name.
    image: &'static str,
    /// Where its root filesystem begins, in bytes.
    root_offset: u64,
    /// Its host name before the edit.
    hostname: String,
}

impl Victim {
    /// A guest of a few files.
    fn small(image: &'static str) -> Self {
        let lab = Lab::new();
        host_files(&lab);
        make(&lab, image, Layout::Gpt, "");
        lab.disksmith(&format!("customize -a {image} --mkdir /usr/local/bin"))
            .ok();
        std::fs::rename(lab.path(image), lab.path("original")).unwrap();
        Self {
            lab,
            image,
            root_offset: Layout::Gpt.root_offset(),
            hostname: "template\n".into(),
        }
    }

    /// The real Debian guest.
    fn real(image: &'static str) -> Self {
        let lab = Lab::new();
        host_files(&lab);
        let format = image.rsplit('.').next().unwrap();
        let guest = debian_guest();
        lab.disksmith_args(&["convert", "-O", format, guest.to_str().unwrap(), "original"])
            .ok();
        let raw = lab.raw_copy("original");
        let table = lab.tool(&format!("sfdisk -J {}", raw.display())).ok();
        std::fs::remove_file(raw).unwrap();
        let table: serde_json::Value = serde_json::from_str(&table).unwrap();
        let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
        let root = partitions
            .iter()
            .find(|p| p["node"].as_str().unwrap().ends_with("judged1"))
            .unwrap();
        let hostname = lab.disksmith("cat -a original /etc/hostname").ok();
        Self {
            lab,
            image,
            root_offset: root["start"].as_u64().unwrap() * 512,
            hostname,
        }
    }

    fn copy(&self) {
        self.lab
            .tool(&format!(
                "cp --sparse=always --reflink=auto original {}",
                self.image
            ))
            .ok();
    }

    /// Kills an edit of copies; says how often the old and the new state were found.
    fn torture(&self, kills: usize) {
        let (lab, image) = (&self.lab, self.image);
        self.copy();
        let started = Instant::now();
        lab.disksmith_args(&everything(image)).ok();
        let whole = started.elapsed();
        let (mut old, mut new) = (0, 0);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..kills {
            self.copy();
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
            lab.e2fsck(image, self.root_offset);
            let hostname = lab.disksmith(&format!("cat -a {image} /etc/hostname")).ok();
            let shadow = lab.disksmith(&format!("cat -a {image} /etc/shadow")).ok();
            let cloned = lab
                .disksmith(&format!("ls -a {image} /etc"))
                .ok()
                .lines()
                .any(|name| name == "cloned");
            if hostname == self.hostname {
                assert!(
                    !cloned && !shadow.contains("$y$"),
                    "half a change after {delay:?}"
                );
                old += 1;
            } else {
                assert_eq!(hostname, "web1\n", "neither old nor new after {delay:?}");
                assert!(cloned && shadow.contains("$y$"), "half a change after {delay:?}");
                new += 1;
            }
        }
        eprintln!("{image}: {kills} kills within {whole:?}: {old} old, {new} new");
    }
}

const JUDGES: &[&str] = &["qemu-img", "e2fsck", "mke2fs", "sfdisk"];

#[test]
fn killed_edits_of_qcow2() {
    if judges(JUDGES) {
        Victim::small("vm.qcow2").torture(50);
    }
}

#[test]
fn killed_edits_of_raw() {
    if judges(JUDGES) {
        Victim::small("vm.raw").torture(50);
    }
}

#[test]
fn killed_edits_of_the_real_guest() {
    if !long() || !judges(JUDGES) || !judges(&["mmdebstrap"]) || !may_mount() {
        return;
    }
    let kills = std::env::var("DISKSMITH_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    Victim::real("vm.qcow2").torture(kills);
    Victim::real("vm.raw").torture(kills);
}
