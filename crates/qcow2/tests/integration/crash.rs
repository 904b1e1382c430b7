//! Power cuts and failing writes: every state that they can leave is judged.

use crate::judge;
use crate::model::{Op, apply, compare, op};
use disksmith_qcow2::{
    CompressionType, CreateOptions, OpenOptions, Qcow2, Recovered, Repair, check, create, recover_switch,
};
use disksmith_storage::testing::{Failure, Faulty, Journal, Operation, Plan, Recorder};
use disksmith_storage::{Memory, Storage, StorageRef};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::path::Path;
use std::sync::Arc;

fn long() -> bool {
    std::env::var_os("DISKSMITH_LONG").is_some()
}

fn open(file: StorageRef, writable: bool) -> Arc<Qcow2> {
    Arc::new(
        Qcow2::open(
            file,
            OpenOptions {
                writable,
                ..OpenOptions::default()
            },
        )
        .unwrap(),
    )
}

fn contents(file: StorageRef) -> Vec<u8> {
    let image = open(file, false);
    let mut bytes = vec![0; image.size() as usize];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

fn ops(seed: u8, count: usize) -> Vec<Op> {
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig::default(),
        proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[seed; 32]),
    );
    (0..count)
        .map(|_| op().new_tree(&mut runner).unwrap().current())
        .collect()
}

/// An image with data, zero clusters, compressed clusters, and an internal snapshot that shares some of them.
fn start(cluster_bits: u32, refcount_bits: u32, seed: u8) -> (Memory, Vec<u8>) {
    let size = (40 << cluster_bits) + 512;
    let options = CreateOptions {
        cluster_bits,
        refcount_bits,
        compression: if seed & 1 == 0 {
            CompressionType::Zlib
        } else {
            CompressionType::Zstd
        },
        ..CreateOptions::new(size)
    };
    let memory: StorageRef = Arc::new(Memory::new(0));
    create(&memory, None, &options).unwrap();
    let mut model = vec![0; size as usize];
    {
        let image = open(memory.clone(), true);
        for op in ops(seed, 20) {
            apply(&op, &*image, Some(&image), &mut model, 1 << cluster_bits);
        }
        image.flush().unwrap();
    }
    let mut bytes = vec![0; memory.size() as usize];
    memory.read_at(0, &mut bytes).unwrap();
    if refcount_bits >= 8 && judge::available() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.qcow2");
        std::fs::write(&path, &bytes).unwrap();
        judge::qemu_img(&["snapshot", "-c", "s", path.to_str().unwrap()]);
        bytes = std::fs::read(&path).unwrap();
    }
    (Memory::from_bytes(&bytes), model)
}

fn judged(bytes: &Memory, path: &Path) {
    std::fs::write(path, bytes.to_vec()).unwrap();
    judge::assert_clean(path);
}

#[test]
fn a_power_cut_during_a_commit_leaves_the_old_or_the_new_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.qcow2");
    let (mut states, mut seen_old, mut seen_new) = (0u64, 0u64, 0u64);
    for (seed, (bits, refcount_bits)) in [(9, 16), (9, 64), (12, 1), (12, 16), (16, 16), (9, 8)]
        .into_iter()
        .enumerate()
    {
        let (memory, old) = start(bits, refcount_bits, seed as u8);
        let journal = Journal::new();
        let recorder: StorageRef = Arc::new(Recorder::new(Arc::new(memory), &journal));
        let image = open(recorder, true);
        let mut new = old.clone();
        let shadow = image.shadow().unwrap();
        for op in ops(seed as u8 + 100, 15) {
            apply(&op, &*shadow, None, &mut new, 1 << bits);
        }
        let prepared = shadow.prepare().unwrap();
        journal.mark("prepared");
        prepared.switch().unwrap();
        journal.mark("switched");
        for state in journal.crash_states(if long() { 5000 } else { 300 }, seed as u64) {
            let file = state.storage(0);
            let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
            assert!(report.is_clean(), "{state}: {:?}", report.faults);
            let now = contents(file.clone());
            assert!(now == old || now == new, "{state}: neither old nor new");
            if state.passed("switched") {
                assert!(now == new, "{state}: the switch was lost");
            }
            if !state.passed("prepared") {
                assert!(now == old, "{state}: switched too early");
            }
            seen_old += u64::from(now == old);
            seen_new += u64::from(now == new);
            states += 1;
            if states % 97 == 0 && judge::available() {
                judged(&file, &path);
            }
        }
    }
    eprintln!("{states} states: {seen_old} old, {seen_new} new");
    assert!(seen_old > 100 && seen_new > 100);
}

#[test]
fn a_power_cut_during_direct_writing_never_corrupts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.qcow2");
    let mut states = 0;
    for (seed, (bits, refcount_bits)) in [(9, 16), (9, 64), (12, 16), (16, 1)].into_iter().enumerate() {
        let (memory, mut model) = start(bits, refcount_bits, seed as u8 + 10);
        let journal = Journal::new();
        let recorder: StorageRef = Arc::new(Recorder::new(Arc::new(memory), &journal));
        let image = open(recorder, true);
        for op in ops(seed as u8 + 50, 25) {
            apply(&op, &*image, Some(&image), &mut model, 1 << bits);
        }
        image.set_size(model.len() as u64 * 40).unwrap();
        image.write_at(model.len() as u64 * 39, &[3; 2000]).unwrap();
        image.flush().unwrap();
        for state in journal.crash_states(if long() { 5000 } else { 200 }, seed as u64) {
            let file = state.storage(0);
            let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
            // Leaks are the price of a cut; whatever else would be damage.
            assert_eq!(
                (report.corruptions, report.check_errors),
                (0, 0),
                "{state}: {:?}",
                report.faults
            );
            contents(file.clone());
            states += 1;
            if states % 97 == 0 && judge::available() {
                std::fs::write(&path, file.to_vec()).unwrap();
                let output = judge::run("qemu-img", &["check", "-f", "qcow2", path.to_str().unwrap()]);
                assert!(
                    matches!(output.status.code(), Some(0 | 3)),
                    "{state}: {}",
                    judge::text(&output)
                );
            }
        }
    }
}

#[test]
fn a_prepared_switch_is_finished_by_its_record() {
    let (memory, old) = start(12, 16, 3);
    let memory: Arc<Memory> = Arc::new(memory);
    let image = open(memory.clone(), true);
    let mut new = old.clone();
    let shadow = image.shadow().unwrap();
    for op in ops(77, 10) {
        apply(&op, &*shadow, None, &mut new, 4096);
    }
    let prepared = shadow.prepare().unwrap();
    let record = prepared.record();
    assert_eq!(prepared.format(), "qcow2");
    drop(prepared);
    drop(image);

    let copy: StorageRef = Arc::new(memory.duplicate());
    assert_eq!(recover_switch(&*copy, &record).unwrap(), Recovered::Switched);
    assert!(contents(copy.clone()) == new);
    assert!(check(&copy, Repair::None).unwrap().is_clean());
    assert_eq!(
        recover_switch(&*copy, &record).unwrap(),
        Recovered::AlreadySwitched
    );

    for (what, at) in [("header", 30), ("tail", memory.size() - 1)] {
        let copy: StorageRef = Arc::new(memory.duplicate());
        let mut byte = [0];
        copy.read_at(at, &mut byte).unwrap();
        copy.write_at(at, &[byte[0] ^ 1]).unwrap();
        let before = contents_or_empty(&copy);
        assert!(recover_switch(&*copy, &record).is_err(), "{what}");
        assert!(contents_or_empty(&copy) == before);
    }
    let copy: StorageRef = Arc::new(memory.duplicate());
    copy.set_size(copy.size() + 4096).unwrap();
    assert!(recover_switch(&*copy, &record).is_err());
    let copy: StorageRef = Arc::new(memory.duplicate());
    let mut damaged = record.clone();
    damaged[600] ^= 1;
    assert!(recover_switch(&*copy, &damaged).is_err());
    assert!(recover_switch(&*copy, &record[..100]).is_err());
    assert!(contents(copy) == old);
}

fn contents_or_empty(file: &StorageRef) -> Vec<u8> {
    let mut bytes = vec![0; file.size() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Whatever operation of the file fails during an edit: the image is old or new, and an abandoned edit leaves the
/// length of the file as it was.
#[test]
fn failing_writes_leave_the_old_or_the_new_state() {
    for nth in 0..if long() { 400 } else { 60 } {
        let (memory, old) = start(9, 1, 5);
        let memory = Arc::new(memory);
        let len = memory.size();
        let plan = Plan {
            operation: Operation::Change,
            nth,
            failure: Failure::NoSpace,
            lasting: false,
        };
        let faulty: Arc<Faulty> = Arc::new(Faulty::new(memory.clone(), plan));
        let image = open(faulty.clone(), true);
        let result = (|| -> disksmith_storage::Result<()> {
            let shadow = image.shadow()?;
            for i in 0..12u64 {
                shadow.write_at(i * 1536, &[i as u8 + 1; 1200])?;
                shadow.discard(i * 700, 1024)?;
            }
            shadow.prepare()?.switch()
        })();
        let clean = check(&(memory.clone() as StorageRef), Repair::None).unwrap();
        assert!(clean.is_clean(), "{nth}: {:?}", clean.faults);
        let switched = contents(memory.clone()) != old;
        if result.is_err() && !switched {
            if nth < 5 {
                assert_eq!(memory.size(), len, "{nth}");
            }
            // The image can be used again.
            if image.write_at(0, &[1; 600]).is_ok() {
                image.flush().unwrap();
                assert!(
                    check(&(memory.clone() as StorageRef), Repair::None)
                        .unwrap()
                        .is_clean()
                );
                compare(&*image, &contents(memory.clone()));
            }
        } else if result.is_err() {
            // Past the point of no return: nothing more is written through what still knows the old state.
            assert!(image.write_at(0, &[1; 600]).is_err());
        } else {
            assert!(switched);
            compare(&*image, &contents(memory.clone()));
        }
    }
}
