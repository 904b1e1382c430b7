//! Every check of a guest's files finds what it is for, and nothing in a template that was sealed.

use crate::judge::{empty_tree, lay_out};
use disksmith_guest::{
    AUDIT_CHECKS, Context, Guest, SeededRandom, Severity, Skeleton, audit, default_operations,
    lay_out_skeleton, sysprep,
};
use disksmith_vfs::Owner;
use std::collections::BTreeSet;

/// A template as `sysprep` leaves it.
fn sealed() -> Guest {
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    let guest = Guest::of_tree(tree);
    let mut random = SeededRandom::new(1);
    sysprep(&guest, &default_operations(), &[], &mut Context::new(&mut random)).unwrap();
    guest
}

const PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n";

/// (check, how bad, file, contents)
const CASES: &[(&str, Severity, &str, &str)] = &[
    (
        "machine-id",
        Severity::Error,
        "/etc/machine-id",
        "0123456789abcdef0123456789abcdef\n",
    ),
    (
        "ssh-hostkeys",
        Severity::Error,
        "/etc/ssh/ssh_host_rsa_key",
        PRIVATE,
    ),
    (
        "random-seed",
        Severity::Error,
        "/var/lib/systemd/random-seed",
        "x",
    ),
    (
        "random-seed",
        Severity::Error,
        "/var/lib/systemd/credential.secret",
        "x",
    ),
    (
        "host-identity",
        Severity::Warning,
        "/etc/iscsi/initiatorname.iscsi",
        "InitiatorName=x",
    ),
    ("host-identity", Severity::Warning, "/etc/nvme/hostid", "x"),
    (
        "network-identity",
        Severity::Warning,
        "/etc/udev/rules.d/70-persistent-net.rules",
        "x",
    ),
    (
        "network-identity",
        Severity::Warning,
        "/etc/sysconfig/network-scripts/ifcfg-e",
        " HWADDR=52:54:00:00:00:01\n",
    ),
    (
        "network-identity",
        Severity::Warning,
        "/etc/netplan/a.yaml",
        "match: {macaddress: x}",
    ),
    (
        "network-identity",
        Severity::Warning,
        "/etc/NetworkManager/system-connections/a",
        "mac-address=x",
    ),
    (
        "network-identity",
        Severity::Note,
        "/etc/systemd/network/a.link",
        "MACAddress=x",
    ),
    (
        "dhcp-leases",
        Severity::Warning,
        "/var/lib/dhcp/dhclient.leases",
        "x",
    ),
    (
        "cloud-init",
        Severity::Error,
        "/var/lib/cloud/data/instance-id",
        "x",
    ),
    (
        "cloud-init",
        Severity::Warning,
        "/etc/netplan/50-cloud-init.yaml",
        "x",
    ),
    ("subscription", Severity::Error, "/etc/pki/consumer/key.pem", "x"),
    ("passwd-backups", Severity::Warning, "/etc/shadow-", "x"),
    (
        "authorized-keys",
        Severity::Error,
        "/root/.ssh/authorized_keys",
        "# none\nssh-ed25519 A\n",
    ),
    (
        "authorized-keys",
        Severity::Error,
        "/home/debian/.ssh/authorized_keys2",
        "ssh-ed25519 A\nssh-rsa B\n",
    ),
    ("private-keys", Severity::Error, "/home/debian/.ssh/work", PRIVATE),
    (
        "private-keys",
        Severity::Error,
        "/root/.gnupg/private-keys-v1.d/a.key",
        "x",
    ),
    (
        "tls-keys",
        Severity::Warning,
        "/etc/ssl/private/site.key",
        PRIVATE,
    ),
    (
        "tls-keys",
        Severity::Warning,
        "/etc/wireguard/wg0.conf",
        "PrivateKey = x",
    ),
    ("kerberos-keytab", Severity::Error, "/etc/krb5.keytab", "x"),
    ("credentials", Severity::Error, "/root/.aws/credentials", "x"),
    (
        "credentials",
        Severity::Error,
        "/home/debian/.git-credentials",
        "x",
    ),
    (
        "credentials",
        Severity::Error,
        "/home/debian/.docker/config.json",
        "{\"auths\":{\"r\":{\"auth\":\"x\"}}}",
    ),
    (
        "credentials",
        Severity::Warning,
        "/etc/environment",
        "API_TOKEN=x",
    ),
    (
        "wireless-secrets",
        Severity::Warning,
        "/etc/NetworkManager/system-connections/w",
        "psk=x",
    ),
    ("histories", Severity::Warning, "/home/debian/.bash_history", "ls"),
    (
        "histories",
        Severity::Warning,
        "/root/.local/share/fish/fish_history",
        "ls",
    ),
    ("logs", Severity::Warning, "/var/log/nginx/access.log", "x"),
    (
        "crash-data",
        Severity::Warning,
        "/var/lib/systemd/coredump/core.x",
        "x",
    ),
    ("mail", Severity::Warning, "/var/mail/debian", "x"),
    ("jobs", Severity::Warning, "/var/spool/cron/crontabs/debian", "x"),
    ("tmp-files", Severity::Note, "/tmp/a/b", "x"),
    (
        "package-cache",
        Severity::Note,
        "/var/cache/apt/archives/a.deb",
        "x",
    ),
    ("backup-files", Severity::Note, "/etc/ssh/sshd_config.bak", "x"),
    (
        "sshd-config",
        Severity::Warning,
        "/etc/ssh/sshd_config.d/a.conf",
        "permitrootlogin YES\n",
    ),
    (
        "sudo",
        Severity::Note,
        "/etc/sudoers.d/x",
        "# NOPASSWD\ndebian ALL=(ALL) NOPASSWD: ALL\n",
    ),
    (
        "fstab",
        Severity::Warning,
        "/etc/fstab",
        "/dev/sda1 / ext4 defaults 0 1\n",
    ),
    (
        "fstab",
        Severity::Warning,
        "/etc/fstab",
        "/dev/disk/by-id/x-part1 / ext4 defaults 0 1\n",
    ),
    (
        "resume",
        Severity::Note,
        "/etc/initramfs-tools/conf.d/resume",
        "RESUME=UUID=x\n",
    ),
    ("relabel", Severity::Note, "/.autorelabel", ""),
    (
        "second-root",
        Severity::Error,
        "/etc/passwd",
        "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n",
    ),
    (
        "root-password",
        Severity::Error,
        "/etc/shadow",
        "root:$y$x$y$z:1::::::\n",
    ),
    (
        "user-password",
        Severity::Warning,
        "/etc/shadow",
        "debian:$6$x$y:1::::::\n",
    ),
    (
        "user-password",
        Severity::Warning,
        "/etc/shadow",
        "debian:$1$x$y:1::::::\n",
    ),
    (
        "empty-password",
        Severity::Error,
        "/etc/shadow",
        "debian::1::::::\n",
    ),
    (
        "empty-password",
        Severity::Note,
        "/etc/shadow",
        "daemon::1::::::\n",
    ),
];

#[test]
fn a_sealed_template_has_nothing_to_tell() {
    let report = audit(&sealed(), &[]);
    assert!(report.findings.is_empty(), "{report}");
    let on_files = report.checks.len();
    assert!(on_files > 30 && on_files < AUDIT_CHECKS.len());
}

#[test]
fn every_check_finds_what_it_is_for() {
    let mut hit = BTreeSet::from(["ssh-hostkeys-return", "firstboot-secret"]);
    for (check, severity, path, contents) in CASES {
        let guest = sealed();
        let dir = &path[..path.rfind('/').unwrap().max(1)];
        guest.tree().create_dir_all(dir, Owner::ROOT, 0o755).unwrap();
        guest
            .tree()
            .write(path, contents.as_bytes(), Owner::ROOT, 0o600)
            .unwrap();
        let report = audit(&guest, &[]);
        let finding = report.findings.iter().find(|f| f.check == *check);
        let finding = finding.unwrap_or_else(|| panic!("{check} does not find {path}: {report}"));
        assert_eq!(finding.severity, *severity, "{path}: {report}");
        let shown = finding.place.as_str();
        assert!(path.starts_with(shown.trim_end_matches('/')), "{path}: {shown}");
        // left out, it finds nothing
        let report = audit(&guest, &[(*check).to_owned()]);
        assert!(report.findings.iter().all(|f| f.check != *check));
        assert!(report.checks.iter().any(|c| c.name == *check && c.ignored));
        hit.insert(check);
    }
    let missing: Vec<&str> = audit(&sealed(), &[])
        .checks
        .iter()
        .map(|c| c.name)
        .filter(|name| !hit.contains(name))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn host_keys_that_do_not_come_back_are_found() {
    let guest = sealed();
    let tree = guest.tree();
    tree.remove_file("/etc/systemd/system/multi-user.target.wants/disksmith-ssh-hostkeys.service")
        .unwrap();
    let names = |guest: &Guest| -> Vec<&str> { audit(guest, &[]).findings.iter().map(|f| f.check).collect() };
    assert_eq!(names(&guest), ["ssh-hostkeys-return"]);
    // a first-boot script that makes them will do, and one that only root reads is suspicious
    lay_out(
        tree,
        &[(
            "/usr/lib/virt-sysprep/scripts/5000-0001-keys",
            "#!/bin/sh\nssh-keygen -A\n",
        )],
    );
    assert!(names(&guest).is_empty());
    tree.set_permissions("/usr/lib/virt-sysprep/scripts/5000-0001-keys", 0o700)
        .unwrap();
    assert_eq!(names(&guest), ["firstboot-secret"]);
}
