//! The runner of first-boot scripts, run by a real shell.

use crate::judge::{apply, empty_tree, text};
use disksmith_guest::{Guest, Skeleton, lay_out_skeleton};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn scripts_run_once_in_order_and_are_logged() {
    let host = tempfile::tempdir().unwrap();
    let script = host.path().join("My Setup.sh");
    fs::write(&script, "echo from-script >>\"$OUT\"\necho logged\nexit 3\n").unwrap();
    let windows = host.path().join("windows.sh");
    fs::write(&windows, "#!/bin/sh\r\necho\r\n").unwrap();
    let tree = empty_tree();
    lay_out_skeleton(&tree, &Skeleton::default()).unwrap();
    let guest = Guest::of_tree(tree);
    let error = apply(&guest, &[("firstboot", &windows.display().to_string())]).unwrap_err();
    assert!(error.to_string().contains("Windows line endings"), "{error}");
    let script = script.display().to_string();
    let mut list: Vec<(&str, &str)> = vec![("firstboot", &script)];
    list.extend([("firstboot-command", "echo two >>\"$OUT\""); 10]);
    apply(&guest, &list).unwrap();
    // A later run goes on where the first ended.
    apply(
        &guest,
        &[("firstboot-command", "echo last >>\"$OUT\"; pwd >>\"$OUT\"")],
    )
    .unwrap();
    let tree = guest.tree();
    let names: Vec<String> = tree
        .read_dir("/usr/lib/virt-sysprep/scripts")
        .unwrap()
        .into_iter()
        .map(|e| String::from_utf8(e.name).unwrap())
        .collect();
    assert_eq!(names.len(), 12);
    assert!(
        names[0].starts_with("5000-0001-") && names[0].ends_with("My-Setup-sh"),
        "{names:?}"
    );
    assert!(names[11].starts_with("5000-0012-echo-last"));
    assert_eq!(
        tree.metadata("/usr/lib/virt-sysprep/firstboot.sh")
            .unwrap()
            .permissions,
        0o755
    );

    // The same on the host, with the paths moved.
    let base = host.path().join("base");
    fs::create_dir_all(base.join("scripts")).unwrap();
    for name in &names {
        let file = base.join("scripts").join(name);
        fs::write(
            &file,
            text(tree, &format!("/usr/lib/virt-sysprep/scripts/{name}")),
        )
        .unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let log = host.path().join("log");
    let runner = host.path().join("runner");
    let text = text(tree, "/usr/lib/virt-sysprep/firstboot.sh")
        .replace("/usr/lib/virt-sysprep", &base.display().to_string())
        .replace("/root/virt-sysprep-firstboot.log", &log.display().to_string());
    fs::write(&runner, text).unwrap();
    let out = host.path().join("out");
    let run = |argument: &str| {
        assert!(
            Command::new("sh")
                .arg(&runner)
                .arg(argument)
                .env("OUT", &out)
                .status()
                .unwrap()
                .success()
        );
    };
    run("stop");
    assert!(!out.exists());
    run("start");
    let wanted = format!("from-script\n{}last\n/\n", "two\n".repeat(10));
    assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
    let logged = fs::read_to_string(&log).unwrap();
    assert!(
        logged.contains("logged\n") && logged.contains("My-Setup-sh ended with status 3"),
        "{logged}"
    );
    run("start");
    assert_eq!(fs::read_to_string(&out).unwrap(), wanted);
    assert_eq!(fs::read_dir(base.join("scripts")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(base.join("scripts-done")).unwrap().count(), 12);
}

#[test]
fn a_link_in_the_place_of_the_runner_is_replaced() {
    let tree = crate::judge::empty_tree();
    disksmith_guest::lay_out_skeleton(&tree, &disksmith_guest::Skeleton::default()).unwrap();
    let guest = disksmith_guest::Guest::of_tree(tree);
    let tree = guest.tree();
    let before = crate::judge::text(tree, "/etc/shadow");
    let owner = disksmith_vfs::Owner::ROOT;
    tree.create_dir_all("/usr/lib/virt-sysprep", owner, 0o755)
        .unwrap();
    tree.symlink("/etc/shadow", "/usr/lib/virt-sysprep/firstboot.sh", owner)
        .unwrap();
    crate::judge::apply(&guest, &[("firstboot-command", "true")]).unwrap();
    assert_eq!(crate::judge::text(tree, "/etc/shadow"), before);
    assert!(crate::judge::text(tree, "/usr/lib/virt-sysprep/firstboot.sh").starts_with("#!"));
}
