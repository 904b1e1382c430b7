//! Images made by qemu-img in ways of their own, read and edited; and what must be refused.

use crate::judge;
use crate::model::{compare, pattern};
use disksmith_qcow2::{CreateOptions, Error, GuestCluster, OpenOptions, Qcow2, Repair, check, create};
use disksmith_storage::{Diagnose, ErrorKind, HostFile, Memory, OpenMode, Storage, StorageRef};
use std::path::Path;
use std::sync::Arc;

fn sample(len: usize) -> Vec<u8> {
    let mut bytes = pattern(0, len, 3);
    bytes[100_000..400_000].fill(0);
    for (i, b) in bytes[500_000..600_000].iter_mut().enumerate() {
        *b = (i.wrapping_mul(2_654_435_761) >> 7) as u8;
    }
    bytes
}

#[test]
fn compressed_images_are_read_and_edited() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("x.raw");
    let mut model = sample(3 << 20);
    std::fs::write(&raw, &model).unwrap();
    for options in [
        "compression_type=zlib",
        "compression_type=zstd",
        "cluster_size=4k",
        "cluster_size=2M",
    ] {
        let path = dir.path().join("x.qcow2");
        let (from, to) = (raw.to_str().unwrap(), path.to_str().unwrap());
        judge::qemu_img(&[
            "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, from, to,
        ]);
        compare(&*judge::open(&path, false), &model);
        let image = judge::open(&path, true);
        let shadow = image.shadow().unwrap();
        shadow.write_at(200_001, &[9; 70_000]).unwrap();
        shadow.write_at(1 << 20, &[8; 1 << 20]).unwrap();
        shadow.prepare().unwrap().switch().unwrap();
        model[200_001..270_001].fill(9);
        model[1 << 20..2 << 20].fill(8);
        judge::assert_clean(&path);
        assert!(judge::contents(&path, dir.path()) == model);
        std::fs::write(&raw, &model).unwrap();
    }
}

#[test]
fn an_external_data_file_is_read_and_written_but_not_edited_as_a_whole() {
    if !judge::available() {
        return;
    }
    for raw in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (path, data) = (dir.path().join("x.qcow2"), dir.path().join("x.data"));
        let options = format!(
            "data_file={},data_file_raw={}",
            data.display(),
            if raw { "on" } else { "off" }
        );
        judge::qemu_img(&[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            &options,
            path.to_str().unwrap(),
            "4M",
        ]);
        judge::qemu_io(&path, &["write -P 1 0 64k".into(), "write -P 2 100k 300k".into()]);
        let open = || {
            let options = OpenOptions {
                data_file: Some(judge::file(&data, OpenMode::Write)),
                writable: true,
                ..OpenOptions::default()
            };
            Arc::new(Qcow2::open(judge::file(&path, OpenMode::Write), options).unwrap())
        };
        let image = open();
        let mut model = vec![0; 4 << 20];
        model[..65536].fill(1);
        model[102_400..409_600].fill(2);
        compare(&*image, &model);
        image.write_at(1_000_000, &[3; 200_000]).unwrap();
        model[1_000_000..1_200_000].fill(3);
        image
            .write_zeroes(150_000, 100_000, disksmith_storage::ZeroMode::Unmap)
            .unwrap();
        model[150_000..250_000].fill(0);
        image.flush().unwrap();
        // What is discarded the host gets back, from the data file, unless that must stay a raw image by itself.
        let space = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
        let before = space(&data);
        image.write_at(2 << 20, &[4; 1 << 20]).unwrap();
        image.flush().unwrap();
        let full = space(&data);
        image.discard((2 << 20) + 100, (1 << 20) - 100).unwrap();
        image.flush().unwrap();
        assert!(full >= before + (1 << 20) / 512);
        if raw {
            model[2 << 20..3 << 20].fill(4);
        } else {
            assert!(
                space(&data) <= before + (64 << 10) / 512,
                "{} of {full}",
                space(&data)
            );
            model[2 << 20..(2 << 20) + 65_536].fill(4);
        }
        compare(&*image, &model);
        let refusal = image.shadow().unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Unsupported);
        drop(image);
        judge::assert_clean(&path);
        assert!(judge::contents(&path, dir.path()) == model);
        compare(&*open(), &model);
        if raw {
            assert!(std::fs::read(&data).unwrap() == model);
        }
        assert!(Qcow2::open(judge::file(&path, OpenMode::Read), OpenOptions::default()).is_err());
    }
}

fn header_with(change: impl FnOnce(&mut Vec<u8>)) -> StorageRef {
    let memory: StorageRef = Arc::new(Memory::new(0));
    create(&memory, None, &CreateOptions::new(1 << 20)).unwrap();
    let mut bytes = vec![0; memory.size() as usize];
    memory.read_at(0, &mut bytes).unwrap();
    change(&mut bytes);
    Arc::new(Memory::from_bytes(&bytes))
}

#[test]
fn refusals_name_what_is_refused() {
    let open = |file: StorageRef, writable| {
        Qcow2::open(
            file,
            OpenOptions {
                writable,
                ..OpenOptions::default()
            },
        )
        .map(|_| ())
        .unwrap_err()
    };
    type Case = (&'static str, ErrorKind, fn(&mut Vec<u8>));
    let cases: [Case; 10] = [
        ("not a qcow2 image", ErrorKind::Corrupt, |b| b[0] = 0),
        ("version 4", ErrorKind::Unsupported, |b| b[7] = 4),
        ("cluster_bits", ErrorKind::Corrupt, |b| b[23] = 30),
        ("encrypted, and no passphrase", ErrorKind::Usage, |b| b[35] = 2),
        ("encrypted, and no passphrase", ErrorKind::Usage, |b| b[35] = 1),
        ("crypt_method", ErrorKind::Corrupt, |b| b[35] = 3),
        (
            "unknown incompatible feature bit 9",
            ErrorKind::Unsupported,
            |b| b[78] = 2,
        ),
        ("refcount_order", ErrorKind::Corrupt, |b| b[99] = 7),
        ("l1_size", ErrorKind::Corrupt, |b| b[27] = 1),
        ("l1_table_offset", ErrorKind::Corrupt, |b| b[47] = 1),
    ];
    for (text, kind, change) in cases {
        let error = open(header_with(change), false);
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.kind(), kind, "{error}");
    }
    // A feature that the image's own table names.
    let error = open(
        header_with(|b| {
            b[78] = 2;
            b[112 + 8] = 0;
            b[112 + 9] = 9;
            b[112 + 10..112 + 16].copy_from_slice(b"magic\0");
        }),
        false,
    );
    assert!(error.to_string().contains("magic"), "{error}");
    // The corrupt bit: reading is fine, writing is not.
    let corrupt = header_with(|b| b[79] = 2);
    assert!(Qcow2::open(corrupt.clone(), OpenOptions::default()).is_ok());
    assert!(matches!(open(corrupt, true), Error::MarkedCorrupt { .. }));
    // A table that is not counted as used could be handed out.
    let loose = header_with(|b| b[0x2_0007] = 0);
    assert!(Qcow2::open(loose.clone(), OpenOptions::default()).is_ok());
    assert!(matches!(open(loose, true), Error::Corrupt { .. }));
}

#[test]
fn a_dirty_image_that_is_marked_corrupt_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.qcow2");
    let file: StorageRef = Arc::new(HostFile::create_new(&path).unwrap());
    create(&file, None, &CreateOptions::new(1 << 20)).unwrap();
    // The incompatible features, big-endian: dirty and corrupt.
    file.write_at(79, &[3]).unwrap();
    let before = std::fs::read(&path).unwrap();
    let options = OpenOptions {
        writable: true,
        ..OpenOptions::default()
    };
    let error = Qcow2::open(file, options).unwrap_err();
    assert!(matches!(error, Error::MarkedCorrupt { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_dirty_image_is_repaired_when_it_is_opened_for_writing() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.qcow2");
    let name = path.to_str().unwrap();
    judge::qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        "lazy_refcounts=on",
        name,
        "8M",
    ]);
    judge::run(
        "qemu-io",
        &[
            "-f",
            "qcow2",
            "-c",
            "write -P 4 1M 2M",
            "-c",
            "flush",
            "-c",
            "abort",
            name,
        ],
    );
    let dirty = judge::file(&path, OpenMode::Read);
    assert!(!check(&dirty, Repair::None).unwrap().is_clean());
    drop(dirty);
    let image = judge::open(&path, true);
    image.write_at(0, &[5; 1000]).unwrap();
    image.flush().unwrap();
    drop(image);
    judge::assert_clean(&path);
    judge::qemu_io(&path, &["read -P 4 1M 2M".into(), "read -P 5 0 1000".into()]);
}

#[test]
fn threads_share_an_image() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.qcow2");
    let file: StorageRef = Arc::new(HostFile::create_new(&path).unwrap());
    create(
        &file,
        None,
        &CreateOptions {
            cluster_bits: 12,
            ..CreateOptions::new(16 << 20)
        },
    )
    .unwrap();
    drop(file);
    let image = judge::open(&path, true);
    let per = 4 << 20;
    std::thread::scope(|scope| {
        for t in 0..4usize {
            let image = &image;
            scope.spawn(move || {
                // Interleaved: neighbouring threads write parts of the same clusters.
                let mut at = t * 1000;
                while at + 1000 <= 2 << 20 {
                    image.write_at(at as u64, &pattern(at, 1000, 1)).unwrap();
                    let mut back = vec![0; 1000];
                    image.read_at(at as u64, &mut back).unwrap();
                    assert!(back == pattern(at, 1000, 1));
                    at += 4000;
                }
                for i in 0..100usize {
                    let cluster = (per + (t * 100 + i) * 4096) / 4096;
                    if i % 3 == 0 {
                        let data = pattern(cluster * 4096, 4096, 2);
                        image
                            .write_compressed(GuestCluster(cluster as u64), &data, None)
                            .unwrap();
                    } else {
                        image
                            .write_at(cluster as u64 * 4096, &pattern(cluster * 4096, 4096, 2))
                            .unwrap();
                    }
                    if i % 10 == 9 {
                        image.discard(cluster as u64 * 4096, 4096).unwrap();
                        image
                            .write_at(cluster as u64 * 4096, &pattern(cluster * 4096, 4096, 2))
                            .unwrap();
                    }
                    if i % 50 == 0 {
                        image.flush().unwrap();
                    }
                }
            });
        }
    });
    image.flush().unwrap();
    let mut model = vec![0; 16 << 20];
    let whole = (2 << 20) / 1000 * 1000;
    model[..whole].copy_from_slice(&pattern(0, whole, 1));
    model[per..per + 400 * 4096].copy_from_slice(&pattern(per, 400 * 4096, 2));
    compare(&*image, &model);
    drop(image);
    judge::assert_clean(&path);
    assert!(judge::contents(&path, dir.path()) == model);
}

#[test]
fn extents_equal_those_of_qemu_img_map() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (base, top) = (dir.path().join("base.qcow2"), dir.path().join("top.qcow2"));
    judge::qemu_img(&["create", "-q", "-f", "qcow2", base.to_str().unwrap(), "6M"]);
    judge::qemu_io(
        &base,
        &[
            "write -P 1 1M 1M".into(),
            "write -z 3M 512k".into(),
            "write -P 2 5M 300k".into(),
        ],
    );
    let args = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "base.qcow2",
        "-F",
        "qcow2",
        top.to_str().unwrap(),
        "8M",
    ];
    judge::qemu_img(&args);
    judge::qemu_io(
        &top,
        &[
            "write -P 3 1536k 1M".into(),
            "write -c -P 4 3M 128k".into(),
            "write -z 5M 64k".into(),
            "write -P 5 7M 64k".into(),
        ],
    );
    let image = judge::open(&top, false);
    let json = judge::qemu_img(&["map", "-f", "qcow2", "--output", "json", top.to_str().unwrap()]);
    let theirs: serde_json::Value = serde_json::from_str(&json).unwrap();
    let theirs = theirs.as_array().unwrap();
    // Each of theirs, piece by piece.
    for entry in theirs {
        let number = |key: &str| entry.get(key).and_then(serde_json::Value::as_u64);
        let flag = |key: &str| entry.get(key).and_then(serde_json::Value::as_bool).unwrap();
        let (mut at, mut left) = (number("start").unwrap(), number("length").unwrap());
        let mut offset = number("offset");
        while left > 0 {
            let extent = image.extent_at(at, left).unwrap();
            assert_eq!(extent.reads_as_zero(), flag("zero"), "{entry} {extent:?}");
            assert_eq!(extent.compressed, flag("compressed"), "{entry} {extent:?}");
            assert_eq!(
                extent.state != disksmith_storage::ExtentState::Absent,
                flag("present"),
                "{entry} {extent:?}"
            );
            assert_eq!(
                u64::from(extent.depth),
                number("depth").unwrap(),
                "{entry} {extent:?}"
            );
            assert_eq!(
                extent.host.as_ref().map(|h| h.offset),
                offset,
                "{entry} {extent:?}"
            );
            let file = if extent.depth == 0 { &top } else { &base };
            assert!(extent.host.is_none_or(|h| &*h.file == Path::new(file)));
            at += extent.len;
            left -= extent.len;
            offset = offset.map(|o| o + extent.len);
        }
    }
}
