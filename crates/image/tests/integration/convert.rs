//! Conversions, judged by `qemu-img compare` and `check`.

use crate::judge::{assert_clean, assert_same, directory, have, ok, qemu_img, qemu_io};
use disksmith_image::{
    BackingFile, ConvertOptions, Error, Format, NoProgress, OpenOptions, Progress, convert, write_raw,
};
use disksmith_storage::Existing;
use proptest::prelude::*;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

fn to(format: Format) -> ConvertOptions {
    ConvertOptions::new(format)
}

fn run(source: &Path, target: &Path, options: &ConvertOptions) {
    convert(
        std::slice::from_ref(&source.to_owned()),
        &OpenOptions::read(),
        target,
        options,
        &NoProgress,
    )
    .unwrap();
}

fn allocated(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

/// A chain with every kind of extent in it.
fn chain(dir: &Path) -> PathBuf {
    qemu_img(dir, "create -q -f raw base.raw 9M");
    qemu_io(
        dir,
        "raw",
        "base.raw",
        &["write -P 1 0 100k", "write -P 0 200k 300k", "write -P 2 5M 3M"],
    );
    qemu_img(
        dir,
        "create -q -f qcow2 -o cluster_size=4k -b base.raw -F raw mid.qcow2 10M",
    );
    qemu_io(
        dir,
        "qcow2",
        "mid.qcow2",
        &["write -P 3 50k 7k", "write -z 6M 512k", "write -P 4 9500k 20k"],
    );
    qemu_img(dir, "create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2 20971000");
    qemu_io(
        dir,
        "qcow2",
        "top.qcow2",
        &[
            "write -c -P 5 1M 128k",
            "write -z 5M 64k",
            "write -P 6 20400k 10k",
        ],
    );
    dir.join("top.qcow2")
}

#[test]
fn every_way_round_keeps_the_contents() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let top = chain(dir);
    let mut zstd = ConvertOptions {
        compress: true,
        ..to(Format::Qcow2)
    };
    zstd.create.qcow2.compression = disksmith_qcow2::CompressionType::Zstd;
    let mut big = to(Format::Qcow2);
    big.create.qcow2.cluster_bits = 21;
    let mut small = to(Format::Qcow2);
    small.create.qcow2.cluster_bits = 9;
    let mut v2 = to(Format::Qcow2);
    v2.create.qcow2.version = 2;
    let mut extended = to(Format::Qcow2);
    extended.create.qcow2.extended_l2 = true;
    for (name, options) in [
        ("raw", to(Format::Raw)),
        (
            "copied",
            ConvertOptions {
                copy_range: true,
                ..to(Format::Raw)
            },
        ),
        (
            "full",
            ConvertOptions {
                sparse_size: Some(0),
                ..to(Format::Raw)
            },
        ),
        (
            "coarse",
            ConvertOptions {
                sparse_size: Some(65536),
                ..to(Format::Raw)
            },
        ),
        ("qcow2", to(Format::Qcow2)),
        (
            "zlib",
            ConvertOptions {
                compress: true,
                ..to(Format::Qcow2)
            },
        ),
        ("zstd", zstd),
        ("big", big),
        ("small", small),
        ("v2", v2),
        ("extended", extended),
        (
            "one-thread",
            ConvertOptions {
                threads: Some(1),
                ..to(Format::Qcow2)
            },
        ),
    ] {
        let target = dir.join(name);
        run(&top, &target, &options);
        assert_same(&top, &target);
        if options.format == Format::Qcow2 {
            assert_clean(&target);
        }
        if name == "full" {
            assert!(allocated(&target) >= 20_000_000);
        } else {
            assert!(allocated(&target) < 12 << 20, "{name}: {}", allocated(&target));
        }
        // And back.
        let back = dir.join(format!("{name}-back"));
        run(&target, &back, &to(Format::Raw));
        assert_same(&top, &back);
        assert!(allocated(&back) <= 4 << 20, "{name}: {}", allocated(&back));
        std::fs::remove_file(target).unwrap();
        std::fs::remove_file(back).unwrap();
    }
    // No temporary file is left.
    for entry in std::fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_str().unwrap().starts_with('.'), "{name:?}");
    }
}

#[test]
fn an_overlay_takes_only_what_the_top_holds() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let top = chain(dir);
    let target = dir.join("flat.qcow2");
    let options = ConvertOptions {
        backing: Some(BackingFile {
            name: b"mid.qcow2".to_vec(),
            format: None,
        }),
        ..to(Format::Qcow2)
    };
    run(&top, &target, &options);
    assert_same(&top, &target);
    assert_clean(&target);
    assert!(allocated(&target) < 600 << 10, "{}", allocated(&target));
    assert!(qemu_img(dir, "info flat.qcow2").contains("backing file format: qcow2"));
}

#[test]
fn several_sources_stand_in_a_row() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    std::fs::write(dir.join("one"), vec![1; 1000]).unwrap();
    qemu_img(dir, "create -q -f qcow2 two 1M");
    qemu_io(dir, "qcow2", "two", &["write -P 2 10k 90k"]);
    let sources = crate::judge::paths(dir, &["one", "two", "one"]);
    let target = dir.join("all");
    convert(
        &sources,
        &OpenOptions::read(),
        &target,
        &to(Format::Qcow2),
        &NoProgress,
    )
    .unwrap();
    ok(
        dir,
        "qemu-img",
        &["convert", "-O", "qcow2", "one", "two", "one", "theirs"],
    );
    assert_same(&target, &dir.join("theirs"));
    assert_clean(&target);
}

#[test]
fn into_an_image_that_is_there() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let top = chain(dir);
    qemu_img(dir, "create -q -f qcow2 there.qcow2 20971008");
    qemu_io(dir, "qcow2", "there.qcow2", &["write -P 99 0 20971008"]);
    let options = ConvertOptions {
        into_existing: true,
        ..to(Format::Qcow2)
    };
    run(&top, &dir.join("there.qcow2"), &options);
    assert_clean(&dir.join("there.qcow2"));
    let out = crate::judge::run(dir, "qemu-img", &["compare", "top.qcow2", "there.qcow2"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    qemu_img(dir, "create -q -f qcow2 short.qcow2 1M");
    let error = convert(
        &[top],
        &OpenOptions::read(),
        &dir.join("short.qcow2"),
        &options,
        &NoProgress,
    )
    .unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }));
}

/// Stops after a few pieces.
struct Stop;

impl Progress for Stop {
    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_conversion_that_fails_leaves_what_was_there() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let top = chain(dir);
    let before: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let convert = |target: &str, options: &ConvertOptions, progress: &dyn Progress| {
        convert(
            std::slice::from_ref(&top),
            &OpenOptions::read(),
            &dir.join(target),
            options,
            progress,
        )
    };
    assert!(matches!(
        convert("new", &to(Format::Qcow2), &Stop),
        Err(Error::Cancelled)
    ));
    assert!(matches!(
        convert("mid.qcow2", &to(Format::Qcow2), &NoProgress),
        Err(Error::OutputExists { .. })
    ));
    let replace = ConvertOptions {
        existing: Existing::Replace,
        ..to(Format::Qcow2)
    };
    assert!(matches!(
        convert("mid.qcow2", &replace, &NoProgress),
        Err(Error::Unfit { .. })
    ));
    assert!(convert("no/such/folder", &replace, &NoProgress).is_err());
    let after: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(before.len(), after.len(), "{after:?}");
    std::fs::write(dir.join("old"), "old").unwrap();
    assert!(convert("old", &replace, &Stop).is_err());
    assert_eq!(std::fs::read(dir.join("old")).unwrap(), b"old");
    convert("old", &replace, &NoProgress).unwrap();
    assert_clean(&dir.join("old"));
}

#[test]
fn a_pipe_takes_raw_bytes() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let dir = dir.path();
    let top = chain(dir);
    let mut out = Vec::new();
    let image = disksmith_image::Image::open(&top, &OpenOptions::read()).unwrap();
    write_raw(&**image.storage(), &mut out, &NoProgress).unwrap();
    std::fs::write(dir.join("piped"), &out).unwrap();
    assert_same(&top, &dir.join("piped"));
}

#[derive(Debug, Clone)]
enum Write {
    Data(u64, u64, u8),
    Zero(u64, u64),
    Compressed(u64, u8),
}

impl Write {
    fn command(&self) -> String {
        match self {
            Self::Data(at, len, byte) => format!("write -P {byte} {} {}", at * 512, len * 512),
            Self::Zero(at, len) => format!("write -z {} {}", at * 512, len * 512),
            Self::Compressed(cluster, byte) => format!("write -c -P {byte} {} 65536", cluster * 65536),
        }
    }
}

fn write(compressed: bool) -> BoxedStrategy<Write> {
    let plain = prop_oneof![
        (0u64..4000, 1u64..90, 0u8..4).prop_map(|(a, l, b)| Write::Data(a, l, b)),
        (0u64..4000, 1u64..90).prop_map(|(a, l)| Write::Zero(a, l)),
    ];
    if !compressed {
        return plain.boxed();
    }
    prop_oneof![3 => plain, 1 => (0u64..31, 1u8..4).prop_map(|(c, b)| Write::Compressed(c, b))].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("DISKSMITH_LONG").is_some() { 300 } else { 8 }
    ))]

    #[test]
    fn random_chains_convert_alike(
        base in prop::collection::vec(write(false), 0..6),
        mid in prop::collection::vec(write(true), 0..6),
        top in prop::collection::vec(write(true), 0..6),
        cluster_bits in 9u32..=21,
        compress in any::<bool>(),
        threads in 1usize..4,
    ) {
        if !have("qemu-img") {
            return Ok(());
        }
        let dir = directory();
        let dir = dir.path();
        // 4096 sectors and a few, so that the last cluster is not whole.
        qemu_img(dir, "create -q -f raw base 2100k");
        qemu_img(dir, "create -q -f qcow2 -b base -F raw mid 2101k");
        qemu_img(dir, "create -q -f qcow2 -b mid -F qcow2 top 2200k");
        for (format, name, writes) in [("raw", "base", &base), ("qcow2", "mid", &mid), ("qcow2", "top", &top)] {
            // QEMU writes a compressed cluster only where nothing is yet.
            let mut taken = std::collections::BTreeSet::new();
            let (first, then): (Vec<_>, Vec<_>) =
                writes.iter().partition(|write| matches!(write, Write::Compressed(..)));
            let commands: Vec<String> = first
                .into_iter()
                .filter(|write| matches!(write, Write::Compressed(cluster, _) if taken.insert(*cluster)))
                .chain(then)
                .map(Write::command)
                .collect();
            if !commands.is_empty() {
                qemu_io(dir, format, name, &commands.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        let mut options = ConvertOptions { compress, threads: Some(threads), ..to(Format::Qcow2) };
        options.create.qcow2.cluster_bits = cluster_bits;
        run(&dir.join("top"), &dir.join("out.qcow2"), &options);
        assert_same(&dir.join("top"), &dir.join("out.qcow2"));
        assert_clean(&dir.join("out.qcow2"));
        run(&dir.join("out.qcow2"), &dir.join("out.raw"), &to(Format::Raw));
        assert_same(&dir.join("top"), &dir.join("out.raw"));
    }
}
