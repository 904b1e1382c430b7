use super::*;
use crate::error::Result;
use disksmith_storage::{Diagnose, ErrorKind};

fn parse(option: &str, argument: &str) -> Result<Operation> {
    Operation::parse(option, argument, Dialect::Disksmith)
}

#[test]
fn arguments_are_read_as_virt_customize_reads_them() {
    for (option, argument, described) in [
        ("write", "/etc/motd:a:b", "--write /etc/motd:(3 bytes)"),
        (
            "append-line",
            "/etc/hosts:::1 x",
            "--append-line /etc/hosts:::1 x",
        ),
        ("chmod", "0755:/a", "--chmod 0755:/a"),
        ("chmod", "755:/a", "--chmod 0755:/a"),
        ("chmod", "0o4711:/a", "--chmod 4711:/a"),
        ("chown", "1000:100:/a:b", "--chown 1000:100:/a:b"),
        ("chown", "alice:/a", "--chown alice:/a"),
        ("link", "../x:/a:/b", "--link ../x:/a:/b"),
        (
            "root-password",
            "password:a:b",
            "--password root:password:(hidden)",
        ),
        ("password", "bob:locked:random", "--password bob:locked:random"),
        ("password", "bob:locked", "--password bob:locked"),
        ("ssh-inject", "root", "--ssh-inject root"),
        (
            "ssh-inject",
            "root:string:ssh-ed25519 AAAA a:b",
            "--ssh-inject root:string:ssh-ed25519 AAAA a:b",
        ),
        ("edit", "/a:s:x:y:", "--edit /a:s:x:y:"),
        ("firstboot-install", "vim, git", "--firstboot-install vim,git"),
        ("install", "vim,libc6:i386", "--install vim,libc6:i386"),
        ("update", "", "--update"),
        ("run", "dir/x.sh", "--run dir/x.sh"),
        ("run-command", "a:b c", "--run-command a:b c"),
        ("sm-attach", "file:pools", "--sm-attach file:pools"),
        (
            "sm-credentials",
            "me:password:a:b",
            "--sm-credentials me:password:(hidden)",
        ),
        ("sm-credentials", "me:file:a:b", "--sm-credentials me:file:a:b"),
        ("sm-register", "", "--sm-register"),
        ("inject-qemu-ga", "osinfo", "--inject-qemu-ga osinfo"),
        ("tar-in", "a.tar:/srv:x", "--tar-in a.tar:/srv:x"),
        ("no-logfile", "", "--no-logfile"),
    ] {
        assert_eq!(parse(option, argument).unwrap().describe(), described);
    }
    assert!(matches!(
        Operation::parse("chmod", "755:/a", Dialect::VirtCustomize).unwrap(),
        Operation::Chmod {
            permissions: 0o1363,
            ..
        }
    ));
    assert!(matches!(
        Operation::parse("chmod", "0755:/a", Dialect::VirtCustomize).unwrap(),
        Operation::Chmod {
            permissions: 0o755,
            ..
        }
    ));
}

#[test]
fn wrong_arguments_are_refused() {
    for (option, argument) in [
        ("write", "/etc/motd"),
        ("write", "etc/motd:x"),
        ("append-line", "/a:b\nc"),
        ("chmod", "u+x:/a"),
        ("chmod", "888:/a"),
        ("chmod", "17777:/a"),
        ("chown", "a"),
        ("chown", ":1:/a"),
        ("hostname", ""),
        ("hostname", "a b"),
        ("hostname", "-a"),
        ("hostname", "a..b"),
        ("timezone", "../../etc/passwd"),
        ("timezone", "/etc"),
        ("timezone", ""),
        ("password", "root"),
        ("password", "root:pass:x"),
        ("password", ":random"),
        ("root-password", ""),
        ("ssh-inject", ":string:x"),
        ("ssh-inject", "root:key"),
        ("link", "/a"),
        ("mkdir", "a"),
        ("nonsense", "x"),
        ("firstboot-install", "a;b"),
        ("firstboot-install", ","),
        ("copy-in", ":/x"),
        ("install", "a;b"),
        ("uninstall", ""),
        ("run-command", " "),
        ("run", ""),
        ("sm-attach", "pool"),
        ("sm-credentials", "me"),
        ("sm-credentials", ":password:x"),
        ("sm-credentials", "me:file:"),
        ("tar-in", "x.tar"),
    ] {
        let error = parse(option, argument).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{option} {argument}: {error}");
    }
}

#[test]
fn every_option_in_the_table_is_parsed() {
    for spec in OPERATION_OPTIONS {
        let argument = match spec.name {
            "chmod" => "0644:/a".to_owned(),
            "edit" => "/a:s/a/b/".to_owned(),
            "hostname" | "timezone" | "firstboot" | "firstboot-command" | "firstboot-install"
            | "ssh-inject" | "install" | "uninstall" => "x".into(),
            "sm-attach" => "auto".into(),
            "sm-credentials" => "me:password:x".into(),
            "" => String::new(),
            "root-password" => "random".into(),
            "password" => "a:random".into(),
            "chown" => "0:0:/a".into(),
            _ => "/a:/b".to_owned(),
        };
        parse(spec.name, &argument).unwrap();
    }
}

#[test]
fn command_files_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::write(&inner, "touch /b\n").unwrap();
    let file = dir.path().join("commands");
    std::fs::write(
        &file,
        format!(
            "# a comment\n\n  touch /a\nwrite /x:one\\\ntwo\ncommands-from-file {}\nroot-password disabled\n",
            inner.display()
        ),
    )
    .unwrap();
    let described: Vec<String> = operations_from_file(&file, Dialect::Disksmith)
        .unwrap()
        .iter()
        .map(Operation::describe)
        .collect();
    assert_eq!(
        described,
        [
            "--touch /a",
            "--write /x:(7 bytes)",
            "--touch /b",
            "--password root:disabled"
        ]
    );
    std::fs::write(&file, "touch /a\nnosuch x\n").unwrap();
    let error = operations_from_file(&file, Dialect::Disksmith).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("line 2"), "{error}");
}
