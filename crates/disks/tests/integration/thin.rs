//! Free space that is given back.

use super::judge::{assert_clean, change, debugfs, have, run_ok};
use disksmith_disks::{Error, SparsifyOptions, SparsifyReport, VolumeOutcome, sparsify, sparsify_copy, trim};
use disksmith_image::{ConvertOptions, DiskSpec, Format, NoProgress, TransactionOptions};
use disksmith_vfs::Timestamp;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// A raw image of 64 MiB with an ext4 from which 30 MiB were deleted, and the 5 MiB that it still holds.
fn used(dir: &Path) -> (PathBuf, Vec<u8>) {
    let image = dir.join("used.raw");
    File::create(&image).unwrap().set_len(64 * MIB).unwrap();
    run_ok(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-b", "4096", image.to_str().unwrap()],
    );
    let noise = |len: u64, seed: u64| -> Vec<u8> {
        let mut state = seed;
        (0..len)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8 | 1
            })
            .collect()
    };
    let (gone, kept) = (dir.join("gone"), dir.join("kept"));
    let content = noise(5 * MIB, 3);
    fs::write(&gone, noise(30 * MIB, 1)).unwrap();
    fs::write(&kept, &content).unwrap();
    change(
        &image,
        &format!(
            "write {} gone\nwrite {} kept\nrm gone\n",
            gone.display(),
            kept.display()
        ),
    );
    assert_clean(&image);
    (image, content)
}

fn options() -> SparsifyOptions {
    SparsifyOptions {
        clock: Timestamp {
            seconds: 1_700_000_000,
            nanoseconds: 0,
        },
        ..SparsifyOptions::default()
    }
}

fn given_back(report: &SparsifyReport) -> u64 {
    match &report.volumes[0].outcome {
        VolumeOutcome::Trimmed { given_back, .. } => *given_back,
        other => panic!("{other:?}"),
    }
}

fn check(image: &Path, format: &str, dir: &Path, content: &[u8]) {
    let raw = dir.join("check.raw");
    let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
    run_ok("qemu-img", &["convert", "-f", format, "-O", "raw", from, to]);
    if format == "qcow2" {
        run_ok("qemu-img", &["check", from]);
    }
    assert_clean(&raw);
    let out = dir.join("out");
    debugfs(&raw, &format!("dump /kept {}", out.display()));
    assert!(fs::read(&out).unwrap() == content);
}

#[test]
fn space_in_raw_and_qcow2_images_is_given_back_in_place() {
    if !have(&["mke2fs", "debugfs", "e2fsck", "qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (raw, content) = used(dir.path());
    let qcow2 = dir.path().join("used.qcow2");
    run_ok(
        "qemu-img",
        &[
            "convert",
            "-O",
            "qcow2",
            raw.to_str().unwrap(),
            qcow2.to_str().unwrap(),
        ],
    );
    for (image, format) in [(&raw, Format::Raw), (&qcow2, Format::Qcow2)] {
        let disk = DiskSpec {
            format: Some(format),
            ..DiskSpec::in_place(image)
        };
        let edit = TransactionOptions::default();
        let told = sparsify(
            &disk,
            &TransactionOptions {
                dry_run: true,
                ..edit.clone()
            },
            &options(),
        )
        .unwrap();
        assert!(given_back(&told) > 29 * MIB);
        assert!(
            fs::metadata(image).unwrap().blocks() * 512 > 35 * MIB,
            "a dry run changes nothing"
        );
        let report = sparsify(&disk, &edit, &options()).unwrap();
        assert!(given_back(&report) > 29 * MIB, "{report:?}");
        let left = fs::metadata(image).unwrap().blocks() * 512;
        assert!(left < 12 * MIB && report.after == left, "{report:?}");
        check(image, format.name(), dir.path(), &content);
        let again = trim(&disk, &edit, &["/dev/vda".into()], options().clock).unwrap();
        assert_eq!(given_back(&again), 0);
    }
}

#[test]
fn a_backing_file_does_not_show_through_and_an_overlay_does_not_grow() {
    if !have(&["mke2fs", "debugfs", "e2fsck", "qemu-img", "qemu-io"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (base, content) = used(dir.path());
    let overlay = dir.path().join("overlay.qcow2");
    let args = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        base.to_str().unwrap(),
        overlay.to_str().unwrap(),
    ];
    run_ok("qemu-img", &args);
    let disk = DiskSpec::in_place(&overlay);
    let edit = TransactionOptions::default();
    let size = || fs::metadata(&overlay).unwrap().blocks();
    let before = size();
    let report = sparsify(&disk, &edit, &options()).unwrap();
    assert_eq!(given_back(&report), 0, "there is nothing in the overlay itself");
    assert_eq!(size(), before);
    // Something that the overlay holds where the base has old data, and nothing lies in the filesystem.
    let ranges = debugfs(&base, "ffb 4096");
    assert!(!ranges.is_empty());
    let free = (0..64 * MIB / 65_536)
        .map(|cluster| cluster * 65_536)
        .find(|at| {
            let mut bytes = vec![0; 65_536];
            File::open(&base).unwrap().read_exact_at(&mut bytes, *at).unwrap();
            let block = at / 4096;
            let is_free = |block: u64| debugfs(&base, &format!("testb {block}")).contains("not in use");
            bytes.iter().all(|b| *b != 0) && (block..block + 16).all(is_free)
        })
        .unwrap();
    run_ok(
        "qemu-io",
        &[
            "-c",
            &format!("write -P 0x42 {free} 65536"),
            overlay.to_str().unwrap(),
        ],
    );
    let report = sparsify(&disk, &edit, &options()).unwrap();
    assert_eq!(given_back(&report), 65_536);
    run_ok(
        "qemu-io",
        &[
            "-r",
            "-c",
            &format!("read -P 0 {free} 65536"),
            overlay.to_str().unwrap(),
        ],
    );
    check(&overlay, "qcow2", dir.path(), &content);
}

#[test]
fn copies_are_sparse_and_the_disk_stays_as_it_is() {
    if !have(&["mke2fs", "debugfs", "e2fsck", "qemu-img"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (raw, content) = used(dir.path());
    let before = fs::read(&raw).unwrap();
    let disk = DiskSpec {
        format: Some(Format::Raw),
        ..DiskSpec::in_place(&raw)
    };
    for (format, compress) in [
        (Format::Raw, false),
        (Format::Qcow2, false),
        (Format::Qcow2, true),
    ] {
        let copy = dir.path().join(format!("copy-{}-{compress}", format.name()));
        let convert = ConvertOptions {
            compress,
            ..ConvertOptions::new(format)
        };
        let edit = TransactionOptions::default();
        let (report, _) = sparsify_copy(&disk, &edit, &options(), &copy, &convert, &NoProgress).unwrap();
        assert!(report.after < 8 * MIB, "{report:?}");
        check(&copy, format.name(), dir.path(), &content);
        // Free space left alone is copied.
        let ignoring = SparsifyOptions {
            ignore: vec!["/dev/sda".into()],
            ..options()
        };
        let full = dir.path().join(format!("full-{}-{compress}", format.name()));
        let (report, _) = sparsify_copy(&disk, &edit, &ignoring, &full, &convert, &NoProgress).unwrap();
        assert!(report.after > 20 * MIB, "{report:?}");
        let zeroing = SparsifyOptions {
            zero: vec!["/dev/sda".into()],
            ..options()
        };
        let empty = dir.path().join(format!("empty-{}-{compress}", format.name()));
        let (report, _) = sparsify_copy(&disk, &edit, &zeroing, &empty, &convert, &NoProgress).unwrap();
        assert!(report.after < MIB, "{report:?}");
    }
    assert!(fs::read(&raw).unwrap() == before);
}

#[test]
fn swap_keeps_its_header_and_what_is_between_partitions_stays() {
    if !have(&["mkswap", "sfdisk", "blkid"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.raw");
    fs::write(&image, vec![0x5a; 32 << 20]).unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "label: dos\n2048,16M,82\n,,83\n").unwrap();
    let line = format!("sfdisk -q {} < {}", image.display(), script.display());
    run_ok("sh", &["-c", &format!("PATH=$PATH:/usr/sbin:/sbin {line}")]);
    let swap = dir.path().join("swap");
    fs::write(&swap, vec![0x5a; 16 << 20]).unwrap();
    run_ok("mkswap", &["-q", swap.to_str().unwrap()]);
    let header = fs::read(&swap).unwrap();
    File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .write_all_at(&header[..4096], MIB)
        .unwrap();
    let disk = DiskSpec {
        format: Some(Format::Raw),
        ..DiskSpec::in_place(&image)
    };
    let before = fs::read(&image).unwrap();
    let report = sparsify(&disk, &TransactionOptions::default(), &options()).unwrap();
    let after = fs::read(&image).unwrap();
    assert_eq!(report.volumes[0].kind, "swap");
    assert!(matches!(report.volumes[1].outcome, VolumeOutcome::Skipped { .. }));
    assert!(after[..MIB as usize + 4096] == before[..MIB as usize + 4096]);
    assert!(after[MIB as usize + 4096..17 << 20].iter().all(|b| *b == 0));
    assert!(after[17 << 20..] == before[17 << 20..]);
    let wrong = trim(
        &disk,
        &TransactionOptions::default(),
        &["/dev/sda9".into()],
        options().clock,
    );
    assert!(matches!(wrong, Err(Error::NoSuchDevice { .. })));
}
