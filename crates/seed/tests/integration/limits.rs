//! Documents that are large, deep or strange in other ways, and settings that no guest could use.

use crate::volume::options;
use disksmith_seed::{BuildOptions, Diagnostic, Document, NoCloud, Severity};
use disksmith_storage::{Diagnose, ErrorKind};
use std::time::{Duration, Instant};

fn user_data(text: impl Into<Vec<u8>>) -> NoCloud {
    NoCloud {
        user_data: Some(Document::new("user-data", text)),
        ..NoCloud::default()
    }
}

/// The findings, which must come in a time that no quadratic search would keep.
#[track_caller]
fn soon(seed: &NoCloud) -> Vec<Diagnostic> {
    let start = Instant::now();
    let found = seed.validate();
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(20), "took {taken:?}");
    assert!(found.len() < 200, "{} findings", found.len());
    let text: usize = found.iter().map(|d| d.message.len()).sum();
    assert!(text < 200_000, "{text} bytes of messages");
    found
}

fn codes(found: &[Diagnostic]) -> Vec<&'static str> {
    found.iter().map(|d| d.code).collect()
}

#[test]
fn very_many_keys_are_not_searched_one_by_one() {
    let keys = |count: usize| -> String { (0..count).map(|i| format!("k{i}: v\n")).collect() };
    let found = soon(&user_data(format!("#cloud-config\n{}", keys(500_000))));
    assert!(codes(&found).contains(&"yaml-size"), "{found:?}");

    let found = soon(&user_data(format!("#cloud-config\n{}", keys(20_000))));
    let last = found.last().unwrap();
    assert_eq!(
        (last.code, last.severity),
        ("and-more", Severity::Warning),
        "{last}"
    );
    assert_eq!(found.len(), 51);
    assert!(last.message.contains("19950 more"), "{last}");

    // Errors are not hidden by a flood of warnings, and are errors when they are left out themselves.
    let text = format!("#cloud-config\n{}runcmd: 5\n", keys(500));
    let found = soon(&user_data(text));
    assert!(codes(&found).contains(&"wrong-type"), "{found:?}");
    let found = soon(&user_data("#cloud-config\n".to_string() + &"a: b\n".repeat(500)));
    assert!(
        found
            .iter()
            .any(|d| d.code == "and-more" && d.severity == Severity::Error),
        "{found:?}"
    );
}

#[test]
fn a_document_that_is_too_large_to_check_is_still_read_for_its_syntax() {
    let keys: String = (0..200_000).map(|i| format!("k{i}: v\n")).collect();
    let found = soon(&user_data(format!("#cloud-config\n{keys}x: [\n")));
    assert!(codes(&found).contains(&"yaml-syntax"), "{found:?}");
    let found = soon(&user_data(format!("#cloud-config\n{keys}x: !foo y\n")));
    assert!(codes(&found).contains(&"yaml-tag"), "{found:?}");
}

#[test]
fn one_very_long_line_is_read_once() {
    let items: String = (0..60_000).map(|i| format!("k{i}: v, ")).collect();
    soon(&user_data(format!("#cloud-config\nrandom_seed: {{{items}}}\n")));
    soon(&user_data(format!("#cloud-config\n{{{items}}}\n")));
    soon(&user_data("#".to_string() + &"\u{1}".repeat(2 << 20)));
    soon(&user_data("#include\n".to_string() + &"no url\n".repeat(300_000)));
    soon(&user_data("#cloud-config\n".to_string() + &"\n".repeat(4 << 20)));
    soon(&user_data(
        "#cloud-config\n\"".to_string() + &"k".repeat(2 << 20) + "\": 1\n",
    ));
}

#[test]
fn documents_in_documents_end_somewhere() {
    soon(&user_data("MIME-Version: 1.0\n\n".repeat(100_000)));
    soon(&user_data("## template: jinja\n".repeat(100_000)));
    let part = "--B\nContent-Type: text/x-foo\n\n";
    let text = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n".to_string();
    soon(&user_data(text + &part.repeat(100_000)));
}

#[test]
fn tags_that_cloud_init_cannot_load_are_errors() {
    for (value, expected) in [
        ("!!python/object:os.system x", Some((Severity::Error, 2, 11))),
        ("!!python/unicode x", Some((Severity::Warning, 2, 11))),
        ("!foo x", Some((Severity::Error, 2, 11))),
        ("!foo {a: b}", Some((Severity::Error, 2, 11))),
        ("!foo [a]", Some((Severity::Error, 2, 11))),
        ("!<tag:example.com,2000:x> a", Some((Severity::Error, 2, 11))),
        ("!!nonsense x", Some((Severity::Error, 2, 11))),
        ("!!map x", Some((Severity::Error, 2, 11))),
        ("!!str web1", None),
        ("!!str 5", None),
        ("! 5", None),
        ("!<tag:yaml.org,2002:str> web1", None),
        ("!!binary aGVsbG8=", None),
        ("!!int 5", None),
        ("!!timestamp 2001-01-01", None),
    ] {
        let seed = user_data(format!("#cloud-config\nhostname: {value}\n"));
        let found = soon(&seed);
        let tag = found
            .iter()
            .find(|d| d.code == "yaml-tag")
            .map(|d| (d.severity, d.line));
        assert_eq!(tag, expected.map(|(s, line, _)| (s, line)), "{value}: {found:?}");
        assert_eq!(
            found.iter().any(|d| d.severity == Severity::Error),
            expected.is_some_and(|(s, ..)| s == Severity::Error),
            "{value}: {found:?}"
        );
    }
    for value in [
        "!!set {a, b}",
        "!!omap [a: b]",
        "!!pairs [a: b]",
        "!!seq [a]",
        "!!map {a: b}",
    ] {
        let seed = user_data(format!("#cloud-config\ndebug: {value}\n"));
        let mut found = codes(&soon(&seed));
        found.retain(|code| *code != "schema");
        assert_eq!(found, Vec::<&str>::new(), "{value}");
    }
}

/// PyYAML takes and refuses the same tags.
#[test]
fn tags_are_judged_as_pyyaml_does() {
    for value in [
        "!!python/object:os.system x",
        "!foo x",
        "!foo {a: b}",
        "!!nonsense x",
        "!!map x",
        "!!seq {a: b}",
        "!!str [a]",
        "!!int {a: b}",
        "!!str web1",
        "! 5",
        "!<tag:yaml.org,2002:str> web1",
        "!!binary aGVsbG8=",
        "!!int 5",
        "!!float 5",
        "!!bool yes",
        "!!null ''",
        "!!timestamp 2001-01-01",
        "!!set {a, b}",
        "!!omap [a: b]",
        "!!pairs [a: b]",
    ] {
        let text = format!("#cloud-config\ndebug: {value}\n");
        let script = "import yaml,sys\ntry:\n yaml.safe_load(sys.argv[1]); print('good')\nexcept yaml.YAMLError: print('bad')";
        let Some(judged) = crate::volume::run("python3", &["-c", script, &text]) else {
            return;
        };
        let found = soon(&user_data(text));
        let bad = found.iter().any(|d| d.severity == Severity::Error);
        assert_eq!(judged.trim() == "bad", bad, "{value}: {found:?}");
    }
}

fn labelled(label: &str, validate: bool) -> BuildOptions {
    BuildOptions {
        label: label.into(),
        validate,
        ..options()
    }
}

#[test]
fn a_label_that_nocloud_does_not_look_for_is_refused() {
    let seed = user_data("#cloud-config\nhostname: a\n");
    for label in ["cidata", "CIDATA"] {
        seed.build(&labelled(label, true)).unwrap();
    }
    for label in ["x", "CiData", "cidata ", "seed"] {
        let error = seed.build(&labelled(label, true)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{label:?}: {error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("fs_label") && hint.contains("--no-validate"),
            "{hint}"
        );
        seed.build(&labelled(label, false)).unwrap();
    }
    for label in ["", " ", "é", "a\nb", &"x".repeat(33)] {
        for validate in [true, false] {
            let error = seed.build(&labelled(label, validate)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{label:?}: {error}");
            assert!(!error.hint().unwrap().contains("--no-validate"));
        }
    }
}

#[test]
fn host_names_and_instance_ids_that_nothing_could_use_are_refused() {
    let name = |name: &str| NoCloud {
        local_hostname: Some(name.into()),
        ..NoCloud::default()
    };
    let id = |id: &str| NoCloud {
        instance_id: Some(id.into()),
        ..NoCloud::default()
    };
    for good in ["web1", "web1.example.com", "a_b", "1"] {
        name(good).build(&options()).unwrap();
    }
    let long = "x".repeat(65);
    let bad_names = ["", "a b", "../x", "-a", "a-", "a..b", ".", "é", "a\n", &long].map(name);
    let bad_ids = ["", "  ", "a\nb"].map(id);
    for seed in bad_names.iter().chain(&bad_ids) {
        for validate in [true, false] {
            let error = seed.build(&labelled("cidata", validate)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{seed:?}: {error}");
        }
    }
}
