use super::*;
use crate::error::Error;
use disksmith_storage::{Diagnose, ErrorKind};
use disksmith_vfs::{FileSystemRef, MemoryFs, Owner, Timestamp, Tree};
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp {
    seconds: 1_750_000_000,
    nanoseconds: 0,
};

fn filesystem(files: &[(&str, &str)], uuid: &str, label: &str) -> FileSystemRef {
    let fs: FileSystemRef = Arc::new(MemoryFs::new(CLOCK).with_uuid(uuid).with_label(label));
    let tree = Tree::new(fs.clone(), CLOCK);
    for (path, contents) in files {
        if let Some(dir) = path.strip_suffix('/') {
            tree.create_dir_all(dir, Owner::ROOT, 0o755).unwrap();
            continue;
        }
        let dir = &path[..path.rfind('/').unwrap().max(1)];
        tree.create_dir_all(dir, Owner::ROOT, 0o755).unwrap();
        match contents.strip_prefix("-> ") {
            Some(target) => tree.symlink(target, path, Owner::ROOT).unwrap(),
            None => tree.write(path, contents.as_bytes(), Owner::ROOT, 0o644).unwrap(),
        }
    }
    fs
}

fn volume(disk: usize, partition: u32, fs: FileSystemRef) -> Volume {
    Volume {
        disk,
        partition: Some(partition),
        part_uuid: Some(format!("part-{disk}-{partition}")),
        part_label: Some(format!("name {disk}{partition}")),
        part_type: None,
        logical: None,
        content: VolumeContent::FileSystem(fs),
        slice: None,
    }
}

fn known(disk: usize, partition: u32, kind: &str) -> Volume {
    Volume {
        content: VolumeContent::Known {
            kind: kind.into(),
            uuid: Some(format!("{kind}-uuid")),
            label: None,
            reason: format!("{kind} is not supported yet"),
            class: disksmith_storage::ErrorKind::Unsupported,
        },
        ..volume(disk, partition, filesystem(&[], "x", "x"))
    }
}

fn root(fstab: &str) -> FileSystemRef {
    filesystem(
        &[
            ("/etc/fstab", fstab),
            (
                "/etc/os-release",
                "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n",
            ),
            ("/bin", "-> usr/bin"),
            ("/usr/bin/", ""),
            ("/boot/efi/", ""),
            ("/home/", ""),
            ("/srv/my data/", ""),
            ("/var/", ""),
        ],
        "root-uuid",
        "cloudimg-rootfs",
    )
}

#[test]
fn fstab_joins_filesystems_by_every_kind_of_name() {
    for spec in [
        "UUID=HOME-uuid",
        "UUID=\"home-uuid\"",
        "LABEL=the\\x20home",
        "PARTUUID=part-0-2",
        "PARTLABEL=name\\x2002",
        "/dev/sda2",
        "/dev/vda2",
        "/dev/xvda2",
        "/dev/nvme0n1p2",
        "/dev/disk/by-uuid/home-uuid",
    ] {
        let home = filesystem(&[("/alice/f", "in home")], "home-uuid", "the home");
        let fstab =
            format!("UUID=root-uuid / ext4 defaults 0 1\n{spec} /home ext4 defaults 0 2\nproc /proc proc\n");
        let guest = Guest::inspect(&[volume(0, 1, root(&fstab)), volume(0, 2, home)], CLOCK).unwrap();
        assert_eq!(guest.tree().read("/home/alice/f").unwrap(), b"in home", "{spec}");
        assert_eq!(guest.root(), "/dev/sda1");
        assert!(guest.warnings().is_empty(), "{:?}", guest.warnings());
        assert_eq!(guest.mounts()[1].device, "/dev/sda2");
        assert_eq!(guest.distribution().family, Family::Debian);
    }
}

#[test]
fn nested_mounts_come_in_order_and_damage_is_said() {
    let boot = filesystem(&[("/efi/", ""), ("/vmlinuz", "k")], "boot", "");
    let efi = filesystem(&[("/EFI/x", "e")], "AB12-CD34", "");
    let fstab = "garbage\nUUID=AB12-CD34 /boot/efi vfat\nUUID=boot /boot ext4\nUUID=gone /srv/my\\040data ext4 nofail\n";
    let guest = Guest::inspect(
        &[volume(0, 1, root(fstab)), volume(0, 15, efi), volume(1, 1, boot)],
        CLOCK,
    )
    .unwrap();
    assert_eq!(guest.tree().read("/boot/efi/EFI/x").unwrap(), b"e");
    assert_eq!(guest.tree().read("/boot/vmlinuz").unwrap(), b"k");
    assert_eq!(guest.warnings().len(), 2, "{:?}", guest.warnings());
    assert!(guest.warnings()[0].contains("line 1 is damaged"));
    assert!(guest.warnings()[1].contains("/srv/my data cannot be reached"));
    let error = guest
        .tree()
        .write("/srv/my data/x", b"", Owner::ROOT, 0o644)
        .unwrap_err();
    assert!(error.to_string().contains("UUID=gone"), "{error}");
}

#[test]
fn nothing_is_written_below_a_filesystem_that_cannot_be_opened() {
    let guest = Guest::inspect(
        &[volume(0, 1, root("/dev/sda2 /var xfs\n")), known(0, 2, "xfs")],
        CLOCK,
    )
    .unwrap();
    assert!(
        guest.warnings()[0].contains("xfs on /dev/sda2 cannot be opened"),
        "{:?}",
        guest.warnings()
    );
    assert!(guest.mounts()[1].unreachable.is_some());
    for error in [
        guest.tree().write("/var/x", b"", Owner::ROOT, 0o644).unwrap_err(),
        guest.tree().create_dir("/var/x", Owner::ROOT, 0o755).unwrap_err(),
        guest.tree().read("/var/log/syslog").unwrap_err(),
        guest.tree().read_dir("/var").unwrap_err(),
        guest.tree().remove_all("/var").unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("xfs on /dev/sda2") || text.contains("mounted"),
            "{text}"
        );
    }
}

#[test]
fn no_root_or_several_are_named() {
    let data = filesystem(&[("/etc/hosts", "")], "a", "");
    let error = Guest::inspect(&[volume(0, 1, data.clone())], CLOCK).unwrap_err();
    assert!(matches!(&error, Error::NoOperatingSystem { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "no operating system found (there is /dev/sda1: memory)"
    );
    let error = Guest::inspect(&[volume(0, 1, data), known(0, 2, "xfs")], CLOCK).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("/dev/sda2 (xfs)"), "{error}");
    let two = [volume(0, 1, root("")), volume(1, 1, root(""))];
    let error = Guest::inspect(&two, CLOCK).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 operating systems found: /dev/sda1 (Debian 12), /dev/sdb1 (Debian 12)"
    );
    assert!(error.hint().unwrap().contains("-m"));
    let guest = Guest::mount_by_hand(&two, &[MountSpec::parse("/dev/vdb1").unwrap()], CLOCK).unwrap();
    assert_eq!(guest.root(), "/dev/sdb1");
    let specs = [
        MountSpec::parse("/dev/sda1:/home").unwrap(),
        MountSpec::parse("/dev/sdb1:/").unwrap(),
    ];
    let guest = Guest::mount_by_hand(&two, &specs, CLOCK).unwrap();
    assert!(guest.tree().is_file("/home/etc/fstab"));
    for (spec, part) in [
        ("/dev/sdc1", "there is no /dev/sdc1"),
        ("/dev/sda1:/x", "must be at /"),
    ] {
        let error = Guest::mount_by_hand(&two, &[MountSpec::parse(spec).unwrap()], CLOCK).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(MountSpec::parse(":/x").is_err() && MountSpec::parse("/dev/sda1:x").is_err());
}

#[test]
fn a_whole_disk_is_a_root_and_device_names_mean_it() {
    let mut bare = volume(0, 1, root("/dev/vda / ext4\n"));
    bare.partition = None;
    let guest = Guest::inspect(&[bare], CLOCK).unwrap();
    assert_eq!(guest.root(), "/dev/sda");
    assert!(guest.warnings().is_empty());
}

#[test]
#[allow(clippy::type_complexity)]
fn distributions_are_told_apart() {
    let cases: &[(&[(&str, &str)], &str, &str, Family)] = &[
        (
            &[
                ("/etc/os-release", "ID=debian\nVERSION_ID=\"12\""),
                ("/etc/debian_version", "12.7\n"),
            ],
            "debian",
            "12.7",
            Family::Debian,
        ),
        (
            &[
                ("/etc/os-release", "ID=debian"),
                ("/etc/debian_version", "trixie/sid\n"),
            ],
            "debian",
            "",
            Family::Debian,
        ),
        (
            &[(
                "/usr/lib/os-release",
                "ID=ubuntu\nVERSION_ID=\"24.04\"\nID_LIKE=debian",
            )],
            "ubuntu",
            "24.04",
            Family::Debian,
        ),
        (
            &[
                ("/etc/os-release", "-> ../usr/lib/os-release"),
                ("/usr/lib/os-release", "ID=fedora\nVERSION_ID=41"),
            ],
            "fedora",
            "41",
            Family::RedHat,
        ),
        (
            &[(
                "/etc/os-release",
                "ID=rocky\nVERSION_ID=\"9.4\"\nID_LIKE=\"rhel centos fedora\"",
            )],
            "rocky",
            "9.4",
            Family::RedHat,
        ),
        (
            &[(
                "/etc/os-release",
                "ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\nID_LIKE=\"suse opensuse\"",
            )],
            "opensuse-leap",
            "15.6",
            Family::Suse,
        ),
        (
            &[("/etc/os-release", "ID=alpine\nVERSION_ID=3.20.3")],
            "alpine",
            "3.20.3",
            Family::Alpine,
        ),
        (
            &[("/etc/os-release", "ID=arch\nBUILD_ID=rolling")],
            "arch",
            "",
            Family::Arch,
        ),
        (
            &[(
                "/etc/os-release",
                "ID=zorin\nVERSION_ID=17\nID_LIKE=\"ubuntu debian\"",
            )],
            "zorin",
            "17",
            Family::Debian,
        ),
        (
            &[("/etc/redhat-release", "CentOS release 6.10 (Final)\n")],
            "centos",
            "6.10",
            Family::RedHat,
        ),
        (
            &[(
                "/etc/redhat-release",
                "Red Hat Enterprise Linux Server release 5.11 (Tikanga)",
            )],
            "rhel",
            "5.11",
            Family::RedHat,
        ),
        (
            &[(
                "/etc/SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
            )],
            "sles",
            "11.4",
            Family::Suse,
        ),
        (
            &[("/etc/debian_version", "7.11\n")],
            "debian",
            "7.11",
            Family::Debian,
        ),
        (
            &[(
                "/etc/lsb-release",
                "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04\"",
            )],
            "ubuntu",
            "10.04",
            Family::Debian,
        ),
        (
            &[("/etc/alpine-release", "3.8.5\n")],
            "alpine",
            "3.8.5",
            Family::Alpine,
        ),
        (&[("/etc/arch-release", "")], "arch", "", Family::Arch),
        (&[("/etc/hosts", "")], "unknown", "", Family::Other),
    ];
    for (files, id, version, family) in cases {
        let found = Distribution::detect(&Tree::new(filesystem(files, "u", "l"), CLOCK));
        assert_eq!(
            (found.id.as_str(), found.version.as_str(), found.family),
            (*id, *version, *family),
            "{files:?}"
        );
    }
}

#[test]
fn usr_on_a_volume_of_its_own_is_found() {
    let usr = |version: &str| {
        filesystem(
            &[
                (
                    "/lib/os-release",
                    &format!("ID=flatcar\nVERSION_ID={version}\nPRETTY_NAME=\"Flatcar {version}\"\n"),
                ),
                ("/bin/bash", ""),
                ("/share/flatcar/", ""),
                ("/sbin/", ""),
            ],
            "usr",
            "",
        )
    };
    let root = filesystem(
        &[
            ("/etc/flatcar/update.conf", "GROUP=stable\n"),
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/root/", ""),
            ("/home/", ""),
            ("/usr/", ""),
        ],
        "root",
        "ROOT",
    );
    let named = |partition, fs, name: &str| Volume {
        part_label: Some(name.into()),
        ..volume(0, partition, fs)
    };
    let volumes = [
        named(3, usr("3975.2.2"), "USR-A"),
        named(4, usr("3975.10.0"), "USR-B"),
        named(9, root, "ROOT"),
    ];
    assert!(volumes[0].is_verified() && !volumes[2].is_verified());
    let guest = Guest::inspect(&volumes, CLOCK).unwrap();
    assert_eq!(guest.root(), "/dev/sda9");
    assert_eq!(guest.mounts()[1].device, "/dev/sda4");
    assert_eq!(guest.distribution().version, "3975.10.0");
    assert!(
        guest.warnings()[0].contains("/usr is read-only"),
        "{:?}",
        guest.warnings()
    );
}

#[test]
fn usr_that_fstab_names_tells_the_release() {
    let usr = filesystem(
        &[("/lib/os-release", "ID=debian\nVERSION_ID=12\n"), ("/bin/", "")],
        "usr",
        "",
    );
    let root = filesystem(
        &[
            ("/etc/fstab", "UUID=usr /usr ext4\n"),
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/bin", "-> usr/bin"),
            ("/usr/", ""),
        ],
        "root",
        "",
    );
    let guest = Guest::inspect(&[volume(0, 1, root), volume(0, 2, usr)], CLOCK).unwrap();
    assert_eq!(guest.distribution().id, "debian");
}

#[test]
fn logical_volumes_and_hardware_names_are_found_by_fstab() {
    let logical = |name: &str, fs| Volume {
        partition: None,
        logical: Some(LogicalName {
            group: "my-vg".into(),
            name: name.into(),
            uuid: Some(format!("uuid-of-{name}")),
        }),
        ..volume(0, 1, fs)
    };
    for spec in [
        "/dev/my-vg/home",
        "/dev/mapper/my--vg-home",
        "/dev/disk/by-id/dm-name-my--vg-home",
        "/dev/disk/by-id/dm-uuid-LVM-uuid-of-home",
        "UUID=home-uuid",
    ] {
        let home = filesystem(&[("/here", "")], "home-uuid", "");
        let fstab = format!("/dev/mapper/my--vg-root / ext4\n{spec} /home ext4\n");
        let volumes = [logical("home", home), logical("root", root(&fstab))];
        let guest = Guest::inspect(&volumes, CLOCK).unwrap();
        assert_eq!(guest.root(), "/dev/my-vg/root");
        assert!(
            guest.tree().is_file("/home/here"),
            "{spec}: {:?}",
            guest.warnings()
        );
        assert!(guest.warnings().is_empty(), "{:?}", guest.warnings());
    }
    // A partition by its hardware name: on one disk there is no doubt, on two there is.
    let spec = "/dev/disk/by-id/ata-QEMU_HARDDISK_1-part2 /home ext4\n";
    let home = filesystem(&[("/here", "")], "h", "");
    let volumes = [volume(0, 1, root(spec)), volume(0, 2, home.clone())];
    assert!(
        Guest::inspect(&volumes, CLOCK)
            .unwrap()
            .tree()
            .is_file("/home/here")
    );
    let volumes = [
        volume(0, 1, root(spec)),
        volume(0, 2, home.clone()),
        volume(1, 2, home),
    ];
    let guest = Guest::inspect(&volumes, CLOCK).unwrap();
    assert!(
        guest.warnings()[0].contains("which of the 2 disks"),
        "{:?}",
        guest.warnings()
    );
}

#[test]
fn an_fstab_without_end_is_bounded() {
    let mut fstab = String::new();
    for number in 0..20_000 {
        fstab.push_str(&format!("/dev/sda{} /srv/{number} ext4\n", number + 2));
    }
    let guest = Guest::inspect(&[volume(0, 1, root(&fstab))], CLOCK).unwrap();
    assert!(
        guest
            .warnings()
            .iter()
            .any(|w| w.contains("more than 1000 entries")),
        "{:?}",
        guest.warnings().first()
    );
    let guest = Guest::inspect(&[volume(0, 1, root(&"x".repeat(2 << 20)))], CLOCK).unwrap();
    assert!(
        guest.warnings()[0].contains("fstab cannot be read"),
        "{:?}",
        guest.warnings()
    );
}

#[test]
fn coreos_before_its_first_boot_is_told_by_its_usr() {
    let root = filesystem(
        &[
            ("/etc/coreos/update.conf", ""),
            ("/root/", ""),
            ("/home/", ""),
            ("/usr/", ""),
        ],
        "root",
        "",
    );
    let usr = filesystem(
        &[
            ("/bin/", ""),
            ("/local/", ""),
            (
                "/share/coreos/lsb-release",
                "DISTRIB_ID=CoreOS\nDISTRIB_RELEASE=899.13.0\nDISTRIB_CODENAME=\"Red Dog\"\nDISTRIB_DESCRIPTION=\"CoreOS 899.13.0\"\n",
            ),
        ],
        "usr",
        "",
    );
    let guest = Guest::inspect(&[volume(0, 3, usr), volume(0, 5, root)], CLOCK).unwrap();
    let found = guest.distribution();
    assert_eq!(
        (guest.root(), found.id.as_str(), found.product_name.as_str()),
        ("/dev/sda5", "coreos", "CoreOS 899.13.0")
    );
    assert_eq!((found.major, found.minor), (Some(899), Some(13)));
    assert_eq!(guest.osinfo(), "coreos899.13");
    assert_eq!(guest.mounts()[1].path, "/usr");
}
