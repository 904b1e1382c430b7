//! Editing guests: `customize`, `sysprep`, and the verbs that read.

use crate::lab::{Lab, judges, may_mount};
use crate::small_guest::{Layout, make};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const JUDGES: &[&str] = &["qemu-img", "e2fsck", "mke2fs", "sfdisk"];

/// Host files that the customize line of the README names.
pub(crate) fn host_files(lab: &Lab) {
    lab.write("pw.txt", "from-a-file\nsecond line\n");
    lab.write(
        "key.pub",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaKeKeYfOrTeStSoNlY000000000000000000000 me@host\n",
    );
    lab.write("app/run", "#!/bin/sh\necho app\n");
    lab.write("app/lib/data", vec![7u8; 300_000]);
    std::fs::set_permissions(lab.path("app/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    lab.write("a.conf", "a = 1\n");
    lab.write("setup.sh", "#!/bin/sh\necho FIRST-BOOT-RAN > /dev/ttyS0\n");
}

/// Everything at once, as one command line.
pub(crate) fn everything(image: &str) -> Vec<String> {
    [
        "customize",
        "-a",
        image,
        "--hostname",
        "web1",
        "--timezone",
        "Asia/Shanghai",
        "--root-password",
        "password:s3cret",
        "--password",
        "debian:file:pw.txt",
        "--ssh-inject",
        "root:file:key.pub",
        "--copy-in",
        "./app:/opt",
        "--upload",
        "a.conf:/etc/a.conf",
        "--write",
        "/etc/motd:hello",
        "--append-line",
        "/etc/hosts:10.0.0.5 db",
        "--edit",
        "/etc/ssh/sshd_config:s/^#?PermitRootLogin.*/PermitRootLogin no/",
        "--mkdir",
        "/srv/data",
        "--link",
        "/opt/app/run:/usr/local/bin/run",
        "--chmod",
        "0600:/etc/a.conf",
        "--delete",
        "/var/cache/apt/archives/*.deb",
        "--touch",
        "/etc/cloned",
        "--firstboot",
        "setup.sh",
        "--firstboot-command",
        "systemctl enable --now foo",
    ]
    .map(String::from)
    .to_vec()
}

#[test]
fn everything_at_once_on_every_layout() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    for (layout, mkfs) in [
        (Layout::Gpt, ""),
        (Layout::Bare, ""),
        (Layout::Gpt, "-O orphan_file,metadata_csum_seed,inline_data"),
        (
            Layout::Bare,
            "-O ^has_journal,^extent,^64bit,^metadata_csum -b 1024",
        ),
    ] {
        for name in ["vm.qcow2", "vm.raw"] {
            let lab = Lab::new();
            host_files(&lab);
            make(&lab, name, layout, mkfs);
            // /usr/local/bin has to be there for the link
            lab.disksmith(&format!("customize -a {name} --mkdir /usr/local/bin"))
                .ok();
            lab.disksmith_args(&everything(name)).ok();
            if name.ends_with("qcow2") {
                lab.qemu_check(name);
            }
            lab.e2fsck(name, layout.root_offset());
            lab.kernel_mount(name, layout.root_offset(), |root| {
                let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
                assert_eq!(text("etc/hostname"), "web1\n");
                assert_eq!(
                    std::fs::read_link(root.join("etc/localtime")).unwrap(),
                    std::path::Path::new("/usr/share/zoneinfo/Asia/Shanghai")
                );
                assert!(
                    std::fs::read_link(root.join("etc/localtime"))
                        .unwrap()
                        .ends_with("usr/share/zoneinfo/Asia/Shanghai")
                );
                assert_eq!(text("etc/timezone"), "Asia/Shanghai\n");
                let hosts = text("etc/hosts");
                assert!(
                    hosts.contains("web1") && !hosts.contains("template") && hosts.ends_with("10.0.0.5 db\n"),
                    "{hosts}"
                );
                assert_eq!(text("etc/motd"), "hello");
                assert_eq!(
                    text("etc/ssh/sshd_config"),
                    "Port 22\nPermitRootLogin no\nUsePAM yes\n"
                );
                let shadow = text("etc/shadow");
                assert!(
                    shadow
                        .lines()
                        .all(|line| line.split(':').nth(1).unwrap().starts_with("$y$")),
                    "{shadow}"
                );
                assert_eq!(root.join("etc/shadow").metadata().unwrap().mode() & 0o7777, 0o640);
                assert_eq!(root.join("root/.ssh").metadata().unwrap().mode() & 0o7777, 0o700);
                let keys = root.join("root/.ssh/authorized_keys");
                assert_eq!(keys.metadata().unwrap().mode() & 0o7777, 0o600);
                assert!(std::fs::read_to_string(keys).unwrap().starts_with("ssh-ed25519 "));
                assert_eq!(
                    std::fs::read(root.join("opt/app/lib/data")).unwrap(),
                    vec![7u8; 300_000]
                );
                assert_eq!(
                    root.join("opt/app/run").metadata().unwrap().mode() & 0o7777,
                    0o755
                );
                assert_eq!(root.join("etc/a.conf").metadata().unwrap().mode() & 0o7777, 0o600);
                assert!(root.join("srv/data").is_dir());
                assert_eq!(
                    std::fs::read_link(root.join("usr/local/bin/run"))
                        .unwrap()
                        .to_str(),
                    Some("/opt/app/run")
                );
                assert!(!root.join("var/cache/apt/archives/foo_1_amd64.deb").exists());
                assert!(root.join("etc/cloned").is_file());
            });
        }
    }
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    if !judges(JUDGES) {
        return;
    }
    for name in ["vm.qcow2", "vm.raw"] {
        let lab = Lab::new();
        host_files(&lab);
        make(&lab, name, Layout::Gpt, "");
        let before = lab.read(name);
        let mut line = everything(name);
        line.retain(|word| word != "--link" && word != "/opt/app/run:/usr/local/bin/run");
        line.push("--dry-run".into());
        let text = lab.disksmith_args(&line).ok();
        for path in ["/etc/hostname", "/etc/shadow", "/opt/app", "/etc/cloned"] {
            assert!(text.contains(path), "{path} is not in\n{text}");
        }
        line.extend(["--output".into(), "json".into()]);
        let json: serde_json::Value = serde_json::from_str(&lab.disksmith_args(&line).ok()).unwrap();
        assert!(json.to_string().contains("/etc/hostname"));
        assert!(lab.read(name) == before, "a dry run changed {name}");
        let left: Vec<_> = std::fs::read_dir(lab.path("."))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            left.iter().all(|f| !f.to_string_lossy().contains("disksmith")),
            "left behind: {left:?}"
        );
    }
}

#[test]
fn sysprep_empties_what_every_clone_would_share() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    make(&lab, "vm.qcow2", Layout::Gpt, "");
    lab.disksmith("sysprep -a vm.qcow2").ok();
    lab.qemu_check("vm.qcow2");
    lab.e2fsck("vm.qcow2", Layout::Gpt.root_offset());
    lab.kernel_mount("vm.qcow2", Layout::Gpt.root_offset(), |root| {
        assert_eq!(std::fs::read(root.join("etc/machine-id")).unwrap(), b"");
        for gone in [
            "etc/ssh/ssh_host_ed25519_key",
            "etc/ssh/ssh_host_ed25519_key.pub",
            "var/log/syslog",
            "var/log/dpkg.log",
            "root/.bash_history",
            "home/debian/.bash_history",
            "tmp/leftover",
            "var/tmp/leftover",
            "var/lib/cloud/instances/i-abc",
        ] {
            assert!(!root.join(gone).exists(), "{gone} is still there");
        }
        for kept in [
            "etc/ssh/sshd_config",
            "tmp",
            "var/tmp",
            "var/log",
            "etc/hostname",
            "usr/share/file-000",
        ] {
            assert!(root.join(kept).exists(), "{kept} is gone");
        }
        assert_eq!(root.join("tmp").metadata().unwrap().mode() & 0o7777, 0o1777);
    });
}

#[test]
fn reading_verbs_show_what_the_kernel_shows() {
    if !judges(JUDGES) || !may_mount() {
        return;
    }
    let lab = Lab::new();
    make(&lab, "vm.qcow2", Layout::Gpt, "");
    let before = lab.read("vm.qcow2");
    assert_eq!(lab.disksmith("cat -a vm.qcow2 /etc/motd").ok(), "welcome\n");
    assert_eq!(
        lab.disksmith("cat -a vm.qcow2 /bin/../lib/os-release")
            .ok()
            .lines()
            .count(),
        4
    );
    let list = lab.disksmith("ls -a vm.qcow2 /etc/ssh").ok();
    assert_eq!(
        list,
        "ssh_host_ed25519_key\nssh_host_ed25519_key.pub\nsshd_config\n"
    );
    let long = lab.disksmith("ls -lR -a vm.qcow2 /etc").ok();
    assert!(
        long.lines()
            .any(|line| line.contains("0640") && line.contains("/etc/shadow") || line.ends_with("shadow")),
        "{long}"
    );
    std::fs::create_dir(lab.path("out")).unwrap();
    lab.disksmith("copy-out -a vm.qcow2 /usr/share /etc/motd out")
        .ok();
    lab.kernel_mount("vm.qcow2", Layout::Gpt.root_offset(), |root| {
        let said = lab.tool_args(&[
            "diff",
            "-r",
            root.join("usr/share").to_str().unwrap(),
            "out/share",
        ]);
        assert_eq!(said.status, 0, "{said:?}");
    });
    assert_eq!(lab.read("out/motd"), b"welcome\n");
    assert!(lab.read("vm.qcow2") == before, "reading changed the image");
}

#[test]
fn a_clone_is_edited_and_its_base_stays() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    host_files(&lab);
    make(&lab, "template.qcow2", Layout::Gpt, "");
    lab.disksmith("customize -a template.qcow2 --mkdir /usr/local/bin")
        .ok();
    let template = lab.read("template.qcow2");
    lab.disksmith("clone template.qcow2 vm1.qcow2 vm2.qcow2").ok();
    lab.disksmith_args(&everything("vm1.qcow2")).ok();
    assert!(lab.read("template.qcow2") == template, "the template changed");
    for image in ["template.qcow2", "vm1.qcow2", "vm2.qcow2"] {
        lab.qemu_check(image);
    }
    lab.e2fsck("vm1.qcow2", Layout::Gpt.root_offset());
    lab.qemu_same("template.qcow2", "vm2.qcow2");
    assert_eq!(lab.disksmith("cat -a vm1.qcow2 /etc/hostname").ok(), "web1\n");
    assert_eq!(lab.disksmith("cat -a vm2.qcow2 /etc/hostname").ok(), "template\n");
    // a base that has clones is not edited
    let refused = lab
        .disksmith("customize -a template.qcow2 --touch /etc/x")
        .fails(6);
    assert!(
        refused.contains("vm1.qcow2") && refused.contains("vm2.qcow2"),
        "{refused}"
    );
    assert!(lab.read("template.qcow2") == template, "the template changed");
}

#[test]
fn a_password_may_come_through_a_pipe() {
    if !judges(JUDGES) {
        return;
    }
    let lab = Lab::new();
    make(&lab, "vm.qcow2", Layout::Gpt, "");
    let program = env!("CARGO_BIN_EXE_disksmith");
    let line = format!("echo s3cret | {program} customize -a vm.qcow2 --root-password file:/dev/stdin");
    lab.tool_args(&["sh", "-c", &line]).ok();
    assert!(
        lab.disksmith("cat -a vm.qcow2 /etc/shadow")
            .ok()
            .starts_with("root:$y$")
    );
}
