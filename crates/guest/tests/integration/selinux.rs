//! Labels on a real ext4 filesystem, read back by debugfs.

use crate::judge::{CLOCK, operations, run};
use disksmith_guest::{
    Context, GuestOptions, Report, RootChoice, SeededRandom, SelinuxOutcome, customize, edit,
};
use disksmith_image::{DiskSpec, TransactionOptions};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the guest, each with the type in its label.
const LABELLED: &[(&str, &str, &str)] = &[
    ("/", "", "root_t"),
    ("/bin/", "", "bin_t"),
    ("/etc/", "", "etc_t"),
    ("/etc/fstab", "/dev/sda / ext4 defaults 0 1\n", "etc_t"),
    (
        "/etc/os-release",
        "ID=rocky\nVERSION_ID=9.4\nPRETTY_NAME=\"Rocky Linux 9.4\"\n",
        "etc_t",
    ),
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n",
        "passwd_file_t",
    ),
    (
        "/etc/shadow",
        "root:*:19000:0:99999:7:::\nalice:*:19000:0:99999:7:::\n",
        "shadow_t",
    ),
    ("/etc/selinux/", "", "selinux_config_t"),
    (
        "/etc/selinux/config",
        "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
        "selinux_config_t",
    ),
    ("/etc/selinux/targeted/contexts/files/", "", "file_context_t"),
    (
        "/etc/selinux/targeted/contexts/files/file_contexts",
        "/etc/hostname\t--\tsystem_u:object_r:hostname_etc_t:s0\n/etc/localtime\t-l\tsystem_u:object_r:locale_t:s0\n/etc/systemd/system(/.*)?\tsystem_u:object_r:systemd_unit_file_t:s0\n",
        "file_context_t",
    ),
    ("/etc/systemd/", "", "etc_t"),
    ("/etc/systemd/system/", "", "systemd_unit_file_t"),
    (
        "/etc/systemd/system/multi-user.target.wants/",
        "",
        "systemd_unit_file_t",
    ),
    ("/home/", "", "home_root_t"),
    ("/home/alice/", "", "user_home_dir_t"),
    ("/root/", "", "admin_home_t"),
    ("/usr/lib/systemd/system/", "", "systemd_unit_file_t"),
    ("/usr/lib/systemd/systemd", "", "init_exec_t"),
    ("/usr/share/zoneinfo/Asia/", "", "locale_t"),
    ("/usr/share/zoneinfo/Asia/Tokyo", "TZif2", "locale_t"),
    ("/var/log/", "", "var_log_t"),
    ("/var/log/a", "a", "var_log_t"),
    ("/var/log/b", "b", "wtmp_t"),
];

/// An image of 32 MiB that mke2fs fills from labelled files; `None` where the host lets nobody label files.
fn labelled_guest(dir: &Path, config: &str) -> Option<PathBuf> {
    let root = dir.join("root");
    for (path, contents, _) in LABELLED {
        let here = root.join(path.trim_start_matches('/'));
        if path.ends_with('/') {
            fs::create_dir_all(&here).unwrap();
        } else {
            fs::write(&here, contents).unwrap();
        }
    }
    let file = root.join("etc/selinux/config");
    fs::write(&file, config).unwrap();
    for (path, _, label) in LABELLED {
        let path = root.join(path.trim_start_matches('/'));
        let label = format!("system_u:object_r:{label}:s0");
        let name = path.display().to_string();
        let (good, said) = run("setfattr", &["-n", "security.selinux", "-v", &label, &name])?;
        if !good {
            assert!(std::env::var_os("CI").is_none(), "{said}");
            eprintln!("SKIPPED: files cannot be labelled here: {said}");
            return None;
        }
    }
    let image = dir.join("guest.raw");
    let (good, said) = run(
        "/usr/sbin/mke2fs",
        &[
            "-q",
            "-t",
            "ext4",
            "-d",
            &root.display().to_string(),
            &image.display().to_string(),
            "32M",
        ],
    )?;
    assert!(good, "{said}");
    Some(image)
}

fn customize_image(image: &Path, list: &[(&str, &str)]) -> Report {
    let options = GuestOptions {
        mounts: Vec::new(),
        root: RootChoice::Single,
        clock: CLOCK,
        keys: disksmith_image::Keys::none(),
        gate: disksmith_image::Gate::FollowAll,
    };
    let (report, _) = edit(
        &[DiskSpec::in_place(image)],
        &TransactionOptions::default(),
        &options,
        |guest| {
            let mut random = SeededRandom::new(5);
            customize(guest, &operations(list), &mut Context::new(&mut random))
        },
    )
    .unwrap();
    let (_, said) = run("/usr/sbin/e2fsck", &["-fn", &image.display().to_string()]).unwrap();
    assert!(!said.contains("? no"), "{said}");
    report
}

/// The type in a file's label, as debugfs reads it.
fn type_of(image: &Path, path: &str) -> String {
    let request = format!("ea_get {path} security.selinux");
    let (_, said) = run(
        "/usr/sbin/debugfs",
        &["-R", &request, &image.display().to_string()],
    )
    .unwrap();
    said.split("object_r:")
        .nth(1)
        .and_then(|rest| rest.split(':').next())
        .unwrap_or_else(|| panic!("{path} has no label: {said}"))
        .to_owned()
}

const ENFORCING: &str = "SELINUX=enforcing\nSELINUXTYPE=targeted\n";

#[test]
fn new_files_have_the_labels_of_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = labelled_guest(dir.path(), ENFORCING) else {
        return;
    };
    let report = customize_image(
        &image,
        &[
            ("hostname", "web1"),
            ("timezone", "Asia/Tokyo"),
            ("root-password", "password:s3cret"),
            ("ssh-inject", "root:string:ssh-ed25519 AAAA a@b"),
            ("ssh-inject", "alice:string:ssh-ed25519 AAAA a@b"),
            ("write", "/etc/os-release:ID=rocky"),
            ("write", "/etc/systemd/system/x.service:[Unit]"),
        ],
    );
    assert_eq!(report.selinux, SelinuxOutcome::LabelsKept);
    for (path, label) in [
        ("/etc/hostname", "hostname_etc_t"),
        ("/etc/localtime", "locale_t"),
        ("/etc/shadow", "shadow_t"),
        ("/etc/passwd", "passwd_file_t"),
        ("/etc/os-release", "etc_t"),
        ("/etc/systemd/system/x.service", "systemd_unit_file_t"),
        ("/root/.ssh", "ssh_home_t"),
        ("/root/.ssh/authorized_keys", "ssh_home_t"),
        ("/home/alice/.ssh", "ssh_home_t"),
        ("/home/alice/.ssh/authorized_keys", "ssh_home_t"),
    ] {
        assert_eq!(type_of(&image, path), label, "{path}");
    }
    let (_, said) = run(
        "/usr/sbin/debugfs",
        &["-R", "stat /.autorelabel", &image.display().to_string()],
    )
    .unwrap();
    assert!(said.contains("not found"), "{said}");
    // Where neighbours differ and the policy names nothing, the guest is to relabel, and the report says so.
    let report = customize_image(&image, &[("write", "/var/log/c:x")]);
    assert_eq!(report.selinux, SelinuxOutcome::RelabelAtBoot);
    assert!(report.to_string().contains("relabels its files at the next boot"));
    assert_eq!(type_of(&image, "/var/log/c"), "var_log_t");
    let (_, said) = run(
        "/usr/sbin/debugfs",
        &["-R", "stat /.autorelabel", &image.display().to_string()],
    )
    .unwrap();
    assert!(said.contains("Type: regular"), "{said}");
}

#[test]
fn permissive_guests_keep_labels_and_others_get_none() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = labelled_guest(dir.path(), "SELINUX=permissive\nSELINUXTYPE=targeted\n") else {
        return;
    };
    let report = customize_image(&image, &[("hostname", "web1")]);
    assert_eq!(report.selinux, SelinuxOutcome::LabelsKept);
    assert_eq!(type_of(&image, "/etc/hostname"), "hostname_etc_t");

    let dir = tempfile::tempdir().unwrap();
    let Some(image) = labelled_guest(dir.path(), "SELINUX=disabled\n") else {
        return;
    };
    let report = customize_image(
        &image,
        &[("hostname", "web1"), ("write", "/etc/os-release:ID=rocky")],
    );
    assert_eq!(report.selinux, SelinuxOutcome::NotUsed);
    let (_, said) = run(
        "/usr/sbin/debugfs",
        &["-R", "ea_list /etc/hostname", &image.display().to_string()],
    )
    .unwrap();
    assert!(!said.contains("selinux"), "{said}");
    // What has one keeps it all the same.
    assert_eq!(type_of(&image, "/etc/os-release"), "etc_t");
}
