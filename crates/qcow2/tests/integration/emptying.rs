//! A commit, as a chain of two images sees it: the base is changed, the top emptied. Every state that a power cut can leave reads the same.

use crate::judge;
use disksmith_qcow2::{CreateOptions, OpenOptions, Qcow2, Repair, check, create};
use disksmith_storage::testing::{Journal, Random, Recorder};
use disksmith_storage::{Memory, Shadow, Storage, StorageRef};
use std::sync::Arc;

const CLUSTER: u64 = 4096;
const SIZE: u64 = 64 * CLUSTER;

fn image(version: u32) -> StorageRef {
    let file: StorageRef = Arc::new(Memory::new(0));
    let options = CreateOptions {
        cluster_bits: 12,
        version,
        ..CreateOptions::new(SIZE)
    };
    create(&file, None, &options).unwrap();
    file
}

fn open(file: StorageRef, backing: Option<StorageRef>, writable: bool) -> Arc<Qcow2> {
    let options = OpenOptions {
        backing,
        writable,
        ..OpenOptions::default()
    };
    Arc::new(Qcow2::open(file, options).unwrap())
}

fn fill(file: &StorageRef, seed: u64) {
    let image = open(file.clone(), None, true);
    let mut random = Random::new(seed);
    for _ in 0..20 {
        let at = random.below(60) * CLUSTER + random.below(3000);
        let mut bytes = vec![0; 1 + random.below(3 * CLUSTER) as usize];
        random.fill(&mut bytes);
        image.write_at(at, &bytes).unwrap();
    }
    image.flush().unwrap();
}

fn view(base: StorageRef, top: StorageRef) -> Vec<u8> {
    let base = open(base, None, false);
    let top = open(top, Some(base), false);
    let mut bytes = vec![0; top.size() as usize];
    top.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_power_cut_during_a_commit_to_the_backing_file_changes_nothing_for_the_guest() {
    let long = std::env::var_os("DISKSMITH_LONG").is_some();
    for seed in 0..4 {
        let (base, top) = (image(3), image(2 + (seed % 2) as u32));
        fill(&base, seed);
        fill(&top, seed + 100);
        let before = view(base.clone(), top.clone());
        let journal = Journal::new();
        let record = |file: StorageRef| -> StorageRef { Arc::new(Recorder::new(file, &journal)) };
        let (base, top) = (record(base), record(top));
        let lower = open(base, None, true);
        let upper = open(top, Some(lower.clone()), true);
        let shadow = lower.shadow().unwrap();
        let mut at = 0;
        while at < SIZE {
            let extent = upper.extent_at(at, SIZE - at).unwrap();
            if extent.depth == 0 && !extent.reads_as_zero() {
                let mut bytes = vec![0; extent.len as usize];
                upper.read_at(at, &mut bytes).unwrap();
                shadow.write_at(at, &bytes).unwrap();
            }
            at += extent.len;
        }
        shadow.prepare().unwrap().switch().unwrap();
        journal.mark("base");
        let mut edit = Box::new(upper.change_set().unwrap());
        edit.empty().unwrap();
        edit.prepare().unwrap().switch().unwrap();
        journal.mark("top");
        for state in journal.crash_states(if long { 4000 } else { 200 }, seed) {
            let (base, top) = (state.storage(0), state.storage(1));
            for file in [&base, &top] {
                let report = check(&(Arc::clone(file) as StorageRef), Repair::None).unwrap();
                assert!(report.is_clean(), "{state}: {report:?}");
            }
            assert!(
                view(base.clone(), top.clone()) == before,
                "{state}: the guest's disk differs"
            );
            if state.passed("top") {
                let alone = open(top, None, false);
                let extent = alone.extent_at(0, SIZE).unwrap();
                assert!(extent.len == SIZE && extent.reads_as_zero(), "{state}: not empty");
            }
        }
    }
}

#[test]
fn emptying_keeps_internal_snapshots() {
    let top = image(3);
    fill(&top, 5);
    let opened = open(top.clone(), None, true);
    let mut before = vec![0; SIZE as usize];
    opened.read_at(0, &mut before).unwrap();
    let new = disksmith_qcow2::NewSnapshot {
        name: b"one".to_vec(),
        ..Default::default()
    };
    opened.create_snapshot(&new).unwrap();
    opened.write_at(0, &[9; 9000]).unwrap();
    opened.flush().unwrap();
    let mut edit = Box::new(opened.change_set().unwrap());
    edit.empty().unwrap();
    edit.prepare().unwrap().switch().unwrap();
    let view = opened
        .snapshot_view(disksmith_qcow2::SnapshotKey::Name(b"one"))
        .unwrap();
    let mut there = vec![1; SIZE as usize];
    view.read_at(0, &mut there).unwrap();
    assert!(there == before);
    opened.read_at(0, &mut there).unwrap();
    assert!(there.iter().all(|b| *b == 0));
    drop(opened);
    let report = check(&top, Repair::None).unwrap();
    assert!(report.is_clean(), "{report:?}");
    if judge::available() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.qcow2");
        let mut bytes = vec![0; top.size() as usize];
        top.read_at(0, &mut bytes).unwrap();
        std::fs::write(&path, bytes).unwrap();
        judge::assert_clean(&path);
    }
}
