//! Bad input and bad luck: each gives an error that says what, where and what to do, and the image is unchanged.

use crate::lab::{Lab, judges, may_mount};
use crate::small_guest::{Layout, make};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const JUDGES: &[&str] = &["qemu-img", "qemu-io", "mke2fs", "sfdisk"];

/// Runs a line that must fail with `status`, and asserts that the message holds all of `says` and the image its bytes.
#[track_caller]
fn refused(lab: &Lab, image: &str, arguments: &[&str], status: i32, says: &[&str]) {
    let before = lab.read(image);
    let text = lab.disksmith_args(arguments).fails(status);
    for word in says {
        assert!(
            text.contains(word),
            "no {word:?} in the message of {arguments:?}:\n{text}"
        );
    }
    assert!(lab.read(image) == before, "{arguments:?} changed {image}");
    let left: Vec<String> = std::fs::read_dir(lab.path("."))
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("disksmith"))
        .collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
}

#[test]
fn requests_that_cannot_be_met() {
    if !judges(JUDGES) {
        return;
    }
    for image in ["vm.qcow2", "vm.raw"] {
        let lab = Lab::new();
        make(&lab, image, Layout::Gpt, "");
        let edit =
            |more: &[&'static str]| [&["customize", "-a", image, "--touch", "/etc/first"], more].concat();
        for (more, status, says) in [
            (&["--upload", "nothing:/etc/x"][..], 1, &["nothing"][..]),
            (&["--copy-in", "nothing:/etc"], 1, &["nothing"]),
            (&["--root-password", "file:nothing"], 1, &["nothing"]),
            (&["--password", "nobody-here:password:x"], 1, &["nobody-here"]),
            (
                &["--ssh-inject", "nobody-here:string:ssh-ed25519 AAAA x"],
                1,
                &["nobody-here"],
            ),
            (&["--edit", "/etc/nothing:s/a/b/"], 1, &["/etc/nothing"]),
            (&["--edit", "/etc/motd:s/a(/b/"], 2, &["s/a(/b/"]),
            (&["--timezone", "Mars/Olympus"], 1, &["Mars/Olympus"]),
            (&["--chmod", "0644:/etc/nothing"], 1, &["/etc/nothing"]),
            (&["--chmod", "rwx:/etc/motd"], 2, &["rwx"]),
            (&["--write", "no-colon"], 2, &["no-colon"]),
            (&["--run-command", "true"], 4, &["--run-command", "not supported"]),
            (&["--run", "x.sh"], 4, &["--run", "not supported"]),
            (&["--install", "nginx"], 4, &["--install", "not supported"]),
            (&["--update"], 4, &["--update", "not supported"]),
        ] {
            refused(&lab, image, &edit(more), status, says);
        }
    }
}

#[test]
fn images_that_cannot_be_used() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "good.qcow2", Layout::Gpt, "");
    let good = lab.read("good.qcow2");
    lab.write("cut.qcow2", &good[..100_000]);
    lab.write("tiny.qcow2", &good[..60]);
    lab.write("text.qcow2", "this is no image\n");
    lab.write("empty.raw", vec![0u8; 1 << 20]);
    let mut wild = good.clone();
    wild[40..48].copy_from_slice(&[0x7f; 8]); // l1_table_offset
    lab.write("wild.qcow2", &wild);
    let mut feature = good.clone();
    feature[72] = 0x80; // an incompatible feature bit that nobody knows
    lab.write("feature.qcow2", &feature);
    lab.tool("qemu-img create -q -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.qcow2 10M").ok();
    lab.tool("qemu-img create -q -f vmdk disk.vmdk 10M").ok();
    lab.tool("qemu-img create -q -f qcow2 -u -b b.qcow2 -F qcow2 a.qcow2 10M")
        .ok();
    lab.tool("qemu-img create -q -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 10M")
        .ok();
    lab.tool("qemu-img create -q -f qcow2 -u -b gone.qcow2 -F qcow2 orphan.qcow2 10M")
        .ok();
    for (image, says) in [
        ("cut.qcow2", &[][..]),
        ("tiny.qcow2", &[]),
        ("text.qcow2", &[]),
        ("empty.raw", &[]),
        ("wild.qcow2", &["wild.qcow2"]),
        ("feature.qcow2", &["feature"]),
        ("luks.qcow2", &["encrypt"]),
        ("disk.vmdk", &["vmdk"]),
        ("a.qcow2", &["loop"]),
        ("orphan.qcow2", &["gone.qcow2"]),
    ] {
        let before = lab.read(image);
        let said = lab.disksmith(&format!("customize -a {image} --touch /etc/x"));
        assert!((1..=7).contains(&said.status), "{image}: {said:?}");
        assert!(said.stderr.contains(image), "{image} is not named: {said:?}");
        for word in says {
            assert!(
                said.stderr.to_lowercase().contains(word),
                "{image}: no {word:?} in {said:?}"
            );
        }
        assert!(!said.stderr.contains("panicked"), "{said:?}");
        assert!(lab.read(image) == before, "{image} changed");
    }
    let said = lab.disksmith("customize -a missing.qcow2 --touch /etc/x");
    assert!(
        said.status == 1 && said.stderr.contains("missing.qcow2"),
        "{said:?}"
    );
}

#[test]
fn a_filesystem_with_an_unknown_feature_is_not_edited() {
    if !judges(JUDGES) || !judges(&["debugfs"]) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "vm.raw", Layout::Bare, "-O ^metadata_csum");
    let mut bytes = lab.read("vm.raw");
    bytes[1024 + 0x60 + 3] |= 0x40; // s_feature_incompat: a bit that is not assigned
    lab.write("vm.raw", &bytes);
    refused(
        &lab,
        "vm.raw",
        &["customize", "-a", "vm.raw", "--touch", "/x"],
        4,
        &["vm.raw", "feature"],
    );
}

#[test]
fn an_image_that_a_running_qemu_has_open() {
    if !judges(JUDGES) {
        return;
    }
    for image in ["vm.qcow2", "vm.raw"] {
        let lab = Lab::new();
        make(&lab, image, Layout::Gpt, "");
        let format = if image.ends_with("raw") { "raw" } else { "qcow2" };
        let mut qemu = Command::new("qemu-io")
            .args(["-f", format, image])
            .current_dir(lab.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
        refused(
            &lab,
            image,
            &["customize", "-a", image, "--touch", "/x"],
            5,
            &[image, "qemu-io", "hint:"],
        );
        lab.disksmith(&format!("info {image}")).ok();
        drop(qemu.stdin.take());
        qemu.wait().unwrap();
        lab.disksmith(&format!("customize -a {image} --touch /x")).ok();
    }
}

#[test]
fn a_read_only_file() {
    if !judges(JUDGES) {
        return;
    }
    // root may write to anything, so the file stands on a read-only bind mount
    if !may_mount() {
        return;
    }
    let lab = Lab::new();
    make(&lab, "vm.qcow2", Layout::Gpt, "");
    std::fs::set_permissions(lab.path("vm.qcow2"), std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::create_dir(lab.path("ro")).unwrap();
    lab.tool_args(&[
        "mount",
        "--bind",
        lab.path(".").to_str().unwrap(),
        lab.path("ro").to_str().unwrap(),
    ])
    .ok();
    lab.tool_args(&["mount", "-o", "remount,bind,ro", lab.path("ro").to_str().unwrap()])
        .ok();
    let said = lab.disksmith("customize -a ro/vm.qcow2 --touch /x");
    lab.tool_args(&["umount", "-l", lab.path("ro").to_str().unwrap()])
        .ok();
    assert!(
        said.status == 1 && said.stderr.contains("ro/vm.qcow2"),
        "{said:?}"
    );
}

#[test]
fn a_full_disk_leaves_the_image_as_it_was() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    for image in ["vm.qcow2", "vm.raw"] {
        let outer = Lab::new();
        std::fs::create_dir(outer.path("small")).unwrap();
        outer
            .tool_args(&[
                "mount",
                "-t",
                "tmpfs",
                "-o",
                "size=24m",
                "tmpfs",
                outer.path("small").to_str().unwrap(),
            ])
            .ok();
        let result = std::panic::catch_unwind(|| {
            let lab = Lab::below(&outer.path("small"));
            make(&outer, image, Layout::Gpt, "");
            outer
                .tool_args(&["cp", "--sparse=always", image, lab.path(image).to_str().unwrap()])
                .ok();
            outer.write("big", vec![0x5a; 40 << 20]);
            let big = outer.path("big");
            let upload = format!("{}:/opt/big", big.display());
            refused(
                &lab,
                image,
                &["customize", "-a", image, "--upload", &upload],
                7,
                &["space"],
            );
        });
        // Lazily: a program that another test starts right now may hold a copy of a descriptor for a moment.
        outer
            .tool_args(&["umount", "-l", outer.path("small").to_str().unwrap()])
            .ok();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn an_image_that_a_loop_device_stands_on() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    make(&lab, "vm.raw", Layout::Bare, "");
    std::fs::create_dir(lab.path("mnt")).unwrap();
    let mount = lab.path("mnt");
    lab.tool_args(&["mount", "-o", "loop,ro,noload", "vm.raw", mount.to_str().unwrap()])
        .ok();
    let result = std::panic::catch_unwind(|| {
        let words = ["vm.raw", "/dev/loop", "mnt", "hint:"];
        refused(
            &lab,
            "vm.raw",
            &["customize", "-a", "vm.raw", "--touch", "/x"],
            5,
            &words,
        );
    });
    lab.tool_args(&["umount", "-l", mount.to_str().unwrap()]).ok();
    assert!(result.is_ok());
    lab.disksmith("customize -a vm.raw --touch /x").ok();
}

#[test]
fn force_replaces_neither_what_is_in_use_nor_what_has_clones() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "base.qcow2", Layout::Gpt, "");
    lab.write("other.raw", vec![0u8; 1 << 20]);
    lab.disksmith("clone base.qcow2 c1.qcow2").ok();
    for line in [
        "create --force -f qcow2 base.qcow2 10M",
        "convert --force -O qcow2 other.raw base.qcow2",
        "seed --force base.qcow2 -H x",
        "clone --force other.raw base.qcow2",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        refused(&lab, "base.qcow2", &words, 6, &["c1.qcow2"]);
    }
    // a part of the source is no target
    refused(
        &lab,
        "base.qcow2",
        &["clone", "--force", "c1.qcow2", "base.qcow2"],
        6,
        &["base.qcow2"],
    );
    refused(
        &lab,
        "c1.qcow2",
        &["customize", "-a", "c1.qcow2", "-a", "./c1.qcow2", "--touch", "/x"],
        2,
        &["twice"],
    );

    let mut qemu = Command::new("qemu-io")
        .args(["-f", "qcow2", "c1.qcow2"])
        .current_dir(lab.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    for line in [
        "create --force c1.qcow2 1M",
        "seed --force c1.qcow2 -H x",
        "convert --force -O qcow2 other.raw c1.qcow2",
        "clone --force other.raw c1.qcow2",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        refused(&lab, "c1.qcow2", &words, 5, &["qemu-io"]);
    }
    drop(qemu.stdin.take());
    qemu.wait().unwrap();
}

#[test]
fn numbers_of_clones_that_cannot_be() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lab.tool("qemu-img create -q -f qcow2 base.qcow2 10M").ok();
    for count in ["0", "99999999999", "3 --start 18446744073709551615"] {
        let words = format!("clone --count {count} base.qcow2 v%d");
        lab.disksmith(&words).fails(2);
    }
    assert_eq!(std::fs::read_dir(lab.path(".")).unwrap().count(), 1);
    assert!(
        lab.disksmith("sysprep --list-operations")
            .ok()
            .contains("machine-id *")
    );
    lab.disksmith("sysprep").fails(2);
}

#[test]
fn a_stopped_conversion_leaves_nothing() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lab.write(
        "big.raw",
        (0..200u32 << 18).flat_map(u32::to_le_bytes).collect::<Vec<u8>>(),
    );
    for (signal, status) in [("-INT", Some(130)), ("-TERM", Some(130)), ("-KILL", None)] {
        let mut child = lab
            .command(&["convert", "-q", "-O", "qcow2", "-c", "big.raw", "out.qcow2"])
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        lab.tool(&format!("kill {signal} {}", child.id())).ok();
        assert_eq!(child.wait().unwrap().code(), status, "{signal}");
        let left = std::fs::read_dir(lab.path(".")).unwrap().count();
        assert_eq!(left, 1, "{signal} left a file");
    }
}
