//! Users, keys, labels, and what the report says.

use crate::judge::{apply, empty_tree, lay_out, operations, password_field, run, text, verifies};
use disksmith_guest::{
    Action, Context, Guest, Scheme, SeededRandom, SelinuxOutcome, Skeleton, customize, lay_out_skeleton,
};
use disksmith_storage::{Diagnose, ErrorKind};

fn guest() -> Guest {
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    Guest::of_tree(tree)
}

#[test]
fn every_password_selector_works() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pw");
    std::fs::write(&file, "from file: x\r\nsecond line\n").unwrap();
    let file = format!("file:{}", file.display());
    for (selector, prefix, password) in [
        ("password:a:b c", "$y$", Some("a:b c")),
        (file.as_str(), "$y$", Some("from file: x")),
        ("disabled", "*", None),
        ("locked", "!!*", None),
        ("locked:disabled", "!!*", None),
        ("locked:password:x", "!!$y$", None),
    ] {
        let guest = guest();
        apply(&guest, &[("password", &format!("debian:{selector}"))]).unwrap();
        let field = password_field(guest.tree(), "/etc/shadow", "debian");
        assert!(field.starts_with(prefix), "{selector}: {field}");
        if let Some(password) = password {
            assert_ne!(verifies(password, &field), Some(false), "{selector}");
            assert_ne!(verifies("other", &field), Some(true));
        }
        assert_eq!(password_field(guest.tree(), "/etc/shadow", "root"), "*");
        assert_eq!(guest.tree().metadata("/etc/shadow").unwrap().gid, 42);
    }
    let guest = guest();
    let report = apply(&guest, &[("root-password", "random")]).unwrap();
    let made = &report.passwords[0];
    assert_eq!((made.user.as_str(), made.password.len()), ("root", 16));
    assert_ne!(
        verifies(
            &made.password,
            &password_field(guest.tree(), "/etc/shadow", "root")
        ),
        Some(false)
    );
    assert!(!report.to_string().contains(&made.password));
}

#[test]
fn the_scheme_can_be_chosen() {
    for (scheme, prefix) in [
        (Scheme::Md5, "$1$"),
        (Scheme::Sha256, "$5$"),
        (Scheme::Sha512, "$6$"),
        (Scheme::Yescrypt, "$y$"),
    ] {
        let guest = guest();
        let mut random = SeededRandom::new(9);
        let mut context = Context::new(&mut random);
        context.password_scheme = Some(scheme);
        customize(
            &guest,
            &operations(&[("root-password", "password:x")]),
            &mut context,
        )
        .unwrap();
        assert!(password_field(guest.tree(), "/etc/shadow", "root").starts_with(prefix));
    }
}

#[test]
fn passwords_come_last_and_users_must_exist() {
    let guest = guest();
    let report = apply(
        &guest,
        &[
            ("password", "carol:password:x"),
            (
                "append-line",
                "/etc/passwd:carol:x:1001:1001::/home/carol:/bin/sh",
            ),
            ("touch", "/x"),
        ],
    )
    .unwrap();
    assert_eq!(
        report.steps.last().unwrap().operation,
        "--password carol:password:(hidden)"
    );
    let shadow = text(guest.tree(), "/etc/shadow");
    assert!(shadow.lines().last().unwrap().starts_with("carol:$y$"));
    assert!(shadow.ends_with(":20254:0:99999:7:::\n"), "{shadow}");
    let error = apply(&guest, &[("password", "nosuch:random")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no user \"nosuch\""), "{error}");
    let error = apply(
        &guest,
        &[("root-password", "random"), ("password", "root:disabled")],
    )
    .unwrap_err();
    assert!(error.to_string().contains("set twice"), "{error}");
}

#[test]
fn nothing_is_changed_before_the_hosts_files_are_there() {
    let guest = guest();
    for (option, argument) in [
        ("password", "root:file:/nonexistent/pw"),
        ("ssh-inject", "root:file:/nonexistent/key"),
        ("ssh-inject", "root"),
        ("ssh-inject", "root:string:hello"),
        ("firstboot", "/nonexistent/script"),
        ("upload", "/nonexistent/file:/etc/x"),
        ("copy-in", "/nonexistent/dir:/etc"),
    ] {
        let error = apply(&guest, &[("write", "/etc/first:x"), (option, argument)]).unwrap_err();
        assert!(!guest.tree().exists("/etc/first"), "{option} {argument}: {error}");
    }
}

#[test]
fn keys_are_added_once_with_owner_and_modes() {
    let guest = guest();
    let tree = guest.tree();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@host";
    let inject = format!("debian:string:{key}");
    apply(&guest, &[("ssh-inject", &inject)]).unwrap();
    for (path, permissions) in [
        ("/home/debian/.ssh", 0o700),
        ("/home/debian/.ssh/authorized_keys", 0o600),
    ] {
        let metadata = tree.metadata(path).unwrap();
        assert_eq!(
            (metadata.permissions, metadata.uid, metadata.gid),
            (permissions, 1000, 1000),
            "{path}"
        );
    }
    let report = apply(&guest, &[("ssh-inject", &inject)]).unwrap();
    assert!(report.steps[0].changes.is_empty());
    assert_eq!(
        text(tree, "/home/debian/.ssh/authorized_keys"),
        format!("{key}\n")
    );
    tree.write(
        "/home/debian/.ssh/authorized_keys",
        b"ssh-rsa B",
        disksmith_vfs::Owner::ROOT,
        0o600,
    )
    .unwrap();
    apply(&guest, &[("ssh-inject", &inject)]).unwrap();
    assert_eq!(
        text(tree, "/home/debian/.ssh/authorized_keys"),
        format!("ssh-rsa B\n{key}\n")
    );
    assert!(
        apply(&guest, &[("ssh-inject", &format!("nosuch:string:{key}"))])
            .unwrap_err()
            .to_string()
            .contains("nosuch")
    );
    // The host's newest key.
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    std::fs::write(home.path().join(".ssh/id_x.pub"), "ssh-rsa NEWEST me\n").unwrap();
    let mut random = SeededRandom::new(1);
    let mut context = Context::new(&mut random);
    context.host_home = Some(home.path().to_owned());
    customize(&guest, &operations(&[("ssh-inject", "root")]), &mut context).unwrap();
    assert_eq!(text(tree, "/root/.ssh/authorized_keys"), "ssh-rsa NEWEST me\n");
}

#[test]
fn a_timezone_must_be_known_to_the_guest() {
    let guest = guest();
    let error = apply(&guest, &[("timezone", "Mars/Olympus")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("zoneinfo"));
    let tree = empty_tree();
    lay_out(&tree, &[("/etc/os-release", "ID=alpine\n")]);
    let error = apply(&Guest::of_tree(tree), &[("timezone", "Europe/Berlin")]).unwrap_err();
    assert!(error.hint().unwrap().contains("tzdata"));
}

const LABEL: &[u8] = b"security.selinux";

fn selinux_guest() -> Guest {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[(
            "/etc/selinux/config",
            "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
        )],
    );
    for (path, label) in [
        ("/", "root_t"),
        ("/etc", "etc_t"),
        ("/etc/motd", "etc_t"),
        ("/root", "admin_home_t"),
        ("/home/debian", "user_home_dir_t"),
        ("/opt", "usr_t"),
        ("/srv", "var_t"),
        ("/var/log", "var_log_t"),
        ("/var/log/syslog", "var_log_t"),
        ("/var/log/wtmp", "wtmp_t"),
    ] {
        tree.set_xattr(path, LABEL, format!("system_u:object_r:{label}:s0\0").as_bytes())
            .unwrap();
    }
    guest
}

fn label(guest: &Guest, path: &str) -> String {
    let label = guest.tree().xattr(path, LABEL).unwrap().unwrap();
    String::from_utf8(label)
        .unwrap()
        .split(':')
        .nth(2)
        .unwrap()
        .to_owned()
}

#[test]
fn labels_are_kept_inherited_or_remade() {
    let guest = selinux_guest();
    let report = apply(
        &guest,
        &[
            ("write", "/etc/motd:x"),
            ("ssh-inject", "root:string:ssh-rsa A b"),
            ("ssh-inject", "debian:string:ssh-rsa A b"),
        ],
    )
    .unwrap();
    assert_eq!(report.selinux, SelinuxOutcome::LabelsKept);
    assert_eq!(label(&guest, "/etc/motd"), "etc_t");
    for path in [
        "/root/.ssh",
        "/root/.ssh/authorized_keys",
        "/home/debian/.ssh/authorized_keys",
    ] {
        assert_eq!(label(&guest, path), "ssh_home_t", "{path}");
    }
    assert!(!guest.tree().exists("/.autorelabel"));
    // Siblings that differ leave it open.
    let report = apply(&guest, &[("write", "/var/log/new:x")]).unwrap();
    assert_eq!(report.selinux, SelinuxOutcome::RelabelAtBoot);
    assert_eq!(label(&guest, "/var/log/new"), "var_log_t");
    assert!(guest.tree().exists("/.autorelabel"));
    // The caller can say no.
    let guest = selinux_guest();
    let mut random = SeededRandom::new(1);
    let mut context = Context::new(&mut random);
    context.selinux_relabel = false;
    let report = customize(&guest, &operations(&[("mkdir", "/srv/x")]), &mut context).unwrap();
    assert_eq!(report.selinux, SelinuxOutcome::RelabelDeclined);
    assert!(!guest.tree().exists("/.autorelabel"));
    // Nor is it done where SELinux is off.
    lay_out(guest.tree(), &[("/etc/selinux/config", "SELINUX=disabled\n")]);
    assert_eq!(
        apply(&guest, &[("mkdir", "/srv/y")]).unwrap().selinux,
        SelinuxOutcome::NotUsed
    );
}

#[test]
fn the_report_says_what_changed() {
    let guest = guest();
    let report = apply(
        &guest,
        &[
            ("hostname", "web1"),
            ("write", "/etc/new:abc"),
            ("chmod", "0600:/etc/new"),
            ("link", "/x:/y"),
            ("delete", "/tmp/left-over"),
            ("hostname", "web1"),
        ],
    )
    .unwrap();
    assert_eq!(
        report.to_string(),
        "--hostname web1\n\
         \x20 ~ /etc/hostname, 9 -> 5 bytes\n\
         \x20 ~ /etc/hosts, 82 -> 78 bytes\n\
         --write /etc/new:(3 bytes)\n\
         \x20 + /etc/new, 3 bytes, mode 0644, owner 0:0\n\
         --chmod 0600:/etc/new\n\
         \x20 ~ /etc/new, mode 0644 -> 0600\n\
         --link /x:/y\n\
         \x20 + /y -> /x\n\
         --delete /tmp/left-over\n\
         \x20 - /tmp/left-over, 2 bytes\n\
         nothing to change: --hostname web1\n"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["steps"][2]["changes"][0]["mode_after"], "0600");
    assert_eq!(json["steps"][1]["changes"][0]["type"], "file");
    assert_eq!(json["steps"][1]["changes"][0]["action"], "created");
    assert_eq!(json["selinux"], "not-used");
    assert_eq!(report.steps[0].changes[0].action, Action::Modified);
}

#[test]
fn shell_tools_agree_on_the_scripts() {
    let guest = guest();
    apply(
        &guest,
        &[("firstboot-command", "true"), ("firstboot-install", "vim,git")],
    )
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    for path in [
        "/usr/lib/virt-sysprep/firstboot.sh",
        "/usr/lib/virt-sysprep/scripts/5000-0002-install-vim-git",
    ] {
        let file = dir.path().join("script");
        std::fs::write(&file, text(guest.tree(), path)).unwrap();
        if let Some((good, output)) = run("sh", &["-n", &file.display().to_string()]) {
            assert!(good, "{path}: {output}");
        }
    }
    if let Ok(output) = std::process::Command::new("systemd-analyze")
        .arg("--version")
        .output()
        && output.status.success()
    {
        let unit = dir.path().join("guestfs-firstboot.service");
        let contents = text(guest.tree(), "/usr/lib/systemd/system/guestfs-firstboot.service");
        std::fs::write(
            &unit,
            contents.replace("/usr/lib/virt-sysprep/firstboot.sh", "/bin/true"),
        )
        .unwrap();
        let (good, output) = run("systemd-analyze", &["verify", &unit.display().to_string()]).unwrap();
        assert!(good, "{output}");
    }
}

#[test]
fn edges_of_files_and_owners() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[("/srv/open", "no end"), ("/srv/dos", "a\r\n"), ("/srv/f", "x")],
    );
    tree.truncate("/srv/f", 200 << 20).unwrap();
    for path in ["/srv/open", "/srv/dos", "/srv/f", "/srv/new"] {
        apply(&guest, &[("append-line", &format!("{path}:line"))]).unwrap();
    }
    assert_eq!(text(tree, "/srv/open"), "no end\nline\n");
    assert_eq!(text(tree, "/srv/dos"), "a\r\nline\r\n");
    assert_eq!(text(tree, "/srv/new"), "line\n");
    // What is larger than any text only grows.
    assert_eq!(tree.metadata("/srv/f").unwrap().size, (200 << 20) + 6);
    let refused = |list: &[(&str, &str)], wanted: &str| {
        let error = apply(&guest, list).unwrap_err().to_string();
        assert!(error.contains(wanted), "{list:?}: {error}");
    };
    refused(&[("edit", "/srv/f:s/a/b/")], "more than 64 MiB");
    refused(&[("chown", "4294967295:0:/srv/dos")], "4294967295");
    refused(&[("move", "/srv/dos:/srv/../srv/dos")], "is the same file");
    tree.remove_all("/etc/passwd").unwrap();
    lay_out(tree, &[("/etc/passwd/x", "x")]);
    refused(
        &[("root-password", "password:x")],
        "/etc/passwd in the guest: is not a regular file",
    );
}

#[test]
fn a_time_zone_does_not_follow_links() {
    let guest = guest();
    let tree = guest.tree();
    let before = text(tree, "/etc/shadow");
    lay_out(tree, &[("/usr/share/zoneinfo/Europe/Berlin", "TZif2")]);
    let _ = tree.remove_all("/etc/timezone");
    tree.symlink("/etc/shadow", "/etc/timezone", disksmith_vfs::Owner::ROOT)
        .unwrap();
    apply(&guest, &[("timezone", "Europe/Berlin")]).unwrap();
    assert_eq!(text(tree, "/etc/shadow"), before);
    assert_eq!(text(tree, "/etc/timezone"), "Europe/Berlin\n");
}
