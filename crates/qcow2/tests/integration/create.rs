//! New images, compared with those of qemu-img.

use crate::judge;
use disksmith_qcow2::{Backing, CompressionType, CreateOptions, Preallocation, build_image_bytes, create};
use disksmith_storage::{HostFile, Storage, StorageRef};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

fn make(path: &Path, options: &CreateOptions) {
    let file: StorageRef = Arc::new(HostFile::create_new(path).unwrap());
    create(&file, None, options).unwrap();
    file.flush().unwrap();
}

/// The lines of `qemu-img info` that do not depend on the file's name or its place on the disk.
fn info(path: &Path) -> Vec<String> {
    judge::qemu_img(&["info", "-f", "qcow2", "--output", "json", path.to_str().unwrap()])
        .lines()
        .map(str::trim)
        // qemu-img's file ends inside the cluster of the L1 table.
        .filter(|l| !l.contains("virtual-size") || l.contains("5242880"))
        .filter(|l| !l.contains("filename") && !l.contains("actual-size") && !l.contains("\"length\""))
        .map(str::to_owned)
        .collect()
}

#[test]
fn info_equals_that_of_qemu_img() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.raw"), vec![1; 1 << 20]).unwrap();
    type Case = (&'static str, &'static [&'static str], fn(&mut CreateOptions));
    let cases: &[Case] = &[
        ("plain", &[], |_| {}),
        ("v2", &["-o", "compat=0.10"], |o| o.version = 2),
        ("small", &["-o", "cluster_size=512"], |o| o.cluster_bits = 9),
        ("large", &["-o", "cluster_size=2M"], |o| o.cluster_bits = 21),
        ("refcount1", &["-o", "refcount_bits=1"], |o| o.refcount_bits = 1),
        ("refcount64", &["-o", "refcount_bits=64"], |o| {
            o.refcount_bits = 64;
        }),
        ("zstd", &["-o", "compression_type=zstd"], |o| {
            o.compression = CompressionType::Zstd;
        }),
        ("lazy", &["-o", "lazy_refcounts=on"], |o| o.lazy_refcounts = true),
        ("extended", &["-o", "extended_l2=on"], |o| o.extended_l2 = true),
        ("backed", &["-b", "base.raw", "-F", "raw"], |o| {
            o.backing = Some(Backing {
                name: "base.raw".into(),
                format: Some("raw".into()),
            });
        }),
        ("metadata", &["-o", "preallocation=metadata"], |o| {
            o.preallocation = Preallocation::Metadata;
        }),
        ("falloc", &["-o", "preallocation=falloc"], |o| {
            o.preallocation = Preallocation::Falloc;
        }),
        ("full", &["-o", "preallocation=full"], |o| {
            o.preallocation = Preallocation::Full;
        }),
    ];
    for (name, args, change) in cases {
        let (ours, theirs) = (dir.path().join(name), dir.path().join(format!("{name}-qemu")));
        let mut options = CreateOptions::new(5 << 20);
        change(&mut options);
        make(&ours, &options);
        let mut create = vec!["create", "-q", "-f", "qcow2"];
        create.extend(*args);
        create.extend([theirs.to_str().unwrap(), "5M"]);
        judge::qemu_img(&create);
        assert_eq!(info(&ours), info(&theirs), "{name}");
        judge::assert_clean(&ours);
        let map = |p: &Path| {
            judge::qemu_img(&["map", "-f", "qcow2", "--output", "json", p.to_str().unwrap()])
                .split(", \"offset\"")
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(map(&ours), map(&theirs), "{name}");
        if options.preallocation == Preallocation::Falloc || options.preallocation == Preallocation::Full {
            assert!(
                ours.metadata().unwrap().blocks() * 512 >= 5 << 20,
                "{name} is sparse"
            );
        }
    }
}

#[test]
fn huge_tables_of_small_clusters_are_sound() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, bits, refcount_bits, size) in [
        ("a", 9, 64, 16u64 << 30),
        ("b", 9, 16, 128 << 30),
        ("c", 16, 16, 15 << 40),
        ("d", 21, 1, 1 << 50),
    ] {
        let path = dir.path().join(name);
        let options = CreateOptions {
            cluster_bits: bits,
            refcount_bits,
            ..CreateOptions::new(size)
        };
        make(&path, &options);
        judge::assert_clean(&path);
        assert!(path.metadata().unwrap().blocks() * 512 <= 3 << 20, "{name}");
        let image = judge::open(&path, true);
        image.write_at(size - 4096, &[7; 4096]).unwrap();
        image.flush().unwrap();
        judge::assert_clean(&path);
        judge::qemu_io(&path, &[format!("read -P 7 {} 4096", size - 4096)]);
        let extent = image.extent_at(0, u64::MAX).unwrap();
        assert!(extent.len > size - (4 << 20), "one extent, found at once");
    }
}

#[test]
fn growing_keeps_new_space_zero() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.raw"), vec![0x77; 1 << 20]).unwrap();
    for (bits, refcount_bits, version) in [(9, 64, 3), (16, 16, 3), (12, 16, 2)] {
        let path = dir.path().join(format!("{bits}"));
        let backing = Some(Backing {
            name: "base.raw".into(),
            format: Some("raw".into()),
        });
        let options = CreateOptions {
            cluster_bits: bits,
            refcount_bits,
            version,
            backing,
            ..CreateOptions::new(300 * 1024)
        };
        make(&path, &options);
        let image = judge::open(&path, true);
        image.write_at(299 * 1024, &[9; 1024]).unwrap();
        image.set_size(512 << 20).unwrap();
        image.flush().unwrap();
        judge::assert_clean(&path);
        let mut buf = vec![1; 2 << 20];
        image.read_at(0, &mut buf).unwrap();
        assert!(buf[..299 * 1024].iter().all(|b| *b == 0x77));
        assert!(buf[299 * 1024..300 * 1024].iter().all(|b| *b == 9));
        assert!(buf[300 * 1024..].iter().all(|b| *b == 0));
        judge::qemu_io(
            &path,
            &["read -P 0 300k 1700k".into(), "read -P 9 299k 1k".into()],
        );
        image.set_size(200 * 1024).unwrap();
        image.flush().unwrap();
        judge::assert_clean(&path);
        image.set_size(1 << 20).unwrap();
        image.flush().unwrap();
        judge::assert_clean(&path);
        judge::qemu_io(
            &path,
            &["read -P 0 200k 824k".into(), "read -P 0x77 0 200k".into()],
        );
    }
}

#[test]
fn a_linked_clone_takes_twelve_kib() {
    if !judge::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.raw"), vec![1; 4096]).unwrap();
    let backing = Some(Backing {
        name: "base.raw".into(),
        format: Some("raw".into()),
    });
    let options = CreateOptions {
        backing,
        ..CreateOptions::new(100 << 30)
    };
    let image = build_image_bytes(&options).unwrap();
    assert_eq!(image.pieces.len(), 3);
    let path = dir.path().join("clone");
    make(&path, &options);
    assert!(
        path.metadata().unwrap().blocks() * 512 <= 20 << 10,
        "{}",
        path.metadata().unwrap().blocks()
    );
    judge::assert_clean(&path);
    judge::qemu_io(&path, &["read -P 1 0 4k".into(), "write -P 2 50G 64k".into()]);
    judge::assert_clean(&path);
}
