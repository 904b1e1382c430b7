//! A minimal tree of files, as a Debian system has them: to try everything on without a real guest.

use crate::error::Result;
use disksmith_vfs::{Owner, Tree};

/// What a skeleton is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The host name.
    pub hostname: String,
    /// The user besides root: uid and gid 1000, home in `/home`.
    pub user: String,
    /// What `/etc/fstab` calls the root filesystem: `UUID=…`.
    pub root_spec: String,
    /// What it calls the EFI system partition, where there is one.
    pub efi_spec: Option<String>,
}

impl Default for Skeleton {
    fn default() -> Self {
        Self {
            hostname: "template".into(),
            user: "debian".into(),
            root_spec: "LABEL=root".into(),
            efi_spec: None,
        }
    }
}

/// (path, permissions)
const DIRECTORIES: &[(&str, u16)] = &[
    ("/boot/efi", 0o755),
    ("/dev", 0o755),
    ("/etc/apt", 0o755),
    ("/etc/cloud", 0o755),
    ("/etc/default", 0o755),
    ("/etc/pam.d", 0o755),
    ("/etc/ssh", 0o755),
    ("/etc/systemd/system/multi-user.target.wants", 0o755),
    ("/home", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/srv", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr/bin", 0o755),
    ("/usr/lib/systemd/system", 0o755),
    ("/usr/local/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/usr/share/zoneinfo/Asia", 0o755),
    ("/usr/share/zoneinfo/Etc", 0o755),
    ("/usr/share/zoneinfo/Europe", 0o755),
    ("/var/cache/apt/archives/partial", 0o755),
    ("/var/lib/cloud", 0o755),
    ("/var/lib/dbus", 0o755),
    ("/var/lib/systemd", 0o755),
    ("/var/log/journal", 0o2755),
    ("/var/mail", 0o2775),
    ("/var/tmp", 0o1777),
];

/// (link, target)
const LINKS: &[(&str, &str)] = &[
    ("/bin", "usr/bin"),
    ("/sbin", "usr/sbin"),
    ("/lib", "usr/lib"),
    ("/usr/sbin/init", "../lib/systemd/systemd"),
    ("/etc/os-release", "../usr/lib/os-release"),
    ("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
    ("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
    ("/etc/mtab", "../proc/self/mounts"),
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
];

/// (path, permissions, group, contents)
const FILES: &[(&str, u16, u32, &str)] = &[
    (
        "/usr/lib/os-release",
        0o644,
        0,
        "PRETTY_NAME=\"disksmith quickstart (files of a Debian 12, no programs)\"\nNAME=\"disksmith quickstart\"\nVERSION_ID=\"12\"\nID=disksmith-quickstart\nID_LIKE=debian\n",
    ),
    ("/etc/debian_version", 0o644, 0, "12.0\n"),
    ("/etc/machine-id", 0o444, 0, "0123456789abcdef0123456789abcdef\n"),
    (
        "/var/lib/dbus/machine-id",
        0o444,
        0,
        "0123456789abcdef0123456789abcdef\n",
    ),
    ("/etc/timezone", 0o644, 0, "Etc/UTC\n"),
    (
        "/etc/login.defs",
        0o644,
        0,
        "MAIL_DIR\t/var/mail\nUID_MIN\t\t\t 1000\nUID_MAX\t\t\t60000\nENCRYPT_METHOD YESCRYPT\n",
    ),
    (
        "/etc/pam.d/common-password",
        0o644,
        0,
        "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\npassword\trequisite\tpam_deny.so\npassword\trequired\tpam_permit.so\n",
    ),
    (
        "/etc/ssh/sshd_config",
        0o644,
        0,
        "Include /etc/ssh/sshd_config.d/*.conf\n\n#Port 22\n#PermitRootLogin prohibit-password\n#PasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n",
    ),
    (
        "/etc/ssh/ssh_host_ed25519_key",
        0o600,
        0,
        "(a private key of the template, which no clone should have)\n",
    ),
    (
        "/etc/ssh/ssh_host_ed25519_key.pub",
        0o644,
        0,
        "ssh-ed25519 AAAATEMPLATE root@template\n",
    ),
    ("/etc/motd", 0o644, 0, "A template made by disksmith.\n"),
    ("/root/.bashrc", 0o644, 0, "# ~/.bashrc\n"),
    ("/root/.bash_history", 0o600, 0, "apt-get update\n"),
    ("/var/log/syslog", 0o640, 4, "first boot of the template\n"),
    ("/var/log/wtmp", 0o664, 43, ""),
    (
        "/var/cache/apt/archives/example_1.0_all.deb",
        0o644,
        0,
        "not a package\n",
    ),
    ("/tmp/left-over", 0o644, 0, "x\n"),
    ("/usr/lib/systemd/systemd", 0o755, 0, NO_PROGRAM),
    ("/usr/bin/sh", 0o755, 0, NO_PROGRAM),
    ("/usr/bin/ssh-keygen", 0o755, 0, NO_PROGRAM),
    ("/usr/sbin/sshd", 0o755, 0, NO_PROGRAM),
];

const NO_PROGRAM: &str =
    "This stands for a program. The quickstart's guest has files only and does not boot.\n";

/// Zones that the skeleton knows: name, seconds east of Greenwich, abbreviation, POSIX rule.
const ZONES: &[(&str, i32, &str, &str)] = &[
    ("Etc/UTC", 0, "UTC", "UTC0"),
    ("UTC", 0, "UTC", "UTC0"),
    ("Asia/Shanghai", 28_800, "CST", "CST-8"),
    ("Asia/Tokyo", 32_400, "JST", "JST-9"),
    ("Europe/Berlin", 3_600, "CET", "CET-1CEST,M3.5.0,M10.5.0/3"),
];

/// Lays the files out on an empty filesystem.
pub fn lay_out_skeleton(tree: &Tree, skeleton: &Skeleton) -> Result<()> {
    let Skeleton {
        hostname,
        user,
        root_spec,
        efi_spec,
    } = skeleton;
    for (path, permissions) in DIRECTORIES {
        tree.create_dir_all(path, Owner::ROOT, 0o755)?;
        tree.set_permissions(path, *permissions)?;
    }
    for (link, target) in LINKS {
        tree.symlink(target, link, Owner::ROOT)?;
    }
    for (path, permissions, gid, contents) in FILES {
        tree.write(
            path,
            contents.as_bytes(),
            Owner { uid: 0, gid: *gid },
            *permissions,
        )?;
    }
    let write = |path: &str, contents: String| tree.write(path, contents.as_bytes(), Owner::ROOT, 0o644);
    write("/etc/hostname", format!("{hostname}\n"))?;
    write(
        "/etc/hosts",
        format!(
            "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n\n::1\t\tlocalhost ip6-localhost ip6-loopback\n"
        ),
    )?;
    let mut fstab = format!("{root_spec} / ext4 rw,discard,errors=remount-ro 0 1\n");
    if let Some(efi) = efi_spec {
        fstab.push_str(&format!("{efi} /boot/efi vfat defaults 0 0\n"));
    }
    write("/etc/fstab", fstab)?;
    write(
        "/etc/passwd",
        format!(
            "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n{user}:x:1000:1000:{user},,,:/home/{user}:/bin/bash\n"
        ),
    )?;
    write(
        "/etc/group",
        format!("root:x:0:\ndaemon:x:1:\nadm:x:4:{user}\nshadow:x:42:\nutmp:x:43:\n{user}:x:1000:\n"),
    )?;
    let shadow = format!(
        "root:*:19500:0:99999:7:::\ndaemon:*:19500:0:99999:7:::\nsshd:!:19500::::::\n{user}:!:19500:0:99999:7:::\n"
    );
    tree.write("/etc/shadow", shadow.as_bytes(), Owner { uid: 0, gid: 42 }, 0o640)?;
    let home = format!("/home/{user}");
    tree.create_dir(&home, Owner { uid: 1000, gid: 1000 }, 0o755)?;
    for (zone, offset, name, rule) in ZONES {
        let path = format!("/usr/share/zoneinfo/{zone}");
        tree.write(path, &time_zone_file(*offset, name, rule), Owner::ROOT, 0o644)?;
    }
    Ok(())
}

/// A time zone file (RFC 8536, version 2) without transitions: one offset, and a rule for all time after.
fn time_zone_file(offset: i32, name: &str, rule: &str) -> Vec<u8> {
    let mut file = Vec::new();
    // Both data blocks are the same where there are no transitions.
    for _ in 0..2 {
        file.extend_from_slice(b"TZif2");
        file.extend_from_slice(&[0; 15]);
        // Indicators of UT and standard time, leap seconds, transitions, types, characters.
        for count in [0u32, 0, 0, 0, 1, name.len() as u32 + 1] {
            file.extend_from_slice(&count.to_be_bytes());
        }
        file.extend_from_slice(&offset.to_be_bytes());
        file.extend_from_slice(&[0, 0]);
        file.extend_from_slice(name.as_bytes());
        file.push(0);
    }
    file.push(b'\n');
    file.extend_from_slice(rule.as_bytes());
    file.push(b'\n');
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Distribution, Family, Init};
    use disksmith_vfs::{MemoryFs, Timestamp};
    use std::process::Command;
    use std::sync::Arc;

    #[test]
    fn it_looks_like_a_debian_guest() {
        let clock = Timestamp {
            seconds: 1_750_000_000,
            nanoseconds: 0,
        };
        let tree = Tree::new(Arc::new(MemoryFs::new(clock)), clock);
        lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
        assert_eq!(Distribution::detect(&tree).family, Family::Debian);
        assert_eq!(Init::detect(&tree), Init::Systemd);
        assert!(tree.is_file("/etc/localtime"));
    }

    #[test]
    fn its_zones_are_read_by_the_c_library() {
        let dir = tempfile::tempdir().unwrap();
        for (zone, offset, name, rule) in ZONES {
            let file = dir.path().join("zone");
            std::fs::write(&file, time_zone_file(*offset, name, rule)).unwrap();
            let output = Command::new("date")
                .env("TZ", format!(":{}", file.display()))
                .args(["-d", "@1768000000", "+%Z %z"])
                .output()
                .unwrap();
            let wanted = format!("{name} +{:02}00\n", offset / 3600);
            assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted, "{zone}");
        }
    }
}
