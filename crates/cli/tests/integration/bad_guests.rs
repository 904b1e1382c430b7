//! Disks on which no guest, or more than one, or only a part of one can be found: what is said, what is still possible, and that
//! nothing is half done.

use crate::lab::{Lab, judges};
use std::os::unix::fs::symlink;
use std::path::Path;

const JUDGES: &[&str] = &["mke2fs", "sfdisk", "e2fsck", "debugfs"];

/// The files of a small system.
fn system(root: &Path, id: &str, fstab: &str) {
    for dir in ["etc", "bin", "home", "srv", "var/log", "root", "proc"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let write = |path: &str, text: String| std::fs::write(root.join(path), text).unwrap();
    write(
        "etc/os-release",
        format!("ID={id}\nVERSION_ID=12\nPRETTY_NAME=\"The {id} of tests\"\n"),
    );
    write("etc/fstab", fstab.into());
    write("etc/hosts", "127.0.0.1 localhost\n".into());
    write("etc/hostname", "old\n".into());
    write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n".into());
    write("etc/shadow", "root:*:19000:0:99999:7:::\n".into());
}

/// An ext4 image of these files.
fn image(lab: &Lab, name: &str, size: &str, fill: impl FnOnce(&Path)) {
    let root = lab.path("files");
    std::fs::create_dir_all(&root).unwrap();
    fill(&root);
    lab.tool(&format!(
        "mke2fs -q -F -t ext4 -d {} {} {size}",
        root.display(),
        lab.path(name).display()
    ))
    .ok();
    std::fs::remove_dir_all(&root).unwrap();
}

/// Runs a line that must fail; the image keeps its bytes, and nothing is left beside it.
#[track_caller]
fn refused(lab: &Lab, name: &str, line: &str, status: i32, says: &[&str]) {
    let before = lab.read(name);
    let text = lab.disksmith(line).fails(status);
    for word in says {
        assert!(
            text.contains(word),
            "no {word:?} in the message of {line}:\n{text}"
        );
    }
    assert!(lab.read(name) == before, "{line} changed {name}");
    let left = std::fs::read_dir(lab.path(".")).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().contains("disksmith")
    });
    assert!(!left, "{line} left something behind");
}

/// A disk of two partitions with these images in them.
fn two_partitions(lab: &Lab, name: &str, first: &str, second: &str, types: [&str; 2]) {
    let disk = lab.path(name);
    std::fs::File::create(&disk).unwrap().set_len(80 << 20).unwrap();
    let table = format!(
        "label: dos\nstart=2048, size=65536, type={}\nstart=67584, size=65536, type={}\n",
        types[0], types[1]
    );
    let table = lab.write("table", table);
    let line = format!("sfdisk -q {} < {}", disk.display(), table.display());
    lab.tool_args(&["sh", "-c", &line]).ok();
    for (part, mib) in [(first, 1), (second, 33)] {
        if !part.is_empty() {
            let line = format!(
                "dd if={} of={} bs=1M seek={mib} conv=notrunc status=none",
                lab.path(part).display(),
                disk.display()
            );
            lab.tool_args(&["sh", "-c", &line]).ok();
        }
    }
}

#[test]
fn a_disk_without_an_operating_system() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab, "data.raw", "32M", |root| {
        std::fs::write(root.join("file"), "x").unwrap();
    });
    let says = ["no operating system found", "/dev/sda: ext4", "-m DEVICE"];
    refused(&lab, "data.raw", "customize -a data.raw --hostname x", 1, &says);
    refused(&lab, "data.raw", "sysprep -a data.raw", 1, &says);
    refused(&lab, "data.raw", "ls -a data.raw /", 1, &says);
    // By hand it can be worked on.
    lab.disksmith("customize -a data.raw -m /dev/sda --write /new:text")
        .ok();
    assert_eq!(lab.disksmith("cat -a data.raw -m /dev/sda:/ /new").ok(), "text");
    lab.e2fsck("data.raw", 0);
    lab.write("noise.raw", vec![0x5a; 1 << 20]);
    refused(
        &lab,
        "noise.raw",
        "customize -a noise.raw --hostname x",
        1,
        &["no operating system found"],
    );
    refused(
        &lab,
        "noise.raw",
        "customize -a noise.raw -m /dev/sda --write /x:y",
        4,
        &["/dev/sda"],
    );
    lab.write("empty.raw", "");
    refused(
        &lab,
        "empty.raw",
        "ls -a empty.raw /",
        1,
        &["no operating system found"],
    );
}

#[test]
fn a_disk_with_two_operating_systems() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab, "one", "32M", |root| {
        system(root, "debian", "/dev/vda1 / ext4\n");
    });
    image(&lab, "two", "32M", |root| {
        system(root, "rocky", "/dev/vda2 / ext4\n");
    });
    two_partitions(&lab, "disk.raw", "one", "two", ["83", "83"]);
    let says = [
        "2 operating systems found",
        "/dev/sda1 (The debian of tests)",
        "/dev/sda2 (The rocky of tests)",
        "--root",
    ];
    refused(&lab, "disk.raw", "customize -a disk.raw --hostname x", 6, &says);
    refused(&lab, "disk.raw", "cat -a disk.raw /etc/os-release", 6, &says);
    refused(
        &lab,
        "disk.raw",
        "customize -a disk.raw --root /dev/sda3 --hostname x",
        1,
        &["no operating system on /dev/sda3", "/dev/sda1, /dev/sda2"],
    );
    refused(
        &lab,
        "disk.raw",
        "customize -a disk.raw --root second --hostname x",
        2,
        &["\"second\"", "first"],
    );
    refused(
        &lab,
        "disk.raw",
        "customize -a disk.raw --root ask --hostname x",
        2,
        &["needs a terminal", "/dev/sda1 (The debian of tests)"],
    );
    let hostname = |root: &str| {
        lab.disksmith(&format!("cat -a disk.raw --root {root} /etc/hostname"))
            .ok()
    };
    lab.disksmith("customize -a disk.raw --root /dev/vda2 --hostname second")
        .ok();
    assert_eq!(
        (hostname("first"), hostname("/dev/sda2")),
        ("old\n".into(), "second\n".into())
    );
    lab.disksmith("customize -a disk.raw --root first --hostname first")
        .ok();
    assert_eq!(
        (hostname("/dev/sda1"), hostname("/dev/sda2")),
        ("first\n".into(), "second\n".into())
    );
    lab.e2fsck("disk.raw", 1 << 20);
    lab.e2fsck("disk.raw", 33 << 20);
}

#[test]
fn an_fstab_that_is_no_help() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    // Garbage, a directory, a link that goes round: the root is found all the same.
    for (name, fill) in [
        (
            "garbage.raw",
            Box::new(|root: &Path| {
                let mut noise: Vec<u8> = (0..=255).cycle().take(5000).collect();
                noise.extend_from_slice(b"\nUUID= / /\n\\040 \\777 x\n/dev/sda2\n");
                std::fs::write(root.join("etc/fstab"), noise).unwrap();
            }) as Box<dyn Fn(&Path)>,
        ),
        (
            "directory.raw",
            Box::new(|root: &Path| {
                std::fs::remove_file(root.join("etc/fstab")).unwrap();
                std::fs::create_dir(root.join("etc/fstab")).unwrap();
            }),
        ),
        (
            "loop.raw",
            Box::new(|root: &Path| {
                std::fs::remove_file(root.join("etc/fstab")).unwrap();
                symlink("/etc/fstab", root.join("etc/fstab")).unwrap();
            }),
        ),
    ] {
        image(&lab, name, "32M", |root| {
            system(root, "debian", "");
            fill(root);
        });
        let said = lab.disksmith(&format!("-v customize -a {name} --hostname web1"));
        assert!(said.stderr.contains("fstab"), "{name}: {}", said.stderr);
        said.ok();
        lab.e2fsck(name, 0);
    }
    // Disks that are not given, by every kind of name.
    let fstab = "UUID=11111111-2222-3333-4444-555555555555 /srv ext4\n/dev/mapper/vg-home /home ext4\n/dev/mapper/secret /var/log ext4\n/dev/sdz1 /mnt ext4 noauto\n";
    image(&lab, "parts.raw", "32M", |root| {
        system(root, "debian", fstab);
        std::fs::write(root.join("etc/crypttab"), "secret UUID=12 none luks\n").unwrap();
    });
    let text = lab.disksmith("-v customize -a parts.raw --hostname web1");
    for word in [
        "line 1: UUID=11111111-2222-3333-4444-555555555555 for /srv is not on the disks given",
        "/dev/mapper/vg-home for /home is no logical volume on the disks given",
        "/dev/mapper/secret for /var/log is an encrypted volume (on UUID=12, says /etc/crypttab)",
    ] {
        assert!(text.stderr.contains(word), "no {word:?} in {}", text.stderr);
    }
    text.ok();
    refused(
        &lab,
        "parts.raw",
        "customize -a parts.raw --write /etc/a:b --write /srv/x:y",
        4,
        &["/srv", "not on the disks given"],
    );
    refused(
        &lab,
        "parts.raw",
        "customize -a parts.raw --write /home/x:y",
        4,
        &["/dev/mapper/vg-home"],
    );
    // What is only there when it is mounted by hand does not stand in the way.
    lab.disksmith("customize -a parts.raw --mkdir /mnt").ok();
    lab.e2fsck("parts.raw", 0);
}

#[test]
fn links_that_go_round() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab, "round.raw", "32M", |root| {
        system(root, "debian", "");
        std::fs::remove_file(root.join("etc/hostname")).unwrap();
        symlink("name", root.join("etc/hostname")).unwrap();
        symlink("hostname", root.join("etc/name")).unwrap();
        symlink("a/../a", root.join("srv/a")).unwrap();
        std::fs::remove_dir(root.join("home")).unwrap();
        symlink("home", root.join("home")).unwrap();
    });
    refused(
        &lab,
        "round.raw",
        "customize -a round.raw --write /etc/first:x --hostname web1",
        1,
        &["--hostname web1", "/etc/hostname"],
    );
    refused(&lab, "round.raw", "cat -a round.raw /srv/a/b", 1, &["/srv/a"]);
    refused(
        &lab,
        "round.raw",
        "customize -a round.raw --mkdir /srv/a/x",
        1,
        &["/srv/a"],
    );
    // Nothing lies behind them, so that cleaning goes on past them; and they can be removed.
    lab.disksmith("sysprep -a round.raw").ok();
    lab.disksmith("customize -a round.raw --delete /home --mkdir /home")
        .ok();
    lab.disksmith("ls -a round.raw /").ok();
    lab.e2fsck("round.raw", 0);
}

#[test]
fn a_filesystem_without_room() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab, "full.raw", "8M", |root| {
        system(root, "debian", "");
        std::fs::write(root.join("var/ballast"), vec![1u8; 3 << 20]).unwrap();
    });
    lab.write("large", vec![2u8; 8 << 20]);
    refused(
        &lab,
        "full.raw",
        "customize -a full.raw --hostname web1 --upload large:/root/large",
        7,
        &["--upload", "no space"],
    );
    lab.disksmith("customize -a full.raw --delete /var/ballast --hostname web1")
        .ok();
    lab.e2fsck("full.raw", 0);
}

#[test]
fn what_may_only_be_read_and_what_was_not_shut_down() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    image(&lab, "vm.raw", "32M", |root| system(root, "debian", ""));
    refused(
        &lab,
        "vm.raw",
        "customize -a vm.raw -m /dev/sda:/:ro --hostname web1",
        1,
        &["can only be read", "where -m says ro"],
    );
    // A journal that was left open, and holds nothing.
    let vm = lab.path("vm.raw").display().to_string();
    lab.tool_args(&["debugfs", "-w", "-R", "feature needs_recovery", &vm])
        .ok();
    assert_eq!(lab.disksmith("cat -a vm.raw /etc/hostname").ok(), "old\n");
    lab.disksmith("customize -a vm.raw --hostname web1").ok();
    lab.e2fsck("vm.raw", 0);
    assert_eq!(lab.disksmith("cat -a vm.raw /etc/hostname").ok(), "web1\n");
}

#[test]
fn systems_that_cannot_be_opened_are_named() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    // A FreeBSD slice with UFS.
    let mut ufs = vec![0u8; 32 << 20];
    ufs[65_536 + 1372..][..4].copy_from_slice(&0x1954_0119u32.to_le_bytes());
    lab.write("ufs", &ufs);
    two_partitions(&lab, "bsd.raw", "ufs", "", ["a5", "82"]);
    refused(
        &lab,
        "bsd.raw",
        "customize -a bsd.raw --hostname x",
        4,
        &["/dev/sda1 (ufs)", "FreeBSD"],
    );
    // Windows.
    let mut ntfs = vec![0u8; 32 << 20];
    ntfs[..11].copy_from_slice(b"\xeb\x52\x90NTFS    ");
    ntfs[11..13].copy_from_slice(&512u16.to_le_bytes());
    ntfs[13] = 8;
    ntfs[510..512].copy_from_slice(b"\x55\xaa");
    ntfs[40..48].copy_from_slice(&65_535u64.to_le_bytes());
    ntfs[48..56].copy_from_slice(&4u64.to_le_bytes());
    lab.write("ntfs", &ntfs);
    two_partitions(&lab, "windows.raw", "ntfs", "", ["7", "27"]);
    refused(
        &lab,
        "windows.raw",
        "customize -a windows.raw --hostname x",
        4,
        &["/dev/sda1 (ntfs)", "Windows"],
    );
    // Where it mounts its snapshots, an OSTree system has many roots.
    image(&lab, "ostree.raw", "32M", |root| {
        std::fs::create_dir_all(root.join("ostree/deploy/fedora-coreos/deploy/0.0/etc")).unwrap();
        std::fs::create_dir_all(root.join("boot")).unwrap();
    });
    refused(
        &lab,
        "ostree.raw",
        "customize -a ostree.raw --hostname x",
        4,
        &["OSTree", "-m /dev/sda"],
    );
}
