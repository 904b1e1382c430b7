//! Seed images for cloud-init.

use crate::lab::{Lab, judges};

const GOOD: &str = "#cloud-config\nhostname: web1\n";

#[test]
fn a_seed_carries_the_exact_names() {
    if !judges(&["isoinfo", "xorriso", "blkid"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("user-data", GOOD);
    lab.write("meta-data", "instance-id: web1\nlocal-hostname: web1\n");
    lab.write(
        "network-config",
        "version: 2\nethernets:\n  id0:\n    match: {name: \"e*\"}\n    dhcp4: true\n",
    );
    lab.disksmith("seed s.iso --user-data user-data --meta-data meta-data --network-config network-config")
        .ok();
    for view in ["-J", "-R"] {
        let list = lab.tool(&format!("isoinfo {view} -f -i s.iso")).ok();
        let mut names: Vec<&str> = list.lines().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["/meta-data", "/network-config", "/user-data"],
            "isoinfo {view}"
        );
        assert_eq!(
            lab.tool(&format!("isoinfo {view} -x /user-data -i s.iso")).ok(),
            GOOD
        );
    }
    let label = lab.tool("blkid -p -o export s.iso").ok();
    assert!(
        label.contains("LABEL=cidata") && label.contains("TYPE=iso9660"),
        "{label}"
    );
    // the same documents give the same bytes under SOURCE_DATE_EPOCH
    for name in ["a.iso", "b.iso"] {
        let said = lab
            .command(&[
                "seed",
                name,
                "--user-data",
                "user-data",
                "--meta-data",
                "meta-data",
            ])
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        assert!(said.status.success());
    }
    assert!(lab.read("a.iso") == lab.read("b.iso"));
}

#[test]
fn meta_data_is_made_when_it_is_missing() {
    if !judges(&["isoinfo"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("user-data", GOOD);
    lab.disksmith("seed s.iso --user-data user-data").ok();
    let meta = lab.tool("isoinfo -R -x /meta-data -i s.iso").ok();
    assert!(meta.contains("instance-id"), "{meta}");
}

#[test]
fn what_cloud_init_would_ignore_is_refused_with_its_line() {
    let lab = Lab::new();
    for (name, document, line) in [
        ("no-header", "hostname: web1\n", 1),
        ("blank-first", "\n#cloud-config\nhostname: web1\n", 1),
        ("crlf-shebang", "#!/bin/sh\r\necho hi\r\n", 1),
        ("bad-yaml", "#cloud-config\nhostname: web1\nusers: [a\n", 3),
        ("tab", "#cloud-config\nwrite_files:\n\t- path: /x\n", 3),
    ] {
        lab.write(name, document);
        let text = lab
            .disksmith(&format!("seed {name}.iso --user-data {name}"))
            .fails(2);
        let near = text.contains(&format!("{name}:{line}")) || text.contains(&format!("{name}:{}", line + 1));
        assert!(near, "{name}: no line number in\n{text}");
        assert!(
            !lab.path(&format!("{name}.iso")).exists(),
            "{name}: an image was left"
        );
        lab.disksmith(&format!("seed {name}.iso --user-data {name} --no-validate"))
            .ok();
    }
}

#[test]
fn what_no_guest_could_use_is_refused() {
    let lab = Lab::new();
    lab.write("user-data", GOOD);
    lab.write("tag", "#cloud-config\nhostname: !!python/object:os.system x\n");
    for arguments in [
        &["--user-data", "tag"][..],
        &["--label", "x"],
        &["--label", "é"],
        &["--label", "cidata "],
        &["--label", ""],
        &["-H", ""],
        &["-H", "a b"],
        &["-H", "../x"],
        &["--instance-id", ""],
    ] {
        lab.disksmith_args(&[&["seed", "s.iso"], arguments].concat())
            .fails(2);
        assert!(!lab.path("s.iso").exists(), "{arguments:?}");
    }
    lab.disksmith("seed s.iso --user-data user-data --label x --no-validate")
        .ok();
}

#[test]
fn documents_have_16_mib_together() {
    let lab = Lab::new();
    let script = |size: usize| format!("#!/bin/sh\n{}", "#\n".repeat(size / 2));
    lab.write("large", script(17 << 20));
    lab.write("half", script(9 << 20));
    lab.disksmith("seed s.iso --user-data large").fails(2);
    lab.disksmith("seed s.iso --user-data half --vendor-data half")
        .fails(2);
    lab.disksmith("seed s.iso --user-data half").ok();
}

#[test]
fn a_base_that_has_clones_is_not_replaced() {
    let lab = Lab::new();
    lab.disksmith("create -f qcow2 base.qcow2 1M").ok();
    lab.disksmith("clone base.qcow2 c1.qcow2").ok();
    let before = std::fs::read(lab.path("base.qcow2")).unwrap();
    let said = lab.disksmith("seed --force base.qcow2 -H web1").fails(6);
    assert!(
        said.contains("c1.qcow2") && !said.contains("say `--force`"),
        "{said}"
    );
    assert_eq!(std::fs::read(lab.path("base.qcow2")).unwrap(), before);
}
