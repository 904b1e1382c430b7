//! Whole volumes with their files, made in one pass.

use crate::judge::{have, is_clean, run, tree};
use disksmith_fat::{Content, FatKind, FormatOptions, VolumeBuilder};
use disksmith_storage::{HostFile, LockMode, OpenMode};
use disksmith_vfs::{Error, Timestamp};
use std::collections::BTreeMap;
use std::process::Command;

const TIME: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};

fn options(kind: Option<FatKind>, label: &str) -> FormatOptions {
    let mut options = FormatOptions::new(0x1234_abcd, TIME);
    options.label = Some(label.into());
    options.kind = kind;
    options
}

/// Names and contents of many shapes.
fn files(count: usize) -> BTreeMap<String, Vec<u8>> {
    (0..count)
        .map(|n| {
            let path = match n % 5 {
                0 => format!("FILE{n}.TXT"),
                1 => format!("a rather long name number {n}.conf"),
                2 => format!("deep/er/still/lower{n}"),
                3 => format!("openstack/content/{n:04}"),
                _ => format!("Ünïcode/ж{n}.YAML"),
            };
            let len = [0, 1, 511, 512, 2048, 2049, 70_000][n % 7];
            (path, vec![n as u8; len])
        })
        .collect()
}

#[test]
fn a_volume_holds_what_was_put_in() {
    if !have("fsck.vfat") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("volume");
    for (kind, count) in [
        (None, 3),
        (None, 700),
        (Some(FatKind::Fat12), 20),
        (Some(FatKind::Fat16), 150),
        (Some(FatKind::Fat32), 400),
    ] {
        let files = files(count);
        let make = || {
            let mut builder = VolumeBuilder::new(options(kind, "cidata"));
            for (name, bytes) in &files {
                builder
                    .add_file(name.as_bytes(), Content::Bytes(bytes.clone()))
                    .unwrap();
            }
            builder.add_directory(b"empty/one", TIME).unwrap();
            builder.plan().unwrap()
        };
        let volume = make();
        let mut streamed = Vec::new();
        volume.stream(&mut streamed).unwrap();
        assert_eq!(streamed.len() as u64, volume.size());
        std::fs::File::create(&path)
            .unwrap()
            .set_len(volume.size())
            .unwrap();
        let file = HostFile::open(&path, OpenMode::Write, LockMode::None).unwrap();
        make().write_to(&file, true).unwrap();
        assert!(
            std::fs::read(&path).unwrap() == streamed,
            "stream and storage differ"
        );
        is_clean(&path);
        let tree = tree(&path);
        for (name, bytes) in &files {
            assert!(tree.read(name.as_bytes()).unwrap() == *bytes, "{kind:?} {name}");
        }
        assert!(tree.metadata(b"/empty/one").unwrap().is_dir());
        assert_eq!(tree.metadata(b"/empty").unwrap().modified, TIME);
        if kind.is_some() {
            assert_eq!(Some(volume.kind()), kind);
        }
    }
}

#[test]
fn mtools_reads_a_volume() {
    if !have("mdir") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("volume");
    let source = dir.path().join("source");
    std::fs::write(&source, b"from the host").unwrap();
    let mut builder = VolumeBuilder::new(options(None, "config-2"));
    builder.partitioned(true).min_size(8 << 20);
    builder
        .add_file(
            b"user-data",
            Content::HostFile {
                path: source,
                len: 13,
            },
        )
        .unwrap();
    builder
        .add_file(b"openstack/latest/meta_data.json", Content::Bytes(b"{}".to_vec()))
        .unwrap();
    let volume = builder.plan().unwrap();
    volume.stream(&mut std::fs::File::create(&path).unwrap()).unwrap();
    let at = format!("{}@@1M", path.display());
    for (name, text) in [
        ("::user-data", "from the host"),
        ("::openstack/latest/meta_data.json", "{}"),
    ] {
        assert_eq!(
            run(Command::new("mtype").args(["-i", &at, name])),
            text.as_bytes()
        );
    }
    let listing = String::from_utf8(run(Command::new("mdir").args(["-i", &at, "::"]))).unwrap();
    assert!(listing.contains("Volume in drive : is config-2"), "{listing}");
    let table = run(Command::new("sfdisk").arg("-d").arg(&path));
    assert!(String::from_utf8(table).unwrap().contains("start=        2048"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let content = |len: usize| Content::Bytes(vec![1; len]);
    let mut builder = VolumeBuilder::new(options(None, "x"));
    builder.add_file(b"one/file", content(1)).unwrap();
    for (path, name) in [
        (&b"one/FILE"[..], "taken"),
        (b"one", "a directory"),
        (b"one/file/below", "a file"),
        (b"", "empty"),
        (b"a:b", "a colon"),
        (b"two/..", "a parent"),
        (b"end.", "a dot"),
        (b"\xff", "no text"),
    ] {
        assert!(builder.add_file(path, content(1)).is_err(), "{name}");
    }
    let long = "x".repeat(256);
    assert!(matches!(
        builder.add_file(long.as_bytes(), content(1)),
        Err(Error::NameTooLong { .. })
    ));
    let huge = Content::HostFile {
        path: "/nowhere".into(),
        len: 1 << 32,
    };
    assert!(matches!(
        builder.add_file(b"huge", huge),
        Err(Error::FileTooLarge { .. })
    ));
    builder.add_file(b"big", content(1 << 20)).unwrap();
    builder.size(1 << 20);
    assert!(matches!(builder.plan(), Err(Error::NoSpace { .. })));
}

#[test]
fn a_file_that_changed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"12345").unwrap();
    for len in [4, 6] {
        let mut builder = VolumeBuilder::new(options(None, "x"));
        builder
            .add_file(
                b"f",
                Content::HostFile {
                    path: path.clone(),
                    len,
                },
            )
            .unwrap();
        assert!(builder.plan().unwrap().stream(&mut Vec::new()).is_err());
    }
}
