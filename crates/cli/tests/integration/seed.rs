//! Seed images for cloud-init.

use crate::lab::{Lab, judges, may_mount};

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
fn many_seeds_are_not_printed_and_a_row_is_named_once() {
    let lab = Lab::new();
    let run = |args: &[&str]| {
        let said = lab.command(args).output().unwrap();
        assert_eq!(said.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    let said = run(&["seed", "p-%d.iso", "--count", "2", "--hostname", "h", "--print"]);
    assert!(said.contains("--print"), "{said}");
    lab.write("q.csv", "name\nweb1\n");
    let said = run(&[
        "seed",
        "q-@{name}.iso",
        "--each",
        "q.csv",
        "--hostname",
        "@{nope}",
    ]);
    assert_eq!(said.matches("row 2: ").count(), 1, "{said}");
    // what is said to be a document is one, whatever it begins with
    lab.write("zeroes", "\0".repeat(600).as_str());
    let said = run(&["seed", "check", "--type", "user-data", "zeroes"]);
    assert!(!said.contains("filesystem"), "{said}");
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

/// What PyYAML makes of a file, as JSON.
fn as_json(lab: &Lab, name: &str) -> serde_json::Value {
    let script =
        "import yaml,json,sys; print(json.dumps(yaml.safe_load(open(sys.argv[1], encoding='utf-8'))))";
    let path = lab.path(name);
    let out = lab
        .tool_args(&[
            "/usr/bin/python3".as_ref(),
            "-c".as_ref(),
            script.as_ref(),
            path.as_os_str(),
        ])
        .ok();
    serde_json::from_str(&out).unwrap()
}

#[test]
fn flags_need_no_yaml() {
    if !judges(&["isoinfo", "python3"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("key.pub", "# mine\nssh-ed25519 AAAAC3Nza anna@home\n");
    lab.write("motd", "welcome\n");
    let arguments = [
        "seed",
        "s.iso",
        "--hostname",
        "vm1",
        "--user",
        "anna",
        "--ssh-key",
        "key.pub",
        "--password",
        "correct horse",
        "--root-password-generate",
        "--package",
        "nginx",
        "--run",
        "echo key: value",
        "--timezone",
        "Europe/Berlin",
        "--write-file",
        "/etc/motd=motd,mode=0600",
        "--static-ip",
        "10.0.0.5/24,gw=10.0.0.1,dns=1.1.1.1,9.9.9.9,mac=52:54:00:AB:CD:EF",
        "--print",
    ];
    let said = lab.disksmith_args(&arguments).ok();
    assert!(
        said.contains("== user-data ==") && said.contains("password of root: "),
        "{said}"
    );
    let generated = said.split("password of root: ").nth(1).unwrap().trim();
    let read = |name: &str| lab.tool(&format!("isoinfo -R -x /{name} -i s.iso")).ok();
    for name in ["user-data", "meta-data", "network-config"] {
        lab.write(name, read(name));
    }
    assert!(
        !read("user-data").contains(generated),
        "the password itself is in the seed"
    );
    let user_data = as_json(&lab, "user-data");
    let anna = &user_data["users"][1];
    assert_eq!(user_data["users"][0], "default");
    assert_eq!(anna["name"], "anna");
    assert_eq!(anna["ssh_authorized_keys"][0], "ssh-ed25519 AAAAC3Nza anna@home");
    assert_eq!(user_data["packages"][0], "nginx");
    assert_eq!(user_data["runcmd"][0], "echo key: value");
    assert_eq!(user_data["write_files"][0]["content"], "welcome\n");
    assert_eq!(user_data["write_files"][0]["permissions"], "0600");
    assert_eq!(user_data["chpasswd"]["expire"], true);
    // the hash is that of the password, as crypt(3) computes it
    let hash = anna["hashed_passwd"].as_str().unwrap();
    let salt = hash.split('$').nth(2).unwrap();
    if judges(&["mkpasswd"]) {
        let theirs = lab
            .tool_args(&["mkpasswd", "-m", "sha-512", "-S", salt, "correct horse"])
            .ok();
        assert_eq!(theirs.trim(), hash);
    }
    let network = as_json(&lab, "network-config");
    let device = &network["ethernets"]["primary"];
    assert_eq!(device["match"]["macaddress"], "52:54:00:ab:cd:ef");
    assert_eq!(device["nameservers"]["addresses"][1], "9.9.9.9");
    lab.disksmith("seed check s.iso --strict").fails(0);
}

#[test]
fn virt_installs_words_are_taken() {
    let lab = Lab::new();
    lab.write("key.pub", "ssh-rsa AAAA root@home\n");
    let said = lab
        .disksmith("seed s.iso --print --cloud-init disable=on,ssh-key=key.pub,root-password-generate=yes")
        .ok();
    for part in [
        "/etc/cloud/cloud-init.disabled",
        "ssh-rsa AAAA root@home",
        "password of root: ",
        "expire: true",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    lab.disksmith("seed t.iso --cloud-init nonsense=1").fails(2);
    lab.write("id", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n");
    let said = lab.disksmith("seed t.iso --ssh-key id").fails(2);
    assert!(said.contains("private"), "{said}");
    assert!(!lab.path("t.iso").exists());
}

#[test]
fn every_format_and_datasource_is_made() {
    if !judges(&["blkid", "fsck.vfat", "mdir"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("user-data", GOOD);
    lab.write("script.ps1", "#ps1_sysnative\nWrite-Host hi\n");
    for (format, kind) in [("iso", "iso9660"), ("vfat", "vfat"), ("raw-hdd", "vfat")] {
        for (source, label, document) in [
            ("nocloud", "cidata", "user-data"),
            ("configdrive", "config-2", "user-data"),
            ("cloudbase", "config-2", "script.ps1"),
        ] {
            let name = format!("{source}-{format}");
            lab.disksmith(&format!(
                "seed {name} --format {format} --datasource {source} -u {document} -H web1"
            ))
            .ok();
            let said = lab.tool(&format!("blkid -p -o export {name}")).ok();
            assert!(said.contains(&format!("LABEL={label}\n")), "{name}: {said}");
            assert!(said.contains(&format!("TYPE={kind}\n")), "{name}: {said}");
            if kind == "vfat" {
                lab.tool(&format!("fsck.vfat -n {name}")).ok();
                lab.tool(&format!("mdir -i {name} ::")).ok();
            }
            let check = if source == "cloudbase" { "--cloudbase" } else { "" };
            lab.disksmith(&format!("seed check {name} {check}")).ok();
        }
    }
    // what does not go together
    lab.disksmith("seed x --datasource cloudbase --package nginx")
        .fails(2);
    lab.disksmith("seed x --file /a=user-data").fails(2);
    lab.disksmith("seed x --datasource configdrive --static-ip 10.0.0.5/24")
        .fails(2);
    assert!(!lab.path("x").exists());
}

#[test]
fn a_qcow2_seed_and_a_folder_are_read_too() {
    if !judges(&["qemu-img"]) {
        return;
    }
    let lab = Lab::new();
    lab.write("user-data", GOOD);
    lab.disksmith("seed s.img --format vfat -u user-data -H web1")
        .ok();
    lab.tool("qemu-img convert -f raw -O qcow2 s.img s.qcow2").ok();
    let said = lab.disksmith("seed show s.qcow2").ok();
    assert!(said.contains("label \"cidata\"") && said.contains(GOOD), "{said}");
    lab.write("folder/user-data", GOOD);
    lab.write("folder/meta-data", "instance-id: a\n");
    lab.disksmith("seed check folder").ok();
    lab.write("folder/user-data", "#cloud-config\nrumcmd: [a]\n");
    let said = lab.disksmith("seed check folder");
    assert_eq!(said.status, 2);
    assert!(
        said.stdout.contains("folder/user-data:2:1: error"),
        "{}",
        said.stdout
    );
    // a document by itself, with the version of the guest
    lab.write(
        "ud.yaml",
        "#cloud-config\nwrite_files:\n- path: /a\n  defer: true\n",
    );
    let said = lab.disksmith("seed check ud.yaml --cloud-init-version 20.2").ok();
    assert!(said.contains("21.4"), "{said}");
    lab.disksmith("seed check nosuch").fails(1);
}

#[test]
fn a_table_makes_a_fleet() {
    let lab = Lab::new();
    lab.write(
        "hosts.csv",
        "name,ip,motd\nweb1,10.0.0.1,\"say \"\"hi\"\"\"\nweb2,10.0.0.2,plain\n",
    );
    lab.write(
        "ud",
        "## template: jinja\n#cloud-config\nfqdn: @{name}.example.com\nfinal_message: @{motd|json}\nhostname: {{ v1.local_hostname }}\n",
    );
    lab.disksmith("seed seeds/@{name}.iso --each hosts.csv -u ud -H @{name} --static-ip @{ip}/24")
        .ok();
    let said = lab.disksmith("seed show seeds/web1.iso").ok();
    for part in [
        "fqdn: web1.example.com",
        "final_message: \"say \\\"hi\\\"\"",
        "{{ v1.local_hostname }}",
        "local-hostname: web1",
        "10.0.0.1/24",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    // one id each
    let other = lab.disksmith("seed show seeds/web2.iso").ok();
    let id = |text: &str| {
        text.split("instance-id: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_string()
    };
    assert_ne!(id(&said), id(&other));
    lab.disksmith("seed n-%03d.img --format vfat --count 12 --first 9 -H node@{index}")
        .ok();
    assert!(lab.path("n-009.img").exists() && lab.path("n-020.img").exists());

    // faults have their row, and make nothing
    for (table, row, name) in [
        ("name\na\na\n", "row 3", "@{name}"),
        ("name,ip\na\n", "row 2", "@{name}"),
        ("name\na b\n", "row 2", "@{name}"),
        ("name\n../a\n", "row 2", "@{name}"),
        ("name\na\n", "row 2", "@{nobody}"),
    ] {
        lab.write("t.csv", table);
        let said = lab
            .disksmith(&format!("seed out/{name}.iso --each t.csv -H @{{name}}"))
            .fails(2);
        assert!(said.contains(row), "{table:?}: {said}");
        assert!(!lab.path("out").exists(), "{table:?}");
    }
    lab.disksmith("seed one.iso --each hosts.csv").fails(2);
    let said = lab.disksmith("seed seeds/@{name}.iso --each hosts.csv").fails(6);
    assert!(said.contains("exists") && said.contains("--force"), "{said}");
    let said = lab
        .disksmith("seed q-@{index}.iso --count 2 --first 18446744073709551615")
        .fails(2);
    assert!(said.contains("--first"), "{said}");
    lab.disksmith("seed seeds/@{name}.iso --each hosts.csv --force")
        .ok();
    lab.write(
        "rows.jsonl",
        "{\"name\": \"x\", \"n\": 1}\n{\"name\": \"y\", \"n\": 2}\n",
    );
    lab.disksmith("seed j-@{name}.iso --each rows.jsonl").ok();
    assert!(lab.path("j-y.iso").exists());
}

#[test]
fn what_only_the_schema_knows_is_a_warning() {
    let lab = Lab::new();
    lab.write("ud", "#cloud-config\npower_state:\n  mode: sleep\n");
    let said = lab.disksmith("seed a.iso -u ud");
    let text = said.stderr.clone();
    said.ok();
    assert!(text.contains("ud:3:") && text.contains("warning"), "{text}");
    let text = lab.disksmith("seed b.iso -u ud --strict").fails(2);
    assert!(text.contains("ud:3:"), "{text}");
    assert!(!lab.path("b.iso").exists());
    // a fleet has one remark, with its row, not one a seed
    lab.write("t.csv", "name\na\nb\nc\n");
    let said = lab.disksmith("seed w-@{name}.iso --each t.csv -u ud");
    let text = said.stderr.clone();
    said.ok();
    assert_eq!(text.matches("warning").count(), 1, "{text}");
    assert!(text.contains("row 2 and 2 more: "), "{text}");
    let text = lab
        .disksmith("seed x-@{name}.iso --each t.csv -u ud --strict")
        .fails(2);
    assert!(text.contains("row 2"), "{text}");
    assert!(!lab.path("x-a.iso").exists());
}

/// A name that contradicts meta-data is told, not dropped.
#[test]
fn two_host_names_are_refused() {
    let lab = Lab::new();
    lab.write("md", "instance-id: i\nlocal-hostname: b\n");
    let text = lab.disksmith("seed a.iso -m md -H a").fails(2);
    assert!(text.contains("local-hostname"), "{text}");
    assert!(!lab.path("a.iso").exists());
}

/// A host without room for all seeds of a fleet: what is there is whole, and counted.
#[test]
fn a_full_host_is_told_as_such() {
    if !may_mount() {
        return;
    }
    let lab = Lab::new();
    let folder = lab.path("small");
    std::fs::create_dir(&folder).unwrap();
    lab.tool_args(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=1m",
        "tmpfs",
        folder.to_str().unwrap(),
    ])
    .ok();
    let said = lab.disksmith("seed small/s-%03d.iso --count 50 --hostname h");
    let there = std::fs::read_dir(&folder).unwrap().count();
    let first = lab.disksmith("seed check small/s-001.iso -q");
    lab.tool_args(&["umount", "-l", folder.to_str().unwrap()]).ok();
    let text = said.fails(7);
    assert!(
        there < 50 && text.contains(&format!("{there} of 50 seeds are there")),
        "{there}: {text}"
    );
    first.ok();
}

/// What useradd, apt and the guest's file names cannot be given.
#[test]
fn words_that_no_guest_takes_are_refused() {
    let lab = Lab::new();
    for words in [
        ["--user", "a b"],
        ["--user", ""],
        ["--user", "root:x,a"],
        ["--user", "-a"],
        ["--package", ""],
        ["--timezone", "../x"],
        ["--timezone", ""],
        ["--locale", "x y"],
    ] {
        let line = [&["seed", "u.iso", "--hostname", "h"][..], &words].concat();
        lab.disksmith_args(&line).fails(2);
        assert!(!lab.path("u.iso").exists(), "{words:?}");
    }
    for words in [
        ["--user", "anna"],
        ["--user", "svc_1.x-y"],
        ["--timezone", "Europe/Berlin"],
        ["--locale", "de_DE.UTF-8"],
        ["--package", "g++"],
    ] {
        let line = [&["seed", "u.iso", "--hostname", "h", "--force"][..], &words].concat();
        lab.disksmith_args(&line).ok();
    }
}
