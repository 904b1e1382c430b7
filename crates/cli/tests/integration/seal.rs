//! `audit` and `seal`: what should not be in a template is found, and is gone afterwards.

use crate::lab::{Lab, judges, may_mount};
use crate::small_guest::{Layout, make};
use crate::virt_customize::golden_guest;
use serde_json::Value;
use std::process::Stdio;
use std::time::Instant;

const JUDGES: &[&str] = &["qemu-img", "e2fsck", "mke2fs", "sfdisk"];

/// The checks that found something, from the JSON form.
fn found(lab: &Lab, line: &str, status: i32) -> Vec<String> {
    let said = lab.disksmith(&format!("{line} --output json"));
    assert_eq!(said.status, status, "{line}: {}", said.stderr);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["ready"], status == 0, "{json}");
    let findings = json["findings"].as_array().unwrap();
    let mut names: Vec<String> = findings
        .iter()
        .map(|f| f["check"].as_str().unwrap().to_owned())
        .collect();
    names.dedup();
    names
}

#[test]
fn an_audit_finds_what_clones_would_share() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    let before = lab.read("guest.img");
    let names = found(&lab, "audit -a guest.img", 8);
    for name in [
        "machine-id",
        "ssh-hostkeys",
        "random-seed",
        "subscription",
        "authorized-keys",
        "kerberos-keytab",
        "host-identity",
        "network-identity",
        "dhcp-leases",
        "passwd-backups",
        "histories",
        "logs",
        "crash-data",
        "mail",
        "jobs",
        "tmp-files",
        "package-cache",
        "backup-files",
        "fstab",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
    assert!(lab.read("guest.img") == before, "an audit changed the image");
    // checks can be left out, and the limit moved
    let names = found(
        &lab,
        "audit -a guest.img --ignore machine-id,logs --ignore fstab",
        8,
    );
    assert!(
        !names
            .iter()
            .any(|n| ["machine-id", "logs", "fstab"].contains(&n.as_str()))
    );
    found(&lab, "audit -a guest.img --fail-on never", 0);
    let text = lab.disksmith("audit -a guest.img");
    assert_eq!(text.status, 8);
    assert!(text.stdout.contains("error    machine-id"), "{}", text.stdout);
    let stderr = lab.disksmith("audit -a guest.img --ignore nosuch").fails(2);
    assert!(stderr.contains("no check \"nosuch\""), "{stderr}");
    assert!(lab.disksmith("audit --list-checks").ok().lines().count() > 35);
}

#[test]
fn accounts_and_secrets_are_found() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    lab.disksmith("sysprep -a guest.img").ok();
    let clean = found(&lab, "audit -a guest.img", 0);
    // what no operation takes away
    let left = ["fstab", "logs", "network-identity"];
    assert!(clean.iter().all(|n| left.contains(&n.as_str())), "{clean:?}");
    for (line, name) in [
        ("--root-password password:x", "root-password"),
        ("--password alice:password:x", "user-password"),
        ("--edit /etc/shadow:s/^bob:!/bob:/", "empty-password"),
        (
            "--append-line /etc/passwd:toor:x:0:0::/root:/bin/sh",
            "second-root",
        ),
        (
            "--mkdir /root/.aws --write /root/.aws/credentials:x",
            "credentials",
        ),
        (
            "--mkdir /home/bob/.ssh --write /home/bob/.ssh/id:-----BEGIN_OPENSSH_PRIVATE",
            "none",
        ),
        ("--ssh-inject root:file:host/key.pub", "authorized-keys"),
        ("--write /etc/ssh/sshd_config:PermitRootLogin=yes", "sshd-config"),
        ("--touch /.autorelabel", "relabel"),
        ("--mkdir /var/lib/cloud/instances/i-1", "cloud-init"),
    ] {
        std::fs::copy(lab.path("guest.img"), lab.path("vm.img")).unwrap();
        lab.disksmith(&format!("customize -a vm.img {line}")).ok();
        let names = found(&lab, "audit -a vm.img --fail-on note", 8);
        assert_eq!(
            names.iter().any(|n| n == name),
            name != "none",
            "{line}: {names:?}"
        );
    }
}

#[test]
fn an_audit_sees_images_that_do_not_stand_alone() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "base.qcow2", Layout::Gpt, "");
    lab.disksmith("clone base.qcow2 vm.qcow2").ok();
    lab.tool("qemu-img snapshot -c before vm.qcow2").ok();
    let names = found(&lab, "audit -a vm.qcow2", 8);
    assert!(names.iter().any(|n| n == "backing-file"), "{names:?}");
    assert!(names.iter().any(|n| n == "snapshots"), "{names:?}");
    let names = found(&lab, "audit -a base.qcow2", 8);
    assert!(
        !names.iter().any(|n| n == "backing-file" || n == "snapshots"),
        "{names:?}"
    );
}

#[test]
fn a_sealed_template_passes_its_audit() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    for kind in ["debian", "redhat"] {
        let lab = Lab::new();
        golden_guest(&lab, kind);
        let said = lab.disksmith("seal -a guest.img --hostname gold --output json");
        assert_eq!(said.status, 0, "{said:?}");
        let json: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(json["audit"]["ready"], true, "{json}");
        lab.e2fsck("guest.img", 0);
        found(&lab, "audit -a guest.img", 0);
        assert_eq!(lab.disksmith("cat -a guest.img /etc/hostname").ok(), "gold\n");
        assert_eq!(lab.disksmith("cat -a guest.img /etc/machine-id").ok(), "");
        // host keys are gone, and come back
        assert!(
            lab.disksmith("cat -a guest.img /etc/systemd/system/disksmith-ssh-hostkeys.service")
                .ok()
                .contains("ssh-keygen -A")
        );
        // what cleaning does not touch is told
        let said = lab.disksmith("seal -a guest.img --root-password password:x");
        assert_eq!(said.status, 8, "{said:?}");
        assert!(said.stdout.contains("root-password"), "{}", said.stdout);
    }
}

#[test]
fn a_killed_seal_leaves_the_old_template_or_the_new_one() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    std::fs::rename(lab.path("guest.img"), lab.path("original")).unwrap();
    let copy = |name: &str| {
        lab.tool(&format!("cp --sparse=always original {name}")).ok();
    };
    for image in ["vm.raw", "vm.qcow2"] {
        if image.ends_with("qcow2") {
            lab.tool("qemu-img convert -f raw -O qcow2 original original.qcow2")
                .ok();
            std::fs::rename(lab.path("original.qcow2"), lab.path("original")).unwrap();
        }
        copy(image);
        let line = format!("sysprep -a {image} --operations all --root-password disabled");
        let words: Vec<&str> = line.split(' ').collect();
        let started = Instant::now();
        lab.disksmith(&line).ok();
        let whole = started.elapsed();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let (mut old, mut new) = (0, 0);
        for _ in 0..if crate::lab::long() { 100 } else { 6 } {
            copy(image);
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut child = lab
                .command(&words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(whole.mul_f64((random % 1100) as f64 / 1000.0));
            let _ = child.kill();
            child.wait().unwrap();
            lab.disksmith(&format!("recover {image}"));
            lab.e2fsck(image, 0);
            let keys = lab
                .disksmith(&format!("cat -a {image} /etc/ssh/ssh_host_rsa_key"))
                .status
                == 0;
            let history = lab
                .disksmith(&format!("cat -a {image} /root/.bash_history"))
                .status
                == 0;
            assert_eq!(keys, history, "half a cleaning");
            if keys { old += 1 } else { new += 1 }
        }
        eprintln!("{image}: {old} old, {new} new");
    }
}

#[test]
fn a_full_disk_leaves_the_template_as_it_was() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let outer = Lab::new();
    golden_guest(&outer, "debian");
    outer
        .tool("qemu-img convert -f raw -O qcow2 guest.img guest.qcow2")
        .ok();
    std::fs::create_dir(outer.path("small")).unwrap();
    let small = outer.path("small").display().to_string();
    outer
        .tool(&format!("mount -t tmpfs -o size=20m tmpfs {small}"))
        .ok();
    let result = std::panic::catch_unwind(|| {
        for image in ["guest.img", "guest.qcow2"] {
            let lab = Lab::below(&outer.path("small"));
            let copy = lab.path(image).display().to_string();
            outer.tool(&format!("cp --sparse=always {image} {copy}")).ok();
            let before = lab.read(image);
            // what is left of the disk is taken, but for a page
            let filler = lab.path("filler").display().to_string();
            outer.tool(&format!("dd if=/dev/zero of={filler} bs=64k"));
            for verb in ["seal", "sysprep"] {
                let line = format!("{verb} -a {image} --root-password disabled");
                let stderr = lab.disksmith(&line).fails(7);
                assert!(
                    stderr.contains("space") && stderr.contains("unchanged:"),
                    "{stderr}"
                );
                assert!(lab.read(image) == before, "{verb} changed {image}");
            }
            std::fs::remove_file(lab.path("filler")).unwrap();
            lab.disksmith(&format!("seal -a {image}")).ok();
            outer
                .tool(&format!("cp --sparse=always {copy} judged-{image}"))
                .ok();
            outer.e2fsck(&format!("judged-{image}"), 0);
        }
    });
    outer.tool(&format!("umount -l {small}")).ok();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn an_audit_sees_disks_that_are_unclean_or_alike() {
    if !judges(&["e2fsck", "mke2fs", "debugfs", "mkswap"]) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    for (name, size) in [("alike.img", 16u64 << 20), ("swap.img", 4 << 20)] {
        std::fs::File::create(lab.path(name))
            .unwrap()
            .set_len(size)
            .unwrap();
    }
    lab.tool("mke2fs -q -F -t ext4 -U 6c1e0ec2-5f3c-4a6e-9b0a-0d3a3f1d7c11 alike.img")
        .ok();
    lab.tool("mkswap swap.img").ok();
    let line = "audit -a guest.img -a alike.img -a swap.img";
    let names = found(&lab, line, 8);
    assert!(names.iter().any(|n| n == "duplicate-uuid"), "{names:?}");
    for other in ["unclean-filesystem", "swap-contents"] {
        assert!(!names.iter().any(|n| n == other), "{names:?}");
    }
    lab.tool_args(&["debugfs", "-w", "-R", "ssv state 0", "alike.img"])
        .ok();
    let mut swap = lab.read("swap.img");
    swap[1 << 20] = 1;
    lab.write("swap.img", swap);
    let names = found(&lab, line, 8);
    for name in ["duplicate-uuid", "unclean-filesystem", "swap-contents"] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
}
