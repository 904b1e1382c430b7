//! The verbs on whole images: info, clone, convert, check, compare.

use crate::lab::{Lab, judges};
use crate::small_guest::{Layout, make};
use std::os::unix::fs::MetadataExt;

const JUDGES: &[&str] = &["qemu-img", "mke2fs", "sfdisk"];

#[test]
fn info_agrees_with_qemu_img() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lab.tool("qemu-img create -q -f qcow2 base.qcow2 15T").ok();
    lab.tool("qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2")
        .ok();
    lab.tool("qemu-img create -q -f raw disk.raw 10M").ok();
    lab.tool("qemu-img snapshot -c first base.qcow2").ok();
    for image in ["base.qcow2", "top.qcow2", "disk.raw"] {
        let ours = lab.disksmith(&format!("info {image} --output json")).ok();
        let theirs = lab.tool(&format!("qemu-img info --output=json {image}")).ok();
        let ours: serde_json::Value = serde_json::from_str(&ours).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(
            lab.disksmith(&format!("info {image}")).ok(),
            lab.tool(&format!("qemu-img info {image}")).ok()
        );
    }
}

#[test]
fn a_thousand_clones_are_small_and_sound() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    lab.tool("qemu-img create -q -f qcow2 template.qcow2 20G").ok();
    std::fs::create_dir(lab.path("fleet")).unwrap();
    lab.disksmith_args(&[
        "clone",
        "--count",
        "1000",
        "template.qcow2",
        "fleet/vm-%04d.qcow2",
    ])
    .ok();
    let files: Vec<_> = std::fs::read_dir(lab.path("fleet"))
        .unwrap()
        .map(|e| e.unwrap())
        .collect();
    assert_eq!(files.len(), 1000);
    for file in &files {
        let disk = file.metadata().unwrap().blocks() * 512;
        assert!(disk <= 20 << 10, "{:?} takes {disk} bytes", file.file_name());
    }
    for image in [
        "fleet/vm-0001.qcow2",
        "fleet/vm-0500.qcow2",
        "fleet/vm-1000.qcow2",
    ] {
        lab.qemu_check(image);
        let info = lab.tool(&format!("qemu-img info --output=json {image}")).ok();
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["backing-filename"], "../template.qcow2");
        assert_eq!(info["backing-filename-format"], "qcow2");
        assert_eq!(info["virtual-size"], 20u64 << 30);
    }
    // QEMU can write to such a clone, and it stays sound
    lab.tool_args(&["qemu-io", "-c", "write -P 5 1G 1M", "fleet/vm-0001.qcow2"])
        .ok();
    lab.qemu_check("fleet/vm-0001.qcow2");
}

#[test]
fn conversions_keep_every_byte() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "base.qcow2", Layout::Gpt, "");
    lab.disksmith("clone base.qcow2 vm.qcow2").ok();
    lab.disksmith("customize -a vm.qcow2 --write /etc/motd:changed")
        .ok();
    lab.disksmith("convert -O raw vm.qcow2 vm.raw").ok();
    lab.disksmith("convert -O qcow2 -c vm.qcow2 flat.qcow2").ok();
    lab.disksmith("convert -O qcow2 -c -o compression_type=zstd vm.qcow2 zstd.qcow2")
        .ok();
    lab.disksmith("convert -O qcow2 vm.raw again.qcow2").ok();
    lab.disksmith("clone --full vm.qcow2 full.qcow2").ok();
    for image in ["vm.raw", "flat.qcow2", "zstd.qcow2", "again.qcow2", "full.qcow2"] {
        lab.qemu_same("vm.qcow2", image);
        lab.disksmith(&format!("compare vm.qcow2 {image}")).ok();
        if image.ends_with("qcow2") {
            lab.qemu_check(image);
            lab.disksmith(&format!("check {image}")).ok();
        }
    }
    assert!(
        std::fs::metadata(lab.path("vm.raw")).unwrap().blocks() * 512 < 32 << 20,
        "the raw copy is not sparse"
    );
    assert_eq!(lab.disksmith("compare base.qcow2 vm.raw").status, 1);
    // an output that exists is not overwritten
    let before = lab.read("flat.qcow2");
    lab.disksmith("convert -O qcow2 base.qcow2 flat.qcow2").fails(6);
    assert!(lab.read("flat.qcow2") == before);
}

#[test]
fn quickstart_makes_what_its_judges_accept() {
    if !judges(&["qemu-img", "e2fsck", "sgdisk", "isoinfo"]) {
        return;
    }
    let lab = Lab::new();
    let text = lab.disksmith("quickstart").ok();
    assert!(text.lines().count() > 5, "{text}");
    for entry in std::fs::read_dir(lab.path("quickstart")).unwrap() {
        let name = format!("quickstart/{}", entry.unwrap().file_name().to_string_lossy());
        if name.ends_with(".qcow2") {
            lab.qemu_check(&name);
            lab.e2fsck(&name, 1 << 20);
            let raw = lab.raw_copy(&name);
            let said = lab.tool(&format!("sgdisk -v {}", raw.display())).ok();
            assert!(said.contains("No problems found"), "{said}");
        }
    }
}

#[test]
fn snapshots_are_those_of_qemu_img() {
    if !judges(JUDGES) || !judges(&["qemu-io"]) {
        return;
    }
    let lab = Lab::new();
    lab.tool("qemu-img create -q -f qcow2 vm.qcow2 10M").ok();
    lab.tool_args(&["qemu-io", "-c", "write -P 1 0 1M", "vm.qcow2"])
        .ok();
    lab.disksmith("snapshot create vm.qcow2 one").ok();
    lab.tool_args(&["qemu-io", "-c", "write -P 2 0 1M", "vm.qcow2"])
        .ok();
    lab.tool("qemu-img snapshot -c two vm.qcow2").ok();
    lab.qemu_check("vm.qcow2");
    let list = lab.tool("qemu-img snapshot -l vm.qcow2").ok();
    assert!(list.contains("one") && list.contains("two"), "{list}");
    assert_eq!(lab.disksmith("snapshot list vm.qcow2").ok(), list);
    for (name, pattern) in [("one", "1"), ("two", "2")] {
        lab.disksmith(&format!("snapshot apply vm.qcow2 {name}")).ok();
        let read = format!("read -P {pattern} 0 1M");
        let said = lab.tool_args(&["qemu-io", "-c", &read, "vm.qcow2"]).ok();
        assert!(!said.contains("verification failed"), "{name}: {said}");
        lab.qemu_check("vm.qcow2");
    }
    lab.disksmith("snapshot delete vm.qcow2 one").ok();
    lab.qemu_check("vm.qcow2");
    lab.disksmith("snapshot apply vm.qcow2 one").fails(1);
}
