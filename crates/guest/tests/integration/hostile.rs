//! What a user of the guest, or a slip of the one who edits it, must not bring about.

use crate::judge::{CLOCK, apply, empty_tree, lay_out, password_field, text};
use disksmith_guest::{Dialect, Guest, Operation, Skeleton, lay_out_skeleton};
use disksmith_storage::{Diagnose, ErrorKind};
use disksmith_vfs::{FileType, NewNode, Owner, Tree};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@host";
const DEBIAN: Owner = Owner { uid: 1000, gid: 1000 };

fn guest() -> Guest {
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    tree.create_dir_all("/home", Owner::ROOT, 0o755).unwrap();
    if !tree.exists("/home/debian") {
        tree.create_dir("/home/debian", DEBIAN, 0o755).unwrap();
    }
    Guest::of_tree(tree)
}

/// Every path of a tree with type, owner, and contents or target.
fn everything(tree: &Tree) -> Vec<String> {
    let mut all = Vec::new();
    tree.walk("/", |entry| {
        let contents = match entry.metadata.file_type {
            FileType::Regular => tree.read(&entry.path).unwrap(),
            FileType::Symlink => tree.read_link(&entry.path).unwrap(),
            _ => Vec::new(),
        };
        all.push(format!(
            "{} {:?} {}:{} {}",
            String::from_utf8_lossy(&entry.path),
            entry.metadata.file_type,
            entry.metadata.uid,
            entry.metadata.gid,
            String::from_utf8_lossy(&contents)
        ));
        Ok::<_, disksmith_vfs::Error>(disksmith_vfs::WalkStep::Continue)
    })
    .unwrap();
    all
}

/// Injects a key after `prepare`, which must be refused with all files left as they were.
fn refused(user: &str, part: &str, prepare: impl FnOnce(&Tree)) {
    let guest = guest();
    prepare(guest.tree());
    let before = everything(guest.tree());
    let error = apply(&guest, &[("ssh-inject", &format!("{user}:string:{KEY}"))]).unwrap_err();
    assert!(error.to_string().contains(part), "{part}: {error}");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.hint().unwrap().contains("--delete"), "{error}");
    assert_eq!(everything(guest.tree()), before, "{error}");
}

#[test]
fn keys_are_not_put_where_a_link_of_the_user_leads() {
    for target in ["/etc", "../../etc", "../etc", "/nowhere", ".real"] {
        refused("debian", "/home/debian/.ssh", |tree| {
            tree.create_dir("/home/debian/.real", DEBIAN, 0o700).unwrap();
            tree.symlink(target, "/home/debian/.ssh", DEBIAN).unwrap();
        });
    }
    for target in [
        "/etc/newfile",
        "/etc/sudoers.d/x",
        "/etc/passwd",
        "../../../etc/passwd",
        "keys",
        "authorized_keys2",
    ] {
        refused("debian", "/home/debian/.ssh/authorized_keys", |tree| {
            tree.create_dir("/home/debian/.ssh", DEBIAN, 0o700).unwrap();
            tree.write("/home/debian/.ssh/keys", b"ssh-rsa B\n", DEBIAN, 0o600)
                .unwrap();
            tree.symlink(target, "/home/debian/.ssh/authorized_keys", DEBIAN)
                .unwrap();
        });
    }
}

#[test]
fn links_of_root_may_not_leave_the_home_of_another_user() {
    refused("debian", "leaves", |tree| {
        tree.symlink("/etc", "/home/debian/.ssh", Owner::ROOT).unwrap();
    });
    // The second link is the user's, and leads out.
    refused("debian", "leaves", |tree| {
        tree.symlink("/etc", "/home/debian/there", DEBIAN).unwrap();
        tree.symlink("there", "/home/debian/.ssh", Owner::ROOT).unwrap();
    });
    refused("debian", "leaves", |tree| {
        tree.create_dir("/home/debian/.ssh", DEBIAN, 0o700).unwrap();
        tree.symlink("/etc/passwd", "/home/debian/.ssh/authorized_keys", Owner::ROOT)
            .unwrap();
    });
    refused("debian", "leads nowhere", |tree| {
        tree.create_dir("/home/debian/.ssh", DEBIAN, 0o700).unwrap();
        tree.symlink("keys", "/home/debian/.ssh/authorized_keys", Owner::ROOT)
            .unwrap();
    });
    // One that stays inside is followed.
    let guest = guest();
    let tree = guest.tree();
    tree.create_dir("/home/debian/real", DEBIAN, 0o700).unwrap();
    tree.symlink("real", "/home/debian/.ssh", Owner::ROOT).unwrap();
    apply(&guest, &[("ssh-inject", &format!("debian:string:{KEY}"))]).unwrap();
    assert_eq!(
        text(tree, "/home/debian/real/authorized_keys"),
        format!("{KEY}\n")
    );
}

#[test]
fn a_second_name_of_a_file_of_root_gets_no_key() {
    refused("debian", "another name", |tree| {
        tree.create_dir("/home/debian/.ssh", DEBIAN, 0o700).unwrap();
        tree.hard_link("/etc/passwd", "/home/debian/.ssh/authorized_keys")
            .unwrap();
    });
}

#[test]
fn a_home_that_is_another_users_link_gets_no_key() {
    refused("svc", "/home/debian/svc", |tree| {
        let mut passwd = tree.read("/etc/passwd").unwrap();
        passwd.extend_from_slice(b"svc:x:990:990::/home/debian/svc:/bin/sh\n");
        tree.write("/etc/passwd", &passwd, Owner::ROOT, 0o644).unwrap();
        tree.symlink("/etc", "/home/debian/svc", DEBIAN).unwrap();
    });
    // Where root keeps homes elsewhere, its links are followed.
    let guest = guest();
    let tree = guest.tree();
    tree.remove_dir_all("/home/debian").unwrap();
    tree.create_dir_all("/data/homes/debian", DEBIAN, 0o755).unwrap();
    tree.symlink("/data/homes/debian", "/home/debian", Owner::ROOT)
        .unwrap();
    apply(&guest, &[("ssh-inject", &format!("debian:string:{KEY}"))]).unwrap();
    assert!(tree.is_file("/data/homes/debian/.ssh/authorized_keys"));
}

#[test]
fn links_of_root_in_its_own_home_are_followed_to_what_is_there() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/root/.ssh/authorized_keys", "-> /etc/keys/root"),
            ("/etc/keys/root", "ssh-rsa B\n"),
        ],
    );
    apply(&guest, &[("ssh-inject", &format!("root:string:{KEY}"))]).unwrap();
    assert_eq!(text(tree, "/etc/keys/root"), format!("ssh-rsa B\n{KEY}\n"));
    refused("root", "leads nowhere", |tree| {
        lay_out(tree, &[("/root/.ssh/authorized_keys", "-> /etc/keys/root")]);
    });
    refused("root", "not root's", |tree| {
        tree.create_dir_all("/root/.ssh", Owner::ROOT, 0o700).unwrap();
        tree.symlink("/etc/motd", "/root/.ssh/authorized_keys", DEBIAN)
            .unwrap();
    });
}

#[test]
fn a_hash_never_goes_to_passwd_because_shadow_cannot_be_used() {
    for (kind, part) in [
        ("dangling", "leads nowhere"),
        ("loop", "/etc/shadow"),
        ("directory", "is not a regular file"),
        ("fifo", "is not a regular file"),
        ("missing", "is missing"),
    ] {
        for field in ["x", "$6$old$hash"] {
            if kind == "missing" && field != "x" {
                continue;
            }
            let guest = guest();
            let tree = guest.tree();
            let passwd = text(tree, "/etc/passwd").replacen("root:x:", &format!("root:{field}:"), 1);
            tree.write("/etc/passwd", passwd.as_bytes(), Owner::ROOT, 0o644)
                .unwrap();
            tree.remove_file("/etc/shadow").unwrap();
            match kind {
                "dangling" => tree
                    .symlink("/nowhere/shadow", "/etc/shadow", Owner::ROOT)
                    .unwrap(),
                "loop" => tree.symlink("shadow", "/etc/shadow", Owner::ROOT).unwrap(),
                "directory" => tree.create_dir("/etc/shadow", Owner::ROOT, 0o700).unwrap(),
                "fifo" => {
                    let new = NewNode {
                        file_type: FileType::Fifo,
                        permissions: 0o600,
                        uid: 0,
                        gid: 0,
                        time: CLOCK,
                        target: b"",
                        device: (0, 0),
                    };
                    tree.create_node("/etc/shadow", &new).unwrap();
                }
                _ => {}
            }
            let before = everything(tree);
            let error = apply(&guest, &[("root-password", "password:secret")]).unwrap_err();
            assert!(error.to_string().contains("/etc/shadow"), "{kind}: {error}");
            assert!(error.to_string().contains(part), "{kind}: {error}");
            assert_eq!(everything(tree), before, "{kind}");
        }
    }
}

#[test]
fn a_guest_without_shadow_keeps_its_hashes_in_passwd() {
    let guest = guest();
    let tree = guest.tree();
    tree.remove_file("/etc/shadow").unwrap();
    tree.write(
        "/etc/passwd",
        b"root:$1$a$b:0:0:root:/root:/bin/sh\n",
        Owner::ROOT,
        0o644,
    )
    .unwrap();
    apply(&guest, &[("root-password", "password:secret")]).unwrap();
    assert!(password_field(tree, "/etc/passwd", "root").starts_with("$y$"));
    assert!(!tree.exists("/etc/shadow"));
}

#[test]
fn an_empty_password_is_refused() {
    for (option, argument) in [
        ("root-password", "password:"),
        ("password", "debian:password:"),
        ("root-password", "locked:password:"),
    ] {
        let error = Operation::parse(option, argument, Dialect::Disksmith).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{option} {argument}");
        assert!(error.to_string().contains("the password is empty"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pw");
    for contents in ["", "\n", "\r\n", "\nsecond\n"] {
        std::fs::write(&file, contents).unwrap();
        let guest = guest();
        let before = everything(guest.tree());
        let selector = format!("file:{}", file.display());
        let error = apply(&guest, &[("touch", "/first"), ("root-password", &selector)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{contents:?}: {error}");
        assert_eq!(everything(guest.tree()), before);
    }
}

#[test]
fn devices_pipes_and_sockets_of_the_host_are_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let link = dir.path().join("link");
    symlink("/dev/zero", &link).unwrap();
    let text_of = |path: &std::path::Path| path.display().to_string();
    let (fifo, socket, link) = (text_of(&fifo), text_of(&socket), text_of(&link));
    for (source, options) in [
        ("/dev/zero", &["upload", "copy-in"][..]),
        ("/dev/null", &["upload", "copy-in"]),
        (&fifo, &["upload", "copy-in"]),
        (&socket, &["upload", "copy-in"]),
        (&link, &["upload"]),
    ] {
        for option in options {
            let guest = guest();
            let before = everything(guest.tree());
            let error = apply(
                &guest,
                &[("touch", "/first"), (option, &format!("{source}:/srv"))],
            );
            let error = error.unwrap_err().to_string();
            assert!(error.contains(source) && error.contains("not a file"), "{error}");
            assert_eq!(everything(guest.tree()), before, "{option} {source}");
        }
    }
    // A directory with such things is copied with them.
    let guest = guest();
    apply(&guest, &[("copy-in", &format!("{}:/srv", dir.path().display()))]).unwrap();
    let copied = format!("/srv/{}", dir.path().file_name().unwrap().to_str().unwrap());
    for (name, file_type) in [
        ("fifo", FileType::Fifo),
        ("socket", FileType::Socket),
        ("link", FileType::Symlink),
    ] {
        let metadata = guest.tree().symlink_metadata(format!("{copied}/{name}")).unwrap();
        assert_eq!(metadata.file_type, file_type);
    }
    // What is read as a whole has an end.
    for (option, argument) in [
        ("firstboot", "/dev/zero"),
        ("ssh-inject", "root:file:/dev/zero"),
        ("root-password", "file:/dev/zero"),
    ] {
        assert!(apply(&guest, &[(option, argument)]).is_err(), "{option}");
    }
    assert!(disksmith_guest::operations_from_file("/dev/zero".as_ref(), Dialect::Disksmith).is_err());
}

#[test]
fn names_that_are_not_utf8_are_edited() {
    let guest = guest();
    let tree = guest.tree();
    let dir = tempfile::tempdir().unwrap();
    let host = [dir.path().as_os_str().as_encoded_bytes(), b"/h\xff"].concat();
    std::fs::write(
        <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&host),
        "host",
    )
    .unwrap();
    let upload = [host.as_slice(), b":/srv/u\xfe"].concat();
    let copy_in = [host.as_slice(), b":/srv"].concat();
    let mut random = disksmith_guest::SeededRandom::new(1);
    let list: Vec<Operation> = [
        ("touch", &b"/e\xff"[..]),
        ("write", b"/w\xff:a\xfe"),
        ("chmod", b"0600:/w\xff"),
        ("chown", b"1000:1000:/w\xff"),
        ("append-line", b"/w\xff:b\xfd"),
        ("edit", b"/w\xff:s/^b/c/"),
        ("link", b"/t\xff:/l\xff"),
        ("copy", b"/w\xff:/c\xff"),
        ("move", b"/c\xff:/m\xff"),
        ("upload", &upload),
        ("copy-in", &copy_in),
        ("delete", b"/e\xff"),
    ]
    .into_iter()
    .map(|(option, argument)| Operation::parse(option, argument, Dialect::Disksmith).unwrap())
    .collect();
    disksmith_guest::customize(&guest, &list, &mut disksmith_guest::Context::new(&mut random)).unwrap();
    assert!(!tree.exists(b"/e\xff"));
    assert_eq!(tree.read(b"/w\xff").unwrap(), b"a\xfe\nc\xfd\n");
    assert_eq!(tree.metadata(b"/w\xff").unwrap().permissions, 0o600);
    assert_eq!(tree.read_link(b"/l\xff").unwrap(), b"/t\xff");
    assert_eq!(tree.read(b"/m\xff").unwrap(), b"a\xfe\nc\xfd\n");
    assert_eq!(tree.read(b"/srv/u\xfe").unwrap(), b"host");
    assert_eq!(tree.read(b"/srv/h\xff").unwrap(), b"host");
    for (option, argument) in [
        ("hostname", &b"h\xff"[..]),
        ("timezone", b"Europe/\xff"),
        ("firstboot-command", b"echo \xff"),
        ("root-password", b"password:secret\xff"),
        ("ssh-inject", b"root:string:ssh-rsa \xff"),
        ("edit", b"/a:s/\xff/b/"),
        ("chown", b"\xff:/a"),
    ] {
        let error = Operation::parse(option, argument, Dialect::Disksmith).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let error = error.to_string();
        assert!(
            error.contains(&format!("--{option}")) && error.contains("UTF-8"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}
