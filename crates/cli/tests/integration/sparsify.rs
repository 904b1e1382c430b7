//! make-fs, format and sparsify as programs call them: the verbs, their old names, and what is left where they are killed.

use crate::lab::{Lab, judges};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// An image whose filesystem holds 2 MiB, and once held 10 MiB more.
fn used(lab: &Lab, format: &str) {
    fs::create_dir_all(lab.path("tree")).unwrap();
    lab.write("tree/gone", vec![0xaa; 10 << 20]);
    lab.write("tree/kept", vec![0xbb; 2 << 20]);
    lab.disksmith(&format!(
        "make-fs -q --force -t ext4 -b 4096 -F {format} --size 40M tree vm --uuid 11111111-2222-3333-4444-555555555555"
    ))
    .ok();
    lab.tool(&format!("qemu-img convert -f {format} -O raw vm raw.tmp"))
        .ok();
    lab.tool_args(&["debugfs", "-w", "-R", "rm /gone", "raw.tmp"])
        .ok();
    lab.tool(&format!("qemu-img convert -S 0 -f raw -O {format} raw.tmp vm"))
        .ok();
}

fn check(lab: &Lab, format: &str) {
    lab.tool(&format!("qemu-img convert -f {format} -O raw vm raw.tmp"))
        .ok();
    lab.e2fsck("raw.tmp", 0);
    lab.tool_args(&["debugfs", "-R", "dump /kept out.tmp", "raw.tmp"])
        .ok();
    assert!(lab.read("out.tmp") == lab.read("tree/kept"));
}

#[test]
fn virt_sparsify_says_what_the_tool_says() {
    if !judges(&["qemu-img", "debugfs", "e2fsck"]) {
        return;
    }
    let lab = Lab::new();
    // The words are those of virt-sparsify 1.48.2, but for the times.
    let plain = |text: String| -> String {
        let words = |line: &str| {
            line.split_once("] ")
                .map_or(line.to_owned(), |(_, rest)| rest.to_owned())
        };
        text.lines().map(|line| words(line) + "\n").collect()
    };
    for format in ["qcow2", "raw"] {
        used(&lab, format);
        let before = fs::metadata(lab.path("vm")).unwrap().blocks();
        let said = lab
            .disksmith(&format!("virt-sparsify --in-place --format {format} vm"))
            .ok();
        assert_eq!(
            plain(said),
            "Trimming /dev/sda\nSparsify in-place operation completed with no errors\n"
        );
        let after = fs::metadata(lab.path("vm")).unwrap().blocks();
        assert!((before - after) * 512 > 9 << 20, "{before} {after}");
        check(&lab, format);
        used(&lab, format);
        let said = lab
            .disksmith(&format!(
                "virt-sparsify --format {format} --convert qcow2 --compress vm copy"
            ))
            .ok();
        assert_eq!(
            plain(said),
            "Examine source disk\nFill free space in /dev/sda with zero\nCopy to destination and make sparse\n\
             Sparsify operation completed with no errors.\nvirt-sparsify: Before deleting the old disk, carefully check that the target disk boots and works correctly.\n"
        );
        fs::rename(lab.path("copy"), lab.path("vm")).unwrap();
        check(&lab, "qcow2");
    }
    assert!(
        lab.disksmith("virt-sparsify --machine-readable")
            .ok()
            .contains("\nin-place\n")
    );
    lab.disksmith("virt-sparsify vm").fails(1);
    lab.disksmith("virt-sparsify --in-place --compress vm").fails(1);
    lab.disksmith("virt-sparsify vm vm").fails(1);
}

#[test]
fn the_verbs_tell_what_they_did() {
    if !judges(&["qemu-img", "debugfs", "e2fsck"]) {
        return;
    }
    let lab = Lab::new();
    used(&lab, "qcow2");
    let told: Value = serde_json::from_str(&lab.disksmith("sparsify -n --output json vm").ok()).unwrap();
    assert_eq!(told["volumes"][0]["outcome"], "trimmed");
    assert!(told["volumes"][0]["given_back"].as_u64().unwrap() > 9 << 20);
    assert_eq!(told["before"], told["after"]);
    let said = lab.disksmith("fstrim -a vm").ok();
    assert!(
        said.starts_with("/dev/sda: ") && said.trim_end().ends_with("trimmed"),
        "{said}"
    );
    check(&lab, "qcow2");
    lab.disksmith("sparsify --ignore /dev/sdb1 vm").fails(1);
    let made: Value = serde_json::from_str(
        &lab.disksmith("make-fs --output json -t vfat --partition=gpt tree disk.img")
            .ok(),
    )
    .unwrap();
    assert_eq!(made["type"], "vfat");
    // A name that is taken is refused, and the file stays.
    let before = lab.read("disk.img");
    lab.disksmith("make-fs tree disk.img").fails(6);
    assert!(lab.read("disk.img") == before);
    lab.disksmith("format -q -a disk.img -t ext4 -L data").ok();
    lab.e2fsck("disk.img", 0);
    lab.disksmith("virt-format -a disk.img --filesystem=ext3 --label x")
        .ok();
    lab.disksmith("virt-format -a disk.img --lvm").fails(1);
    lab.disksmith("virt-format").fails(1);
    lab.disksmith("virt-make-fs --partition --label x -t ext4 -F qcow2 tree old.qcow2")
        .ok();
    lab.qemu_check("old.qcow2");
}

#[test]
fn the_same_files_give_the_same_image() {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("tree/a/b")).unwrap();
    lab.write("tree/a/b/c", "c");
    for name in ["one", "two"] {
        let line =
            format!("-t ext4 --partition=gpt -F qcow2 -U 11111111-2222-3333-4444-555555555555 tree {name}");
        let mut words = vec![
            "env",
            "SOURCE_DATE_EPOCH=1700000000",
            env!("CARGO_BIN_EXE_disksmith"),
            "make-fs",
            "-q",
        ];
        words.extend(line.split_whitespace());
        lab.tool_args(&words).ok();
    }
    assert!(lab.read("one") == lab.read("two"));
}

/// `kill -9` at each of the calls that change the image: it stays whole, and holds its files.
#[test]
fn a_sparsify_that_is_killed_loses_nothing() {
    if !judges(&["qemu-img", "debugfs", "e2fsck", "strace"]) {
        return;
    }
    let lab = Lab::new();
    for format in ["qcow2", "raw"] {
        used(&lab, format);
        fs::copy(lab.path("vm"), lab.path("kept.img")).unwrap();
        for at in [1, 2, 3, 5, 8, 13, 21] {
            fs::copy(lab.path("kept.img"), lab.path("vm")).unwrap();
            let inject =
                format!("inject=pwrite64,fallocate,fdatasync,fsync,ftruncate,unlink:signal=KILL:when={at}");
            let program = env!("CARGO_BIN_EXE_disksmith");
            let words = [
                "strace", "-f", "-qq", "-o", "trace", "-e", &inject, program, "sparsify", "-f", format, "vm",
            ];
            lab.tool_args(&words);
            // Whoever comes next finds the old state or the new one.
            lab.disksmith(&format!("sparsify -f {format} vm")).ok();
            check(&lab, format);
        }
    }
}
