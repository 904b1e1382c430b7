//! Documents that are made from settings, judged by PyYAML (which cloud-init uses) and by this crate's own checks.

use crate::volume::{options, run};
use disksmith_seed::{
    ConfigDrive, DeviceMatch, Document, GuestSystem, NoCloud, Quick, QuickUser, Severity, StaticNetwork,
};
use disksmith_storage::{Durability, Existing};

/// What PyYAML makes of a document, as JSON.
fn as_json(document: &Document) -> Option<serde_json::Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    std::fs::write(&file, &document.bytes).unwrap();
    let script =
        "import yaml,json,sys\nprint(json.dumps(yaml.safe_load(open(sys.argv[1], encoding='utf-8'))))";
    let out = run("python3", &["-c", script, file.to_str().unwrap()])?;
    Some(serde_json::from_str(&out).unwrap())
}

fn quick() -> Quick {
    Quick {
        hostname: Some("web1".into()),
        timezone: Some("Asia/Shanghai".into()),
        users: vec![QuickUser {
            name: "anna".into(),
            ssh_keys: vec!["ssh-ed25519 AAAA anna@host".into()],
            password_hash: Some("$6$salt$hash".into()),
            sudo: true,
            groups: vec!["docker".into()],
            shell: Some("/bin/bash".into()),
        }],
        ssh_keys: vec!["ssh-rsa AAAA \"quoted\": yes".into()],
        password_hash: Some("$6$default$x".into()),
        root_password_hash: Some("$y$j9T$x".into()),
        packages: vec!["nginx".into(), "yes".into(), "8080".into()],
        run: vec![
            "echo key: value".into(),
            "echo 'größe' \"$HOME\"\ttab".into(),
            "- x".into(),
        ],
        network: Some(StaticNetwork {
            device: DeviceMatch::Mac("52:54:00:12:34:56".into()),
            addresses: vec![
                ("10.0.0.5".parse().unwrap(), 24),
                ("fd00::5".parse().unwrap(), 64),
            ],
            gateways: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            nameservers: vec!["1.1.1.1".parse().unwrap()],
            search: vec!["example.com".into()],
        }),
        ..Quick::default()
    }
}

#[test]
fn quick_documents_say_what_was_asked_for() {
    let (user_data, network_config) = (quick().user_data(), quick().network_config().unwrap());
    let seed = NoCloud {
        user_data: Some(user_data.clone()),
        network_config: Some(network_config.clone()),
        ..NoCloud::default()
    };
    assert_eq!(seed.validate(), []);
    if let Some(found) = as_json(&user_data) {
        let expected = serde_json::json!({
            "hostname": "web1",
            "timezone": "Asia/Shanghai",
            "users": ["default", {
                "name": "anna",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "groups": ["docker"],
                "shell": "/bin/bash",
                "lock_passwd": false,
                "hashed_passwd": "$6$salt$hash",
                "ssh_authorized_keys": ["ssh-ed25519 AAAA anna@host"],
            }, {"name": "root", "lock_passwd": false, "hashed_passwd": "$y$j9T$x"}],
            "ssh_authorized_keys": ["ssh-rsa AAAA \"quoted\": yes"],
            "password": "$6$default$x",
            "chpasswd": {"expire": false},
            "ssh_pwauth": true,
            "disable_root": false,
            "package_update": true,
            "packages": ["nginx", "yes", "8080"],
            "runcmd": ["echo key: value", "echo 'größe' \"$HOME\"\ttab", "- x"],
        });
        assert_eq!(found, expected);
    }
    if let Some(found) = as_json(&network_config) {
        let expected = serde_json::json!({
            "version": 2,
            "ethernets": {"primary": {
                "match": {"macaddress": "52:54:00:12:34:56"},
                "dhcp4": false,
                "addresses": ["10.0.0.5/24", "fd00::5/64"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00::1"}],
                "nameservers": {"addresses": ["1.1.1.1"], "search": ["example.com"]},
            }},
        });
        assert_eq!(found, expected);
    }
    assert_eq!(Quick::default().user_data().bytes, b"#cloud-config\n{}\n");
    assert_eq!(Quick::default().network_config(), None);
}

#[test]
fn config_drives() {
    let drive = ConfigDrive {
        guest: GuestSystem::CloudbaseInit,
        hostname: Some("win1".into()),
        admin_pass: Some("Pa$$w0rd".into()),
        public_keys: vec![("mykey".into(), "ssh-rsa AAAA x\n".into())],
        user_data: Some(Document::new("ud", "#ps1_sysnative\nWrite-Host hello\n")),
        network_data: Some(Document::new("nd", "{\"links\": []}")),
        ..ConfigDrive::default()
    };
    let seed = drive.build(&options()).unwrap();
    let uuid = seed.instance_id.as_str().unwrap();
    assert_eq!(seed.instance_id, drive.build(&options()).unwrap().instance_id);
    assert_eq!(uuid.len(), 36);
    assert_eq!(seed.diagnostics, []);
    let folder = tempfile::tempdir().unwrap();
    let iso = folder.path().join("x.iso");
    seed.write_file(&iso, Existing::Refuse, Durability::Deferred)
        .unwrap();
    let iso = iso.to_str().unwrap();
    if let Some(out) = run("blkid", &["-p", "-o", "export", iso]) {
        assert!(out.contains("LABEL=config-2\n"), "{out}");
    }
    if let Some(out) = run(
        "isoinfo",
        &["-J", "-x", "/openstack/latest/meta_data.json", "-i", iso],
    ) {
        let found: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(found["uuid"], uuid);
        assert_eq!(found["admin_pass"], "Pa$$w0rd");
        assert_eq!(found["public_keys"]["mykey"], "ssh-rsa AAAA x");
    }
    let broken = ConfigDrive {
        user_data: Some(Document::new("ud", "hello")),
        network_data: Some(Document::new("nd", "{\n  \"links\": [,]\n}")),
        ..ConfigDrive::default()
    };
    let found: Vec<_> = broken
        .validate()
        .iter()
        .map(|d| (d.severity, d.code, d.line))
        .collect();
    assert_eq!(
        found,
        [
            (Severity::Error, "header-missing", 1),
            (Severity::Error, "json-syntax", 2)
        ]
    );
    assert!(broken.build(&options()).is_err());
}
