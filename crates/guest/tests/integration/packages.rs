//! Package databases: with a write-ahead log, and damaged in every way.

use crate::judge::run;
use disksmith_guest::{GuestOptions, RootChoice, list_applications, look};
use disksmith_image::{Gate, Keys};
use disksmith_vfs::{MemoryFs, Owner, Timestamp, Tree};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};

/// A file of one of the guests in `testdata/inspect`.
fn file_of(guest: &str, path: &str) -> Vec<u8> {
    let image = format!(
        "{}/../../testdata/inspect/guests/{guest}.qcow2",
        env!("CARGO_MANIFEST_DIR")
    );
    let options = GuestOptions {
        mounts: Vec::new(),
        root: RootChoice::default(),
        clock: CLOCK,
        keys: Keys::none(),
        gate: Gate::FollowAll,
    };
    let disks = [(PathBuf::from(image), None)];
    look(
        &disks,
        &options,
        |_: &Path| {},
        |guest| Ok(guest.tree().read(path)?),
    )
    .unwrap()
}

fn tree_of(files: &[(&str, &[u8])]) -> Tree {
    let tree = Tree::new(Arc::new(MemoryFs::new(CLOCK)), CLOCK);
    for (path, contents) in files {
        let folder = path.rsplit_once('/').unwrap().0;
        tree.create_dir_all(folder, Owner::ROOT, 0o755).unwrap();
        tree.write(path, contents, Owner::ROOT, 0o644).unwrap();
    }
    tree
}

/// What a log holds counts up to its last commit, and not behind a frame that is damaged.
#[test]
fn a_log_of_sqlite_counts() {
    if run("sqlite3", &["--version"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("rpmdb.sqlite");
    std::fs::write(&database, file_of("fedora", "/usr/lib/sysimage/rpm/rpmdb.sqlite")).unwrap();
    let script = [
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;",
        "DELETE FROM Packages WHERE hnum > 60;",
        ".system cp rpmdb.sqlite copy.sqlite; cp rpmdb.sqlite-wal first.sqlite-wal",
        "DELETE FROM Packages WHERE hnum > 20;",
        ".system cp rpmdb.sqlite-wal copy.sqlite-wal",
        "SELECT 'left', count(*) FROM Packages;",
    ]
    .join("\n");
    let output = Command::new("sqlite3")
        .arg("rpmdb.sqlite")
        .current_dir(folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes())?;
            child.wait_with_output()
        })
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let left: usize = said
        .lines()
        .find_map(|line| line.strip_prefix("left|"))
        .unwrap()
        .parse()
        .unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let count = |log: &[u8]| {
        let tree = tree_of(&[
            ("/var/lib/rpm/rpmdb.sqlite", &read("copy.sqlite")),
            ("/var/lib/rpm/rpmdb.sqlite-wal", log),
        ]);
        list_applications(&tree, "rpm").unwrap().len()
    };
    let (first, both) = (read("first.sqlite-wal"), read("copy.sqlite-wal"));
    assert!(both.len() > first.len() && both.starts_with(&first));
    assert_eq!(count(&[]), 140);
    let after_first = count(&first);
    assert!(left < after_first && after_first < 140, "{left} {after_first}");
    assert_eq!(count(&both), left);
    // The second commit is there only whole.
    assert_eq!(count(&both[..both.len() - 1]), after_first);
    let mut damaged = both.clone();
    let last = damaged.len() - 100;
    damaged[last] ^= 1;
    assert_eq!(count(&damaged), after_first);
}

/// Nothing in a database makes the program stop otherwise than with an error, or go on for ever.
fn survives(path: &str, original: &[u8], edits: &[(usize, u8)], keep: usize) {
    let mut bytes = original.to_vec();
    for (at, value) in edits {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    bytes.truncate(keep);
    let _ = list_applications(&tree_of(&[(path, &bytes)]), "rpm");
}

/// Places that matter: the start of the file and of its pages, then anywhere.
fn edits() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let place = prop_oneof![
        0usize..120,
        (0usize..160, 0usize..40).prop_map(|(page, at)| page * 4096 + at),
        0usize..1_000_000,
    ];
    let value = prop_oneof![Just(0u8), Just(1), Just(0x7f), Just(0xff), any::<u8>()];
    prop::collection::vec((place, value), 1..12)
}

#[test]
fn damaged_databases_are_errors() {
    let runner = |kind: &str, guest: &str, inside: &str, path: &str| {
        let original = file_of(guest, inside);
        let intact = tree_of(&[(path, &original)]);
        assert_eq!(list_applications(&intact, "rpm").unwrap().len(), 140, "{kind}");
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 48,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let strategy = (edits(), prop_oneof![Just(usize::MAX), 0..original.len()]);
        runner
            .run(&strategy, |(edits, keep)| {
                survives(path, &original, &edits, keep);
                Ok(())
            })
            .unwrap();
    };
    runner(
        "sqlite",
        "fedora",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/var/lib/rpm/rpmdb.sqlite",
    );
    runner(
        "ndb",
        "opensuse",
        "/var/lib/rpm/Packages.db",
        "/var/lib/rpm/Packages.db",
    );
    runner("bdb", "centos", "/var/lib/rpm/Packages", "/var/lib/rpm/Packages");
}

#[test]
fn a_page_that_is_its_own_child_is_an_error() {
    let mut bytes = file_of("fedora", "/usr/lib/sysimage/rpm/rpmdb.sqlite");
    // Every inner page of a table points to itself.
    for page in 0..bytes.len() / 4096 {
        let start = page * 4096;
        if bytes[start] == 5 {
            let number = u32::try_from(page + 1).unwrap();
            bytes[start + 8..start + 12].copy_from_slice(&number.to_be_bytes());
        }
    }
    let error = list_applications(&tree_of(&[("/var/lib/rpm/rpmdb.sqlite", &bytes)]), "rpm").unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[test]
fn states_and_endings_of_dpkg() {
    let status = "Package: gone\nStatus: purge ok not-installed\nVersion: 1\n\n\
        Package: here\nStatus: install ok installed\nVersion: x:1-2\nDescription: a\n b\n .\n c\n\n\
        Package: last\nStatus: install ok installed\nVersion: 2";
    let tree = tree_of(&[("/var/lib/dpkg/status", status.as_bytes())]);
    let found = list_applications(&tree, "deb").unwrap();
    let names: Vec<_> = found.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["here", "last"]);
    assert_eq!(found[0].description, "b\n.\nc");
    assert_eq!((found[0].epoch, found[0].version.as_str()), (0, "1"));
    for format in ["deb", "rpm", "apk", "pacman", "xbps", "unknown"] {
        assert!(list_applications(&tree_of(&[]), format).unwrap().is_empty());
    }
}
