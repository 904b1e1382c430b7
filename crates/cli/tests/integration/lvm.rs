//! A guest on logical volumes over two disks, made by LVM's own tools: read, edited, checked.

use crate::lab::{Lab, judges, may_mount};
use std::path::{Path, PathBuf};

const EXTENT: u64 = 4 << 20;

/// Loop devices that go with the value.
struct Loops(Vec<String>);

impl Drop for Loops {
    fn drop(&mut self) {
        for device in &self.0 {
            let _ = std::process::Command::new("losetup")
                .args(["-d", device])
                .status();
        }
    }
}

/// Two disks with a group `vg-1` over both: `root` (linear) and `home` (striped over both), in each an ext2 of its files. Gives
/// where the extents of each volume lie: (disk, byte offset, extents).
fn make(lab: &Lab) -> Vec<(String, Vec<(usize, u64)>)> {
    let disks: Vec<PathBuf> = (0..2).map(|n| lab.path(&format!("disk{n}.raw"))).collect();
    let mut loops = Loops(Vec::new());
    for disk in &disks {
        std::fs::File::create(disk).unwrap().set_len(72 << 20).unwrap();
        let name = disk.display().to_string();
        let device = lab.tool_args(&["losetup", "--find", "--show", &name]).ok();
        loops.0.push(device.trim().to_owned());
    }
    let config = format!(
        "devices {{ filter=[\"a|^{}$|\",\"a|^{}$|\",\"r|.*|\"] use_devicesfile=0 hints=\"none\" }} activation {{ udev_sync=0 udev_rules=0 monitoring=0 }} backup {{ backup=0 archive=0 }} global {{ locking_type=1 event_activation=0 }}",
        loops.0[0], loops.0[1]
    );
    let lvm = |line: &str| {
        let mut words: Vec<&str> = vec!["lvm"];
        words.extend(line.split_whitespace());
        words.extend(["--config", &config, "--driverloaded", "n"]);
        lab.tool_args(&words).ok()
    };
    let [a, b] = [&loops.0[0], &loops.0[1]];
    lvm(&format!("pvcreate -qq {a} {b}"));
    lvm(&format!("vgcreate -qq -s 4m vg-1 {a} {b}"));
    lvm("lvcreate -qq -an -Zn -Wn -l 8 -n root vg-1");
    lvm("lvcreate -qq -an -Zn -Wn -l 8 -i 2 -I 64k -n home vg-1");
    let first: u64 = lvm(&format!("pvs --noheadings --nosuffix --units b -o pe_start {a}"))
        .trim()
        .parse()
        .unwrap();
    let table = lvm("lvs --noheadings --segments -o lv_name,seg_pe_ranges vg-1");
    table
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap().to_owned();
            let places = words.map(|range| {
                let (device, extents) = range.rsplit_once(':').unwrap();
                let start: u64 = extents.split('-').next().unwrap().parse().unwrap();
                let disk = loops.0.iter().position(|d| d == device).unwrap();
                (disk, first + start * EXTENT)
            });
            (name, places.collect())
        })
        .collect()
}

/// Copies between a volume's bytes in one file and the disks, as LVM lays stripes out.
fn transfer(lab: &Lab, file: &Path, places: &[(usize, u64)], to_disks: bool) {
    let len = 8 * EXTENT as usize;
    let mut volume = std::fs::read(file).unwrap_or_default();
    volume.resize(len, 0);
    let mut disks: Vec<Vec<u8>> = (0..2).map(|n| lab.read(&format!("disk{n}.raw"))).collect();
    let unit = if places.len() > 1 { 64 << 10 } else { len };
    for (turn, chunk) in volume.chunks_mut(unit).enumerate() {
        let (disk, offset) = places[turn % places.len()];
        let at = offset as usize + turn / places.len() * unit;
        let there = &mut disks[disk][at..at + chunk.len()];
        if to_disks {
            there.copy_from_slice(chunk);
        } else {
            chunk.copy_from_slice(there);
        }
    }
    if to_disks {
        for (number, disk) in disks.iter().enumerate() {
            lab.write(&format!("disk{number}.raw"), disk);
        }
    } else {
        std::fs::write(file, volume).unwrap();
    }
}

#[test]
fn a_guest_on_logical_volumes_is_edited() {
    if !judges(&["lvm", "losetup", "mke2fs", "e2fsck", "debugfs"]) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    let volumes = make(&lab);
    let places = |name: &str| &volumes.iter().find(|(own, _)| own == name).unwrap().1;
    let files = lab.path("files");
    for dir in ["etc", "bin", "home", "root"] {
        std::fs::create_dir_all(files.join(dir)).unwrap();
    }
    let write = |path: &str, text: &str| std::fs::write(files.join(path), text).unwrap();
    write(
        "etc/fstab",
        "/dev/vg-1/root / ext2 defaults 0 1\n/dev/mapper/vg--1-home /home ext2 defaults 0 2\n",
    );
    write("etc/debian_version", "12.7\n");
    write("etc/hostname", "old\n");
    write(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    );
    write("etc/shadow", "root:*:1:0:99999:7:::\nann:*:1:0:99999:7:::\n");
    let home = lab.path("home-files");
    std::fs::create_dir_all(home.join("ann")).unwrap();
    std::fs::write(home.join("ann/large"), vec![0x61; 3_000_000]).unwrap();
    for (name, from) in [("root", &files), ("home", &home)] {
        let image = lab.path(&format!("{name}.img"));
        lab.tool(&format!(
            "mke2fs -q -F -t ext2 -d {} {} 32M",
            from.display(),
            image.display()
        ))
        .ok();
        transfer(&lab, &image, places(name), true);
    }

    let both = "-a disk0.raw -a disk1.raw";
    assert_eq!(
        lab.disksmith(&format!("cat {both} /home/ann/large")).ok(),
        "a".repeat(3_000_000)
    );
    let found = lab.disksmith(&format!("audit {both}"));
    assert!(!found.stdout.contains("unreachable"), "{}", found.stdout);
    lab.write("upload", vec![0x62; 2_000_000]);
    lab.disksmith(&format!(
        "customize {both} --hostname web1 --root-password password:x --upload upload:/home/ann/second"
    ))
    .ok();
    assert_eq!(
        lab.disksmith(&format!("cat {both} -m /dev/vg-1/root /etc/hostname"))
            .ok(),
        "web1\n"
    );
    for (name, path) in [("root", "/etc/hostname"), ("home", "/ann/second")] {
        let image = lab.path(&format!("{name}.img"));
        std::fs::remove_file(&image).unwrap();
        transfer(&lab, &image, places(name), false);
        lab.e2fsck(&format!("{name}.img"), 0);
        let out = lab.path("dumped");
        lab.tool_args(&[
            "debugfs",
            "-R",
            &format!("dump {path} {}", out.display()),
            image.to_str().unwrap(),
        ])
        .ok();
        let expected = if name == "root" {
            b"web1\n".to_vec()
        } else {
            vec![0x62; 2_000_000]
        };
        assert!(lab.read("dumped") == expected, "{path}");
    }

    // Without the second disk the striped volume is out of reach, and nothing is written where it would be.
    let text = lab
        .disksmith("customize -a disk0.raw --write /etc/x:y --write /home/x:y")
        .fails(4);
    assert!(
        text.contains("/dev/vg-1/home") && text.contains("physical volume"),
        "{text}"
    );
    lab.disksmith("customize -a disk0.raw --write /etc/x:y").ok();
}
