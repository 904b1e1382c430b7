//! Work for programs of the guest, the host's perl, and the order of a cleaning.

use crate::judge::{apply, empty_tree, lay_out, operations, text};
use disksmith_guest::{
    Context, Exec, Guest, Operation, Report, SeededRandom, Skeleton, customize, find_perl, lay_out_skeleton,
    select_operations, sysprep, sysprep_as_tool,
};
use disksmith_storage::{Diagnose, ErrorKind};

fn guest() -> Guest {
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    Guest::of_tree(tree)
}

fn at_first_boot(guest: &Guest, list: &[(&str, &str)]) -> disksmith_guest::Result<Report> {
    let mut random = SeededRandom::new(1);
    let mut context = Context::new(&mut random);
    context.exec = Exec::FirstBoot;
    customize(guest, &operations(list), &mut context)
}

/// The first-boot scripts of a guest: name and text.
fn scripts(guest: &Guest) -> Vec<(String, String)> {
    let dir = "/usr/lib/virt-sysprep/scripts";
    let entries = guest.tree().read_dir(dir).unwrap_or_default();
    let mut scripts: Vec<_> = entries
        .into_iter()
        .map(|e| String::from_utf8(e.name).unwrap())
        .map(|name| (name.clone(), text(guest.tree(), &format!("{dir}/{name}"))))
        .collect();
    scripts.sort();
    scripts
}

#[test]
fn without_exec_they_are_refused_before_any_change() {
    for (option, argument) in [
        ("install", "vim"),
        ("uninstall", "vim"),
        ("update", ""),
        ("run", "/nonexistent"),
        ("run-command", "true"),
        ("sm-register", ""),
        ("sm-attach", "auto"),
        ("sm-credentials", "me:password:x"),
        ("sm-remove", ""),
        ("sm-unregister", ""),
    ] {
        let guest = guest();
        let error = apply(&guest, &[("write", "/etc/motd:changed"), (option, argument)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{option}: {error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("--{option} is not supported")),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("--exec=firstboot"));
        assert_ne!(text(guest.tree(), "/etc/motd"), "changed");
    }
}

#[test]
fn at_the_first_boot_they_run_in_the_order_given() {
    let host = tempfile::tempdir().unwrap();
    let script = host.path().join("own");
    std::fs::write(&script, "echo no interpreter\n").unwrap();
    let pools = host.path().join("pools");
    std::fs::write(&pools, "p1\n\n p2 \n").unwrap();
    let guest = guest();
    let report = at_first_boot(
        &guest,
        &[
            ("install", "vim,git"),
            ("firstboot-command", "echo between"),
            ("run", script.to_str().unwrap()),
            ("uninstall", "nano"),
            ("update", ""),
            ("sm-credentials", "me:password:it's"),
            ("sm-register", ""),
            ("sm-attach", &format!("file:{}", pools.display())),
            ("run-command", "echo last"),
        ],
    )
    .unwrap();
    let scripts = scripts(&guest);
    let wanted = [
        "install 'vim' 'git'",
        "echo between",
        "echo no interpreter",
        "remove 'nano'",
        "upgrade",
        r"register --username='me' --password='it'\''s'",
        "attach --pool='p1' --pool='p2'",
        "echo last",
    ];
    assert_eq!(scripts.len(), wanted.len());
    for ((name, text), wanted) in scripts.iter().zip(wanted) {
        assert!(text.starts_with("#!/bin/sh\n"), "{name}: {text}");
        assert!(text.contains(wanted), "{name}: {text}");
    }
    // the one with the password
    let path = format!("/usr/lib/virt-sysprep/scripts/{}", scripts[5].0);
    assert_eq!(guest.tree().metadata(&path).unwrap().permissions, 0o700);
    assert!(scripts[5].1.contains("rm -f \"$0\""));
    assert!(!report.to_string().contains("it's"), "{report}");
    let error = at_first_boot(&guest, &[("sm-register", "")]).unwrap_err();
    assert!(error.to_string().contains("needs --sm-credentials"), "{error}");
}

#[test]
fn every_package_manager_has_its_words() {
    for (files, install, uninstall, update) in [
        (
            &[("/etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n")][..],
            "apt-get",
            "apt-get",
            "upgrade",
        ),
        (
            &[("/etc/os-release", "ID=fedora\nVERSION_ID=40\n")],
            "dnf -y install",
            "dnf -y remove",
            "dnf -y --best upgrade",
        ),
        (
            &[
                ("/etc/os-release", "ID=centos\nVERSION_ID=7\n"),
                ("/etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n"),
            ],
            "yum -y install",
            "yum -y remove",
            "yum -y update",
        ),
        (
            &[("/etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n")],
            "zypper --non-interactive",
            "zypper --non-interactive remove",
            "update",
        ),
        (
            &[
                (
                    "/etc/os-release",
                    "ID=\"opensuse-microos\"\nID_LIKE=\"suse opensuse\"\n",
                ),
                ("/usr/sbin/transactional-update", "x"),
            ],
            "transactional-update --non-interactive --continue pkg install",
            "pkg remove",
            "dup",
        ),
        (
            &[("/etc/os-release", "ID=alpine\nVERSION_ID=3.20.0\n")],
            "apk add",
            "apk del",
            "apk upgrade",
        ),
        (
            &[("/etc/os-release", "ID=arch\n")],
            "pacman -Sy",
            "pacman -R",
            "pacman -Syu",
        ),
        (
            &[("/etc/os-release", "ID=void\n")],
            "xbps-install -Sy",
            "xbps-remove",
            "xbps-install -Suy",
        ),
        (
            &[("/etc/os-release", "ID=gentoo\n")],
            "emerge",
            "--depclean",
            "@world",
        ),
        (
            &[("/etc/os-release", "ID=mageia\n"), ("/usr/sbin/urpmi", "x")],
            "urpmi --auto",
            "urpme",
            "--auto-select",
        ),
        (
            &[("/etc/os-release", "ID=openwrt\n"), ("/bin/opkg", "x")],
            "opkg install",
            "opkg remove",
            "opkg upgrade",
        ),
    ] {
        let tree = empty_tree();
        lay_out(&tree, files);
        lay_out(&tree, &[("/etc/rc.local", "#!/bin/sh\nexit 0\n")]);
        let guest = Guest::of_tree(tree);
        at_first_boot(&guest, &[("install", "p"), ("uninstall", "p"), ("update", "")]).unwrap();
        let scripts = scripts(&guest);
        for ((name, text), words) in scripts.iter().zip([install, uninstall, update]) {
            assert!(text.contains(words), "{name}: {text}");
        }
    }
    let tree = empty_tree();
    lay_out(&tree, &[("/etc/os-release", "ID=nixos\n"), ("/etc/rc.local", "")]);
    let error = at_first_boot(&Guest::of_tree(tree), &[("install", "p")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn perl_beyond_ours_is_run_by_the_host() {
    let Some(perl) = find_perl(&std::env::var_os("PATH").unwrap()) else {
        assert!(std::env::var_os("CI").is_none(), "perl is needed");
        eprintln!("SKIPPED, for want of perl");
        return;
    };
    let run = |expression: &str, perl: Option<&std::path::Path>| {
        let guest = guest();
        guest
            .tree()
            .write(
                "/etc/x",
                b"one\ntwo\n\xff\nthree",
                disksmith_vfs::Owner::ROOT,
                0o640,
            )
            .unwrap();
        let mut random = SeededRandom::new(1);
        let mut context = Context::new(&mut random);
        context.perl = perl.map(Into::into);
        let operations: Vec<Operation> = operations(&[
            ("write", "/etc/motd:changed"),
            ("edit", &format!("/etc/x:{expression}")),
        ]);
        let done = customize(&guest, &operations, &mut context);
        let motd = text(guest.tree(), "/etc/motd");
        assert_eq!(guest.tree().metadata("/etc/x").unwrap().permissions, 0o640);
        (done.map(|_| guest.tree().read("/etc/x").unwrap()), motd)
    };
    let expression = "my %h = (one => 1); $_ = join('-', map { uc } split //, $_) if $h{one} && $lineno == 1";
    assert_eq!(
        run(expression, Some(&perl)).0.unwrap(),
        b"O-N-E-\ntwo\n\xff\nthree".to_vec()
    );
    assert_eq!(
        run("sprintf('%d', 1); next if $lineno == 2", Some(&perl))
            .0
            .unwrap(),
        b"one\n\xff\nthree"
    );
    // without a perl, and where perl itself does not understand it: before any change
    for (perl, expression, kind) in [
        (None, expression, ErrorKind::Usage),
        (Some(&*perl), "my %h = (", ErrorKind::Usage),
    ] {
        let (done, motd) = run(expression, perl);
        let error = done.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_ne!(motd, "changed");
    }
    // what fails while it runs is an error, too
    let error = run("my @a = (1); die 'no good' if @a", Some(&perl))
        .0
        .unwrap_err();
    assert!(error.to_string().contains("no good"), "{error}");
}

#[test]
fn copies_keep_hard_links() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(tree, &[("/srv/t/a", "x"), ("/srv/t/sub/", "")]);
    tree.hard_link("/srv/t/a", "/srv/t/sub/b").unwrap();
    tree.hard_link("/srv/t/a", "/srv/outside").unwrap();
    apply(&guest, &[("copy", "/srv/t:/srv/u")]).unwrap();
    let node = |path: &str| tree.resolve(path).unwrap();
    assert_eq!(node("/srv/u/a"), node("/srv/u/sub/b"));
    assert_ne!(node("/srv/u/a"), node("/srv/t/a"));
    assert_eq!(tree.metadata("/srv/u/a").unwrap().links, 2);
}

#[test]
fn archives_are_unpacked() {
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir(host.path().join("d")).unwrap();
    std::fs::write(host.path().join("d/f"), "from a tar").unwrap();
    let archive = host.path().join("a.tar");
    let line = [
        "-C",
        host.path().to_str().unwrap(),
        "-cf",
        archive.to_str().unwrap(),
        "d",
    ];
    if crate::judge::run("tar", &line).is_none() {
        return;
    }
    let guest = guest();
    let argument = format!("{}:/opt", archive.display());
    apply(&guest, &[("tar-in", &argument)]).unwrap();
    assert_eq!(text(guest.tree(), "/opt/d/f"), "from a tar");
    let error = apply(&guest, &[("tar-in", &format!("{}:/nodir", archive.display()))]).unwrap_err();
    assert!(error.to_string().contains("--mkdir makes one"), "{error}");
    let error = apply(&guest, &[("tar-in", "/nonexistent.tar:/opt")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_asked_for_an_operation_that_is_not_done_is_an_error() {
    for (list, keep, operations_given) in [("utmp", true, false), ("utmp", false, true)] {
        let guest = guest();
        let mut random = SeededRandom::new(1);
        let mut context = Context::new(&mut random);
        if keep {
            context.accounts.keep = vec!["debian".into()];
        }
        let chosen = select_operations("--operations", list).unwrap();
        let extra = if operations_given {
            operations(&[("touch", "/x")])
        } else {
            Vec::new()
        };
        let error = sysprep(&guest, &chosen, &extra, &mut context).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
}

#[test]
fn accounts_can_be_kept_or_named() {
    for (keep, remove, left) in [
        (&["debian"][..], &[][..], vec!["debian"]),
        (&[], &["eve"], vec!["debian"]),
        (&[], &[], vec![]),
    ] {
        let guest = guest();
        let tree = guest.tree();
        let passwd = text(tree, "/etc/passwd") + "eve:x:1001:1001::/home/eve:/bin/sh\n";
        tree.write(
            "/etc/passwd",
            passwd.as_bytes(),
            disksmith_vfs::Owner::ROOT,
            0o644,
        )
        .unwrap();
        lay_out(tree, &[("/home/eve/x", "x")]);
        let mut random = SeededRandom::new(1);
        let mut context = Context::new(&mut random);
        context.accounts.keep = keep.iter().map(|s| (*s).to_owned()).collect();
        context.accounts.remove = remove.iter().map(|s| (*s).to_owned()).collect();
        let chosen = select_operations("--operations", "user-account").unwrap();
        sysprep(&guest, &chosen, &[], &mut context).unwrap();
        for name in ["debian", "eve"] {
            let there = text(tree, "/etc/passwd").contains(&format!("{name}:x:100"));
            assert_eq!(there, left.contains(&name), "{name}");
            assert_eq!(tree.exists(format!("/home/{name}")), left.contains(&name));
        }
    }
}

#[test]
fn certificates_and_realms_are_cleaned_to_the_file() {
    let guest = guest();
    let tree = guest.tree();
    lay_out(
        tree,
        &[
            ("/etc/pki/tls/certs/own.crt", "x"),
            ("/etc/pki/tls/certs/ca-bundle.crt", "x"),
            ("/etc/pki/CA/private/own.key", "x"),
            ("/etc/pki/tls/private/other.pem", "x"),
            ("/usr/sbin/update-ca-certificates", "x"),
            ("/var/kerberos/krb5kdc/principal", "x"),
            ("/var/kerberos/krb5kdc/kdc.conf", "x"),
            ("/var/kerberos/krb5kdc/kadm5.acl", "x"),
            ("/var/kerberos/krb5kdc/kdc.conf.rpmnew", "x"),
        ],
    );
    let mut random = SeededRandom::new(1);
    let chosen = select_operations("--operations", "ca-certificates,kerberos-data").unwrap();
    sysprep(&guest, &chosen, &[], &mut Context::new(&mut random)).unwrap();
    for (path, there) in [
        ("/etc/pki/tls/certs/own.crt", false),
        ("/etc/pki/tls/certs/ca-bundle.crt", true),
        ("/etc/pki/CA/private/own.key", false),
        ("/etc/pki/tls/private/other.pem", true),
        ("/var/kerberos/krb5kdc/principal", false),
        ("/var/kerberos/krb5kdc/kdc.conf.rpmnew", false),
        ("/var/kerberos/krb5kdc/kdc.conf", true),
        ("/var/kerberos/krb5kdc/kadm5.acl", true),
    ] {
        assert_eq!(tree.exists(path), there, "{path}");
    }
    assert!(scripts(&guest)[0].1.contains("update-ca-certificates"));
}

#[test]
fn the_tools_order_keeps_what_is_put_in_and_still_empties_the_machine_id() {
    let guest = guest();
    let mut random = SeededRandom::new(1);
    let list = "machine-id,tmp-files,ssh-userdir,customize";
    let chosen = select_operations("--operations", list).unwrap();
    let extra = operations(&[
        ("write", "/tmp/x:y"),
        ("ssh-inject", "debian:string:ssh-ed25519 AAAA me"),
    ]);
    sysprep_as_tool(&guest, &chosen, &extra, &mut Context::new(&mut random)).unwrap();
    let tree = guest.tree();
    assert_eq!(text(tree, "/etc/machine-id"), "");
    assert_eq!(text(tree, "/tmp/x"), "y");
    assert!(tree.is_file("/home/debian/.ssh/authorized_keys"));
    assert_eq!(tree.metadata("/var/lib/systemd/random-seed").unwrap().size, 512);
}
