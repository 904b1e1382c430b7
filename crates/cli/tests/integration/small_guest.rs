//! A Debian-like guest of a few files, made by mke2fs and sfdisk: quick to make, quick to judge.

use crate::lab::Lab;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// How the guest's disk is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// The filesystem is the disk.
    Bare,
    /// GPT with the root as partition 1.
    Gpt,
}

impl Layout {
    /// Byte offset of the root filesystem.
    pub(crate) fn root_offset(self) -> u64 {
        match self {
            Self::Bare => 0,
            Self::Gpt => 1 << 20,
        }
    }
}

const ROOT_UUID: &str = "6c1e0ec2-5f3c-4a6e-9b0a-0d3a3f1d7c11";

/// Directories, with their modes.
const FOLDERS: &[(&str, u32)] = &[
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("usr/lib/systemd/system", 0o755),
    ("usr/share/zoneinfo/Asia", 0o755),
    ("usr/share/zoneinfo/Etc", 0o755),
    ("etc/ssh", 0o755),
    ("etc/systemd/system/multi-user.target.wants", 0o755),
    ("etc/cloud", 0o755),
    ("var/lib/dbus", 0o755),
    ("var/lib/cloud/instances/i-abc", 0o755),
    ("var/lib/cloud/data", 0o755),
    ("var/lib/systemd", 0o755),
    ("var/log/journal/0123456789abcdef0123456789abcdef", 0o755),
    ("var/cache/apt/archives", 0o755),
    ("var/tmp", 0o1777),
    ("tmp", 0o1777),
    ("root", 0o700),
    ("home/debian", 0o755),
    ("opt", 0o755),
    ("srv", 0o755),
    ("run", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
];

/// Files, with their modes and contents.
const FILES: &[(&str, u32, &str)] = &[
    (
        "usr/lib/os-release",
        0o644,
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
    ),
    ("etc/debian_version", 0o644, "12.11\n"),
    ("etc/hostname", 0o644, "template\n"),
    ("etc/hosts", 0o644, "127.0.0.1\tlocalhost\n127.0.1.1\ttemplate\n"),
    ("etc/timezone", 0o644, "Etc/UTC\n"),
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\n",
    ),
    (
        "etc/shadow",
        0o640,
        "root:*:19700:0:99999:7:::\ndebian:!:19700:0:99999:7:::\n",
    ),
    ("etc/group", 0o644, "root:x:0:\nshadow:x:42:\ndebian:x:1000:\n"),
    (
        "etc/login.defs",
        0o644,
        "ENCRYPT_METHOD YESCRYPT\nUID_MIN 1000\nUID_MAX 60000\n",
    ),
    ("etc/machine-id", 0o444, "0123456789abcdef0123456789abcdef\n"),
    ("etc/motd", 0o644, "welcome\n"),
    (
        "etc/ssh/sshd_config",
        0o644,
        "Port 22\n#PermitRootLogin prohibit-password\nUsePAM yes\n",
    ),
    ("etc/ssh/ssh_host_ed25519_key", 0o600, "not a real key\n"),
    ("etc/ssh/ssh_host_ed25519_key.pub", 0o644, "not a real key\n"),
    ("etc/cloud/cloud.cfg", 0o644, "datasource_list: [ NoCloud ]\n"),
    ("usr/bin/cloud-init", 0o755, "#!/bin/sh\n"),
    ("usr/bin/sh", 0o755, "\u{7f}ELF\n"),
    ("usr/lib/systemd/systemd", 0o755, "\u{7f}ELF\n"),
    ("usr/share/zoneinfo/Asia/Shanghai", 0o644, "TZif2"),
    ("usr/share/zoneinfo/Etc/UTC", 0o644, "TZif2"),
    (
        "var/lib/cloud/instances/i-abc/user-data.txt",
        0o600,
        "#cloud-config\n",
    ),
    ("var/log/syslog", 0o640, "Jan 1 00:00:00 template kernel: hello\n"),
    ("var/log/dpkg.log", 0o644, "2026-01-01 install\n"),
    (
        "var/log/journal/0123456789abcdef0123456789abcdef/system.journal",
        0o640,
        "LPKSHHRH",
    ),
    ("var/cache/apt/archives/foo_1_amd64.deb", 0o644, "!<arch>\n"),
    ("var/tmp/leftover", 0o644, "x\n"),
    ("tmp/leftover", 0o644, "x\n"),
    ("root/.bash_history", 0o600, "ls\n"),
    ("home/debian/.bash_history", 0o600, "ls\n"),
];

fn lay_out(root: &Path) {
    for (path, mode) in FOLDERS {
        std::fs::create_dir_all(root.join(path)).unwrap();
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    for (path, mode, content) in FILES {
        std::fs::write(root.join(path), content).unwrap();
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    for (target, link) in [
        ("usr/bin", "bin"),
        ("usr/sbin", "sbin"),
        ("usr/lib", "lib"),
        ("../usr/lib/os-release", "etc/os-release"),
        ("/usr/share/zoneinfo/Etc/UTC", "etc/localtime"),
        ("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf"),
        ("/etc/machine-id", "var/lib/dbus/machine-id"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    let fstab = format!("UUID={ROOT_UUID}\t/\text4\trw,errors=remount-ro\t0\t1\n");
    std::fs::write(root.join("etc/fstab"), fstab).unwrap();
    // enough other files that directories and extents have something to hold
    for number in 0..200 {
        std::fs::write(
            root.join(format!("usr/share/file-{number:03}")),
            vec![b'a'; number * 40],
        )
        .unwrap();
    }
}

/// Makes `name.raw` or `name.qcow2` (by the ending) of 64 MiB in the lab.
pub(crate) fn make(lab: &Lab, name: &str, layout: Layout, mkfs_options: &str) {
    let root = lab.path("small-guest-root");
    std::fs::create_dir_all(&root).unwrap();
    lay_out(&root);
    let raw = lab.path("small-guest.raw");
    std::fs::File::create(&raw).unwrap().set_len(64 << 20).unwrap();
    let kib = match layout {
        Layout::Bare => 64 << 10,
        Layout::Gpt => {
            let table = lab.write(
                "table",
                "label: gpt\nfirst-lba: 34\nstart=2048, size=126976, type=linux\n",
            );
            let line = format!("sfdisk -q {} < {}", raw.display(), table.display());
            lab.tool_args(&["sh", "-c", &line]).ok();
            62 << 10
        }
    };
    lab.tool(&format!(
        "mke2fs -q -F -t ext4 {mkfs_options} -U {ROOT_UUID} -L rootfs -E root_owner=0:0,offset={} -d {} {} {kib}",
        layout.root_offset(),
        root.display(),
        raw.display()
    ))
    .ok();
    std::fs::remove_dir_all(&root).unwrap();
    if name.ends_with(".qcow2") {
        lab.tool(&format!(
            "qemu-img convert -f raw -O qcow2 {} {name}",
            raw.display()
        ))
        .ok();
        std::fs::remove_file(&raw).unwrap();
    } else {
        std::fs::rename(&raw, lab.path(name)).unwrap();
    }
}
