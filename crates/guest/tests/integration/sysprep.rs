//! Cleaning a template.

use crate::judge::{CLOCK, empty_tree, lay_out, operations, text};
use disksmith_guest::{
    Context, Guest, SYSPREP_OPERATIONS, SeededRandom, Skeleton, Volume, VolumeContent, default_operations,
    lay_out_skeleton, select_operations, sysprep,
};
use disksmith_storage::{Diagnose, ErrorKind};
use disksmith_vfs::Owner;

fn guest() -> Guest {
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    Guest::of_tree(tree)
}

fn clean(guest: &Guest, list: &str) -> disksmith_guest::Report {
    let mut random = SeededRandom::new(1);
    let chosen = select_operations("--operations", list).unwrap();
    sysprep(guest, &chosen, &[], &mut Context::new(&mut random)).unwrap()
}

#[test]
fn the_table_has_the_names_and_defaults_of_virt_sysprep() {
    let own: Vec<&str> = SYSPREP_OPERATIONS
        .iter()
        .filter(|o| !o.extension)
        .map(|o| o.name)
        .collect();
    assert_eq!(own.len(), 45);
    let off: Vec<&str> = SYSPREP_OPERATIONS
        .iter()
        .filter(|o| !o.default)
        .map(|o| o.name)
        .collect();
    assert_eq!(
        off,
        [
            "ca-certificates",
            "firewall-rules",
            "flag-reconfiguration",
            "fs-uuids",
            "kerberos-data",
            "user-account"
        ]
    );
    let mut names: Vec<&str> = SYSPREP_OPERATIONS.iter().map(|o| o.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SYSPREP_OPERATIONS.len());
}

#[test]
fn lists_are_read_from_left_to_right() {
    let names = |list: &str| -> Vec<&str> {
        select_operations("--operations", list)
            .unwrap()
            .iter()
            .map(|o| o.name)
            .collect()
    };
    assert_eq!(names("defaults,-logfiles").len(), default_operations().len() - 1);
    assert_eq!(names("all").len(), SYSPREP_OPERATIONS.len());
    assert_eq!(
        names("machine-id,logfiles,-machine-id,machine-id"),
        ["logfiles", "machine-id"]
    );
    assert_eq!(names("-customize,utmp, script"), ["utmp", "script"]);
    let error = select_operations("--operations", "utmp,nosuch").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn the_defaults_leave_nothing_of_the_template() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/home/debian/.bash_history", "x"),
            ("/home/debian/.zsh_history", "x"),
            ("/home/debian/.ssh/authorized_keys", "x"),
            ("/home/debian/keep.bak", "x"),
            ("/etc/passwd-", "x"),
            ("/etc/x.bak", "x"),
            ("/etc/y~", "x"),
            ("/var/lib/dhcp/dhclient.eth0.leases", "x"),
            ("/var/lib/systemd/random-seed", "x"),
            ("/var/lib/cloud/instances/i-1/user-data.txt", "x"),
            ("/var/lib/cloud/instance", "-> instances/i-1"),
            ("/var/lib/cloud/seed/nocloud/meta-data", "keep"),
            ("/var/lib/cloud/scripts/per-boot/mine", "keep"),
            ("/var/log/cloud-init.log", "x"),
            ("/var/log/journal/abc/system.journal", "x"),
            ("/var/log/apt/history.log", "x"),
            ("/var/log/README", "keep"),
            ("/var/mail/debian", "x"),
            ("/var/crash/dump", "x"),
            ("/var/spool/cron/crontabs/root", "x"),
            ("/var/spool/cron/atjobs/.SEQ", "0001f\n"),
            ("/var/log/account/pacct", "x"),
            ("/run/utmp", "x"),
            ("/tmp/.hidden", "x"),
            ("/tmp/dir/file", "x"),
            ("/var/tmp/x", "x"),
            ("/etc/udev/rules.d/70-persistent-net.rules", "x"),
            ("/etc/netplan/50-cloud-init.yaml", "x"),
        ],
    );
    tree.chown("/var/log/account/pacct", Owner { uid: 0, gid: 4 })
        .unwrap();
    let report = clean(&guest, "defaults");
    for gone in [
        "/home/debian/.bash_history",
        "/home/debian/.zsh_history",
        "/home/debian/.ssh",
        "/etc/passwd-",
        "/etc/x.bak",
        "/etc/y~",
        "/var/lib/dhcp/dhclient.eth0.leases",
        "/var/lib/systemd/random-seed",
        "/var/lib/cloud/instances",
        "/var/log/cloud-init.log",
        "/var/log/journal/abc",
        "/var/log/apt/history.log",
        "/var/mail/debian",
        "/var/crash/dump",
        "/var/spool/cron/crontabs/root",
        "/run/utmp",
        "/tmp/.hidden",
        "/tmp/dir",
        "/var/tmp/x",
        "/tmp/left-over",
        "/etc/udev/rules.d/70-persistent-net.rules",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ed25519_key.pub",
        "/root/.bash_history",
        "/var/log/syslog",
        "/var/log/wtmp",
        "/var/cache/apt/archives/example_1.0_all.deb",
        "/etc/netplan/50-cloud-init.yaml",
    ] {
        assert!(!tree.exists(gone), "{gone}");
    }
    assert!(!tree.is_symlink("/var/lib/cloud/instance"));
    for kept in [
        "/home/debian/keep.bak",
        "/var/log/README",
        "/var/log/journal",
        "/tmp",
        "/var/tmp",
        "/var/lib/cloud/seed/nocloud/meta-data",
        "/var/lib/cloud/scripts/per-boot/mine",
        "/var/cache/apt/archives/partial",
        "/etc/ssh/sshd_config",
        "/home/debian",
    ] {
        assert!(tree.exists(kept), "{kept}");
    }
    assert_eq!(text(tree, "/etc/machine-id"), "");
    assert_eq!(tree.metadata("/etc/machine-id").unwrap().permissions, 0o444);
    assert_eq!(
        tree.read_link("/var/lib/dbus/machine-id").unwrap(),
        b"/etc/machine-id"
    );
    assert_eq!(text(tree, "/var/spool/cron/atjobs/.SEQ"), "00000\n");
    assert_eq!(
        (
            text(tree, "/var/log/account/pacct").len(),
            tree.metadata("/var/log/account/pacct").unwrap().gid
        ),
        (0, 4)
    );
    // Host keys come back.
    let unit = text(tree, "/etc/systemd/system/disksmith-ssh-hostkeys.service");
    assert!(unit.contains("ssh-keygen -A"));
    assert!(tree.is_file("/etc/systemd/system/multi-user.target.wants/disksmith-ssh-hostkeys.service"));
    assert!(report.to_string().contains("makes new host keys"));
    // A second time there is nothing left to do.
    let again = clean(&guest, "defaults,-pacct-log");
    assert!(again.steps.iter().all(|s| s.changes.is_empty()), "{again}");
}

#[test]
fn guests_that_make_host_keys_themselves_get_no_unit() {
    for (path, contents) in [
        ("/usr/lib/systemd/system/sshd-keygen.target", ""),
        ("/usr/sbin/sshd-gen-keys-start", "#!/bin/sh"),
        ("/etc/init.d/sshd", "#!/sbin/openrc-run\nssh-keygen -A\n"),
    ] {
        let guest = guest();
        lay_out(guest.tree(), &[(path, contents)]);
        clean(&guest, "ssh-hostkeys");
        assert!(!guest.tree().exists("/etc/ssh/ssh_host_ed25519_key"));
        assert!(
            !guest
                .tree()
                .exists("/etc/systemd/system/disksmith-ssh-hostkeys.service"),
            "{path}"
        );
    }
}

#[test]
fn customize_comes_before_cleaning() {
    let guest = guest();
    let mut random = SeededRandom::new(1);
    let report = sysprep(
        &guest,
        &select_operations("--operations", "machine-id,tmp-files,customize").unwrap(),
        &operations(&[
            ("write", "/etc/machine-id:abc"),
            ("write", "/tmp/x:y"),
            ("root-password", "disabled"),
        ]),
        &mut Context::new(&mut random),
    )
    .unwrap();
    assert_eq!(text(guest.tree(), "/etc/machine-id"), "");
    assert!(!guest.tree().exists("/tmp/x"));
    let order: Vec<&str> = report.steps.iter().map(|s| s.operation.as_str()).collect();
    assert_eq!(
        order[2..],
        ["--password root:disabled", "machine-id", "tmp-files"]
    );
}

#[test]
fn red_hat_network_files_lose_names_and_addresses() {
    let tree = empty_tree();
    let config = "/etc/sysconfig/network-scripts/ifcfg-eth0";
    lay_out(
        &tree,
        &[
            ("/etc/os-release", "ID=rhel\nVERSION_ID=8.9\n"),
            (
                config,
                "DEVICE=eth0\nHWADDR=52:54:00:00:00:01\nHOSTNAME=x\nDHCP_HOSTNAME=y\nONBOOT=yes\n",
            ),
            ("/etc/NetworkManager/system-connections/a.nmconnection", "x"),
            ("/etc/pki/consumer/key.pem", "x"),
        ],
    );
    let guest = Guest::of_tree(tree);
    clean(
        &guest,
        "net-hostname,net-hwaddr,net-nmconn,rh-subscription-manager",
    );
    assert_eq!(text(guest.tree(), config), "DEVICE=eth0\nONBOOT=yes\n");
    assert!(
        !guest
            .tree()
            .exists("/etc/NetworkManager/system-connections/a.nmconnection")
    );
    assert!(!guest.tree().exists("/etc/pki/consumer/key.pem"));
}

#[test]
fn user_accounts_go_with_everything_of_theirs() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/var/mail/debian", "x"),
            ("/etc/subuid", "debian:100000:65536\nother:1:1\n"),
        ],
    );
    clean(&guest, "user-account");
    for file in ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/subuid"] {
        assert!(
            !text(tree, file).contains("debian"),
            "{file}: {}",
            text(tree, file)
        );
    }
    assert!(text(tree, "/etc/passwd").contains("sshd:x:105"));
    assert!(text(tree, "/etc/group").contains("adm:x:4:\n"));
    assert_eq!(tree.metadata("/etc/shadow").unwrap().permissions, 0o640);
    assert!(!tree.exists("/home/debian") && !tree.exists("/var/mail/debian"));
}

#[test]
fn a_part_of_the_guest_that_cannot_be_opened_is_not_passed_over() {
    let template = guest();
    let tree = template.tree();
    tree.write("/etc/fstab", b"/dev/sda2 /var xfs defaults\n", Owner::ROOT, 0o644)
        .unwrap();
    let (fs, _) = tree.open_node(tree.root());
    let volume = |partition, content| Volume {
        disk: 0,
        partition: Some(partition),
        part_uuid: None,
        part_label: None,
        part_type: None,
        logical: None,
        content,
        slice: None,
    };
    let xfs = VolumeContent::Known {
        kind: "xfs".into(),
        uuid: None,
        label: None,
        reason: "xfs is not supported yet".into(),
        class: disksmith_storage::ErrorKind::Unsupported,
    };
    let volumes = [volume(1, VolumeContent::FileSystem(fs.clone())), volume(2, xfs)];
    let guest = Guest::inspect(&volumes, CLOCK).unwrap();
    for name in [
        "logfiles",
        "mail-spool",
        "package-manager-cache",
        "dhcp-client-state",
        "cloud-init",
        "random-seed",
    ] {
        let mut random = SeededRandom::new(1);
        let chosen = select_operations("--operations", name).unwrap();
        let error = sysprep(&guest, &chosen, &[], &mut Context::new(&mut random)).unwrap_err();
        assert!(error.to_string().contains("xfs on /dev/sda2"), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    clean(&guest, "bash-history");
}

#[test]
fn hostile_accounts_take_nothing_with_them() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\ndaemon:x:2:2::/srv/kept/in:/bin/sh\na:x:1001:1001::/home/a/../../etc:/bin/sh\n\
                 ../../../etc:x:1002:1002::/home/b:/bin/sh\nc:x:1003:1003::/up/etc:/bin/sh\nd:x:1004:1004::/var/lib:/bin/sh\n\
                 e:x:1005:1005::/srv/kept:/bin/sh\nf:x:1006:1006::/there/f:/bin/sh\ng:x:1007:1007::/usr/lib:/bin/sh\n",
            ),
            ("/etc/login.defs", "UID_MIN 0\nUID_MAX 60000\n"),
            ("/var/spool/mail/x", "x"),
            ("/var/lib/x", "x"),
            ("/usr/lib/x", "x"),
            ("/home/a/x", "x"),
            ("/home/b/x", "x"),
            ("/srv/kept/in/x", "x"),
            ("/homes/f/x", "x"),
        ],
    );
    tree.write(
        "/etc/passwd",
        tree.read("/etc/passwd").unwrap().as_slice(),
        Owner::ROOT,
        0o644,
    )
    .unwrap();
    tree.symlink("/", "/up", Owner::ROOT).unwrap();
    tree.symlink("homes", "/there", Owner::ROOT).unwrap();
    let mut random = SeededRandom::new(1);
    let mut context = Context::new(&mut random);
    context.accounts.keep = vec!["daemon".into(), "nosuch".into()];
    let chosen = select_operations("--operations", "user-account").unwrap();
    let report = sysprep(&guest, &chosen, &[], &mut context).unwrap();
    for there in [
        "/etc/login.defs",
        "/var/lib/x",
        "/usr/lib/x",
        "/home/a/x",
        "/srv/kept/in/x",
        "/var/spool/mail/x",
    ] {
        assert!(tree.exists(there), "{there} is gone");
    }
    for gone in ["/home/b", "/homes/f"] {
        assert!(!tree.exists(gone), "{gone} is there");
    }
    let passwd = text(tree, "/etc/passwd");
    assert!(
        passwd.starts_with("root:x:0:") && passwd.lines().count() == 2,
        "{passwd}"
    );
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.ends_with("the guest has no user nosuch")),
        "{:?}",
        report.warnings
    );
}

#[test]
fn links_lead_no_cleaning_astray() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/etc/keep/x.log", "x"),
            ("/data/log/y.log", "x"),
            ("/etc/hosts", "127.0.0.1 x\n"),
            ("/run/faillock/z", "x"),
            ("/var/spool/at/job", "x"),
        ],
    );
    for (target, link) in [
        ("/etc", "/tmp"),
        ("../data/log", "/var/log"),
        ("/", "/var/tmp"),
        ("../../../etc", "/var/lib/dhcp"),
        ("/etc", "/var/spool/mail"),
        ("/etc", "/var/spool/cron"),
        ("/etc", "/var/cache/apt"),
        ("../run", "/var/run"),
        ("/etc/hosts", "/var/spool/at/.SEQ"),
    ] {
        let _ = tree.remove_all(link);
        let (parent, _) = link.rsplit_once('/').unwrap();
        if !parent.is_empty() {
            tree.create_dir_all(parent, Owner::ROOT, 0o755).unwrap();
        }
        tree.symlink(target, link, Owner::ROOT).unwrap();
    }
    let report = clean(&guest, "defaults,-customize");
    for there in [
        "/etc/keep/x.log",
        "/etc/passwd",
        "/etc/hosts",
        "/usr/lib/os-release",
        "/var/lib",
    ] {
        assert!(tree.exists(there), "{there} is gone");
    }
    assert_eq!(text(tree, "/etc/hosts"), "127.0.0.1 x\n");
    for gone in ["/data/log/y.log", "/run/faillock/z", "/var/spool/at/job"] {
        assert!(!tree.exists(gone), "{gone} is there");
    }
    for told in ["/tmp leads to /etc", "/var/tmp leads to /"] {
        assert!(
            report.warnings.iter().any(|w| w.contains(told)),
            "{told}: {:?}",
            report.warnings
        );
    }
}
