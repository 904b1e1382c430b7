//! Commits of an edit that goes on.

use crate::judge::{directory, have, qemu_img};
use disksmith_image::{DiskSpec, Image, OpenOptions, Output, Transaction, TransactionOptions};
use disksmith_storage::{Existing, LockMode};
use std::path::{Path, PathBuf};

const SIZE: u64 = 8 << 20;
const PLACES: [(u64, usize); 5] = [
    (0, 512),
    (65_000, 5000),
    (1 << 20, 300_000),
    (5_000_001, 1),
    (SIZE - 700, 700),
];

/// The one byte that fills all places of an image, seen without regard to whoever has it open.
fn held(path: &Path) -> u8 {
    let image = Image::open(path, &OpenOptions::read().lock(LockMode::ForceShare)).unwrap();
    let mut all = Vec::new();
    for (offset, len) in PLACES {
        let mut bytes = vec![0; len];
        image.storage().read_at(offset, &mut bytes).unwrap();
        all.extend(bytes);
    }
    assert!(all.iter().all(|b| *b == all[0]), "{} is torn", path.display());
    all[0]
}

fn images(dir: &Path, names: &[&str]) -> Vec<PathBuf> {
    for name in names {
        let format = name.rsplit('.').next().unwrap();
        qemu_img(dir, &format!("create -q -f {format} {name} {SIZE}"));
    }
    names.iter().map(|name| dir.join(name)).collect()
}

#[test]
fn each_checkpoint_is_whole_and_the_edit_goes_on() {
    if !have("qemu-img") {
        return;
    }
    for names in [&["a.qcow2"][..], &["a.raw"], &["a.qcow2", "b.raw", "c.qcow2"]] {
        let dir = directory();
        let paths = images(dir.path(), names);
        let specs: Vec<DiskSpec> = paths.iter().map(DiskSpec::in_place).collect();
        let mut edit = Transaction::begin(&specs, &TransactionOptions::default()).unwrap();
        edit.check_commits().unwrap();
        let storages: Vec<_> = (0..edit.len()).map(|i| edit.storage(i).unwrap()).collect();
        for round in 1..=20u8 {
            for storage in &storages {
                for (offset, len) in PLACES {
                    storage.write_at(offset, &vec![round; len]).unwrap();
                }
            }
            for path in &paths {
                assert_eq!(held(path), round - 1);
            }
            let report = edit.checkpoint().unwrap();
            assert_eq!(report.changed, vec![true; names.len()]);
            assert!(!edit.is_dirty());
            for (path, storage) in paths.iter().zip(&storages) {
                assert_eq!(held(path), round);
                // what was handed out goes on showing the same
                let mut bytes = [0; 4];
                storage.read_at(65_001, &mut bytes).unwrap();
                assert_eq!(bytes, [round; 4]);
            }
        }
        assert_eq!(edit.checkpoint().unwrap().changed, vec![false; names.len()]);
        for storage in &storages {
            storage.write_at(0, &[99; 512]).unwrap();
        }
        edit.abandon();
        for (path, name) in paths.iter().zip(names) {
            assert_eq!(held(path), 20);
            if name.ends_with("qcow2") {
                let said = qemu_img(dir.path(), &format!("check {name}"));
                assert!(said.contains("No errors"), "{said}");
                // the places that commits take in turn do not add up
                assert!(path.metadata().unwrap().len() < 6 << 20, "{name} grows");
            }
        }
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            names.len(),
            "logs stay behind"
        );
    }
}

#[test]
fn a_checkpoint_of_what_is_never_made_or_made_new() {
    if !have("qemu-img") {
        return;
    }
    let dir = directory();
    let paths = images(dir.path(), &["a.qcow2"]);
    let options = TransactionOptions {
        dry_run: true,
        ..TransactionOptions::default()
    };
    let mut edit = Transaction::begin(&[DiskSpec::in_place(&paths[0])], &options).unwrap();
    edit.storage(0).unwrap().write_at(0, &[1; 512]).unwrap();
    assert_eq!(edit.checkpoint().unwrap().changed, [true]);
    edit.abandon();
    assert_eq!(held(&paths[0]), 0);

    let spec = DiskSpec {
        output: Output::Overlay(dir.path().join("over.qcow2")),
        ..DiskSpec::in_place(&paths[0])
    };
    let options = TransactionOptions {
        existing: Existing::Refuse,
        ..TransactionOptions::default()
    };
    let mut edit = Transaction::begin(&[spec], &options).unwrap();
    edit.storage(0).unwrap().write_at(0, &[1; 512]).unwrap();
    let failure = edit.checkpoint().unwrap_err();
    assert!(failure.staged, "{failure:?}");
    edit.commit().unwrap();
    assert!(dir.path().join("over.qcow2").exists());
}
