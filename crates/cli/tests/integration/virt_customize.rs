//! `virt-customize` and `virt-sysprep`, held against what the tools themselves made of the same guest with the same arguments:
//! `tests/golden/virt/record` tells how.

use crate::lab::{Lab, judges, may_mount};
use std::path::{Path, PathBuf};

const JUDGES: &[&str] = &["e2fsck", "mke2fs", "sha256sum"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/virt")
        .join(name)
}

/// Runs one of the scripts there.
fn script(lab: &Lab, name: &str, arguments: &[&str]) -> String {
    let path = golden(name);
    let mut words = vec!["sh", path.to_str().unwrap()];
    words.extend(arguments);
    lab.tool_args(&words).ok()
}

/// The guest of the recordings, as `guest.img`.
pub(crate) fn golden_guest(lab: &Lab, kind: &str) {
    std::fs::create_dir(lab.path("tree")).unwrap();
    script(lab, "lay-out-guest", &["tree", kind]);
    script(lab, "lay-out-host", &["."]);
    std::fs::File::create(lab.path("guest.img"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    lab.tool(
        "mke2fs -q -F -t ext4 -O ^metadata_csum_seed,^orphan_file -U 6c1e0ec2-5f3c-4a6e-9b0a-0d3a3f1d7c11 -d tree guest.img",
    )
    .ok();
}

/// Every file of the guest, as the recordings list them.
fn tree_of(lab: &Lab) -> String {
    lab.e2fsck("guest.img", 0);
    lab.kernel_mount("guest.img", 0, |root| {
        script(lab, "list-tree", &[root.to_str().unwrap()])
    })
}

/// Lines of the one that the other has not, with the sign of diff(1).
fn differences(theirs: &str, ours: &str) -> Vec<String> {
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    let mut found: Vec<String> = theirs
        .lines()
        .filter(|line| !has(ours, line))
        .map(|line| format!("-{line}"))
        .collect();
    found.extend(
        ours.lines()
            .filter(|line| !has(theirs, line))
            .map(|line| format!("+{line}")),
    );
    found
}

/// Asserts that every difference is one of those that are meant: a sign and the beginning of a path; and that each of these is there.
#[track_caller]
fn assert_differs_as_meant(theirs: &str, ours: &str, meant: &[&str]) {
    let found = differences(theirs, ours);
    let unmeant: Vec<_> = found
        .iter()
        .filter(|line| !meant.iter().any(|m| line.starts_with(m)))
        .collect();
    assert!(unmeant.is_empty(), "{unmeant:#?}");
    let idle: Vec<_> = meant
        .iter()
        .filter(|m| !found.iter().any(|line| line.starts_with(*m)))
        .collect();
    assert!(idle.is_empty(), "these do not differ any more: {idle:?}");
}

/// Standard output without the times.
fn steps(text: &str) -> Vec<String> {
    let stripped = text.lines().map(|line| match line.split_once("] ") {
        Some((time, step)) if time.starts_with('[') => {
            let seconds = time.trim_start_matches('[').trim();
            assert!(seconds.parse::<f64>().is_ok(), "{line}");
            step.to_owned()
        }
        _ => line.to_owned(),
    });
    stripped.collect()
}

#[test]
fn customize_makes_what_virt_customize_made() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    let arguments = std::fs::read_to_string(golden("customize.args")).unwrap();
    let mut words = vec!["virt-customize", "--format", "raw", "-a", "guest.img"];
    words.extend(arguments.lines());
    let said = lab.disksmith_args(&words);
    assert!(said.stderr.contains("493 is decimal"), "{}", said.stderr);
    let stdout = said.ok();
    let recorded = std::fs::read_to_string(golden("customize.stdout")).unwrap();
    assert_eq!(steps(&stdout), steps(&recorded));
    let theirs = std::fs::read_to_string(golden("customize.tree")).unwrap();
    assert_differs_as_meant(
        &theirs,
        &tree_of(&lab),
        &[
            // the short name stays short
            "-etc/hosts ",
            "+etc/hosts ",
            // Debian's own file of the time zone follows
            "-etc/timezone ",
            "+etc/timezone ",
            // the init that the guest has, not both
            "-etc/init.d/guestfs-firstboot ",
            "-etc/rc2.d/S99guestfs-firstboot ",
            "-etc/rc3.d/S99guestfs-firstboot ",
            "-etc/rc5.d/S99guestfs-firstboot ",
            // texts of our own; commands get an interpreter line
            "-usr/lib/systemd/system/guestfs-firstboot.service ",
            "+usr/lib/systemd/system/guestfs-firstboot.service ",
            "-usr/lib/virt-sysprep/firstboot.sh ",
            "+usr/lib/virt-sysprep/firstboot.sh ",
            "-usr/lib/virt-sysprep/scripts/5000-0002-echo-hi--echo--Ho-ho-----tmp-x f 755 0:0",
            "+usr/lib/virt-sysprep/scripts/5000-0002-echo-hi--echo--Ho-ho-----tmp-x f 755 0:0",
            "-usr/lib/virt-sysprep/scripts/5000-0003-install-vim-git f 755 0:0",
            "+usr/lib/virt-sysprep/scripts/5000-0003-install-vim-git f 755 0:0",
            // random
            "-var/lib/systemd/random-seed f 600 0:0 1 512 ",
            "+var/lib/systemd/random-seed f 600 0:0 1 512 ",
        ],
    );
}

/// What differs after virt-sysprep, whatever the guest.
const CLEANED_DIFFERENTLY: &[&str] = &[
    // empty, and D-Bus takes the same
    "-etc/machine-id ",
    "+etc/machine-id f 444 0:0 1 0 ",
    "-var/lib/dbus/machine-id ",
    "+var/lib/dbus/machine-id l ",
    // host keys come back
    "+etc/systemd/system/disksmith-ssh-hostkeys.service ",
    "+etc/systemd/system/multi-user.target.wants/disksmith-ssh-hostkeys.service ",
    // random
    "-var/lib/systemd/random-seed ",
    "+var/lib/systemd/random-seed ",
    // as newer releases of the tool
    "-root/.zsh_history ",
    // caches of all package managers, accounting of all distributions, more logs
    "-var/account/pacct",
    "+var/account/pacct ",
    "-var/cache/yum/x/y ",
    "-var/cache/zypp/x/y ",
    "-var/cache/zypper/z ",
    "-var/lib/logrotate/logrotate.status ",
    "-var/lib/yum/uuid ",
    "-var/log/b.1 ",
    "-var/log/c.2.gz ",
    "-var/log/d.gz ",
    "-var/log/e.xz ",
    "-var/log/mail.err ",
    "-var/log/swtpm/libvirt/qemu/a.log ",
    "-var/log/unattended-upgrades/a.log ",
    "-var/log/zypp/history ",
];

#[test]
fn sysprep_leaves_what_virt_sysprep_left() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    // what the recorded release does not have is left out
    let list = "all,-fs-uuids,-lvm-uuids,-ca-certificates";
    let stdout = lab
        .disksmith(&format!(
            "virt-sysprep --format raw -a guest.img --operations {list} --keep-user-accounts bob --hostname clone"
        ))
        .ok();
    let recorded = std::fs::read_to_string(golden("sysprep.stdout")).unwrap();
    let without = |lines: Vec<String>, names: &[&str]| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| !names.iter().any(|n| line.contains(n)))
            .collect()
    };
    assert_eq!(
        without(steps(&stdout), &["lvm-system-devices", "zsh-history"]),
        without(steps(&recorded), &["machine ID"])
    );
    let theirs = std::fs::read_to_string(golden("sysprep.tree")).unwrap();
    let mut meant = CLEANED_DIFFERENTLY.to_vec();
    meant.extend([
        // the short name stays short
        "-etc/hosts ",
        "+etc/hosts ",
        // a removed user is no member of groups any more, and has no ranges of ids
        "-etc/group ",
        "+etc/group ",
        "-etc/gshadow ",
        "+etc/gshadow ",
        "-etc/subuid ",
        "+etc/subuid ",
        "-etc/subgid ",
        "+etc/subgid ",
        "-var/cache/dnf/x/y.rpm ",
        "-var/lib/rpm/__db.001 ",
        // subscriptions go wherever there are any
        "-etc/pki/consumer/cert.pem ",
        "-etc/pki/entitlement/1.pem ",
        "-etc/sysconfig/rhn/osad-auth.conf ",
        "-etc/sysconfig/rhn/systemid ",
    ]);
    assert_differs_as_meant(&theirs, &tree_of(&lab), &meant);
}

#[test]
fn sysprep_of_a_red_hat_guest_leaves_what_virt_sysprep_left() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "redhat");
    lab.disksmith("virt-sysprep --format raw -a guest.img -q").ok();
    let theirs = std::fs::read_to_string(golden("sysprep-redhat.tree")).unwrap();
    let mut meant = CLEANED_DIFFERENTLY.to_vec();
    meant.extend([
        // Rocky is of the Red Hat family
        "-etc/NetworkManager/system-connections/a.nmconnection ",
        "-etc/pki/consumer/cert.pem ",
        "-etc/pki/entitlement/1.pem ",
        "-etc/sysconfig/network-scripts/ifcfg-eth0 ",
        "+etc/sysconfig/network-scripts/ifcfg-eth0 ",
        "-etc/sysconfig/rhn/osad-auth.conf ",
        "-etc/sysconfig/rhn/systemid ",
        "-home/alice/.zsh_history ",
        "-var/cache/apt/archives/",
        "-var/log/account/pacct",
        "+var/log/account/pacct ",
    ]);
    assert_differs_as_meant(&theirs, &tree_of(&lab), &meant);
}

#[test]
fn wrong_command_lines_are_told_in_the_tools_words() {
    let lab = Lab::new();
    lab.write("x.img", vec![0; 1 << 20]);
    for (line, words) in [
        (
            "virt-customize",
            "virt-customize: error: you must give either -a or -d options.",
        ),
        (
            "virt-sysprep",
            "virt-sysprep: error: you must give either -a or -d options.",
        ),
        (
            "virt-customize -a x.img --nosuch",
            "virt-customize: unrecognized option '--nosuch'\nTry ‘virt-customize --help’ or consult virt-customize(1) for more information.\n",
        ),
        (
            "virt-customize -a x.img --chmod",
            "virt-customize: option '--chmod' requires an argument\n",
        ),
        (
            "virt-customize -hostname",
            "virt-customize: option '-hostname' requires an argument\n",
        ),
        (
            "virt-customize -a x.img -m",
            "virt-customize: option requires an argument -- 'm'\n",
        ),
        (
            "virt-customize -a x.img -m x",
            "virt-customize: ‘x’ is not a numeric value.\nTry ",
        ),
        (
            "virt-customize extra -a x.img",
            "Extra parameter on the command line: ‘extra’.\nTry ",
        ),
        (
            "virt-customize -a x.img --format raw",
            "virt-customize: error: --format parameter must appear before -a parameter",
        ),
        (
            "virt-customize -d a -a x.img",
            "virt-customize: error: you cannot give -a and -d options together.",
        ),
        (
            "virt-customize --password-crypto foo -a x.img",
            "virt-customize: error: password-crypto: unknown algorithm foo, use \"md5\", \"sha256\", \"sha512\" or \"yescrypt\"",
        ),
        (
            "virt-sysprep --operations foo -a x.img",
            "virt-sysprep: error: --operations: ‘foo’ is not a known operation",
        ),
        (
            "virt-sysprep --enable foo -a x.img",
            "virt-sysprep: error: --enable: ‘foo’ is not a known operation",
        ),
        (
            "virt-sysprep --enable -utmp -a x.img",
            "virt-sysprep: error: --enable: ‘-utmp’ is not a known operation",
        ),
        (
            "virt-sysprep --enable= -a x.img",
            "virt-sysprep: error: you cannot pass an empty argument to --enable",
        ),
        (
            "virt-sysprep --enable utmp --remove-user-accounts x -a x.img",
            "virt-sysprep: error: user-accounts: --remove-user-accounts parameter was used, but the \"user-account\" operation is not enabled",
        ),
        (
            "virt-customize -a x.img --run-command ls",
            "virt-customize: error: ",
        ),
        ("virt-customize -a x.img --touch /x", "virt-customize: error: "),
    ] {
        let stderr = lab.disksmith(line).fails(1);
        assert!(stderr.starts_with(words), "{line}: {stderr}");
        if words.contains(": error: ") {
            let tool = line.split(' ').next().unwrap();
            let end = format!(
                "\n\nIf reporting bugs, run {tool} with debugging enabled and include the complete output:\n\n  {tool} -v -x [...]\n"
            );
            assert!(stderr.contains(&end), "{stderr}");
        }
    }
}

#[test]
fn sysprep_lists_the_operations_of_the_tool() {
    let lab = Lab::new();
    let list = lab.disksmith("virt-sysprep --list-operations").ok();
    let names: Vec<(&str, bool)> = list
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            assert!(rest.starts_with("* ") || rest.starts_with("  "), "{line}");
            (name, rest.starts_with('*'))
        })
        .collect();
    assert_eq!(names.len(), 45);
    let off: Vec<&str> = names
        .iter()
        .filter(|(_, on)| !on)
        .map(|(name, _)| *name)
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
    assert!(names.is_sorted_by_key(|(name, _)| *name));
}

#[test]
fn a_dry_run_changes_nothing_and_a_random_password_is_told() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    let before = lab.read("guest.img");
    for line in [
        "virt-customize -n -a guest.img --hostname x --root-password random",
        "virt-sysprep --dry-run -a guest.img --root-password random",
    ] {
        let stdout = lab.disksmith(line).ok();
        let told = stdout
            .lines()
            .find(|l| l.contains("Setting random password of root to "));
        let password = told.unwrap().rsplit(' ').next().unwrap();
        assert_eq!(password.len(), 16, "{stdout}");
        assert!(lab.read("guest.img") == before, "{line} changed the image");
    }
    assert!(
        lab.disksmith("virt-customize -q -n -a guest.img --touch /x")
            .ok()
            .is_empty()
    );
}

#[test]
fn every_run_fills_an_empty_machine_id_and_renews_the_random_seed() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    // the verb leaves both empty
    lab.disksmith("sysprep -a guest.img").ok();
    assert_eq!(lab.disksmith("cat -a guest.img /etc/machine-id").ok(), "");
    lab.disksmith("cat -a guest.img /var/lib/systemd/random-seed")
        .fails(1);
    let stdout = lab.disksmith("virt-customize -a guest.img").ok();
    assert_eq!(
        steps(&stdout),
        [
            "Examining the guest ...",
            "Setting a random seed",
            "Setting the machine ID in /etc/machine-id",
            "Finishing off"
        ]
    );
    let id = lab.disksmith("cat -a guest.img /etc/machine-id").ok();
    assert!(
        id.len() == 33 && id.trim().bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    // and one that is there stays
    lab.disksmith("virt-customize -q -a guest.img --touch /x").ok();
    assert_eq!(lab.disksmith("cat -a guest.img /etc/machine-id").ok(), id);
    // sysprep's face empties it, and it is empty at the end
    lab.disksmith("virt-sysprep -q -a guest.img").ok();
    assert_eq!(lab.disksmith("cat -a guest.img /etc/machine-id").ok(), "");
    lab.disksmith("virt-sysprep -q -a guest.img --enable customize")
        .ok();
    assert_eq!(lab.disksmith("cat -a guest.img /etc/machine-id").ok().len(), 33);
}

#[test]
fn a_key_that_is_injected_while_the_keys_are_cleaned_stays() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    for program in ["virt-sysprep", "sysprep"] {
        let lab = Lab::new();
        golden_guest(&lab, "debian");
        lab.disksmith(&format!(
            "{program} -a guest.img --ssh-inject root:file:host/key.pub"
        ))
        .ok();
        let keys = lab.disksmith("cat -a guest.img /root/.ssh/authorized_keys").ok();
        assert_eq!(keys, String::from_utf8(lab.read("host/key.pub")).unwrap());
        assert!(
            lab.disksmith("cat -a guest.img /home/alice/.ssh/authorized_keys")
                .status
                != 0
        );
    }
}

#[test]
fn scripts_of_the_host_see_the_guest_as_a_directory() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    let script = lab.write(
        "own.sh",
        "#!/bin/sh -e\ntest -f etc/passwd\necho from-a-script > etc/by-script\nrm -f etc/motd\nmkdir -p srv/s/t\n",
    );
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let line = [
        "virt-sysprep",
        "-q",
        "-a",
        "guest.img",
        "--enable",
        "script",
        "--script",
        "./own.sh",
        "--script",
    ];
    let mut words = line.to_vec();
    words.push("mv etc/by-script etc/moved; test $(cat etc/hostname) = template");
    lab.disksmith_args(&words).ok();
    lab.e2fsck("guest.img", 0);
    assert_eq!(
        lab.disksmith("cat -a guest.img /etc/moved").ok(),
        "from-a-script\n"
    );
    assert!(lab.disksmith("cat -a guest.img /etc/motd").status != 0);
    // one that fails leaves everything as it was
    let before = lab.read("guest.img");
    let mut words = line.to_vec();
    words.push("false");
    let stderr = lab.disksmith_args(&words).fails(1);
    assert!(stderr.contains("the script false"), "{stderr}");
    assert!(lab.read("guest.img") == before);
    // a path that is none of the host is not looked up in the guest
    let mut words = line.to_vec();
    words.push("bin/ls");
    let stderr = lab.disksmith_args(&words).fails(1);
    assert!(stderr.contains("cannot run the script bin/ls"), "{stderr}");
    // and a dry run runs them for nothing
    let mut words = line.to_vec();
    words.extend(["true", "--scriptdir", "host", "-n"]);
    lab.disksmith_args(&words).ok();
    assert!(lab.read("guest.img") == before);
}

#[test]
fn every_operating_system_is_customized() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    golden_guest(&lab, "debian");
    std::fs::copy(lab.path("guest.img"), lab.path("other.img")).unwrap();
    lab.disksmith("virt-customize -q -a guest.img -a other.img --write /etc/both:yes")
        .ok();
    for image in ["guest.img", "other.img"] {
        assert_eq!(lab.disksmith(&format!("cat -a {image} /etc/both")).ok(), "yes");
        lab.e2fsck(image, 0);
    }
}
