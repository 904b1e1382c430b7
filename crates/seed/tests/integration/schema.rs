//! Documents of a table, judged by cloud-init's own code.

use crate::volume::run_with;
use disksmith_seed::{Document, DocumentKind, GuestSystem, Severity, Version, check_document};
use std::path::{Path, PathBuf};

/// The folder of documents and the judge.
pub(crate) fn table() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/seed-documents")
}

/// Where cloud-init's code is: `CLOUD_INIT`, or where `.ci/install-judges` puts it.
pub(crate) fn cloud_init() -> String {
    std::env::var("CLOUD_INIT").unwrap_or_else(|_| {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .unwrap_or_default();
        let unpacked = cache.join("disksmith-judges/cloud-init");
        unpacked
            .join("usr/lib/python3/dist-packages")
            .display()
            .to_string()
    })
}

/// Asks cloud-init's code; `None` where it is not there.
pub(crate) fn judge(arguments: &[&str]) -> Option<String> {
    let program = table().join("judge");
    let cloud_init = cloud_init();
    if !cloud_init
        .split(':')
        .any(|folder| Path::new(folder).join("cloudinit").exists())
    {
        assert!(
            std::env::var_os("CI").is_none(),
            "cloud-init's code is not in {cloud_init}"
        );
        eprintln!("SKIPPED: cloud-init's code is not in {cloud_init} (see .ci/install-judges)");
        return None;
    }
    run_with(
        program.to_str().unwrap(),
        arguments,
        &[("CLOUD_INIT", &cloud_init)],
    )
}

fn documents(kind: &str, quality: &str) -> Vec<PathBuf> {
    let folder = table().join(kind).join(quality);
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    out.sort();
    out
}

/// The version that a document says it needs.
fn since(text: &str) -> Option<Version> {
    text.lines()
        .nth(1)?
        .strip_prefix("# since ")
        .and_then(Version::parse)
}

#[test]
fn a_table_of_documents_is_judged_as_cloud_init_judges_it() {
    let version = judge(&["version"]).and_then(|v| Version::parse(&v));
    for kind in ["user-data", "network-config"] {
        let paths = [documents(kind, "good"), documents(kind, "bad")].concat();
        assert!(paths.len() > 15);
        let names: Vec<&str> = paths.iter().map(|p| p.to_str().unwrap()).collect();
        let said = judge(&[&["schema"], names.as_slice()].concat());
        for path in &paths {
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let document = Document::new(path.to_str().unwrap(), bytes);
            let of = if kind == "user-data" {
                DocumentKind::UserData
            } else {
                DocumentKind::NetworkConfig
            };
            let found = check_document(&document, of, GuestSystem::CloudInit, None);
            let valid = !found.iter().any(|d| d.severity == Severity::Error);
            let good = path.parent().unwrap().ends_with("good");
            assert_eq!(valid, good, "{}: {found:#?}", path.display());
            assert!(found.iter().all(|d| d.line >= 1 && d.column >= 1));
            let (Some(said), Some(version)) = (&said, version) else {
                continue;
            };
            if since(&text).is_some_and(|since| version < since) {
                continue;
            }
            let name = path.to_str().unwrap();
            match said.lines().find(|line| line.split('\t').nth(1) == Some(name)) {
                Some(line) => {
                    let theirs = line.starts_with("valid");
                    assert_eq!(valid, theirs, "cloud-init says {line}\nand we say {found:#?}");
                }
                // versions before 23.4 have no schema of network-config
                None => assert_eq!(
                    kind, "network-config",
                    "cloud-init says nothing of {name}:\n{said}"
                ),
            }
        }
    }
}

#[test]
fn findings_of_the_schema_say_where() {
    let check = |text: &str, kind| {
        check_document(&Document::new("x", text), kind, GuestSystem::CloudInit, None)
            .into_iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| (d.line, d.column, d.message))
            .collect::<Vec<_>>()
    };
    let found = check(
        "#cloud-config\nusers:\n- default\n- name: a\n  lock_passwd: maybe\n",
        DocumentKind::UserData,
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, found[0].1), (5, 16));
    let found = check(
        "version: 2\nethernets:\n  eth0:\n    mtu: large\n",
        DocumentKind::NetworkConfig,
    );
    assert_eq!((found[0].0, found[0].1), (4, 10), "{found:?}");
    // in a part of an archive
    let text = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\n#cloud-config\nswap: {size: big}\n--b--\n";
    let found = check(text, DocumentKind::UserData);
    assert_eq!((found[0].0, found[0].1), (8, 14), "{found:?}");
}

#[test]
fn hostile_documents_end_in_time() {
    let bomb: String = std::iter::once("#cloud-config\na0: &a0 [x, x]\n".to_string())
        .chain((1..40).map(|i| format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1)))
        .collect();
    let deep = format!("#cloud-config\nx: {}{}\n", "[".repeat(120), "]".repeat(120));
    let wide = format!("#cloud-config\nusers: [{}]\n", "a, ".repeat(50_000));
    for text in [bomb, deep, wide] {
        let document = Document::new("x", text);
        let _ = check_document(&document, DocumentKind::UserData, GuestSystem::CloudInit, None);
    }
}

#[test]
fn the_table_of_versions_is_the_one_that_is_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cloud-init-versions.md");
    let text = std::fs::read_to_string(path).unwrap();
    let facts = disksmith_seed::version_facts();
    for fact in facts {
        let (version, word) = match (fact.since, fact.until) {
            (Some(version), _) => (version, "from"),
            (None, Some(version)) => (version, "before"),
            (None, None) => panic!("{fact:?} says no version"),
        };
        let row = text
            .lines()
            .find(|line| line.contains(&format!("`{}`", fact.place.1)));
        let row = row.unwrap_or_else(|| panic!("no row of {}", fact.place.1));
        assert!(
            row.contains(&format!("{word} {version}")) && row.contains(fact.source),
            "{row}"
        );
        assert!(fact.source.starts_with(&version.to_string()), "{}", fact.source);
    }
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .count();
    assert_eq!(rows, facts.len());
}

/// What only the schema knows is told when a seed is made, as a warning: cloud-init logs it and goes on.
#[test]
fn making_a_seed_tells_what_the_schema_does_not_allow() {
    let user_data = "#cloud-config\npower_state:\n  mode: sleep\nntp:\n  servers: pool.example.org\n";
    let network = "version: 2\nethernets:\n  eth0:\n    dhcp4: 17\n";
    let seed = disksmith_seed::NoCloud {
        user_data: Some(Document::new("user-data", user_data)),
        network_config: Some(Document::new("network-config", network)),
        ..disksmith_seed::NoCloud::default()
    };
    let found: Vec<_> = seed.validate();
    let told: Vec<(&str, usize, &str)> = found.iter().map(|d| (d.file.as_str(), d.line, d.code)).collect();
    assert!(told.contains(&("user-data", 3, "schema")), "{found:#?}");
    assert!(told.contains(&("user-data", 5, "schema")), "{found:#?}");
    assert!(
        found.iter().any(|d| d.file == "network-config" && d.line == 4),
        "{found:#?}"
    );
    let of_schema: Vec<_> = found.iter().filter(|d| d.code == "schema").collect();
    assert!(
        of_schema.iter().all(|d| d.severity == Severity::Warning),
        "{found:#?}"
    );
    let checked = check_document(
        &Document::new("user-data", user_data),
        DocumentKind::UserData,
        GuestSystem::CloudInit,
        None,
    );
    assert!(
        checked.iter().filter(|d| d.severity == Severity::Error).count() >= 2,
        "{checked:#?}"
    );
}
