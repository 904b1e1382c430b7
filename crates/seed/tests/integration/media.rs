//! Every kind of seed on every kind of volume, read by other programs and by the code of cloud-init's datasources.

use crate::schema::judge;
use crate::volume::{options, run};
use disksmith_seed::{
    BuildOptions, ConfigDrive, Contents, Document, GuestSystem, InjectedFile, MediaFormat, NoCloud, Part,
    Seed, archive, check, gzip, network_data, show,
};
use disksmith_storage::{Durability, Existing, HostFile, LockMode, OpenMode, StorageRef};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

const FORMATS: [MediaFormat; 3] = [MediaFormat::Iso, MediaFormat::Vfat, MediaFormat::RawHardDisk];

fn with(format: MediaFormat) -> BuildOptions {
    BuildOptions { format, ..options() }
}

fn no_cloud() -> NoCloud {
    NoCloud {
        user_data: Some(Document::new("ud", "#cloud-config\nhostname: web1\n")),
        meta_data: Some(Document::new("md", "instance-id: web1-1\nlocal-hostname: web1\n")),
        network_config: Some(Document::new(
            "nc",
            "version: 2\nethernets:\n  eth0: {dhcp4: true}\n",
        )),
        vendor_data: Some(Document::new("vd", "#!/bin/sh\ntrue\n")),
        ..NoCloud::default()
    }
}

fn config_drive() -> ConfigDrive {
    ConfigDrive {
        hostname: Some("web1".into()),
        public_keys: vec![("mine".into(), "ssh-ed25519 AAAA me".into())],
        meta: vec![("role".into(), "db".into())],
        user_data: Some(Document::new("ud", "#cloud-config\ntimezone: Europe/Berlin\n")),
        vendor_data: Some(Document::new("vd", "#cloud-config\npackages: [vim]\n")),
        network_data: Some(Document::new(
            "nc",
            "version: 2\nethernets:\n  nic:\n    match: {macaddress: '52:54:00:AA:00:01'}\n    addresses: [10.0.0.5/24, 'fd00::5/64']\n    routes:\n    - {to: default, via: 10.0.0.1}\n    - {to: 10.9.0.0/16, via: 10.0.0.2}\n    nameservers: {addresses: [1.1.1.1], search: [example.com]}\n    mtu: 1400\n",
        )),
        files: vec![InjectedFile {
            path: "/etc/from-drive".into(),
            bytes: b"hello\n".to_vec(),
        }],
        ec2: true,
        ..ConfigDrive::default()
    }
}

/// Takes the files out of an image with other programs.
fn extract(image: &Path, format: MediaFormat, to: &Path) -> Option<()> {
    let (image, to) = (image.to_str().unwrap(), to.to_str().unwrap());
    match format {
        MediaFormat::Iso => {
            run(
                "xorriso",
                &["-osirrox", "on", "-indev", image, "-extract", "/", to],
            )?;
            run("chmod", &["-R", "u+rwX", to])?;
        }
        _ => {
            run("fsck.vfat", &["-n", image])?;
            run("mcopy", &["-s", "-n", "-i", image, "::*", to])?;
        }
    }
    Some(())
}

fn written(seed: &Seed, folder: &Path) -> std::path::PathBuf {
    let path = folder.join("seed.img");
    seed.write_file(&path, Existing::Refuse, Durability::Deferred)
        .unwrap();
    path
}

fn contents(path: &Path) -> Contents {
    let file = HostFile::open(path, OpenMode::Read, LockMode::None).unwrap();
    let storage: StorageRef = Arc::new(file);
    Contents::of_disk("seed", &storage).unwrap()
}

#[test]
fn cloud_init_reads_nocloud_seeds() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let seed = no_cloud().build(&with(format)).unwrap();
        let image = written(&seed, folder.path());
        let read = contents(&image);
        assert_eq!(read.label.as_deref(), Some("cidata"), "{format:?}");
        let mut files = seed.files.clone();
        files.sort();
        assert_eq!(read.files, files, "{format:?}");
        let found = check(&read, GuestSystem::CloudInit, None);
        assert!(found.is_empty(), "{found:?}");
        if let Some(said) = run("blkid", &["-p", "-o", "export", image.to_str().unwrap()]) {
            assert!(said.contains("LABEL=cidata\n"), "{format:?}: {said}");
        }
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let Some(()) = extract(&image, format, &out) else {
            return;
        };
        let Some(said) = judge(&["nocloud", out.to_str().unwrap()]) else {
            return;
        };
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["meta-data"]["instance-id"], "web1-1");
        assert_eq!(said["meta-data"]["local-hostname"], "web1");
        assert_eq!(said["user-data"], "#cloud-config\nhostname: web1\n");
        assert_eq!(said["vendor-data"], "#!/bin/sh\ntrue\n");
        assert_eq!(said["network-config"]["ethernets"]["eth0"]["dhcp4"], true);
    }
}

#[test]
fn cloud_init_reads_config_drives() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        // with folders for each version cloud-init reads another one than openstack/latest
        let dated = format != MediaFormat::Vfat;
        let drive = ConfigDrive {
            dated,
            ..config_drive()
        };
        let seed = drive.build(&with(format)).unwrap();
        let image = written(&seed, folder.path());
        let read = contents(&image);
        assert_eq!(read.label.as_deref(), Some("config-2"));
        let has = |path: &str| read.files.iter().any(|(name, _)| name == path);
        assert!(has("openstack/latest/network_data.json"));
        assert_eq!(has("openstack/2018-08-27/network_data.json"), dated);
        assert_eq!(has("openstack/2012-08-10/user_data"), dated);
        assert!(!has("openstack/2012-08-10/vendor_data.json"));
        let found = check(&read, GuestSystem::CloudInit, None);
        assert!(found.is_empty(), "{found:?}");
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let Some(()) = extract(&image, format, &out) else {
            return;
        };
        let Some(said) = judge(&["configdrive", out.to_str().unwrap(), "52:54:00:aa:00:01=eth7"]) else {
            return;
        };
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["version"], 2);
        assert_eq!(
            said["metadata"]["instance-id"],
            seed.instance_id.as_str().unwrap()
        );
        assert_eq!(said["metadata"]["local-hostname"], "web1");
        assert_eq!(said["metadata"]["public_keys"]["mine"], "ssh-ed25519 AAAA me");
        assert_eq!(said["metadata"]["meta"]["role"], "db");
        assert_eq!(said["userdata"], "#cloud-config\ntimezone: Europe/Berlin\n");
        assert_eq!(
            said["vendordata"]["cloud-init"],
            "#cloud-config\npackages: [vim]\n"
        );
        assert_eq!(said["files"]["/etc/from-drive"], "hello\n");
        assert_eq!(
            said["ec2-metadata"]["instance-id"],
            seed.instance_id.as_str().unwrap()
        );
        let nic = &said["network"]["config"][0];
        assert_eq!(nic["name"], "eth7", "{nic:#}");
        assert_eq!(nic["mtu"], 1400);
        assert_eq!(nic["subnets"][0]["address"], "10.0.0.5");
        assert_eq!(nic["subnets"][0]["netmask"], "255.255.255.0");
        // versions before 23.2 take name servers only from beside the networks
        let entries = said["network"]["config"].as_array().unwrap();
        let server = entries.iter().find(|e| e["type"] == "nameserver").unwrap();
        assert_eq!(server["address"], "1.1.1.1");
        assert_eq!(nic["subnets"][0]["routes"][0]["gateway"], "10.0.0.1");
        assert_eq!(nic["subnets"][0]["routes"][1]["netmask"], "255.255.0.0");
        assert_eq!(nic["subnets"][1]["address"], "fd00::5");
    }
}

#[test]
fn a_raw_hard_disk_is_64_mib_and_sparse() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let image = written(
        &no_cloud().build(&with(MediaFormat::RawHardDisk)).unwrap(),
        folder.path(),
    );
    let found = std::fs::metadata(image).unwrap();
    assert_eq!(found.len(), 64 << 20);
    assert!(found.blocks() * 512 < 2 << 20, "{} bytes", found.blocks() * 512);
}

#[test]
fn large_documents_make_a_larger_volume() {
    let mut seed = no_cloud();
    let script = format!("#!/bin/sh\n{}", "# a comment\n".repeat(200_000));
    seed.user_data = Some(Document::new("ud", script.clone()));
    let folder = tempfile::tempdir().unwrap();
    let image = written(&seed.build(&with(MediaFormat::Vfat)).unwrap(), folder.path());
    assert_eq!(
        contents(&image).document("user-data").unwrap().bytes,
        script.as_bytes()
    );
    run("fsck.vfat", &["-n", image.to_str().unwrap()]);
}

#[test]
fn networks_that_a_config_drive_has_no_words_for_are_refused() {
    for (text, word, line) in [
        (
            "version: 2\nethernets:\n  nic:\n    match: {name: 'e*'}\n    dhcp4: true\n",
            "MAC address",
            4,
        ),
        (
            "version: 2\nbridges:\n  br0: {interfaces: [eth0]}\n",
            "bridges",
            2,
        ),
        ("version: 1\nconfig:\n- type: bridge\n  name: br0\n", "bridge", 3),
        (
            "version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.5]\n",
            "prefix",
            4,
        ),
        (
            "version: 2\nvlans:\n  v: {id: 5, link: eth0, dhcp4: true}\n",
            "MAC address",
            3,
        ),
    ] {
        let said = network_data(&Document::new("nc", text)).unwrap_err().to_string();
        assert!(
            said.contains(word) && said.contains(&format!("nc:{line}:")),
            "{text}: {said}"
        );
    }
    let document = Document::new(
        "nc",
        "network:\n  version: 1\n  config:\n  - {type: physical, name: eth0, mac_address: '52:54:00:00:00:01', subnets: [{type: dhcp}]}\n  - {type: vlan, name: eth0.5, vlan_link: eth0, vlan_id: 5, subnets: [{type: static, address: 10.5.0.2, netmask: 255.255.255.0, gateway: 10.5.0.1}]}\n  - {type: nameserver, address: 9.9.9.9}\n",
    );
    let made = network_data(&document).unwrap();
    assert_eq!(made["links"][1]["vlan_mac_address"], "52:54:00:00:00:01");
    assert_eq!(made["networks"][1]["routes"][0]["gateway"], "10.5.0.1");
    assert_eq!(made["services"][0]["address"], "9.9.9.9");
}

#[test]
fn windows_documents_are_checked() {
    let codes = |text: &str| {
        let drive = ConfigDrive {
            guest: GuestSystem::CloudbaseInit,
            user_data: Some(Document::new("ud", text)),
            ..ConfigDrive::default()
        };
        drive.validate().iter().map(|d| d.code).collect::<Vec<_>>()
    };
    for good in [
        "#ps1_sysnative\r\nWrite-Host hi\r\n",
        "#ps1_x86\nWrite-Host hi\n",
        "#PS1\nWrite-Host hi\n",
        "rem cmd\r\necho hi\r\n",
        "#!/usr/bin/env python\nprint(1)\n",
        "<powershell>\nWrite-Host hi\n</powershell>\n",
        "#cloud-config\nset_hostname: a\nusers:\n- name: anna\n  passwd: Abcdef12\n",
    ] {
        let found = codes(good);
        assert!(
            found.iter().all(|c| *c == "unknown-key"
                || *c == "password-not-hashed"
                || *c == "users-without-default"
                || *c == "password-locked"),
            "{good}: {found:?}"
        );
    }
    for (text, code) in [
        ("#ps1_sysnativ\nWrite-Host hi\n", "header-unknown"),
        ("#ps1-sysnative\nWrite-Host hi\n", "header-unknown"),
        ("#ps1_sysnative\nexit 1003\n", "exit-status"),
        ("#ps1_sysnative\nRestart-Computer -Force\n", "restart"),
        ("Write-Host hi\n", "header-missing"),
        ("\u{feff}#ps1\nWrite-Host hi\n", "byte-order-mark"),
        ("<powershell>\nWrite-Host hi\n", "windows-tags"),
        ("#include\nhttp://example.com\n", "windows-kind"),
        ("#!/bin/bash\necho hi\n", "windows-shell"),
        ("#cloud-config\npackages: [a]\n", "windows-key"),
        (
            "#cloud-config\nusers:\n- name: a\n  hashed_passwd: $6$a$b\n",
            "windows-password",
        ),
    ] {
        assert!(codes(text).contains(&code), "{text}: {:?}", codes(text));
    }
}

#[test]
fn archives_are_taken_apart_again() {
    let part = |name: &str, bytes: &[u8]| Part {
        name: name.into(),
        bytes: bytes.to_vec(),
        mime_type: None,
    };
    let long = format!("#!/bin/sh\n# {}\n", "x".repeat(2000));
    let parts = [
        part("a.yaml", b"#cloud-config\nhostname: a\n"),
        part("b.sh", long.as_bytes()),
        part(
            "c.txt",
            b"## template: jinja\n#cloud-config\nhostname: {{ v1.region }}\n",
        ),
    ];
    let shown = show("user-data", &gzip(&archive(&parts).unwrap()));
    assert_eq!(shown.decoded, ["gzip"]);
    let found: Vec<(&str, Option<&str>, Option<&str>)> = shown
        .parts
        .iter()
        .map(|p| (p.name.as_str(), p.content_type.as_deref(), p.text.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "a.yaml",
                Some("text/cloud-config"),
                Some("#cloud-config\nhostname: a\n")
            ),
            ("b.sh", Some("text/x-shellscript"), Some(long.as_str())),
            (
                "c.txt",
                Some("text/jinja2"),
                Some("## template: jinja\n#cloud-config\nhostname: {{ v1.region }}\n")
            ),
        ]
    );
    assert_eq!(shown.parts[1].decoded, ["base64"]);
}

#[test]
fn wrong_names_and_labels_of_folders_and_volumes_are_told() {
    let codes = |files: &[(&str, &str)], label: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut read = Contents::of_folder(folder.path()).unwrap();
        if let Some(label) = label {
            (read.filesystem, read.label) = (Some("iso9660"), Some(label.into()));
        }
        let found = check(&read, GuestSystem::CloudInit, None);
        found
            .iter()
            .map(|d| (d.code, d.severity.to_string()))
            .collect::<Vec<_>>()
    };
    let meta = ("meta-data", "instance-id: a\n");
    let user = ("user-data", "#cloud-config\n{}\n");
    assert_eq!(codes(&[meta, user], Some("cidata")), []);
    assert_eq!(
        codes(&[meta, user], Some("CIDATA")),
        [("label", "warning".into())]
    );
    assert_eq!(codes(&[meta, user], Some("seed")), [("label", "error".into())]);
    for wrong in ["user-data.txt", "user_data", "USER_DAT.;1"] {
        let found = codes(&[meta, (wrong, user.1)], None);
        assert_eq!(found, [("file-name", "error".into())], "{wrong}");
    }
    assert_eq!(
        codes(&[("meta-data", ""), user], None),
        [("instance-id-missing", "warning".into())]
    );
}

/// Who edits `latest` of a drive that OpenStack made changes what no cloud-init reads.
#[test]
fn the_folder_that_is_read_is_the_one_that_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join("openstack").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let meta = "{\"uuid\": \"u\"}";
    for version in ["2015-10-15", "2018-08-27", "2020-10-14", "latest"] {
        write(&format!("{version}/meta_data.json"), meta);
        write(&format!("{version}/user_data"), "#cloud-config\nhostname: a\n");
    }
    let found = |guest| -> Vec<(&'static str, String)> {
        let contents = Contents::of_folder(folder.path()).unwrap();
        let found = check(&contents, guest, None);
        found.into_iter().map(|d| (d.code, d.file)).collect()
    };
    assert_eq!(found(GuestSystem::CloudInit), []);
    write("latest/user_data", "#cloud-config\nhostname: [\n");
    let codes: Vec<_> = found(GuestSystem::CloudInit)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes, ["folder-not-read"]);
    let windows = found(GuestSystem::CloudbaseInit);
    assert!(
        windows.iter().any(|(_, file)| file.ends_with("latest/user_data")),
        "{windows:?}"
    );
    write("2018-08-27/user_data", "#cloud-config\nhostname: [\n");
    let found = found(GuestSystem::CloudInit);
    assert!(
        found
            .iter()
            .any(|(code, file)| *code == "yaml-syntax" && file.ends_with("2018-08-27/user_data")),
        "{found:?}"
    );
}

/// A disk with an EFI system partition before the seed: the partition with the label is the seed.
#[test]
fn a_seed_in_a_partition_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let seed = no_cloud().build(&with(MediaFormat::Vfat)).unwrap();
    let bytes = std::fs::read(written(&seed, folder.path())).unwrap();
    let esp = NoCloud::default().build(&BuildOptions {
        label: "ESP".into(),
        validate: false,
        ..with(MediaFormat::Vfat)
    });
    std::fs::remove_file(folder.path().join("seed.img")).unwrap();
    let esp = std::fs::read(written(&esp.unwrap(), folder.path())).unwrap();
    let (first, second) = (2048_u32, 2048 + (4 << 20) / 512);
    let mut disk = vec![0; 16 << 20];
    for (number, start, partition) in [(0, first, &esp), (1, second, &bytes)] {
        let at = start as usize * 512;
        disk[at..at + partition.len()].copy_from_slice(partition);
        let entry = &mut disk[446 + 16 * number..][..16];
        entry[4] = 0x0c;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&(partition.len() as u32 / 512).to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let image = folder.path().join("disk.img");
    std::fs::write(&image, &disk).unwrap();
    let read = contents(&image);
    assert!(read.partition);
    assert_eq!(read.label.as_deref(), Some("cidata"));
    let mut files = seed.files.clone();
    files.sort();
    assert_eq!(read.files, files);
    let found = check(&read, GuestSystem::CloudInit, None);
    assert!(found.is_empty(), "{found:?}");
    let user_data = read.document("user-data").unwrap();
    let shown = show(&user_data.name, &user_data.bytes);
    assert!(format!("{shown:?}").contains("hostname: web1"), "{shown:?}");
    let place = format!("{}@@{}", image.display(), second * 512);
    if let Some(said) = run("mtype", &["-i", &place, "::meta-data"]) {
        assert_eq!(said, "instance-id: web1-1\nlocal-hostname: web1\n");
    }
}
