//! The volumes, and what is added to meta-data.

use disksmith_seed::{BuildOptions, Document, Error, InstanceId, NoCloud, Part, archive};
use disksmith_storage::{Diagnose, ErrorKind};
use disksmith_storage::{Durability, Existing};
use disksmith_vfs::Timestamp;
use std::path::Path;
use std::process::Command;

pub(crate) fn options() -> BuildOptions {
    BuildOptions::new(Timestamp {
        seconds: 1_700_000_000,
        nanoseconds: 0,
    })
}

fn full() -> NoCloud {
    NoCloud {
        user_data: Some(Document::new("ud", "#cloud-config\nhostname: a\n")),
        network_config: Some(Document::new("nc", "version: 2\nethernets: {}\n")),
        vendor_data: Some(Document::new("vd", "#cloud-config\nlocale: C\n")),
        name: Some("vm1".into()),
        ..NoCloud::default()
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> Option<String> {
    run_with(program, args, &[])
}

/// The same, with variables of the environment.
pub(crate) fn run_with(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C.UTF-8");
    match command.envs(variables.iter().copied()).output() {
        Ok(out) => {
            assert!(
                out.status.success(),
                "{program} {args:?}: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            Some(String::from_utf8_lossy(&out.stdout).into_owned())
        }
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "{program} is not installed: {error}"
            );
            eprintln!("SKIPPED: {program} is not installed");
            None
        }
    }
}

fn meta_data(seed: &NoCloud) -> String {
    let built = seed.build(&options()).unwrap();
    let file = built.files.iter().find(|(name, _)| *name == "meta-data").unwrap();
    String::from_utf8(file.1.clone()).unwrap()
}

#[test]
fn every_reader_sees_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let iso = folder.path().join("seed.iso");
    let seed = full().build(&options()).unwrap();
    seed.write_file(&iso, Existing::Refuse, Durability::Deferred)
        .unwrap();
    let iso = iso.to_str().unwrap();
    if let Some(out) = run("blkid", &["-p", "-o", "export", iso]) {
        assert!(
            out.contains("LABEL=cidata\n") && out.contains("TYPE=iso9660\n"),
            "{out}"
        );
    }
    for hierarchy in ["-R", "-J"] {
        if let Some(out) = run("isoinfo", &["-f", hierarchy, "-i", iso]) {
            let mut names: Vec<&str> = out.lines().collect();
            names.sort_unstable();
            assert_eq!(
                names,
                ["/meta-data", "/network-config", "/user-data", "/vendor-data"]
            );
        }
    }
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    if run("bsdtar", &["-C", out.to_str().unwrap(), "-xf", iso]).is_some() {
        for (name, bytes) in &seed.files {
            assert_eq!(std::fs::read(out.join(name)).unwrap(), *bytes);
        }
    }
    if run("7z", &["t", iso]).is_some() {}
}

#[test]
fn the_same_documents_give_the_same_bytes() {
    let bytes = |seed: &NoCloud| {
        let mut out = Vec::new();
        seed.build(&options()).unwrap().image.write_to(&mut out).unwrap();
        out
    };
    assert!(bytes(&full()) == bytes(&full()));
    let other = NoCloud {
        name: Some("vm2".into()),
        ..full()
    };
    assert!(bytes(&full()) != bytes(&other));
}

#[test]
fn instance_ids() {
    let id = |seed: &NoCloud| seed.build(&options()).unwrap().instance_id;
    let InstanceId::Made(made) = id(&full()) else {
        panic!("not made")
    };
    assert!(made.starts_with("iid-") && made.len() == 20, "{made}");
    assert_eq!(id(&full()), InstanceId::Made(made.clone()));
    assert_eq!(meta_data(&full()), format!("instance-id: {made}\n"));
    let mut changed = full();
    changed.user_data = Some(Document::new("ud", "#cloud-config\nhostname: b\n"));
    assert_ne!(id(&changed), InstanceId::Made(made));

    let with = |text: &str| NoCloud {
        meta_data: Some(Document::new("md", text)),
        ..full()
    };
    assert_eq!(id(&with("instance-id: mine\n")), InstanceId::Given("mine".into()));
    assert_eq!(meta_data(&with("instance-id: mine\n")), "instance-id: mine\n");
    for (text, before, after) in [
        ("local-hostname: a\n", "instance-id: ", "\nlocal-hostname: a\n"),
        ("local-hostname: a", "instance-id: ", "\nlocal-hostname: a"),
        (
            "# mine\n---\nlocal-hostname: a\n",
            "# mine\n---\ninstance-id: ",
            "\nlocal-hostname: a\n",
        ),
        (
            "  local-hostname: a\n  x: y\n",
            "  instance-id: ",
            "\n  local-hostname: a\n  x: y\n",
        ),
        (
            "{\"local-hostname\": \"a\"}\n",
            "{\"instance-id\": \"",
            "\", \"local-hostname\": \"a\"}\n",
        ),
        ("{}", "{\"instance-id\": \"", "\"}"),
        ("# nothing\n", "# nothing\ninstance-id: ", "\n"),
    ] {
        let InstanceId::Made(id) = id(&with(text)) else {
            panic!("not made: {text}")
        };
        assert_eq!(meta_data(&with(text)), format!("{before}{id}{after}"), "{text}");
    }
}

#[test]
fn hostnames_and_ids_that_are_asked_for() {
    let mut seed = NoCloud {
        local_hostname: Some("web1".into()),
        instance_id: Some("123".into()),
        ..full()
    };
    assert_eq!(meta_data(&seed), "instance-id: \"123\"\nlocal-hostname: web1\n");
    seed.meta_data = Some(Document::new("md", "local-hostname: web2\n"));
    let error = seed.build(&options()).unwrap_err();
    assert_eq!(error.to_string(), "md has the local-hostname \"web2\" already");
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn errors_refuse_and_can_be_overridden() {
    let mut seed = full();
    seed.user_data = Some(Document::new("ud.yaml", "hostname: a\n"));
    let error = seed.build(&options()).unwrap_err();
    assert!(matches!(&error, Error::Invalid { diagnostics } if diagnostics.len() == 1));
    assert!(error.to_string().starts_with("ud.yaml:1:1: error: "), "{error}");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.hint().unwrap().contains("--no-validate"));

    seed.meta_data = Some(Document::new("md", "\tbroken: [\n"));
    let careless = BuildOptions {
        validate: false,
        ..options()
    };
    let built = seed.build(&careless).unwrap();
    assert_eq!(built.instance_id, InstanceId::Unknown);
    assert_eq!(built.files[0].1, b"hostname: a\n");
    assert_eq!(built.files[1].1, b"\tbroken: [\n");
    assert_eq!(built.diagnostics.len(), 2);
}

#[test]
fn mime_archives_are_read_by_python() {
    let part = |name: &str, bytes: &[u8], mime_type: Option<&str>| Part {
        name: name.into(),
        bytes: bytes.into(),
        mime_type: mime_type.map(Into::into),
    };
    let parts = [
        part("a.yaml", b"#cloud-config\nhostname: a\n", None),
        part("b.sh", b"#!/bin/sh\necho hello\n", None),
        part("c.yaml", "hostname: größe\n".as_bytes(), Some("cloud-config")),
        part("d.bin", &[0, 255, 1, 254, 2], Some("application/octet-stream")),
    ];
    let bytes = archive(&parts).unwrap();
    assert_eq!(bytes, archive(&parts).unwrap());
    let error = archive(&[part("x", b"hello", None)]).unwrap_err();
    assert!(error.to_string().starts_with("x:"), "{error}");
    let seed = NoCloud {
        user_data: Some(Document::new("ud", bytes.clone())),
        ..NoCloud::default()
    };
    // cloud-init does not handle the last part.
    let codes: Vec<&str> = seed.validate().iter().map(|d| d.code).collect();
    assert_eq!(codes, ["mime-type"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ud");
    std::fs::write(&file, &bytes).unwrap();
    let script = "import email,sys\n\
        m = email.message_from_binary_file(open(sys.argv[1], 'rb'))\n\
        for p in m.get_payload():\n  print(p.get_content_type(), p.get_filename(), p.get_payload(decode=True).hex())\n";
    if let Some(out) = run("python3", &["-c", script, path(&file)]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let types = [
            "text/cloud-config",
            "text/x-shellscript",
            "text/cloud-config",
            "application/octet-stream",
        ];
        let expected: Vec<String> = parts
            .iter()
            .zip(types)
            .map(|(p, kind)| format!("{kind} {} {}", p.name, hex(&p.bytes)))
            .collect();
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
