//! The operations on plain files.

use crate::judge::{CLOCK, apply, empty_tree, lay_out, text};
use disksmith_guest::{Guest, Skeleton, lay_out_skeleton};
use disksmith_storage::Diagnose;
use disksmith_vfs::{FileType, Owner};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn guest() -> Guest {
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    Guest::of_tree(tree)
}

#[test]
fn write_keeps_what_a_file_has() {
    let guest = guest();
    let tree = guest.tree();
    tree.set_xattr("/etc/shadow", b"security.selinux", b"label\0")
        .unwrap();
    tree.hard_link("/etc/motd", "/etc/motd2").unwrap();
    apply(
        &guest,
        &[
            ("write", "/etc/shadow:x"),
            ("write", "/etc/motd:hello"),
            ("write", "/etc/new:a\nb"),
        ],
    )
    .unwrap();
    let metadata = tree.metadata("/etc/shadow").unwrap();
    assert_eq!((metadata.permissions, metadata.gid), (0o640, 42));
    assert_eq!(
        tree.xattr("/etc/shadow", b"security.selinux").unwrap().unwrap(),
        b"label\0"
    );
    assert_eq!(text(tree, "/etc/motd2"), "hello");
    assert_eq!(text(tree, "/etc/new"), "a\nb");
    let metadata = tree.metadata("/etc/new").unwrap();
    assert_eq!(
        (metadata.permissions, metadata.uid, metadata.modified),
        (0o644, 0, CLOCK)
    );
    let error = apply(&guest, &[("write", "/nowhere/x:y")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--write /nowhere/x:(1 bytes): /nowhere/x: no such file or directory"
    );
}

#[test]
fn appended_lines_have_the_files_own_ending() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/a", "one"),
            ("/b", "one\r\ntwo\r\n"),
            ("/c", "one\r\ntwo"),
            ("/d", ""),
            ("/e", "one\rtwo\r"),
            ("/f", "x\n"),
        ],
    );
    for (path, wanted) in [
        ("/a", "one\nNEW\n"),
        ("/b", "one\r\ntwo\r\nNEW\r\n"),
        ("/c", "one\r\ntwo\r\nNEW\r\n"),
        ("/d", "NEW\n"),
        ("/e", "one\rtwo\rNEW\r"),
        ("/f", "x\nNEW\n"),
        ("/new", "NEW\n"),
    ] {
        apply(&guest, &[("append-line", &format!("{path}:NEW"))]).unwrap();
        assert_eq!(text(tree, path), wanted, "{path}");
    }
    assert!(
        apply(&guest, &[("append-line", "/etc:x")])
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn edit_follows_links_and_says_when_nothing_changes() {
    let guest = guest();
    let tree = guest.tree();
    tree.symlink("ssh/sshd_config", "/etc/sshd", Owner::ROOT).unwrap();
    let report = apply(
        &guest,
        &[
            ("edit", "/etc/sshd:s/^#?PermitRootLogin.*/PermitRootLogin no/"),
            ("edit", "/etc/ssh/sshd_config:s/nothing/x/"),
        ],
    )
    .unwrap();
    assert!(text(tree, "/etc/ssh/sshd_config").contains("\nPermitRootLogin no\n"));
    assert!(tree.is_symlink("/etc/sshd"));
    assert_eq!(report.steps[1].notes, ["the expression changes no line"]);
    assert!(report.steps[1].changes.is_empty());
    assert!(
        apply(&guest, &[("edit", "/etc/none:s/a/b/")])
            .unwrap_err()
            .to_string()
            .contains("no such file")
    );
    assert!(
        apply(&guest, &[("edit", "/etc:s/a/b/")])
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn links_directories_modes_owners_times() {
    let guest = guest();
    let tree = guest.tree();
    apply(
        &guest,
        &[
            ("mkdir", "/srv/a/b/c"),
            ("mkdir", "/srv/a/b/c"),
            ("link", "/opt/app/run:/usr/local/bin/run:/usr/local/bin/run2"),
            ("link", "/etc/motd:/usr/local/bin/run"),
            ("chmod", "4711:/etc/motd"),
            ("chown", "1000:42:/etc/motd"),
            ("chown", "debian:/srv/a"),
            ("chown", "debian:shadow:/srv/a/b"),
            ("touch", "/etc/cloned"),
            ("truncate", "/var/log/syslog"),
        ],
    )
    .unwrap();
    assert!(tree.is_dir("/srv/a/b/c"));
    assert_eq!(tree.read_link("/usr/local/bin/run").unwrap(), b"/etc/motd");
    assert_eq!(tree.read_link("/usr/local/bin/run2").unwrap(), b"/opt/app/run");
    let metadata = tree.metadata("/etc/motd").unwrap();
    assert_eq!(
        (metadata.permissions, metadata.uid, metadata.gid),
        (0o4711, 1000, 42)
    );
    assert_eq!(tree.metadata("/srv/a").unwrap().gid, 1000);
    assert_eq!(tree.metadata("/srv/a/b").unwrap().gid, 42);
    assert_eq!(tree.metadata("/etc/cloned").unwrap().size, 0);
    assert_eq!(tree.metadata("/var/log/syslog").unwrap().size, 0);
    for (option, argument, part) in [
        ("chown", "nobody2:/etc/motd", "no user \"nobody2\""),
        ("chown", "root:none:/etc/motd", "no group \"none\""),
        ("chmod", "0644:/none", "no such file"),
        ("truncate", "/none", "no such file"),
        ("mkdir", "/etc/motd/x", "not a directory"),
    ] {
        let error = apply(&guest, &[(option, argument)]).unwrap_err();
        assert!(error.to_string().contains(part), "{option} {argument}: {error}");
    }
    // as ln -sf: into a directory
    apply(&guest, &[("link", "/x/target:/etc")]).unwrap();
    assert_eq!(tree.read_link("/etc/target").unwrap(), b"/x/target");
}

#[test]
fn delete_takes_patterns_and_stays_inside() {
    let guest = guest();
    let tree = guest.tree();
    tree.symlink("/etc", "/srv/evil", Owner::ROOT).unwrap();
    let report = apply(
        &guest,
        &[
            ("delete", "/var/cache/apt/archives/*.deb"),
            ("delete", "/srv/*"),
            ("delete", "/none/*"),
            ("delete", "/var/log"),
        ],
    )
    .unwrap();
    assert!(tree.is_dir("/etc") && !tree.is_symlink("/srv/evil"));
    assert!(!tree.exists("/var/log") && tree.is_dir("/var/cache/apt/archives"));
    assert_eq!(report.steps[2].notes, ["nothing matches /none/*"]);
    assert_eq!(report.steps[3].changes[0].files, Some(4));
    assert!(apply(&guest, &[("delete", "/")]).is_err());
    assert!(tree.is_dir("/etc"));
}

#[test]
fn move_copy_scrub_and_truncate_recursive() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/srv/t/a", "aaa"),
            ("/srv/t/d/b", "bbb"),
            ("/srv/t/link", "-> a"),
            ("/srv/into/", ""),
        ],
    );
    tree.chown("/srv/t/a", Owner { uid: 5, gid: 6 }).unwrap();
    tree.set_permissions("/srv/t/a", 0o4750).unwrap();
    tree.set_xattr("/srv/t/a", b"user.x", b"y").unwrap();
    apply(
        &guest,
        &[
            ("copy", "/srv/t:/srv/u"),
            ("copy", "/srv/t:/srv/into"),
            ("move", "/srv/t/d:/srv/into"),
        ],
    )
    .unwrap();
    let metadata = tree.metadata("/srv/u/a").unwrap();
    assert_eq!((metadata.permissions, metadata.uid, metadata.gid), (0o4750, 5, 6));
    assert_eq!(tree.xattr("/srv/u/a", b"user.x").unwrap().unwrap(), b"y");
    assert_eq!(tree.read_link("/srv/u/link").unwrap(), b"a");
    assert_eq!(text(tree, "/srv/into/t/d/b"), "bbb");
    assert_eq!(text(tree, "/srv/into/d/b"), "bbb");
    assert!(!tree.exists("/srv/t/d"));
    assert!(
        apply(&guest, &[("copy", "/srv:/srv/into")])
            .unwrap_err()
            .to_string()
            .contains("inside of what")
    );
    assert!(apply(&guest, &[("copy", "/srv/u/a:/srv/u/a")]).is_err());
    assert_eq!(text(tree, "/srv/u/a"), "aaa");
    apply(
        &guest,
        &[("truncate-recursive", "/srv/u"), ("scrub", "/srv/into/d/b")],
    )
    .unwrap();
    assert_eq!(
        tree.metadata("/srv/u/a").unwrap().size + tree.metadata("/srv/u/d/b").unwrap().size,
        0
    );
    assert!(!tree.exists("/srv/into/d/b"));
    assert!(apply(&guest, &[("scrub", "/srv/u")]).is_err());
}

#[test]
fn files_of_the_host_come_with_mode_and_owner() {
    let guest = guest();
    let tree = guest.tree();
    let host = tempfile::tempdir().unwrap();
    let app = host.path().join("app");
    std::fs::create_dir_all(app.join("sub")).unwrap();
    std::fs::write(app.join("run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(app.join("run"), PermissionsExt::from_mode(0o4755)).unwrap();
    symlink("/etc/passwd", app.join("sub/link")).unwrap();
    let mut sparse = vec![0u8; 3 << 20];
    sparse[1 << 20] = 7;
    sparse[(1 << 20) + 5000] = 8;
    std::fs::write(app.join("sub/sparse"), &sparse).unwrap();
    std::fs::File::open(app.join("run"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(77, 5))
        .unwrap();
    let app_text = app.display().to_string();
    apply(
        &guest,
        &[
            ("copy-in", &format!("{app_text}:/opt")),
            ("upload", &format!("{app_text}/run:/etc/run.conf")),
        ],
    )
    .unwrap();
    let own = std::fs::metadata(app.join("run")).unwrap();
    let metadata = tree.metadata("/opt/app/run").unwrap();
    assert_eq!(
        (metadata.permissions, metadata.uid, metadata.gid),
        (0o4755, own.uid(), own.gid())
    );
    assert_eq!(
        (metadata.modified.seconds, metadata.modified.nanoseconds),
        (77, 5)
    );
    assert_eq!(tree.metadata("/etc/run.conf").unwrap().permissions, 0o4755);
    assert_eq!(tree.read_link("/opt/app/sub/link").unwrap(), b"/etc/passwd");
    assert_eq!(tree.read("/opt/app/sub/sparse").unwrap(), sparse);
    assert!(tree.metadata("/opt/app/sub/sparse").unwrap().blocks * 512 < 64 * 1024);
    // Again, over what is there: a link in the place of a file is replaced, not followed.
    tree.remove_file("/opt/app/run").unwrap();
    tree.symlink("/etc/motd", "/opt/app/run", Owner::ROOT).unwrap();
    let motd = text(tree, "/etc/motd");
    apply(
        &guest,
        &[
            ("copy-in", &format!("{app_text}:/opt")),
            ("upload", &format!("{app_text}/run:/srv")),
        ],
    )
    .unwrap();
    assert_eq!(text(tree, "/etc/motd"), motd);
    assert_eq!(text(tree, "/opt/app/run"), "#!/bin/sh\n");
    assert_eq!(text(tree, "/srv/run"), "#!/bin/sh\n");
    for (option, argument, part) in [
        (
            "copy-in",
            format!("{app_text}:/none"),
            "is not a directory that exists",
        ),
        ("copy-in", format!("{app_text}/none:/opt"), "cannot read"),
        (
            "upload",
            format!("{app_text}:/opt"),
            "--copy-in copies directories",
        ),
        ("upload", format!("{app_text}/run:/none/x"), "no such file"),
    ] {
        let error = apply(&guest, &[(option, &argument)]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn no_link_leads_out_of_the_guest() {
    let outside = tempfile::tempdir().unwrap();
    let canary = outside.path().join("canary");
    std::fs::write(&canary, "untouched").unwrap();
    let guest = guest();
    let tree = guest.tree();
    let out = outside.path().display().to_string();
    tree.symlink(&out, "/srv/out", Owner::ROOT).unwrap();
    tree.symlink(format!("{out}/canary"), "/srv/canary", Owner::ROOT)
        .unwrap();
    tree.symlink(format!("../../../../../..{out}"), "/srv/dots", Owner::ROOT)
        .unwrap();
    for (option, argument) in [
        ("write", "/srv/canary:x"),
        ("append-line", "/srv/canary:x"),
        ("write", "/srv/out/canary:x"),
        ("write", "/srv/dots/canary:x"),
        ("edit", "/srv/canary:s/u/x/"),
        ("touch", "/srv/dots/new"),
    ] {
        assert!(
            apply(&guest, &[(option, argument)]).is_err(),
            "{option} {argument}"
        );
    }
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    // The link that Debian and Ubuntu have: its directory only exists at run time.
    let error = apply(&guest, &[("write", "/etc/resolv.conf:nameserver 1.1.1.1")]).unwrap_err();
    assert!(
        error.hint().is_none() && error.to_string().contains("no such file"),
        "{error}"
    );
    apply(
        &guest,
        &[
            ("mkdir", "/run/systemd/resolve"),
            ("write", "/etc/resolv.conf:nameserver 1.1.1.1"),
        ],
    )
    .unwrap();
    assert!(tree.is_symlink("/etc/resolv.conf"));
    assert_eq!(
        text(tree, "/run/systemd/resolve/stub-resolv.conf"),
        "nameserver 1.1.1.1"
    );
    assert_eq!(
        tree.symlink_metadata("/run/systemd/resolve/stub-resolv.conf")
            .unwrap()
            .file_type,
        FileType::Regular
    );
}
