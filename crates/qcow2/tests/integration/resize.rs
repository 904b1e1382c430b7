//! Another size for the disk: with snapshots, bitmaps and preallocation, and across power cuts.

use crate::judge;
use disksmith_qcow2::{
    CreateOptions, NewBitmap, NewSnapshot, OpenOptions, Preallocation, Qcow2, Recovered, Repair, SnapshotKey,
    check, create, recover_switch,
};
use disksmith_storage::testing::{Journal, Recorder};
use disksmith_storage::{Memory, Shadow, Storage, StorageRef};
use std::sync::Arc;

fn open(file: StorageRef, writable: bool) -> Arc<Qcow2> {
    let options = OpenOptions {
        writable,
        ..OpenOptions::default()
    };
    Arc::new(Qcow2::open(file, options).unwrap())
}

fn all(disk: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

fn is_clean(file: &Arc<Memory>, when: &dyn std::fmt::Display) {
    let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
    assert!(report.is_clean(), "{when}: {report:?}");
}

/// An image with data, a snapshot that shares a part of it, and a bitmap.
fn image(cluster_bits: u32) -> Arc<Memory> {
    let memory: Arc<Memory> = Arc::new(Memory::new(0));
    let options = CreateOptions {
        cluster_bits,
        ..CreateOptions::new(40 << cluster_bits)
    };
    create(&(memory.clone() as StorageRef), None, &options).unwrap();
    let image = open(memory.clone(), true);
    for cluster in 0..40u64 {
        image
            .write_at(cluster << cluster_bits, &[cluster as u8 + 1; 300])
            .unwrap();
    }
    image.flush().unwrap();
    let new = NewSnapshot {
        name: b"s".to_vec(),
        ..NewSnapshot::default()
    };
    image.create_snapshot(&new).unwrap();
    let bitmap = NewBitmap {
        name: b"b".to_vec(),
        granularity: Some(512),
        disabled: false,
    };
    image.change_bitmaps(|edit| edit.add_bitmap(&bitmap)).unwrap();
    image.write_at(3 << cluster_bits, &[0xee; 1000]).unwrap();
    image.flush().unwrap();
    drop(image);
    memory
}

#[test]
fn a_power_cut_leaves_the_old_size_or_the_new_one() {
    let mut states = 0;
    for bits in [9u32, 12] {
        for (turn, (size, mode)) in [
            (10u64 << bits, Preallocation::Off),
            (100 << bits, Preallocation::Off),
            (60 << bits, Preallocation::Metadata),
            (61 << bits, Preallocation::Falloc),
            (300 << bits, Preallocation::Full),
        ]
        .into_iter()
        .enumerate()
        {
            let memory = image(bits);
            let old = all(&*open(memory.clone(), false));
            let mut new = old.clone();
            new.resize(size as usize, 0);
            let journal = Journal::new();
            let recorder: StorageRef = Arc::new(Recorder::new(memory.clone(), &journal));
            let image = open(recorder, true);
            image.resize(size, mode).unwrap();
            assert!(all(&*image) == new);
            drop(image);
            is_clean(&memory, &turn);
            for state in journal.crash_states(25, turn as u64) {
                let file = state.storage(0);
                is_clean(&file, &state);
                let image = open(file.clone(), false);
                let now = all(&*image);
                assert!(now == old || now == new, "{state}");
                assert_eq!(image.snapshots().unwrap().len(), 1);
                let view = image.snapshot_view(SnapshotKey::Name(b"s")).unwrap();
                assert_eq!(view.size(), old.len() as u64);
                let dirty: Vec<_> = image.dirty_ranges(b"b").unwrap().iter().collect();
                let start = 3u64 << bits;
                assert_eq!(dirty, [(start, start + 1024)], "{state}");
                states += 1;
            }
            if judge::available() {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("x.qcow2");
                std::fs::write(&path, memory.to_vec()).unwrap();
                judge::assert_clean(&path);
                assert!(judge::contents(&path, dir.path()) == new);
            }
        }
    }
    assert!(states > 150);
}

/// Direct writing, power cut at any moment: a bitmap that says that it can be trusted knows all that changed.
#[test]
fn a_bitmap_that_can_be_trusted_knows_every_change() {
    let (mut trusted, mut marked) = (0, 0);
    for bits in [9u32, 12] {
        for shadowed in [false, true] {
            let memory = image(bits);
            let old = all(&*open(memory.clone(), false));
            let journal = Journal::new();
            let recorder: StorageRef = Arc::new(Recorder::new(memory.clone(), &journal));
            let image = open(recorder, true);
            for turn in 0..3u64 {
                let at = (turn * 11 + 5) << bits;
                let bytes = vec![0x70 + turn as u8; 3000];
                if shadowed {
                    let shadow = image.shadow().unwrap();
                    shadow.write_at(at, &bytes).unwrap();
                    shadow.discard((turn + 1) << bits, 1 << bits).unwrap();
                    shadow.prepare().unwrap().switch().unwrap();
                } else {
                    image.write_at(at, &bytes).unwrap();
                    image.discard((turn + 1) << bits, 1 << bits).unwrap();
                    image.flush().unwrap();
                }
            }
            drop(image);
            is_clean(&memory, &"after all");
            for state in journal.crash_states(100, u64::from(bits)) {
                let file = state.storage(0);
                let report = check(&(file.clone() as StorageRef), Repair::None).unwrap();
                assert_eq!(
                    (report.corruptions, report.check_errors),
                    (0, 0),
                    "{state}: {report:?}"
                );
                let image = open(file, false);
                let list = image.bitmaps().unwrap();
                if !list[0].is_consistent() {
                    assert!(!shadowed, "{state}");
                    marked += 1;
                    continue;
                }
                trusted += 1;
                let now = all(&*image);
                let dirty: Vec<_> = image.dirty_ranges(b"b").unwrap().iter().collect();
                for (i, (a, b)) in old.chunks(512).zip(now.chunks(512)).enumerate() {
                    let at = i as u64 * 512;
                    let known = dirty.iter().any(|(first, end)| *first <= at && at < *end);
                    assert!(a == b || known, "{state}: a change at {at:#x} is not known");
                }
            }
        }
    }
    assert!(trusted > 80 && marked > 30, "{trusted} {marked}");
}

#[test]
fn recovery_gives_back_what_the_switch_freed() {
    let memory = image(12);
    {
        let image = open(memory.clone(), true);
        image.delete_snapshot(SnapshotKey::Name(b"s")).unwrap();
    }
    let before = memory.resident();
    let image = open(memory.clone(), true);
    let mut edit = Box::new(image.change_set().unwrap());
    edit.resize(1 << 12, Preallocation::Off).unwrap();
    let prepared = edit.prepare().unwrap();
    let record = prepared.record();
    std::mem::forget(prepared);
    assert_eq!(recover_switch(&*memory, &record).unwrap(), Recovered::Switched);
    is_clean(&memory, &"recovered");
    assert!(
        memory.resident() + (30 << 12) <= before,
        "{} {before}",
        memory.resident()
    );
    assert_eq!(
        recover_switch(&*memory, &record).unwrap(),
        Recovered::AlreadySwitched
    );
    is_clean(&memory, &"recovered again");
}

#[test]
fn version_2_images_with_snapshots_keep_their_size() {
    let memory: Arc<Memory> = Arc::new(Memory::new(0));
    let options = CreateOptions {
        version: 2,
        ..CreateOptions::new(1 << 20)
    };
    create(&(memory.clone() as StorageRef), None, &options).unwrap();
    let image = open(memory, true);
    image.resize(2 << 20, Preallocation::Off).unwrap();
    image.create_snapshot(&NewSnapshot::default()).unwrap();
    assert!(image.resize(3 << 20, Preallocation::Off).is_err());
    assert_eq!(image.size(), 2 << 20);
}
