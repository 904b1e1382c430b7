//! What verbs that read a guest write on this host: never over what they read, and the old file or the new one.

use crate::lab::{Lab, judges, may_mount};
use std::process::Stdio;

/// A guest of two files.
fn lab() -> Option<Lab> {
    if !judges(&["mke2fs", "qemu-img"]) {
        return None;
    }
    let lab = Lab::new();
    lab.write("root/etc/hostname", "one\n");
    lab.write("root/boot/vmlinuz-6.1.0", vec![b'k'; 5000]);
    lab.write("root/boot/initrd.img-6.1.0", vec![b'i'; 5000]);
    let noise: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    lab.write("root/guest.img", noise);
    lab.tool("mke2fs -q -t ext4 -F -d root guest.img 16M").ok();
    Some(lab)
}

#[test]
fn images_are_not_replaced_by_what_is_read_from_them() {
    let Some(lab) = lab() else { return };
    std::os::unix::fs::symlink("guest.img", lab.path("link.tar")).unwrap();
    std::fs::hard_link(lab.path("guest.img"), lab.path("same.tar")).unwrap();
    lab.tool("qemu-img create -q -f qcow2 -F raw -b guest.img clone.qcow2")
        .ok();
    std::fs::create_dir(lab.path("kernels")).unwrap();
    std::fs::hard_link(lab.path("guest.img"), lab.path("kernels/vmlinuz-6.1.0")).unwrap();
    let before = (lab.read("guest.img"), lab.read("clone.qcow2"));
    for image in ["guest.img", "clone.qcow2"] {
        for (status, line) in [
            (6, format!("tar-out -a {image} -m /dev/sda / guest.img")),
            (6, format!("tar-out -a {image} -m /dev/sda / link.tar")),
            (6, format!("tar-out -a {image} -m /dev/sda / same.tar")),
            (6, format!("copy-out -a {image} -m /dev/sda /guest.img .")),
            (6, format!("get-kernel -a {image} -m /dev/sda -o kernels")),
            (1, format!("virt-tar-out -a {image} -m /dev/sda / guest.img")),
            (1, format!("virt-copy-out -a {image} -m /dev/sda /guest.img .")),
        ] {
            let said = lab.disksmith(&line);
            assert!(said.status != 0, "{line}: {said:?}");
            assert!(said.stderr.contains("is what is being read"), "{line}: {said:?}");
            assert_eq!(said.status, status, "{line}: {said:?}");
            assert!(
                before == (lab.read("guest.img"), lab.read("clone.qcow2")),
                "{line}"
            );
        }
    }
    // options of the only disk may stand behind it, as words of their own
    std::fs::create_dir(lab.path("taken")).unwrap();
    for (format, text) in [("raw --blocksize 512", "operating system"), ("luks", "LUKS")] {
        let said = lab
            .disksmith(&format!(
                "virt-get-kernel -a guest.img --format {format} -o taken"
            ))
            .fails(1);
        assert!(said.contains(text), "{said}");
    }
    // what has no such name is copied
    std::fs::create_dir(lab.path("elsewhere")).unwrap();
    lab.disksmith("copy-out -a guest.img -m /dev/sda /guest.img elsewhere")
        .ok();
    assert!(lab.read("elsewhere/guest.img") == lab.read("root/guest.img"));
}

#[test]
fn a_disk_that_is_full_keeps_the_old_file() {
    let Some(lab) = lab() else { return };
    if !may_mount() {
        return;
    }
    std::fs::create_dir(lab.path("small")).unwrap();
    lab.tool("mount -t tmpfs -o size=1m tmpfs small").ok();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for (name, line) in [
            ("x.tar", "tar-out -a guest.img -m /dev/sda / small/x.tar"),
            ("x.tar", "virt-tar-out -a guest.img -m /dev/sda / small/x.tar"),
            ("guest.img", "copy-out -a guest.img -m /dev/sda /guest.img small"),
            (
                "guest.img",
                "virt-copy-out -a guest.img -m /dev/sda /guest.img small",
            ),
        ] {
            let file = lab.write(&format!("small/{name}"), "precious");
            let said = lab.disksmith(line);
            assert!(said.stderr.contains("No space left"), "{line}: {said:?}");
            assert_ne!(said.status, 0, "{line}");
            assert_eq!(std::fs::read(&file).unwrap(), b"precious", "{line}");
            std::fs::remove_file(&file).unwrap();
            lab.disksmith(line);
            let left = std::fs::read_dir(lab.path("small")).unwrap().count();
            assert_eq!(left, 0, "{line}: something is left");
        }
        // editing needs room beside the image: the image stays as it was
        std::fs::copy(lab.path("guest.img"), lab.path("base.img")).unwrap();
        lab.tool("qemu-img create -q -f qcow2 -F raw -b ../base.img small/clone.qcow2")
            .ok();
        lab.tool("tar -C root -cf more.tar .").ok();
        let clone = lab.read("small/clone.qcow2");
        for line in [
            "copy-in -a small/clone.qcow2 -m /dev/sda root /etc",
            "tar-in -a small/clone.qcow2 -m /dev/sda more.tar /etc",
        ] {
            let said = lab.disksmith(line);
            assert_ne!(said.status, 0, "{line}: {said:?}");
            assert!(said.stderr.contains("No space left"), "{line}: {said:?}");
            assert!(lab.read("small/clone.qcow2").starts_with(&clone[..512]), "{line}");
            lab.qemu_check("small/clone.qcow2");
            lab.qemu_same("small/clone.qcow2", "base.img");
        }
    }));
    lab.tool("umount small").ok();
    result.unwrap();
}

#[test]
fn a_reader_that_goes_away_shows_in_the_status() {
    let Some(lab) = lab() else { return };
    for line in [
        "tar-out -a guest.img -m /dev/sda / -",
        "cat -a guest.img -m /dev/sda /guest.img",
        "virt-cat -a guest.img -m /dev/sda /guest.img",
        "virt-tar-out -a guest.img -m /dev/sda / -",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut running = lab.command(&words);
        let mut running = running
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(running.stdout.take());
        let ended = running.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(141), "{line}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{line}");
    }
}

#[test]
fn arguments_too_many_are_told_as_the_old_tools_tell_them() {
    let lab = Lab::new();
    lab.write("d.img", vec![0; 1 << 20]);
    let format = |tool: &str| {
        format!(
            "{tool}: error: extra argument ‘x’ on command line.\nMake sure to specify the argument for \
             --format like '--format=x'.\nTry ‘{tool} --help’ for more information.\n"
        )
    };
    for (line, text) in [
        ("virt-inspector -a d.img x", format("virt-inspector")),
        ("virt-filesystems -a d.img x", format("virt-filesystems")),
        (
            "virt-df -a d.img x",
            "Try ‘virt-df --help’ for more information.\n".into(),
        ),
        (
            "virt-alignment-scan -a d.img x",
            "Try ‘virt-alignment-scan --help’ for more information.\n".into(),
        ),
        (
            "virt-diff -a d.img -A d.img x",
            format("virt-diff").replace("for --format", "for --checksum or --format"),
        ),
        (
            "virt-get-kernel -a d.img x",
            "Extra parameter on the command line: ‘x’.\nTry ‘virt-get-kernel --help’ or consult \
             virt-get-kernel(1) for more information.\n"
                .into(),
        ),
    ] {
        assert_eq!(lab.disksmith(line).fails(1), text, "{line}");
    }
}

#[test]
fn lists_and_ends_of_files_are_whole() {
    if !judges(&["mke2fs"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("root/a", "a\nc");
    lab.write("root/b", "b\n");
    std::os::unix::fs::symlink("/etc", lab.path("root/l")).unwrap();
    lab.tool("mkfifo root/pipe").ok();
    lab.tool("mke2fs -q -t ext4 -F -d root n.img 8M").ok();
    let list = lab.disksmith("ls -m /dev/sda -a n.img --output json /").ok();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let link = list
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["path"] == "/l")
        .unwrap();
    assert_eq!(
        (&link["type"], &link["target"]),
        (&"symlink".into(), &"/etc".into())
    );
    assert!(link["inode"].as_u64().unwrap() > 10);
    lab.disksmith("ls -m /dev/sda -a n.img -lR --checksum --output json /")
        .fails(2);
    // as tail of GNU coreutils prints them
    assert_eq!(
        lab.disksmith("tail -m /dev/sda -a n.img /a /b").ok(),
        "==> /a <==\na\nc\n==> /b <==\nb\n"
    );
    lab.disksmith("tail -n +2 -m /dev/sda -a n.img /a").fails(2);
    let said = lab.disksmith("cat -m /dev/sda -a n.img /pipe");
    assert!(said.stderr.contains("named pipe"), "{said:?}");
    let said = lab.disksmith("virt-ls -m /dev/sda -a n.img root").fails(1);
    assert!(said.contains("path must start with a / character"), "{said}");
}
